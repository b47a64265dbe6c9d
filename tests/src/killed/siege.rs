//! Kills workers, at points of the source or at any moment.
//!
//! What a worker left is looked at in a copy, so that the next one finds it untouched. Packs and deltas are written once,
//! so a copy has them as hard links. Heads are copied: of one that has another name nothing is given back.

use std::io::{BufRead, BufReader, Lines};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::killed::check::{Said, as_before_or_after, goes_on, nothing_is_left_over};
use crate::killed::play::open;
use crate::killed::script::Script;
use crate::model::random::Random;

/// A script, and the program that plays it.
pub struct Siege {
    /// The program.
    pub worker: PathBuf,
    /// The seed of the script.
    pub seed: u64,
    /// How long it is; `None` is one with every kind of step.
    pub length: Option<usize>,
    /// The script itself.
    pub script: Script,
}

/// A folder that stays if the test fails.
struct Arena(Option<TempDir>);

impl Arena {
    fn new() -> Self {
        // What a process had written outlives it in memory too.
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let folder = tempfile::Builder::new().prefix("yore-killed-").tempdir_in(place);
        Arena(Some(folder.expect("a temporary folder")))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.as_ref().expect("there until dropped").path().join(name)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kept = self.0.take().map(TempDir::keep);
            eprintln!("what was left is in {kept:?}");
        }
    }
}

/// Copies a repository that nobody has open.
fn copy(from: &Path, to: &Path) {
    if !from.exists() {
        return;
    }
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            self::copy(&path, &copy);
        } else if is_written_once(&path) {
            std::fs::hard_link(&path, &copy).expect("a link");
        } else {
            std::fs::copy(&path, &copy).expect("a copy");
        }
    }
}

fn is_written_once(file: &Path) -> bool {
    let kind = file.parent().and_then(Path::parent).and_then(Path::file_name);
    kind.is_some_and(|kind| ["packs", "deltas"].iter().any(|one| kind == *one))
}

/// A worker at work.
struct Worker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it said.
    said: Said,
    /// How often it said that it reached which point.
    reached: Vec<(String, u64)>,
    /// The step that it is at.
    at: usize,
}

impl Worker {
    /// Goes on until it says that it is ready or has done something; false when it says nothing any more.
    fn listen(&mut self) -> bool {
        for line in self.lines.by_ref() {
            let line = line.expect("a line");
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            let number = |text: &str| text.parse::<u64>().expect("a number");
            match words[..] {
                ["ready"] => return true,
                ["done", at] => {
                    self.at = number(at) as usize + 1;
                    return true;
                }
                ["snapshot", at, name, check] => {
                    let check = check.parse().expect("a number");
                    self.said.insert(number(at) as usize, (name.to_owned(), check));
                }
                ["reached", count, ..] => {
                    let point = line.splitn(3, ' ').nth(2).expect("a point");
                    self.reached.push((point.to_owned(), number(count)));
                }
                // The kill came in the midst of a line.
                _ => {}
            }
        }
        false
    }

    fn end(&mut self) -> ExitStatus {
        while self.listen() {}
        self.child.wait().expect("it ends")
    }
}

impl Siege {
    /// A siege of a repository in which a seed's script is played.
    pub fn new(worker: &str, seed: u64, length: Option<usize>) -> Self {
        Siege {
            worker: worker.into(),
            seed,
            length,
            script: Script::new(seed, length),
        }
    }

    fn worker(&self, folder: &Path, (from, to): (usize, usize), stop: Option<&str>) -> Worker {
        let mut command = Command::new(&self.worker);
        let length = self.length.map_or("everything".into(), |length| length.to_string());
        command
            .arg(folder)
            .args([self.seed.to_string(), length, from.to_string(), to.to_string()]);
        command
            .env_remove("YORE_STOP")
            .envs(stop.map(|stop| ("YORE_STOP", stop)));
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the worker");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Worker {
            child,
            lines,
            said: Said::new(),
            reached: Vec::new(),
            at: from,
        }
    }
}

/// Kills at points: the repository before each step, and what each step reaches.
pub struct Points<'a> {
    siege: &'a Siege,
    arena: Arena,
    /// Points, and how often which step reaches them.
    pub reached: Vec<(String, usize, u64)>,
}

