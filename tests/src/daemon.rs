//! A server as an administrator runs it: the real `yored serve`, on a data folder of its own.
//!
//! ```text
//! FOLDER/yored.toml        its configuration        FOLDER/data/     what it keeps
//! FOLDER/machines/NAME/    a linked machine's home; see `machine`
//! ```

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use yore_store::Repository;

use crate::cgroup::Cgroup;
use crate::machine::Machine;
use crate::{SOON, until};

/// The path of a program of this workspace, built as these tests are.
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build).join(name)
}

/// Builds `yore` and `yored` with the profile and into the folder of the program that runs now.
fn build() -> PathBuf {
    // TARGET/PROFILE/deps/server-0123456789abcdef
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.ancestors().nth(2).expect("three levels").to_owned();
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--bins",
            "--profile",
            profile,
            "--target-dir",
        ])
        .arg(folder.parent().expect("above the profile"))
        .output()
        .expect("cargo");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    folder
}

/// A port on the loopback that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// A server. Ended by SIGTERM when dropped.
pub struct Daemon {
    /// Where everything of this test is; removed at the end.
    pub folder: tempfile::TempDir,
    /// Where it listens, on the loopback.
    pub port: u16,
    cgroup: Option<Cgroup>,
    running: Mutex<Option<Running>>,
}

/// The process, and what it has said.
struct Running {
    child: Child,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    text: Mutex<String>,
    more: Condvar,
}

impl Log {
    fn text(&self) -> MutexGuard<'_, String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, from: impl std::io::Read) {
        for line in BufReader::new(from).split(b'\n') {
            let Ok(line) = line else { return };
            let mut text = self.text();
            text.push_str(&String::from_utf8_lossy(&line));
            text.push('\n');
            self.more.notify_all();
        }
    }

    /// Waits until it has said something.
    fn wait_for(&self, part: &str) -> String {
        let mut text = self.text();
        let deadline = Instant::now() + SOON;
        while !text.contains(part) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "yored has not said `{part}`:\n{text}");
            text = self.more.wait_timeout(text, left).expect("no panic while held").0;
        }
        text.clone()
    }
}

impl Daemon {
    /// A server that runs, as it is configured by default.
    pub fn start() -> Self {
        Self::configured("")
    }

    /// A server that runs, with more in its configuration.
    pub fn configured(more: &str) -> Self {
        Self::confined(more, None)
    }

    /// The same with no more memory than a control group allows.
    pub fn confined(more: &str, cgroup: Option<Cgroup>) -> Self {
        let folder = tempfile::Builder::new().prefix("yore-").tempdir();
        let daemon = Daemon {
            folder: folder.expect("a temporary folder"),
            port: free_port(),
            cgroup,
            running: Mutex::default(),
        };
        daemon.configure(more);
        daemon.run();
        daemon
    }

