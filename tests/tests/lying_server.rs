//! A server that says what no server of ours says: the agent ends with an error that names it, in bounded memory, and
//! writes nothing but what it was asked to, where it was asked to.
//!
//! Each lie is a line of a table: a command, the answer that is none, the exit status, and what the error says.

#[path = "lying_server/contents.rs"]
mod contents;
#[path = "lying_server/endless.rs"]
mod endless;
#[path = "lying_server/entries.rs"]
mod entries;
#[path = "lying_server/greeting.rs"]
mod greeting;
#[path = "lying_server/mount.rs"]
mod mount;
#[path = "lying_server/push.rs"]
mod push;
#[path = "lying_server/restore.rs"]
mod restore;

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use yore_tests::SOON;
use yore_tests::liar::{Liar, Reply, World};
use yore_tests::machine::Machine;
use yore_wire::Question;

/// What a command may take in memory.
const MEMORY: u64 = 256 << 20;

/// A server that lies, and a machine that is linked to it.
struct Scene {
    _folder: tempfile::TempDir,
    liar: Liar,
    machine: Machine,
}

/// What became of a command.
struct Ended {
    status: i32,
    out: String,
    err: String,
    /// The most memory that it had, in bytes.
    peak: u64,
}

/// What is said to a question; where nothing, the honest answer.
type Script = Box<dyn Fn(&World, &Question) -> Option<Reply> + Send + Sync>;

/// A lie, and what is to come of it.
struct Lie {
    what: &'static str,
    args: &'static [&'static str],
    script: Script,
    status: i32,
    /// In what is printed on stderr.
    says: &'static str,
    memory: u64,
}

impl Lie {
    fn new(
        what: &'static str,
        args: &'static [&'static str],
        (status, says): (i32, &'static str),
        script: impl Fn(&World, &Question) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        Lie {
            what,
            args,
            script: Box::new(script),
            status,
            says,
            memory: MEMORY,
        }
    }
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("yore-").tempdir().unwrap();
        let (liar, machine) = (Liar::start(), Machine::new(folder.path(), "laptop"));
        liar.link(&machine);
        std::fs::write(machine.source().join("file"), "some bytes\n").unwrap();
        Scene {
            _folder: folder,
            liar,
            machine,
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.machine.home.join(below)
    }

    /// Has the server serve this.
    fn serve(&self, world: World) {
        self.liar.says(move |_, question| Reply::Done(world.answer(question)));
    }

    /// Has the server lie, and serve this where it does not.
    fn lie(&self, world: World, script: impl Fn(&World, &Question) -> Option<Reply> + Send + Sync + 'static) {
        self.liar
            .says(move |_, question| script(&world, question).unwrap_or_else(|| Reply::Done(world.answer(question))));
    }

    fn run(&self, args: &[&str]) -> Ended {
        ended(&mut self.machine.command(args), args)
    }

    /// Tries each lie. What is restored goes to `out`, which has a folder of its own that nothing else may be in.
    fn try_all(&self, lies: Vec<Lie>) {
        for lie in lies {
            let _ = std::fs::remove_dir_all(self.path("cell"));
            std::fs::create_dir(self.path("cell")).unwrap();
            let begun = Instant::now();
            self.lie(World::new(), lie.script);
            let ended = self.run(lie.args);
            eprintln!(
                "{}: {:?}, {} MiB, {}: {}",
                lie.what,
                begun.elapsed(),
                ended.peak >> 20,
                ended.status,
                ended.err.trim_end()
            );
            ended.assert(lie.what, lie.status, lie.says);
            assert!(ended.peak < lie.memory, "{}: {} bytes of memory", lie.what, ended.peak);
            let beside: Vec<String> = yore_tests::names(&self.path("cell"));
            assert!(beside.iter().all(|name| name == "out"), "{}: {beside:?}", lie.what);
        }
    }
}

impl Ended {
    fn assert(&self, what: &str, status: i32, says: &str) {
        let (out, err) = (&self.out, &self.err);
        assert_eq!(self.status, status, "{what}: {err}");
        assert!(err.contains(says), "{what}: not `{says}`: {err}");
        assert!(!err.contains("panicked"), "{what}: {err}");
        let is_wild = |letter: char| letter.is_control() && letter != '\n';
        assert!(
            !out.contains(is_wild) && !err.contains(is_wild),
            "{what}: {out:?} {err:?}"
        );
        assert!(err.len() < 100_000, "{what}: {} bytes of error", err.len());
    }
}

/// Runs a command to its end, which is to come soon.
fn ended(command: &mut Command, args: &[&str]) -> Ended {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("yore");
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (out, err) = (gather(out), gather(err));
    let (begun, mut peak) = (Instant::now(), 0);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak = peak.max(peak_memory(child.id()).unwrap_or(0));
        if begun.elapsed() > SOON {
            child.kill().unwrap();
            panic!("{args:?} does not end: {}", err.join().unwrap());
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Ended {
        status: status.code().unwrap_or(-1),
        out: out.join().unwrap(),
        err: err.join().unwrap(),
        peak,
    }
}

/// The most memory that a process has had, in bytes; none of one that has ended.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// What is said, as far as anybody wants to see it.
fn gather(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = (&mut from).take(4 << 20).read_to_end(&mut bytes);
        let _ = std::io::copy(&mut from, &mut std::io::sink());
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The command as a user that nobody trusts.
fn as_nobody(command: &Command) -> Command {
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    nobody.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => nobody.env(key, value),
            None => nobody.env_remove(key),
        };
    }
    nobody.current_dir(command.get_current_dir().unwrap_or(Path::new("/")));
    nobody.stdin(Stdio::null());
    let _ = nobody.arg0("setpriv");
    nobody
}
