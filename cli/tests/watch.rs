//! The agent that runs by itself, as a person and a service manager use it: the real `yore
//! watch`, on a repository in a folder.

use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing here takes so long.
const LONG: Duration = Duration::from_secs(60);

/// A linked machine in a folder of its own: source, repository, configuration, state.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Machine {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir_all(machine.path("source/sub")).unwrap();
        std::fs::write(machine.path("source/file"), "one\n").unwrap();
        let repository = machine.path("repository").display().to_string();
        machine.text(&["init", "-r", &repository]);
        machine.configure(&format!("repository = \"{repository}\""));
        machine.text(&["include", "source"]);
        machine.text(&["schedule", "off"]);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    /// Adds a line to the agent's file.
    fn configure(&self, line: &str) {
        std::fs::create_dir_all(self.path("config")).unwrap();
        let path = self.path("config/agent.toml");
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(&path, format!("{before}{line}\n")).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yore"));
        command
            .current_dir(self.folder.path())
            .env_remove("YORE_REPOSITORY")
            .env_remove("NOTIFY_SOCKET")
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("YORE_CONFIG_DIR", self.path("config"))
            .env("YORE_STATE_DIR", self.path("state"));
        command
    }

    fn yore(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    /// What a command that must succeed prints.
    fn text(&self, args: &[&str]) -> String {
        let output = self.yore(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[args, &["--json"]].concat())).unwrap()
    }

    fn status(&self, field: &str) -> Value {
        self.json(&["status"])[field].clone()
    }

    fn snapshots(&self) -> usize {
        self.json(&["snapshots"]).as_array().unwrap().len()
    }

    /// The text of a file of the source in the newest snapshot.
    fn pushed(&self, name: &str) -> Option<String> {
        let spec = format!("latest:{}", self.path("source").join(name).display());
        let output = self.yore(&["cat", &spec]);
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// Starts the watch, and waits until it says that it has begun.
    fn watch(&self) -> Watch<'_> {
        let log = std::fs::File::options()
            .append(true)
            .create(true)
            .open(self.path("log"))
            .unwrap();
        let mut command = self.command();
        command
            .arg("watch")
            .stdout(Stdio::null())
            .stderr(log)
            .stdin(Stdio::null());
        // Its own group, so that a test that is interrupted does not look like SIGINT to it.
        let child = command.process_group(0).spawn().unwrap();
        let watch = Watch { machine: self, child };
        watch.wait("watching", || {
            self.status("watching") == true && self.status("watches").as_u64() > Some(0)
        });
        watch
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

/// A running watch; killed at the end.
struct Watch<'a> {
    machine: &'a Machine,
    child: Child,
}

