//! The system's `ssh` as a transport: for jump hosts, agents and hardware keys, as its
//! configuration says. It carries the same subsystem.
//!
//! The server must have the key that was pinned when this machine was linked, whatever OpenSSH
//! knows of hosts. It wants the whole key, so the link keeps that in a file of known hosts,
//! under a name of its own: jump hosts are none of ours, and are known to OpenSSH or not.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::dial::no_ssh;
use super::said::plain;
use super::stream::Stream;
use super::{Address, ConnectError};

/// What the server is called in the file of known hosts.
const ALIAS: &str = "yored";

/// Bytes of a line of stderr; what is longer becomes several.
const LONGEST_LINE: u64 = 2000;

/// The text of a file of known hosts with this one key, `ssh-ed25519 AAAA…`.
pub(crate) fn known_host(key: &str) -> String {
    format!("{ALIAS} {key}\n")
}

/// Starts `ssh -s`. OpenSSH checks the host key: by the file of known hosts that the link made, or,
/// where there is none, by its own.
///
/// # Errors
/// [`ConnectError::Local`] if there is no `ssh`. What it says later goes to stderr, but for the reason why it
/// was not let in.
pub fn connect(
    address: &Address,
    user: &str,
    key: Option<&Path>,
    known_hosts: Option<&Path>,
) -> Result<Stream, ConnectError> {
    let mut command = command(address, user, key, known_hosts);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(no_ssh)?;
    let (reader, writer, said) = (child.stdout.take(), child.stdin.take(), child.stderr.take());
    let refusal = listen(said.expect("piped")).map_err(ConnectError::Local)?;
    let child = Arc::new(Mutex::new(child));
    Ok(Stream {
        reader: Box::new(reader.expect("piped")),
        writer: Box::new(writer.expect("piped")),
        hang_up: Box::new(move || end(&child)),
        // It has ended, or is about to; what a connection that it left behind says is not waited for.
        refusal: Box::new(move || refusal.recv_timeout(Duration::from_secs(2)).ok()),
    })
}

/// What the configuration of a person may say of every host, and a server for backups has no use for: his
/// ssh-agent above all, with which it could log in elsewhere.
const NOTHING_ELSE: [&str; 5] = [
    "-oClearAllForwardings=yes",
    "-oForwardAgent=no",
    "-oForwardX11=no",
    "-oTunnel=no",
    "-oPermitLocalCommand=no",
];

fn command(address: &Address, user: &str, key: Option<&Path>, known_hosts: Option<&Path>) -> Command {
    let mut command = Command::new("ssh");
    command
        .args(NOTHING_ELSE)
        .args([
            "-oBatchMode=yes",
            // A connection of its own: one that is shared was not checked against the pinned key.
            "-oControlPath=none",
            "-oServerAliveInterval=30",
            "-oServerAliveCountMax=6",
            "-oConnectTimeout=20",
            "-p",
        ])
        .arg(address.port.to_string())
        .args(["-l", user]);
    if let Some(key) = key {
        // Not every key that an ssh-agent has: the server counts failures.
        command.arg("-oIdentitiesOnly=yes").arg("-i").arg(key);
    }
    if let Some(file) = known_hosts {
        command.arg(format!("-oHostKeyAlias={ALIAS}"));
        command.args([
            "-oStrictHostKeyChecking=yes",
            "-oUpdateHostKeys=no",
            "-oVerifyHostKeyDNS=no",
        ]);
        // Older ones have no such command, and would not start.
        command.args(Some(NO_COMMAND).filter(|option| knows(option)));
        command
            .arg("-oGlobalKnownHostsFile=/dev/null")
            .arg(known_hosts_option(file));
    }
    command.args(["-s", "--", &address.host, yore_wire::SUBSYSTEM]);
    command
}

/// No other known hosts than those in files.
const NO_COMMAND: &str = "-oKnownHostsCommand=none";

/// Whether this ssh has an option. It looks at them before it says its version and ends.
fn knows(option: &str) -> bool {
    let mut ssh = Command::new("ssh");
    ssh.args([option, "-V"]).stdin(Stdio::null()).stdout(Stdio::null());
    ssh.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Passes on what ssh says, but for what means that trying again is of no use: that is sent.
#[expect(clippy::print_stderr, reason = "what ssh says to whoever started it, passed on")]
fn listen(said: impl Read + Send + 'static) -> std::io::Result<Receiver<String>> {
    let (send, receive) = channel();
    std::thread::Builder::new().name("yore-openssh".into()).spawn(move || {
        each_line(said, &mut |line| match judge(line) {
            Some(why) => drop(send.send(why)),
            None => eprintln!("{line}"),
        });
    })?;
    Ok(receive)
}

/// Tells each line of what ssh says: some are the server's, so they are cut, and steer no terminal.
fn each_line(said: impl Read, tell: &mut dyn FnMut(&str)) {
    let mut said = BufReader::new(said);
    loop {
        let mut line = Vec::new();
        match said.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line);
        tell(&plain(line.trim_end_matches(['\r', '\n'])));
    }
}

