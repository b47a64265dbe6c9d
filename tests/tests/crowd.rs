//! A server with many machines: all push, snapshots are pruned and verified, and mounts are read and compared, all at once
//! and without a pause. What is read is what was there, nothing fails, and memory does not grow. Needs /dev/fuse.
//!
//! The quick run has four machines and two mounts, and ends when each has done a little. `YORE_CROWD_MINUTES=N` has sixteen
//! machines and five mounts for so long, and prints the memory of each minute; `YORE_CROWD_SEED=N` makes other trees.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use yore_store::{Hash, Repository};
use yore_tests::daemon::{Daemon, memory, pid_of, program};
use yore_tests::machine::Machine;
use yore_tests::model::random::Random;
use yore_tests::{asked, names, until};

/// Files by their paths below the source, and what is in them.
type Tree = BTreeMap<Vec<u8>, Hash>;

/// How much of everything there is.
struct Size {
    machines: u64,
    mounts: usize,
    /// How long it goes on; without, until each machine, mount and hand has done this many rounds.
    time: Option<Duration>,
    rounds: u64,
}

/// The snapshots that each prune leaves of each line.
const KEEP: &str = "5";

/// What a process may grow by all the same, in bytes: allocators keep what they have had.
const SLACK: u64 = 24 << 20;

/// One machine, and what its snapshots have to be.
struct Member {
    machine: Machine,
    /// The folder of its repository on the server.
    repository: PathBuf,
    /// Its repository below the server's mount.
    shelf: PathBuf,
    expected: Mutex<BTreeMap<String, Tree>>,
}

/// What was done, of each kind.
#[derive(Debug, Default)]
struct Tally {
    pushes: AtomicU64,
    prunes: AtomicU64,
    verifications: AtomicU64,
    trees: AtomicU64,
    files: AtomicU64,
    /// Snapshots that were pruned while they were read.
    gone: AtomicU64,
}

impl Tally {
    fn count(of: &AtomicU64) -> u64 {
        of.fetch_add(1, Ordering::Relaxed)
    }

    fn show(&self) -> String {
        let all = [
            ("pushes", &self.pushes),
            ("prunes", &self.prunes),
            ("verifications", &self.verifications),
            ("trees compared", &self.trees),
            ("files compared", &self.files),
            ("trees pruned while they were read", &self.gone),
        ];
        let one = |(name, number): (&str, &AtomicU64)| format!("{} {name}", number.load(Ordering::Relaxed));
        all.map(one).join(", ")
    }
}

/// A mount in a process of its own; ended when dropped.
struct Mount(Child);

impl Mount {
    fn of(member: &Member) -> Self {
        let mountpoint = member.mountpoint();
        std::fs::create_dir(&mountpoint).unwrap();
        let mut command = member.machine.command(&["mount", "mnt", "--foreground", "--quiet"]);
        let child = command.stdout(Stdio::null()).spawn().expect("yore");
        until("it is mounted", || !names(&mountpoint).is_empty());
        Mount(child)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(pid_of(self.0.id()), Signal::TERM);
        let _ = self.0.wait();
    }
}

impl Member {
    fn mountpoint(&self) -> PathBuf {
        self.machine.home.join("mnt")
    }

    fn path(&self, name: &[u8]) -> PathBuf {
        self.machine.source().join(OsStr::from_bytes(name))
    }

    /// Makes or changes one file.
    fn write(&self, name: Vec<u8>, bytes: &[u8], tree: &mut Tree) {
        let path = self.path(&name);
        std::fs::create_dir_all(path.parent().expect("a folder")).unwrap();
        std::fs::write(path, bytes).unwrap();
        tree.insert(name, Hash::of(bytes));
    }

    fn fill(&self, random: &mut Random, tree: &mut Tree) {
        for number in 0..60 {
            let length = 1 + random.below(8_000);
            let bytes = random.noise(length);
            self.write(
                format!("folder-{}/small {number}", number % 7).into_bytes(),
                &bytes,
                tree,
            );
        }
        for (name, length) in [("medium-0", 90_000), ("medium-1", 400_000), ("large", 6 << 20)] {
            let bytes = random.noise(length);
            self.write(name.into(), &bytes, tree);
        }
        self.write(b"odd \xff\n name/empty".to_vec(), b"", tree);
    }

    /// Edits, appends, inserts, replaces and removes.
    fn change(&self, random: &mut Random, tree: &mut Tree) {
        let all: Vec<Vec<u8>> = tree.keys().cloned().collect();
        for _ in 0..2 + random.below(6) {
            let name = all[random.below(all.len())].clone();
            if random.once_in(8) && tree.len() > 30 && tree.remove(&name).is_some() {
                std::fs::remove_file(self.path(&name)).unwrap();
                continue;
            }
            let mut bytes = std::fs::read(self.path(&name)).unwrap_or_default();
            let at = random.below(bytes.len() + 1);
            let length = 1 + random.below(3_000);
            let noise = random.noise(length);
            let end = match random.below(3) {
                0 => at,
                1 => bytes.len(),
                _ => bytes.len().min(at + length),
            };
            // It stays about as long as it was.
            let cut = bytes.len().saturating_sub(7 << 20);
            bytes.splice(at..end, noise);
            bytes.drain(..cut);
            self.write(name, &bytes, tree);
        }
    }

