//! The way to a server's port: straight, or as the system's `ssh` would go.
//!
//! Where OpenSSH's configuration has a ProxyJump or a ProxyCommand for the server, the stream is that of the
//! command which it would start. So a machine that reaches its server only by a jump host can be linked:
//! our own SSH speaks through that stream, and a password never comes near another program.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pair;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::{Address, ConnectError, end_when_unread};
use crate::config::Transport;

/// A stream to a server's port.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// The command that a stream goes through, if there is one; it ends when this is dropped.
#[derive(Default)]
pub struct Through(Option<Child>);

impl Drop for Through {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // As OpenSSH ends it: a script may have something to put away.
            let _ = kill_process(Pid::from_child(&child), Signal::HUP);
            std::thread::spawn(move || child.wait());
        }
    }
}

/// Opens a stream to the server's port, where the system's ssh would for this user.
///
/// # Errors
/// [`ConnectError::Lost`] if nobody is there; [`ConnectError::Local`] if there is no `ssh`.
pub async fn dial(
    address: &Address,
    user: &str,
    transport: Transport,
) -> Result<(Box<dyn Wire>, Through), ConnectError> {
    let way = match transport {
        Transport::Ssh => Way::Straight(address.host.clone()),
        Transport::Openssh => configured(address, user)?,
    };
    match way {
        Way::Straight(host) => {
            let stream = TcpStream::connect((host.as_str(), address.port)).await;
            let told = |error| {
                format!(
                    "port {}: {error}; is yored running there, and is that its port?",
                    address.port
                )
            };
            let stream = stream.map_err(|error| ConnectError::lost(address, told(error)))?;
            // Questions and answers are small.
            let _ = stream.set_nodelay(true);
            end_when_unread(&stream);
            Ok((Box::new(stream), Through::default()))
        }
        Way::Command(mut command) => {
            let (ours, its) = Pair::pair().map_err(ConnectError::Local)?;
            let its: OwnedFd = its.into();
            let copy = its.try_clone().map_err(ConnectError::Local)?;
            let child = command.stdin(Stdio::from(its)).stdout(Stdio::from(copy)).spawn();
            let through = Through(Some(child.map_err(no_ssh)?));
            // The descriptors that it was given are its alone: when it ends, the stream does.
            drop(command);
            ours.set_nonblocking(true).map_err(ConnectError::Local)?;
            let stream = UnixStream::from_std(ours).map_err(ConnectError::Local)?;
            Ok((Box::new(stream), through))
        }
    }
}

/// `ssh` could not be started.
pub(super) fn no_ssh(error: std::io::Error) -> ConnectError {
    ConnectError::Local(std::io::Error::new(
        error.kind(),
        format!("ssh: {error}; install OpenSSH's client, or use transport = \"ssh\""),
    ))
}

enum Way {
    /// To this host.
    Straight(String),
    /// By a command that carries the stream on its standard input and output.
    Command(Command),
}

/// What OpenSSH's configuration says of this server.
fn configured(address: &Address, user: &str) -> Result<Way, ConnectError> {
    // They may stand in a ProxyCommand, which a shell reads.
    if let Some(word) = [user, &address.host].into_iter().find(|word| !is_plain(word)) {
        let text = format!("{word:?} cannot be given to ssh: it has letters that mean something to a shell");
        return Err(ConnectError::Local(std::io::Error::other(text)));
    }
    let port = address.port.to_string();
    let output = Command::new("ssh")
        .args(["-G", "-T", "-p", &port, "-l", user, "--", &address.host])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(no_ssh)?;
    if !output.status.success() {
        let text = format!("ssh cannot read its configuration ({})", output.status);
        return Err(ConnectError::Local(std::io::Error::other(text)));
    }
    Ok(way(&String::from_utf8_lossy(&output.stdout), address, user))
}