    /// Writes its configuration anew; a small floor, so that no disk is too full to test on.
    pub fn configure(&self, more: &str) {
        let keep_free = if more.contains("keep_free") {
            ""
        } else {
            "keep_free = \"1M\"\n"
        };
        let text = format!(
            "data = {:?}\nlisten = \"127.0.0.1:{}\"\n{keep_free}{more}",
            self.data(),
            self.port
        );
        std::fs::write(self.config(), text).expect("a configuration");
    }

    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.path("yored.toml")
    }

    /// What it keeps.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The folder of a user, or below it.
    pub fn user_folder(&self, below: &str) -> PathBuf {
        self.data().join("users").join(below)
    }

    /// A path in this test's folder.
    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Starts `yored serve`, and waits until it listens.
    pub fn run(&self) {
        let mut command = self.command(&["serve"]);
        if let Some(cgroup) = &self.cgroup {
            cgroup.hold(&mut command);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().expect("yored");
        let log: Arc<Log> = Arc::default();
        let (stderr, reading) = (child.stderr.take().expect("piped"), log.clone());
        std::thread::spawn(move || reading.read(stderr));
        let running = Running { child, log };
        running.log.wait_for("listening on");
        *self.running.lock().expect("no panic while held") = Some(running);
    }

    /// Waits until the server has said something on stderr; gives all that it said.
    pub fn said(&self, part: &str) -> String {
        let running = self.running.lock().expect("no panic while held");
        let log = running.as_ref().expect("it runs").log.clone();
        drop(running);
        log.wait_for(part)
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        let running = self.running.lock().expect("no panic while held");
        running.as_ref().expect("it runs").child.id()
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(pid_of(self.pid()), signal).expect("a signal");
    }

    /// Ends the process by a signal; gives what it said, and whether it ended well.
    pub fn end(&self, signal: Signal) -> (String, bool) {
        let running = self.running.lock().expect("no panic while held").take();
        let mut running = running.expect("it runs");
        kill_process(pid_of(running.child.id()), signal).expect("a signal");
        let status = running.child.wait().expect("it ends");
        let text = running.log.text().clone();
        (text, status.success())
    }

    /// The most memory that the process has had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        peak_memory(self.pid())
    }

    /// The processor time that the process has had, in the kernel's ticks.
    pub fn processor_time(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("a process that lives");
        // Behind the name, which is in parentheses; the fields are numbered from 3 there.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields
            .skip(14 - 3)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("a number"))
            .sum()
    }

    /// `yored ARGS`, to be run.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("yored"));
        command
            .arg("--config")
            .arg(self.config())
            .args(args)
            .stdin(Stdio::null());
        command.current_dir(self.folder.path()).env("RUST_BACKTRACE", "1");
        command
    }

    /// `yored ARGS`.
    pub fn yored(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("yored")
    }

    /// What `yored ARGS` prints; it must succeed.
    pub fn text(&self, args: &[&str]) -> String {
        crate::run(&mut self.command(args))
    }

    /// What `yored ARGS --json` prints; it must succeed.
    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[args, &["--json"]].concat())).expect("JSON")
    }

    /// What `yored status` says of a repository.
    pub fn status_of(&self, user: &str, repository: &str) -> Value {
        let status = self.json(&["status"]);
        let all = status["repositories"].as_array().expect("an array");
        let found = all
            .iter()
            .find(|one| one["user"] == user && one["repository"] == repository);
        found
            .unwrap_or_else(|| panic!("{status} has no {user}/{repository}"))
            .clone()
    }

    /// What a user has stored, as the server counts it, in bytes.
    pub fn used(&self, user: &str) -> u64 {
        self.json(&["user", "list", user])[0]["used"]
            .as_u64()
            .expect("a number")
    }

    /// Waits until no session is left, and what it had of a push that was cut off is put away.
    pub fn until_idle(&self) {
        until("the sessions have ended", || {
            self.json(&["status"])["sessions"].as_array().is_some_and(Vec::is_empty)
        });
    }

    /// Reads everything back that a repository has stored; panics if it is not as it was.
    pub fn assert_well(&self, user: &str, repository: &str) {
        let folder = self.user_folder(user).join(repository);
        let repository = Arc::new(Repository::open(&folder).expect("a repository"));
        let verified = repository.verify(true, &mut |_, _| Ok(())).expect("it can be read");
        assert_eq!(verified.damages, vec![], "{}", folder.display());
    }

    /// A new user, with these options of `yored user add`.
    pub fn add(&self, user: &str, options: &[&str]) {
        self.text(&[&["user", "add", user], options].concat());
    }

    /// The words of a new invitation's command, after `yore`.
    pub fn invite(&self, user: &str) -> Vec<String> {
        let line = self.text(&["invite", user]);
        let words = line.trim_end().split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words.first().map(String::as_str), Some("yore"), "{line}");
        words[1..].to_vec()
    }

    /// A machine that is not linked.
    pub fn machine(&self, name: &str) -> Machine {
        Machine::new(&self.path("machines"), name)
    }

    /// A machine of a user, linked to the repository of its name.
    pub fn linked(&self, user: &str, name: &str) -> Machine {
        self.linked_by(self.port, user, name)
    }

    /// The same by way of another port: a proxy's.
    pub fn linked_by(&self, port: u16, user: &str, name: &str) -> Machine {
        let machine = self.machine(name);
        machine.link(&self.invite(user), port, &["--repository", name, "--yes"]);
        machine
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.running.lock().is_ok_and(|running| running.is_some()) {
            let (said, _) = self.end(Signal::TERM);
            if std::thread::panicking() {
                eprintln!("yored said:\n{said}");
            }
        }
    }
}

/// A process's number as the system calls have it.
pub fn pid_of(number: u32) -> Pid {
    Pid::from_raw(number as i32).expect("a process has a number")
}

/// The most memory that a process has had, in bytes.
pub fn peak_memory(pid: u32) -> u64 {
    memory_as(pid, "VmHWM:")
}

/// The memory that a process has now, in bytes.
pub fn memory(pid: u32) -> u64 {
    memory_as(pid, "VmRSS:")
}

fn memory_as(pid: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process that lives");
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_else(|| panic!("no {key} of {pid}")) << 10
}