impl Watch<'_> {
    /// Waits until something is so; says what the watch said if it does not come.
    fn wait(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let started = Instant::now();
        while !is_so() {
            assert!(
                started.elapsed() < LONG,
                "{what} does not come; the watch said:\n{}",
                self.machine.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for(&self, name: &str, text: &str) {
        self.wait(&format!("{name} with {text:?}"), || {
            self.machine.pushed(name).as_deref() == Some(text)
        });
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it as a service manager does; gives how long that took.
    fn end(mut self) -> Duration {
        let started = Instant::now();
        self.signal(rustix::process::Signal::TERM);
        assert!(self.child.wait().unwrap().success(), "{}", self.machine.log());
        started.elapsed()
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_changes_is_pushed_soon_and_nothing_else_is_read() {
    let machine = Machine::new();
    machine.text(&["schedule", "--after-change", "1s"]);
    let watch = machine.watch();
    watch.wait_for("file", "one\n");
    watch.wait("the result", || machine.status("last_success")["full_scan"] == true);

    std::fs::write(machine.path("source/file"), "two\n").unwrap();
    watch.wait_for("file", "two\n");
    watch.wait("the result", || machine.status("last_success")["full_scan"] == false);
    std::fs::create_dir_all(machine.path("source/new/deep")).unwrap();
    std::fs::write(machine.path("source/new/deep/file"), "three\n").unwrap();
    watch.wait_for("new/deep/file", "three\n");
    std::fs::remove_file(machine.path("source/file")).unwrap();
    watch.wait("the removal", || machine.pushed("file").is_none());
    // Its own files are no changes: it comes to rest.
    watch.wait("rest", || {
        machine.status("running").is_null() && machine.status("marked") == 0
    });
    let count = machine.snapshots();
    watch.wait("a plan", || !machine.status("next_run").is_null());
    assert_eq!(machine.snapshots(), count, "{}", machine.log());
    assert!(watch.end() < Duration::from_secs(20));
    assert_eq!(machine.status("watching"), false);
}

#[test]
fn what_changed_while_it_was_dead_is_pushed_when_it_is_back() {
    let machine = Machine::new();
    machine.text(&["schedule", "--after-change", "1s"]);
    let mut watch = machine.watch();
    watch.wait_for("file", "one\n");
    watch.child.kill().unwrap();
    watch.child.wait().unwrap();
    assert_eq!(machine.status("watching"), false);
    std::fs::write(machine.path("source/file"), "meanwhile\n").unwrap();
    let watch = machine.watch();
    watch.wait_for("file", "meanwhile\n");
    let again = machine.yore(&["watch"]);
    assert!(
        String::from_utf8_lossy(&again.stderr).contains("runs already"),
        "{again:?}"
    );
}

#[test]
fn a_pause_holds_and_what_was_missed_is_made_up_for() {
    let machine = Machine::new();
    machine.text(&["schedule", "--after-change", "1s"]);
    let watch = machine.watch();
    watch.wait_for("file", "one\n");
    machine.text(&["pause", "4h"]);
    std::fs::write(machine.path("source/file"), "two\n").unwrap();
    watch.wait("the change", || machine.status("marked") == 1);
    let next: jiff::Timestamp = machine.status("next_run").as_str().unwrap().parse().unwrap();
    assert!(
        next > jiff::Timestamp::now()
            .checked_add(jiff::SignedDuration::from_hours(3))
            .unwrap()
    );
    assert_eq!(machine.pushed("file").unwrap(), "one\n");
    machine.text(&["resume"]);
    watch.wait_for("file", "two\n");
    machine.text(&["pause"]);
    assert_eq!(machine.status("paused"), "until resumed");
}

#[test]
fn a_failed_push_is_tried_again_and_its_marks_are_kept() {
    let machine = Machine::new();
    machine.text(&["schedule", "--after-change", "1s"]);
    let watch = machine.watch();
    watch.wait_for("file", "one\n");
    // The disk is away.
    std::fs::rename(machine.path("repository"), machine.path("away")).unwrap();
    std::fs::write(machine.path("source/file"), "two\n").unwrap();
    watch.wait("a failure", || !machine.status("last_failure").is_null());
    assert!(machine.log().contains("trying again in "), "{}", machine.log());
    assert_eq!(machine.status("watching"), true);
    std::fs::rename(machine.path("away"), machine.path("repository")).unwrap();
    watch.wait_for("file", "two\n");
    watch.wait("the result", || machine.status("last_success")["full_scan"] == false);
}

#[test]
fn an_edited_file_is_read_again_and_a_broken_one_is_not() {
    let machine = Machine::new();
    let watch = machine.watch();
    machine.configure("nonsense = 1");
    watch.wait("the complaint", || {
        machine.log().contains("there is no key `nonsense`; ")
    });
    let path = machine.path("config/agent.toml");
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replace("nonsense = 1", "after_change = \"1s\"");
    std::fs::write(&path, text).unwrap();
    watch.wait_for("file", "one\n");
    std::fs::create_dir(machine.path("other")).unwrap();
    machine.text(&["include", "other"]);
    watch.wait("the other root", || {
        let snapshots = machine.json(&["snapshots"]);
        snapshots
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["roots"].as_array().unwrap().len() == 2)
    });
    watch.signal(rustix::process::Signal::HUP);
    assert!(watch.end() < Duration::from_secs(20));
}

#[test]
fn commands_run_before_and_after() {
    let machine = Machine::new();
    let (dump, results) = (machine.path("source/dump"), machine.path("results"));
    machine.configure(&format!(
        "before = 'date > {}; test ! -e {}'",
        dump.display(),
        machine.path("no").display()
    ));
    machine.configure(&format!(
        "after = 'echo \"$YORE_RESULT $YORE_SNAPSHOT $YORE_ERROR\" >> {}'",
        results.display()
    ));
    machine.text(&["run"]);
    // What the command before made is in the snapshot that it was before.
    assert_eq!(machine.pushed("dump"), Some(std::fs::read_to_string(&dump).unwrap()));
    let snapshot = machine.json(&["snapshots"])[0]["name"].as_str().unwrap().to_owned();
    std::fs::write(machine.path("no"), "").unwrap();
    let failed = machine.yore(&["run"]);
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(machine.snapshots(), 1);
    let results = std::fs::read_to_string(&results).unwrap();
    let lines: Vec<&str> = results.lines().collect();
    assert_eq!(lines[0], format!("ok {snapshot} "));
    assert!(lines[1].starts_with("failed  before: `"), "{results}");
    let failure = machine.status("last_failure")["error"].as_str().unwrap().to_owned();
    assert!(failure.ends_with("so nothing was pushed"), "{failure}");
}

#[test]
fn a_command_that_hangs_does_not_keep_it_from_ending() {
    let machine = Machine::new();
    machine.text(&["schedule", "--after-change", "1s"]);
    machine.configure(&format!(
        "before = 'touch {}; sleep 600'",
        machine.path("begun").display()
    ));
    let watch = machine.watch();
    watch.wait("the command", || machine.path("begun").exists());
    assert_eq!(machine.status("running")["why"], "full scan");
    assert!(watch.end() < Duration::from_secs(20));
    assert!(machine.status("last_failure").is_null());
}

#[test]
fn a_file_that_stays_open_is_pushed_with_the_next_push() {
    use std::io::Write;
    let machine = Machine::new();
    machine.text(&["schedule", "--after-change", "1s"]);
    let mut log = std::fs::File::create(machine.path("source/sub/log")).unwrap();
    log.write_all(b"first\n").unwrap();
    let watch = machine.watch();
    watch.wait_for("sub/log", "first\n");
    log.write_all(b"second\n").unwrap();
    std::fs::write(machine.path("source/file"), "two\n").unwrap();
    watch.wait_for("file", "two\n");
    assert_eq!(machine.pushed("sub/log").unwrap(), "first\nsecond\n");
    watch.wait("the result", || machine.status("last_success")["full_scan"] == false);
}

#[test]
fn a_service_manager_is_told() {
    let machine = Machine::new();
    let socket = UnixDatagram::bind(machine.path("notify")).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let hear = || {
        let mut heard = [0; 64];
        let length = socket.recv(&mut heard).unwrap();
        String::from_utf8_lossy(&heard[..length]).into_owned()
    };
    let mut child = machine
        .command()
        .arg("watch")
        .stderr(Stdio::null())
        .env("NOTIFY_SOCKET", machine.path("notify"))
        .env("WATCHDOG_USEC", "200000")
        .spawn()
        .unwrap();
    assert_eq!(hear(), "READY=1");
    assert_eq!((hear(), hear()), ("WATCHDOG=1".into(), "WATCHDOG=1".into()));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    while hear() != "STOPPING=1" {}
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_snapshot_by_hand_counts_for_the_schedule() {
    let machine = Machine::new();
    machine.text(&["schedule", "hourly"]);
    let began = jiff::Timestamp::now();
    let due: jiff::Timestamp = machine.json(&["schedule"])["next_run"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        due.duration_since(began) < jiff::SignedDuration::from_secs(60),
        "due now"
    );
    assert!(
        began.duration_since(due) < jiff::SignedDuration::from_secs(60),
        "due now"
    );
    machine.text(&["exclude", "*.tmp"]);
    std::fs::write(machine.path("source/x.tmp"), "").unwrap();
    machine.text(&["snapshot"]);
    assert_eq!(
        (machine.pushed("file").as_deref(), machine.pushed("x.tmp")),
        (Some("one\n"), None)
    );
    let next: jiff::Timestamp = machine.json(&["schedule"])["next_run"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(next > jiff::Timestamp::now());
    // Another set of paths is another thing.
    let before = machine.status("last_success");
    machine.text(&["snapshot", "source/sub"]);
    assert_eq!(machine.status("last_success"), before);
    assert_eq!(machine.status("watching"), false);
}

#[test]
fn includes_are_there_and_absolute() {
    let machine = Machine::new();
    let missing = machine.yore(&["include", "nowhere"]);
    assert_eq!(missing.status.code(), Some(1));
    let source = machine.path("source").display().to_string();
    assert_eq!(machine.json(&["include"])["include"], serde_json::json!([source]));
    std::fs::remove_dir_all(machine.path("source")).unwrap();
    machine.text(&["include", "--remove", "source"]);
    assert_eq!(machine.text(&["include"]), "");
    assert_eq!(machine.yore(&["snapshot"]).status.code(), Some(2));
    assert_eq!(machine.yore(&["exclude", "a["]).status.code(), Some(1));
    assert_eq!(machine.json(&["exclude"])["exclude"], serde_json::json!([]));
    assert_eq!(machine.yore(&["schedule", "often"]).status.code(), Some(2));
    assert_eq!(machine.yore(&["pause", "long"]).status.code(), Some(2));
}
