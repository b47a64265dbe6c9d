//! The command as a script sees it: exit statuses, stdout, stderr.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A repository, a source and a cache in a folder of their own.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// With an empty repository and a source with two files, one of them with a hostile name.
    fn new() -> Self {
        let bench = Bench {
            folder: tempfile::tempdir().unwrap(),
        };
        bench.text(&["init"]);
        std::fs::create_dir(bench.path("source")).unwrap();
        std::fs::write(bench.path("source/plain"), "one\n").unwrap();
        std::fs::write(bench.path("source").join(OsStr::from_bytes(b"bad\xff\nname")), "two\n").unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn command(&self) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_yore").into())
    }

    fn command_of(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env("YORE_REPOSITORY", self.path("repository"));
        command
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("YORE_CONFIG_DIR", self.path("config"))
            .env("YORE_STATE_DIR", self.path("state/agent"));
        command
    }

    fn yore(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    /// What a command that must succeed prints.
    fn text(&self, args: &[&str]) -> String {
        let output = self.yore(args);
        assert_eq!(status(&output), 0, "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.text(&[args, &["--json"]].concat())).unwrap()
    }

    /// How many objects a listing has.
    fn count(&self, args: &[&str]) -> usize {
        self.json(args).as_array().unwrap().len()
    }

    /// `SNAPSHOT:PATH` of something in the source.
    fn spec(&self, snapshot: &str, name: &str) -> String {
        format!("{snapshot}:{}", self.path("source").join(name).display())
    }
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn errors_are_one_line_and_have_their_status() {
    let bench = Bench::new();
    let unnamed = bench
        .command()
        .env_remove("YORE_REPOSITORY")
        .arg("snapshots")
        .output()
        .unwrap();
    assert_eq!(
        (status(&unnamed), stderr(&unnamed).lines().count()),
        (2, 1),
        "{}",
        stderr(&unnamed)
    );
    let cases: [(&[&str], i32); 9] = [
        (&["snapshots", "-r", "nowhere"], 1),
        (&["verify", "-r", "nowhere"], 2),
        (&["ls", "latest"], 1),
        (&["snapshot", "gone\nnow"], 1),
        (&["snapshot"], 2),
        (&["prune"], 2),
        (&["umount", "source"], 1),
        (&["init"], 1),
        (&["diff", "a:/x", "b:/y"], 2),
    ];
    for (args, expected) in cases {
        let output = bench.yore(args);
        assert_eq!(status(&output), expected, "{args:?}: {}", stderr(&output));
        assert!(
            stderr(&output).lines().count() == 1 || expected == 2,
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_file_goes_in_and_comes_out() {
    let bench = Bench::new();
    let taken = bench.json(&["snapshot", "source", "--tag", "first"]);
    assert_eq!((&taken["files_new"], &taken["tags"][0]), (&2.into(), &"first".into()));
    std::fs::write(bench.path("source/plain"), "one and more\n").unwrap();
    bench.text(&["snapshot", "source"]);

    assert_eq!(
        (
            bench.count(&["snapshots"]),
            bench.count(&["snapshots", "--tag", "first"])
        ),
        (2, 1)
    );
    assert_eq!(
        bench.text(&["ls", &bench.spec("latest", "")]),
        "bad\\377\\nname\nplain\n"
    );
    assert!(
        bench.json(&["ls", &bench.spec("latest", "")])[0]["path_hex"]
            .as_str()
            .unwrap()
            .contains("ff0a")
    );
    assert_eq!(bench.text(&["cat", &bench.spec("latest~1", "plain")]), "one\n");
    let plain = bench.path("source/plain").display().to_string();
    assert!(
        bench
            .text(&["diff", "latest~1", "latest"])
            .lines()
            .any(|line| line == format!("M {plain}"))
    );
    assert_eq!(
        (bench.count(&["log", "source/plain"]), bench.count(&["find", "pl*n"])),
        (2, 2)
    );
    assert!(bench.text(&["verify", "--read-data"]).starts_with("all is well"));
    assert_eq!(bench.json(&["stats"])["snapshots"].as_array().unwrap().len(), 2);

    bench.text(&["restore", &bench.spec("latest~1", "plain"), "out"]);
    let out = bench.path("out").join(plain.strip_prefix('/').unwrap());
    assert_eq!(std::fs::read_to_string(out).unwrap(), "one\n");
}

#[test]
fn snapshots_go_by_name_and_by_rule() {
    let bench = Bench::new();
    for text in ["a", "b", "c"] {
        std::fs::write(bench.path("source/plain"), text).unwrap();
        bench.text(&["snapshot", "source"]);
    }
    let judged = bench.json(&["prune", "--keep-last", "1", "--dry-run"]);
    let kept: Vec<bool> = judged
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["keep"].as_bool().unwrap())
        .collect();
    assert_eq!((kept, bench.count(&["snapshots"])), (vec![true, false, false], 3));
    assert_eq!(
        bench.json(&["forget", "latest~1", "latest~1"])["forgotten"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    bench.text(&["prune", "--keep-last", "1"]);
    assert_eq!(bench.count(&["snapshots"]), 1);
    assert_eq!(bench.text(&["cat", &bench.spec("latest", "plain")]), "c");
}

#[test]
fn a_stream_becomes_a_file() {
    let bench = Bench::new();
    let dump = std::fs::File::open(bench.path("source/plain")).unwrap();
    let output = bench
        .command()
        .args(["snapshot", "--stdin", "--stdin-name", "db.sql"])
        .stdin(dump)
        .output()
        .unwrap();
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert_eq!(bench.text(&["cat", "latest:/db.sql"]), "one\n");
}

#[test]
fn what_cannot_be_read_is_said_and_exits_3() {
    const NOBODY: u32 = 65534;
    let bench = Bench::new();
    std::fs::set_permissions(bench.path("source/plain"), PermissionsExt::from_mode(0o000)).unwrap();
    let mut command = bench.command();
    if bench.path("").metadata().unwrap().uid() == 0 {
        // Nothing is closed to root, so this is tried as nobody, with a program that nobody may run.
        let program = bench.path("yore");
        std::fs::copy(env!("CARGO_BIN_EXE_yore"), &program).unwrap();
        let chown = Command::new("chown")
            .args(["-R", "65534:65534"])
            .arg(bench.path(""))
            .status()
            .unwrap();
        assert!(chown.success());
        command = bench.command_of(program);
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.args(["snapshot", "source", "--json"]).output().unwrap();
    assert_eq!(status(&output), 3, "{}", stderr(&output));
    assert_eq!(
        stderr(&output).matches("yore: not read: ").count(),
        1,
        "{}",
        stderr(&output)
    );
    let taken: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (taken["unreadable"].as_array().unwrap().len(), &taken["unread"]),
        (1, &1.into())
    );
}

#[test]
fn a_reader_that_has_had_enough_is_no_error() {
    let bench = Bench::new();
    // More names than a pipe holds.
    for number in 0..3000 {
        std::fs::write(bench.path("source").join(format!("{number:0100}")), "").unwrap();
    }
    bench.text(&["snapshot", "source"]);
    let mut child = bench.command();
    child
        .args(["ls", "-R", "latest"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((status(&output), stderr(&output)), (141, String::new()));
}

/// The stored files of the repository.
fn stored(bench: &Bench) -> Vec<PathBuf> {
    let list = |folder: PathBuf| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let folders = ["packs", "heads", "deltas"].map(|kind| bench.path("repository").join(kind));
    folders.into_iter().flat_map(list).flat_map(list).collect()
}

#[test]
fn a_killed_snapshot_leaves_nothing_for_good() {
    let bench = Bench::new();
    bench.text(&["snapshot", "source"]);
    let before = stored(&bench).len();
    // Endless input: whenever it is killed, it is in the middle.
    let mut endless = Command::new("cat")
        .arg("/dev/urandom")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut killed = bench
        .command()
        .args(["snapshot", "--stdin", "--stdin-name", "endless"])
        .stdin(endless.stdout.take().unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let bytes = || -> u64 { stored(&bench).iter().map(|file| file.metadata().unwrap().len()).sum() };
    while bytes() < 12 << 20 {
        assert!(killed.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    endless.kill().unwrap();
    endless.wait().unwrap();

    assert_eq!(bench.count(&["snapshots"]), 1);
    bench.text(&["verify", "--read-data"]);
    // What it sent waits for the next push of the same, which needs none of it.
    assert!(stored(&bench).len() > before);
    let mut next = bench.command();
    next.args(["snapshot", "--stdin", "--stdin-name", "endless"]);
    next.stdin(Stdio::null());
    assert_eq!(status(&next.output().unwrap()), 0);
    assert_eq!(stored(&bench).len(), before);
}
