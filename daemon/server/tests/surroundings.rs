//! What the command line finds around it: a terminal, root, `sendmail`.

mod bench;

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bench::{Bench, status, stderr, stdout};

/// Types a line on a terminal on which `yored` runs; gives its exit status.
fn typed(bench: &Bench, args: &str, line: &str) -> i32 {
    let yored = env!("CARGO_BIN_EXE_yored");
    let command = format!("{yored} --config {} {args}", bench.config().display());
    let mut script = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("script, of util-linux");
    writeln!(script.stdin.take().unwrap(), "{line}").unwrap();
    script.wait().unwrap().code().unwrap()
}

#[test]
fn on_a_terminal_the_name_is_asked_for_again() {
    let bench = Bench::new();
    bench.ann();
    assert_eq!(typed(&bench, "repo del ann/docs", "ann/doc"), 2);
    assert!(bench.repository_folder().exists());
    assert_eq!(typed(&bench, "repo del ann/docs", "ann/docs"), 0);
    assert!(!bench.repository_folder().exists());
}

/// Everything below a folder, and the folder.
fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![folder.to_owned()];
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => all.extend(all_below(&path)),
            path => all.push(path),
        }
    }
    all
}

#[test]
fn what_root_makes_belongs_to_the_owner_of_the_data() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test gives files away: run it as root"
    );
    let bench = Bench::new();
    std::fs::create_dir(bench.data()).unwrap();
    chown(bench.data(), Some(12345), Some(12346)).unwrap();
    bench.text(&["user", "add", "ann"]);
    bench.text(&["invite", "ann"]);
    // While this is open, SQLite's own files are there too.
    let accounts = bench.accounts();
    bench.text(&["user", "add", "bob"]);
    let all = all_below(&bench.data());
    assert!(all.len() >= 8, "{all:?}");
    for path in all {
        let status = std::fs::metadata(&path).unwrap();
        assert_eq!((status.uid(), status.gid()), (12345, 12346), "{}", path.display());
    }
    drop(accounts);
}

#[test]
fn mail_may_leave_by_sendmail() {
    let bench = Bench::configured(
        "[mail]\ntransport = \"sendmail\"\nfrom = \"yored@example.org\"\nto = \"root@example.org\"\n",
    );
    let folder = bench.folder.path();
    let sendmail = folder.join("sendmail");
    std::fs::write(&sendmail, "#!/bin/sh\necho \"$@\" >\"$0.args\"\ncat >\"$0.letter\"\n").unwrap();
    std::fs::set_permissions(&sendmail, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let run = |args: &[&str]| bench.command(args).env("PATH", &path).output().unwrap();
    let sent = run(&["mail", "test"]);
    assert_eq!(status(&sent), 0, "{}", stderr(&sent));
    assert!(stdout(&sent).contains("root@example.org"), "{}", stdout(&sent));
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert!(read("sendmail.args").contains("root@example.org"));
    assert!(read("sendmail.letter").contains("Subject: [yore] mail works"));

    std::fs::write(&sendmail, "#!/bin/sh\ncat >/dev/null\necho no such luck >&2\nexit 75\n").unwrap();
    let failed = run(&["mail", "test", "ann@example.org", "--json"]);
    assert!(
        status(&failed) == 1 && stderr(&failed).contains("no such luck"),
        "{}",
        stderr(&failed)
    );
    assert!(failed.stdout.is_empty());
}

#[test]
fn mail_that_is_off_says_so() {
    let bench = Bench::new();
    let output = bench.yored(&["mail", "test", "ann@example.org"]);
    assert!(
        status(&output) == 1 && stderr(&output).contains("mail is off"),
        "{}",
        stderr(&output)
    );
}