    /// Pushes again and again.
    fn push(&self, seed: u64, tally: &Tally, goes_on: &GoesOn) {
        let (mut random, mut tree, mut round) = (Random::new(seed), Tree::new(), 0);
        self.fill(&mut random, &mut tree);
        while goes_on(round) {
            let name = self.machine.snapshotted();
            self.expected.lock().unwrap().insert(name, tree.clone());
            Tally::count(&tally.pushes);
            self.change(&mut random, &mut tree);
            round += 1;
        }
    }

    /// Reads snapshots below a mount and compares them.
    fn compare(&self, mountpoint: &Path, random: &mut Random, tally: &Tally) {
        let source = self.machine.source().canonicalize().unwrap();
        let source = source.strip_prefix("/").unwrap();
        let all: Vec<String> = names(mountpoint).into_iter().filter(|name| name != "latest").collect();
        let Some(name) = all.get(random.below(all.len().max(1))) else {
            return;
        };
        let mut tree = Tree::new();
        let read = read(&mountpoint.join(name).join(source), &[], &mut tree);
        // One that was committed this moment may not be written down yet; another may be of the machine beside.
        let Some(wanted) = self.expected.lock().unwrap().get(name).cloned() else {
            return;
        };
        if read.is_ok() && tree == wanted {
            tally.files.fetch_add(tree.len() as u64, Ordering::Relaxed);
            Tally::count(&tally.trees);
            return;
        }
        let there = Repository::open(&self.repository).unwrap().snapshots().unwrap();
        assert!(
            !there.iter().any(|snapshot| snapshot.name == *name),
            "{} in {}: {read:?}; {} files of {}, of which differ: {:?}",
            name,
            mountpoint.display(),
            tree.len(),
            wanted.len(),
            wanted
                .iter()
                .filter(|(name, hash)| tree.get(*name) != Some(hash))
                .map(|(name, _)| String::from_utf8_lossy(name))
                .take(5)
                .collect::<Vec<_>>(),
        );
        // Wrong bytes are wrong whatever became of it.
        for (file, hash) in &tree {
            assert!(
                wanted.get(file) == Some(hash),
                "{name}: {}",
                String::from_utf8_lossy(file)
            );
        }
        Tally::count(&tally.gone);
    }
}

/// All that is in a folder, read by way of the kernel.
fn read(folder: &Path, below: &[u8], tree: &mut Tree) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = [below, entry.file_name().as_bytes()].concat();
        if entry.file_type()?.is_dir() {
            read(&entry.path(), &[&name, &b"/"[..]].concat(), tree)?;
        } else {
            tree.insert(name, Hash::of(&std::fs::read(entry.path())?));
        }
    }
    Ok(())
}

/// Runs `yore` on a repository of the server, as its administrator does.
fn administer(repository: &Path, args: &[&str]) -> Output {
    let mut command = std::process::Command::new(program("yore"));
    command.arg("-r").arg(repository).args(args).output().expect("yore")
}

/// An administrator's hand that goes from repository to repository.
fn go_round(members: &[Member], args: &[&str], done: &AtomicU64, goes_on: &GoesOn) {
    let mut round = 0;
    while goes_on(round) {
        for member in members {
            // Nothing is there before the first push, and the repository may be in use for something alike.
            if !member.repository.exists() || !goes_on(round) {
                continue;
            }
            let output = administer(&member.repository, args);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() || said.contains("in use"), "{args:?}: {said}");
            done.fetch_add(u64::from(output.status.success()), Ordering::Relaxed);
        }
        round += 1;
    }
}

/// Whether a hand goes on after so many rounds.
type GoesOn<'a> = dyn Fn(u64) -> bool + Sync + 'a;

/// A thread that does something again and again.
fn hand<'scope>(
    threads: &'scope thread::Scope<'scope, '_>,
    is_over: &'scope AtomicBool,
    work: impl FnOnce() + Send + 'scope,
) -> thread::ScopedJoinHandle<'scope, ()> {
    threads.spawn(move || {
        let _ends_all = EndsAll(is_over);
        work();
    })
}

/// Ends it for all if one fails.
struct EndsAll<'a>(&'a AtomicBool);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        self.0.fetch_or(thread::panicking(), Ordering::Relaxed);
    }
}

fn again_and_again(seed: u64, goes_on: &GoesOn, work: &dyn Fn(&mut Random)) {
    let mut random = Random::new(seed);
    (0..)
        .take_while(|round| goes_on(*round))
        .for_each(|_| work(&mut random));
}

fn members(daemon: &Daemon, size: &Size) -> Vec<Member> {
    (0..size.machines)
        .map(|index| {
            // Four machines a user, and the last two of them share a repository.
            let (user, name) = (format!("user-{}", index / 4), format!("machine-{index}"));
            if index % 4 == 0 {
                daemon.add(&user, &[]);
            }
            let machine = daemon.machine(&name);
            let repository = format!("machine-{}", index - u64::from(index % 4 == 3));
            let invitation = daemon.invite(&user);
            machine.link(
                &invitation,
                daemon.port,
                &["--repository", &repository, "--yes", "--force"],
            );
            Member {
                repository: daemon.user_folder(&format!("{user}/{repository}")),
                shelf: daemon.path("shelf").join(&user).join(&repository),
                machine,
                expected: Mutex::default(),
            }
        })
        .collect()
}

