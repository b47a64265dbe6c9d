//! The system's `ssh` as a transport: for jump hosts, agents and hardware keys, as its
//! configuration says. It carries the same subsystem.
//!
//! The server must have the key that was pinned when this machine was linked, whatever OpenSSH
//! knows of hosts. It wants the whole key, so the link keeps that in a file of known hosts,
//! under a name of its own: jump hosts are none of ours, and are known to OpenSSH or not.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::transport::Transport;
use super::{Address, ConnectError};

/// What the server is called in the file of known hosts.
const ALIAS: &str = "yored";

/// The text of a file of known hosts with this one key, `ssh-ed25519 AAAA…`.
pub(crate) fn known_host(key: &str) -> String {
    format!("{ALIAS} {key}\n")
}

/// Starts `ssh -s`. OpenSSH checks the host key: by the file of known hosts that the link made, or,
/// where there is none, by its own.
///
/// # Errors
/// [`ConnectError::Local`] if there is no `ssh`. What it says later goes to stderr.
pub fn connect(
    address: &Address,
    user: &str,
    key: Option<&Path>,
    known_hosts: Option<&Path>,
) -> Result<Transport, ConnectError> {
    let mut command = Command::new("ssh");
    command
        .args([
            "-oBatchMode=yes",
            "-oClearAllForwardings=yes",
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
        command.args(["-oStrictHostKeyChecking=yes", "-oUpdateHostKeys=no"]);
        command
            .arg("-oGlobalKnownHostsFile=/dev/null")
            .arg(known_hosts_option(file));
    }
    command.args(["-s", "--", &address.host, yore_wire::SUBSYSTEM]);
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| {
        ConnectError::Local(std::io::Error::new(
            error.kind(),
            format!("ssh: {error}; install OpenSSH's client, or use transport = \"ssh\""),
        ))
    })?;
    let (reader, writer) = (child.stdout.take(), child.stdin.take());
    let child = Arc::new(Mutex::new(child));
    Ok(Transport {
        reader: Box::new(reader.expect("piped")),
        writer: Box::new(writer.expect("piped")),
        hang_up: Box::new(move || end(&child)),
    })
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
