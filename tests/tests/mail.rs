//! Mail, received by a real server: aiosmtpd, of Debian's python3-aiosmtpd or PyPI.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use yore_tests::daemon::{Daemon, free_port};
use yore_tests::{noise, run, until};

/// A mail server that keeps what it gets in a Maildir.
struct MailServer {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl MailServer {
    fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let child = Command::new("aiosmtpd")
            .args([
                "-n",
                "-l",
                &format!("127.0.0.1:{port}"),
                "-c",
                "aiosmtpd.handlers.Mailbox",
            ])
            .arg(folder.path().join("mail"))
            .stdin(Stdio::null())
            .spawn()
            .expect("aiosmtpd, of python3-aiosmtpd; contrib/test installs it");
        let server = MailServer { child, port, folder };
        until("aiosmtpd listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        server
    }

    fn letters(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("mail/new")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Waits for a letter with this in its subject; gives its subject, to whom it goes and its text.
    fn letter(&self, subject: &str) -> [String; 3] {
        let mut found = None;
        until(&format!("a letter: {subject}"), || {
            found = self
                .letters()
                .iter()
                .map(|path| read(path))
                .find(|letter| letter[0].contains(subject));
            found.is_some()
        });
        found.unwrap()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Subject, recipients and text of a letter, as a mail program shows them.
fn read(path: &Path) -> [String; 3] {
    let script = "import email, email.policy, sys
m = email.message_from_binary_file(open(sys.argv[1], 'rb'), policy=email.policy.default)
print(m['subject'], m['to'], m.get_body().get_content(), sep='\\0', end='')";
    let text = run(Command::new("python3").args(["-c", script]).arg(path));
    let parts: Vec<String> = text.split('\0').map(str::to_owned).collect();
    parts.try_into().expect("three parts")
}

#[test]
fn a_failed_push_is_told_by_mail_and_not_twice() {
    let mail = MailServer::start();
    let daemon = Daemon::configured(&format!(
        "[mail]\ntransport = \"smtp\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nto = \"root@example.org\"\n",
        mail.port
    ));
    daemon.text(&["mail", "test"]);
    let [_, to, _] = mail.letter("mail works");
    assert_eq!(to, "root@example.org");

    daemon.add("ann", &["--email", "ann@example.org", "--quota", "12M"]);
    let laptop = daemon.linked("ann", "laptop");
    let [_, _, body] = mail.letter("was linked");
    assert!(body.contains("127.0.0.1"), "{body}");
    laptop.snapshotted();
    fs::write(laptop.source().join("image"), noise(1, 40 << 20)).unwrap();
    laptop.refused(1, &["snapshot", "source", "--quiet"]);
    let [subject, to, body] = mail.letter("the backup failed");
    assert_eq!(subject, "[yore] ann/laptop: the backup failed");
    assert!(to.contains("ann@example.org"), "{to}");
    for part in [
        "used of 12 MiB",
        "What to do",
        "What was committed before is intact",
        &laptop.snapshots()[0],
    ] {
        assert!(body.contains(part), "no `{part}` in:\n{body}");
    }
    // The same again on the same day is not told again; that the quota is nearly used up is another thing.
    laptop.refused(1, &["snapshot", "source", "--quiet"]);
    daemon.text(&["user", "set", "ann", "--quota", "6M"]);
    laptop.refused(1, &["snapshot", "source", "--quiet"]);
    mail.letter("quota");
    let failed = mail
        .letters()
        .iter()
        .filter(|path| read(path)[0].contains("the backup failed"))
        .count();
    assert_eq!(failed, 1);
}

#[test]
fn a_mail_server_that_is_gone_holds_up_nobody() {
    let port = free_port();
    let daemon = Daemon::configured(&format!(
        "[mail]\ntransport = \"smtp\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nto = \"root@example.org\"\n"
    ));
    daemon.add("ann", &["--email", "ann@example.org", "--quota", "12M"]);
    let laptop = daemon.linked("ann", "laptop");
    laptop.snapshotted();
    fs::write(laptop.source().join("image"), noise(1, 40 << 20)).unwrap();
    laptop.refused(1, &["snapshot", "source", "--quiet"]);
    fs::remove_file(laptop.source().join("image")).unwrap();
    laptop.snapshotted();
    daemon.said("the backup failed) could not be sent");
    assert!(!daemon.yored(&["mail", "test"]).status.success());
}