impl<'a> Points<'a> {
    /// Plays the script once, undisturbed.
    ///
    /// # Panics
    /// If that fails.
    pub fn of(siege: &'a Siege) -> Self {
        let mut points = Points {
            siege,
            arena: Arena::new(),
            reached: Vec::new(),
        };
        for at in 0..siege.script.scenes.len() {
            let (before, after) = (points.before(at), points.before(at + 1));
            copy(&before, &after);
            let mut worker = siege.worker(&after, (at, at + 1), None);
            assert!(worker.end().success(), "step {at}, {:?}", siege.script.scenes[at].step);
            points
                .reached
                .extend(worker.reached.drain(..).map(|(point, count)| (point, at, count)));
        }
        points
    }

    fn before(&self, at: usize) -> PathBuf {
        self.arena.path(&at.to_string())
    }

    /// Steps that reach a point, and how often each does.
    pub fn reaches(&self, point: &str) -> Vec<(usize, u64)> {
        let of_it = self.reached.iter().filter(|(reached, ..)| reached == point);
        of_it.map(|(_, at, count)| (*at, *count)).collect()
    }

    /// Kills the process in a step, the so-manieth time that it reaches a point, and looks at what that leaves.
    ///
    /// # Panics
    /// If anything is not as it should be.
    pub fn kill(&self, point: &str, at: usize, number: u64) {
        let script = &self.siege.script;
        let said = Case(format!(
            "stopped at {point:?}, reach {number}, in step {at}, {:?}",
            script.scenes[at].step
        ));
        let arena = Arena::new();
        let folder = arena.path("r");
        copy(&self.before(at), &folder);
        let mut worker = self
            .siege
            .worker(&folder, (at, at + 1), Some(&format!("{point}#{number}")));
        let status = worker.end();
        assert_eq!(status.signal(), Some(9), "{status}: the point was not reached");
        as_before_or_after(script, &folder, at, &worker.said);
        goes_on(script, &folder, at);
        drop(said);
    }
}

/// What is being tried; said if it ends in a panic.
struct Case(String);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// What random kills came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Processes that were killed at work.
    pub kills: u64,
    /// Of those, how many had done something before.
    pub later: u64,
    /// Scripts that were gone through to their end.
    pub scripts: u64,
}

/// Kills at any moment: one repository, again and again.
pub struct Moments<'a> {
    siege: &'a Siege,
    arena: Arena,
    random: Random,
    said: Said,
    at: usize,
    /// About how long a step takes.
    pace: Duration,
    tally: &'a mut Tally,
}

impl<'a> Moments<'a> {
    /// Before the first step.
    pub fn new(siege: &'a Siege, tally: &'a mut Tally) -> Self {
        Moments {
            siege,
            arena: Arena::new(),
            random: Random::new(siege.seed),
            said: Said::new(),
            at: 0,
            pace: Duration::from_millis(20),
            tally,
        }
    }

    /// Goes through the script, with so many kills on the way at most.
    ///
    /// # Panics
    /// If anything is not as it should be.
    pub fn go(&mut self, kills: u64) {
        let all = self.siege.script.scenes.len();
        while self.at < all && self.tally.kills < kills {
            let case = Case(format!("seed {}, killed after step {}", self.siege.seed, self.at));
            if self.kill_one() {
                self.look();
            }
            drop(case);
        }
        if self.at == all {
            nothing_is_left_over(&open(&self.arena.path("r"), all).expect("a repository"));
            self.tally.scripts += 1;
        }
    }

    /// Lets a worker work, and kills it; whether it was still there.
    fn kill_one(&mut self) -> bool {
        let (from, to) = (self.at, self.siege.script.scenes.len());
        let mut worker = self.siege.worker(&self.arena.path("r"), (from, to), None);
        assert!(worker.listen(), "it should be ready");
        let began = Instant::now();
        let wanted = self.random.below(3);
        let done = (0..wanted).take_while(|_| worker.listen()).count();
        if done > 0 {
            self.pace = (self.pace + began.elapsed() / done as u32) / 2;
        }
        std::thread::sleep(self.pace * self.random.below(1000) as u32 / 800);
        worker.child.kill().expect("it can be killed");
        let was_killed = worker.end().signal() == Some(9);
        self.said.append(&mut worker.said);
        self.at = worker.at;
        self.tally.kills += u64::from(was_killed);
        self.tally.later += u64::from(was_killed && self.at > from);
        was_killed
    }

    fn look(&mut self) {
        let (script, folder) = (&self.siege.script, self.arena.path("r"));
        let at = self.at.min(script.scenes.len() - 1);
        let looked_at = self.arena.path("looked at");
        copy(&folder, &looked_at);
        as_before_or_after(script, &looked_at, at, &self.said);
        if self.random.once_in(2) {
            goes_on(script, &looked_at, at);
        }
        let _ = std::fs::remove_dir_all(&looked_at);
    }
}