/// Whether a user or a host means nothing but itself to a shell; OpenSSH since 9.6 refuses others, too.
fn is_plain(word: &str) -> bool {
    !word.contains(|c: char| c.is_whitespace() || c.is_control() || "'`\"$\\;&<>|(){}*?[]~#!".contains(c))
}

/// The way by what `ssh -G` printed.
fn way(printed: &str, address: &Address, user: &str) -> Way {
    let option = |name: &str| {
        let lines = printed.lines().filter_map(|line| line.split_once(' '));
        let value = lines.filter(|(key, _)| *key == name).map(|(_, value)| value).next();
        value.filter(|value| !value.eq_ignore_ascii_case("none"))
    };
    let host = option("hostname").unwrap_or(&address.host);
    if let Some(command) = option("proxycommand") {
        let command = expanded(command, host, address, user);
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("exec {command}"));
        return Way::Command(shell);
    }
    let Some(jump) = option("proxyjump") else {
        return Way::Straight(host.to_owned());
    };
    let (before, last) = jump
        .rsplit_once(',')
        .map_or((None, jump), |(before, last)| (Some(before), last));
    let mut ssh = Command::new("ssh");
    if let Some(before) = before {
        ssh.args(["-J", before]);
    }
    let last = match last.starts_with("ssh://") {
        true => last.to_owned(),
        false => format!("ssh://{last}"),
    };
    ssh.args(["-W", &format!("[{host}]:{}", address.port), "--", &last]);
    Way::Command(ssh)
}

/// A ProxyCommand with its tokens replaced; see TOKENS in ssh_config(5).
fn expanded(command: &str, host: &str, address: &Address, user: &str) -> String {
    let mut text = String::new();
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '%' { chars.next() } else { None }) {
            ('%', Some('h')) => text.push_str(host),
            ('%', Some('n')) => text.push_str(&address.host),
            ('%', Some('p')) => text.push_str(&address.port.to_string()),
            ('%', Some('r')) => text.push_str(user),
            ('%', Some('%')) => text.push('%'),
            ('%', Some(other)) => text.extend(['%', other]),
            (c, _) => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(printed: &str) -> Vec<String> {
        let address = "ssh://nas:99".parse().unwrap();
        match way(printed, &address, "ann") {
            Way::Straight(host) => vec![host],
            Way::Command(command) => std::iter::once(command.get_program())
                .chain(command.get_args())
                .map(|word| word.to_str().unwrap().to_owned())
                .collect(),
        }
    }

    #[test]
    fn nothing_in_an_address_is_read_by_a_shell() {
        for word in ["ann", "nas.example.org", "fe80::1%eth0", "a_b-c+d"] {
            assert!(is_plain(word), "{word}");
        }
        for word in ["a;b", "$(id)", "`id`", "a b", "a|b", "a\nb", "'"] {
            let address = Address {
                user: None,
                host: "nas".into(),
                port: 99,
                repository: None,
            };
            let error = configured(&address, word).err().unwrap().to_string();
            assert!(error.contains("shell"), "{word}: {error}");
        }
    }

    #[test]
    fn the_way_is_the_one_that_openssh_would_go() {
        assert_eq!(words("user ann\nhostname 10.0.0.1\nport 99\n"), ["10.0.0.1"]);
        assert_eq!(words("hostname nas\nproxyjump none\nproxycommand none\n"), ["nas"]);
        let jump = ["ssh", "-W", "[10.0.0.1]:99", "--", "ssh://bob@jump:2022"];
        assert_eq!(words("hostname 10.0.0.1\nproxyjump bob@jump:2022\n"), jump);
        let jumps = ["ssh", "-J", "a,b", "-W", "[nas]:99", "--", "ssh://c"];
        assert_eq!(words("proxyjump a,b,ssh://c\n"), jumps);
        let command = ["/bin/sh", "-c", "exec nc -X 5 10.0.0.1 99 # ann nas 50% %z"];
        assert_eq!(
            words("hostname 10.0.0.1\nproxycommand nc -X 5 %h %p # %r %n 50%% %z\n"),
            command
        );
    }
}
