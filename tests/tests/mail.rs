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

/// aiosmtpd that takes mail over TLS only, from whoever knows the password: "starttls" or "tls".
const OVER_TLS: &str = "
import ssl, sys, threading
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import AuthResult
how, port, folder = sys.argv[1:]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(folder + '/server.pem', folder + '/server.key')
def login(server, session, envelope, mechanism, data):
    return AuthResult(success=data.login == b'yored' and data.password == b'secret')
options = dict(auth_required=True, authenticator=login)
if how == 'starttls':
    options.update(tls_context=context, require_starttls=True)
else:
    options.update(ssl_context=context, auth_require_tls=False)
Controller(Mailbox(folder + '/mail'), hostname='127.0.0.1', port=int(port), **options).start()
threading.Event().wait()
";

/// An authority in a folder, `ca.pem`, and a certificate of it for localhost.
fn certificates(folder: &Path) {
    let openssl = |line: &str| {
        run(Command::new("openssl")
            .args(line.split(' '))
            .current_dir(folder)
            .stderr(Stdio::null()))
    };
    let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2";
    openssl(&format!("{new} -subj /CN=ours -keyout ca.key -out ca.pem"));
    openssl(&format!(
        "{new} -subj /CN=localhost -CA ca.pem -CAkey ca.key -addext subjectAltName=DNS:localhost -addext \
         basicConstraints=CA:FALSE -keyout server.key -out server.pem"
    ));
}

impl MailServer {
    fn start() -> Self {
        let port = free_port();
        let mut command = Command::new("aiosmtpd");
        command.args([
            "-n",
            "-l",
            &format!("127.0.0.1:{port}"),
            "-c",
            "aiosmtpd.handlers.Mailbox",
        ]);
        let folder = tempfile::tempdir().unwrap();
        command.arg(folder.path().join("mail"));
        Self::run(command, port, folder)
    }

    /// One of [`OVER_TLS`].
    fn over_tls(how: &str) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        certificates(folder.path());
        let mut command = Command::new("/usr/bin/python3");
        command
            .args(["-c", OVER_TLS, how, &port.to_string()])
            .arg(folder.path());
        Self::run(command, port, folder)
    }

    fn run(mut command: Command, port: u16, folder: tempfile::TempDir) -> Self {
        let child = command
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
    daemon.text(&["user", "set", "ann", "--quota", "5M"]);
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

#[test]
fn mail_goes_over_tls_to_a_server_that_is_trusted_and_to_no_other() {
    for how in ["starttls", "tls"] {
        let mail = MailServer::over_tls(how);
        let daemon = Daemon::configured(&format!(
            "[mail]\ntransport = \"smtp\"\nhost = \"localhost\"\nport = {}\ntls = \"{how}\"\n\
             user = \"yored\"\npassword = \"secret\"\nto = \"root@example.org\"\n",
            mail.port
        ));
        let strange = daemon.yored(&["mail", "test"]);
        let said = String::from_utf8_lossy(&strange.stderr).into_owned();
        assert!(
            !strange.status.success() && said.contains("certificate"),
            "{how}: {said}"
        );
        assert_eq!(mail.letters().len(), 0, "{how}");
        let authority = mail.folder.path().join("ca.pem");
        run(daemon.command(&["mail", "test"]).env("SSL_CERT_FILE", authority));
        mail.letter("mail works");
    }
}