/// Why ssh was refused for good, if this line of its says so. OpenSSH's words are not translated; its exit
/// status is 255 whatever it was.
fn judge(line: &str) -> Option<String> {
    let says = |text: &str| line.contains(text);
    let why = if says("Permission denied (") || says("Too many authentication failures") {
        "is this machine's key revoked? `yore link --force` enrols it again"
    } else if says("Host key verification failed") {
        "if the server was really set up anew, `yore link --force` it again"
    } else if says("subsystem request failed") {
        "that is an SSH server, but no yored"
    } else if says("Unable to negotiate with") || says("configuration option") || says("Bad owner or permissions") {
        "see ssh_config(5)"
    } else {
        return None;
    };
    let line = line.trim_end_matches(['.', ' ']);
    Some(format!("ssh says: {line}; {why}"))
}

/// The option that names the file, in quotes: OpenSSH takes a list of them, and expands `%`.
fn known_hosts_option(file: &Path) -> OsString {
    let path = file.as_os_str().as_bytes().iter();
    let path = path.flat_map(|&byte| match byte {
        b'%' => b"%%".to_vec(),
        b'"' | b'\\' => vec![b'\\', byte],
        byte => vec![byte],
    });
    let option = [b"-oUserKnownHostsFile=\"".to_vec(), path.collect(), b"\"".to_vec()];
    OsString::from_vec(option.concat())
}

fn end(child: &Mutex<Child>) {
    let mut child = child.lock().expect("no panic while held");
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_person_is_forwarded_whatever_his_configuration_says() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        let text = "ForwardAgent yes\nForwardX11 yes\nTunnel yes\nPermitLocalCommand yes\nLocalForward 1 nas:1\n";
        std::fs::write(&config, text).unwrap();
        let ours = command(&"ssh://nas:99/laptop".parse().unwrap(), "ann", None, None);
        let understood = Command::new("ssh")
            .arg("-GF")
            .arg(&config)
            .args(ours.get_args())
            .output();
        let understood = String::from_utf8(understood.unwrap().stdout).unwrap();
        for line in [
            "forwardagent no",
            "forwardx11 no",
            "tunnel false",
            "permitlocalcommand no",
            "port 99",
        ] {
            assert!(understood.lines().any(|said| said == line), "{line}: {understood}");
        }
        assert!(!understood.contains("localforward"), "{understood}");
    }

    #[test]
    fn the_pinned_key_is_the_only_one() {
        assert!(knows("-oBatchMode=yes") && !knows("-oNoSuchOption=yes"));
        let ours = command(&"ssh://nas/laptop".parse().unwrap(), "ann", None, Some(Path::new("/k")));
        let args: Vec<_> = ours.get_args().map(|arg| arg.to_string_lossy()).collect();
        assert!(args.iter().any(|arg| arg == "-oVerifyHostKeyDNS=no"));
        assert_eq!(args.iter().any(|arg| arg == NO_COMMAND), knows(NO_COMMAND));
    }

    #[test]
    fn what_a_server_says_beside_comes_in_lines_that_end_and_steer_nothing() {
        let mut said = Vec::new();
        let from_server = std::io::Cursor::new(b"\x1b[2Jfine\r\n").chain(std::io::repeat(b'x').take(1 << 20));
        each_line(from_server, &mut |line| said.push(line.to_owned()));
        assert_eq!(said[0], "\\u{1b}[2Jfine");
        assert!(said[1..].iter().all(|line| line.len() <= LONGEST_LINE as usize));
    }

    #[test]
    fn refusals_are_told_from_connections_that_were_lost() {
        for refused in [
            "ann@nas: Permission denied (publickey,password).",
            "Host key verification failed.",
            "subsystem request failed on channel 0",
            "/root/.ssh/config: line 1: Bad configuration option: proxyjmp",
        ] {
            let why = judge(refused).unwrap();
            assert!(why.contains(refused.trim_end_matches('.')), "{why}");
        }
        for lost in [
            "ssh: connect to host nas port 2222: Connection refused",
            "ssh: Could not resolve hostname nas: Temporary failure in name resolution",
            "client_loop: send disconnect: Broken pipe",
            "Connection closed by 10.0.0.1 port 2222",
        ] {
            assert_eq!(judge(lost), None);
        }
    }
}