#[test]
fn nobody_reads_what_was_not_there_and_memory_does_not_grow() {
    let minutes = asked("YORE_CROWD_MINUTES");
    let seed = asked("YORE_CROWD_SEED").unwrap_or(1);
    let size = match minutes {
        Some(minutes) => Size {
            machines: 16,
            mounts: 5,
            time: Some(Duration::from_secs(60 * minutes)),
            rounds: 0,
        },
        None => Size {
            machines: 4,
            mounts: 2,
            time: None,
            rounds: 6,
        },
    };
    let daemon = Daemon::start();
    let shelf = daemon.path("shelf");
    std::fs::create_dir(&shelf).unwrap();
    daemon.end(Signal::TERM);
    daemon.configure(&format!("mount = {shelf:?}\n"));
    daemon.run();
    let members = members(&daemon, &size);
    let tally = Tally::default();
    let (since, is_over) = (Instant::now(), AtomicBool::new(false));
    // What fails ends it for all.
    let goes_on = |round| {
        let is_done = size.time.map_or(round >= size.rounds, |time| since.elapsed() >= time);
        !is_done && !is_over.load(Ordering::Relaxed)
    };
    let mut minutes = Vec::new();
    thread::scope(|threads| {
        let (tally, goes_on, is_over, all) = (&tally, &goes_on, &is_over, &members);
        let pushing = all.iter().zip(seed * 100..);
        let mut hands: Vec<_> = pushing
            .map(|(member, seed)| hand(threads, is_over, move || member.push(seed, tally, goes_on)))
            .collect();
        until("the first snapshots are there", || {
            is_over.load(Ordering::Relaxed) || all.iter().all(|member| !member.expected.lock().unwrap().is_empty())
        });
        let mounted = || all.iter().step_by(3).take(size.mounts - 1);
        let mounts: Vec<Mount> = mounted().map(Mount::of).collect();
        hands.extend(mounted().zip(seed * 100 + 50..).map(|(member, seed)| {
            let compare = move |random: &mut Random| member.compare(&member.mountpoint(), random, tally);
            hand(threads, is_over, move || again_and_again(seed, goes_on, &compare))
        }));
        let compare = move |random: &mut Random| {
            let member = &all[random.below(all.len())];
            member.compare(&member.shelf, random, tally);
        };
        hands.push(hand(threads, is_over, move || again_and_again(seed, goes_on, &compare)));
        hands.push(hand(threads, is_over, move || {
            let prune = ["prune", "--keep-last", KEEP, "--quiet"];
            go_round(all, &prune, &tally.prunes, goes_on);
        }));
        hands.push(hand(threads, is_over, move || {
            let verify = ["verify", "--read-data", "--quiet"];
            go_round(all, &verify, &tally.verifications, goes_on);
        }));
        let processes = || std::iter::once(daemon.pid()).chain(mounts.iter().map(|mount| mount.0.id()));
        while size.time.is_some() && goes_on(0) {
            let next = since + Duration::from_secs(60) * (minutes.len() as u32 + 1);
            while Instant::now() < next && goes_on(0) {
                thread::park_timeout(Duration::from_millis(200));
            }
            let now: Vec<u64> = processes().map(memory).collect();
            let shown: Vec<String> = now.iter().map(|bytes| (bytes >> 20).to_string()).collect();
            eprintln!(
                "minute {}: {} MiB; {}",
                minutes.len() + 1,
                shown.join(" "),
                tally.show()
            );
            minutes.push(now);
        }
        hands.into_iter().for_each(|hand| hand.join().unwrap());
    });
    for member in &members {
        let mut random = Random::new(seed);
        (0..3).for_each(|_| member.compare(&member.shelf, &mut random, &tally));
    }
    eprintln!("Tally, seed {seed}: {}", tally.show());
    for count in [&tally.pushes, &tally.prunes, &tally.verifications, &tally.trees] {
        assert!(count.load(Ordering::Relaxed) > 0, "{}", tally.show());
    }
    assert_flat(&minutes);
}

/// Looks whether the memory of any process goes on growing.
fn assert_flat(minutes: &[Vec<u64>]) {
    // From the middle on everything has been used that is ever kept in memory.
    let (middle, end) = (minutes.len() / 2, minutes.len() * 3 / 4);
    for process in 0..minutes.first().map_or(0, Vec::len) {
        let most = |of: &[Vec<u64>]| of.iter().map(|minute| minute[process]).max().unwrap_or(0);
        let (before, after) = (most(&minutes[middle..end]), most(&minutes[end..]));
        assert!(
            before == 0 || after <= before + before / 5 + SLACK,
            "process {process} grows: {} and then {} MiB",
            before >> 20,
            after >> 20
        );
    }
}
