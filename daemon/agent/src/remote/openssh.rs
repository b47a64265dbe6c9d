//! The system's `ssh` as a transport: for jump hosts, agents and hardware keys, as its
//! configuration says. It carries the same subsystem.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::transport::Transport;
use super::{Address, ConnectError};

/// Starts `ssh -s`. The host key is checked by OpenSSH, with its own known hosts.
///
/// # Errors
/// [`ConnectError::Local`] if there is no `ssh`. What it says later goes to stderr.
pub fn connect(address: &Address, user: &str, key: Option<&Path>) -> Result<Transport, ConnectError> {
    let mut command = Command::new("ssh");
    command
        .args(["-oBatchMode=yes", "-oClearAllForwardings=yes", "-p"])
        .arg(address.port.to_string())
        .args(["-l", user]);
    if let Some(key) = key {
        command.arg("-i").arg(key);
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

fn end(child: &Mutex<Child>) {
    let mut child = child.lock().expect("no panic while held");
    let _ = child.kill();
    let _ = child.wait();
}
