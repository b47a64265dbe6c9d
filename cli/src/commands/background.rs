//! A mount that goes on when the command has returned.
//!
//! ```text
//! yore mount MP ──starts──▶ yore mount MP --detached     a session of its own
//!      │                          │ stdout: a pipe        │ stderr: the log
//!      │◀──── "ready" or why not ─┘                       │ stdin: /dev/null
//!   looks at MP, returns          then stdout becomes /dev/null
//! ```
//!
//! The program is started anew rather than forked: a fork of a process with
//! threads keeps locks that nobody will release.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use yore_agent::private;

use super::mount::Mount;
use crate::error::{Status, line, warn};

/// What the background process says when the mount answers.
const READY: &str = "ready\n";

/// Starts the process that serves the mount and waits until it answers.
pub fn start(place: &Path, folder: Option<&Path>, args: &Mount) -> Result<()> {
    let program = std::env::current_exe().context("finding our own program")?;
    let (mut said, says) = std::io::pipe().context("making a pipe")?;
    let mut command = Command::new(&program);
    command
        .arg0("yore")
        // A folder is named absolutely, a URL as it was.
        .args(arguments(folder.unwrap_or(place), args)?)
        .stdin(Stdio::null())
        .stdout(says)
        .stderr(log().map_or_else(Stdio::null, Stdio::from));
    command.spawn().with_context(|| program.display().to_string())?;
    // It holds our end for writing; the child's end shall be the only one.
    drop(command);
    let mut message = String::new();
    said.read_to_string(&mut message).context("waiting for the mount")?;
    match message.as_str() {
        READY => {}
        "" => bail!("the mount ended before it answered; {}", where_it_says_why()),
        why => bail!("{}", why.trim_end()),
    }
    // The kernel asks the mount for this: it does answer.
    std::fs::read_dir(&args.mountpoint).with_context(|| args.mountpoint.display().to_string())?;
    Ok(())
}

/// The command line of the background process. Paths are absolute, as it leaves the working folder.
fn arguments(repository: &Path, args: &Mount) -> Result<Vec<OsString>> {
    let mountpoint = std::path::absolute(&args.mountpoint).with_context(|| args.mountpoint.display().to_string())?;
    let mut line: Vec<OsString> = vec![
        "mount".into(),
        "--detached".into(),
        "--repository".into(),
        repository.into(),
    ];
    let flags = [
        (args.allow_other, "--allow-other"),
        (args.own, "--own"),
        (args.trust_disk, "--trust-disk"),
    ];
    line.extend(flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag.into()));
    line.extend(["--".into(), mountpoint.into()]);
    Ok(line)
}

/// The background process: calls `mount`, which says that it is ready and then serves.
pub fn serve(mount: impl FnOnce(&mut dyn FnMut() -> Result<()>) -> Result<()>) -> Result<Status> {
    // Ctrl-C and the end of the terminal are for the others.
    let _ = rustix::process::setsid();
    // So that no disk is busy because a mount was once started there.
    std::env::set_current_dir("/").context("/")?;
    let mut told = false;
    let done = mount(&mut || {
        told = true;
        tell(READY)
    });
    match done {
        Ok(()) => Ok(Status::DONE),
        Err(error) if told => Err(error),
        Err(error) => {
            tell(&line(&error))?;
            Ok(Status::FAILED)
        }
    }
}

/// Says something to the process that waits, and hangs up.
fn tell(message: &str) -> Result<()> {
    let mut stdout = std::io::stdout();
    if stdout
        .write_all(message.as_bytes())
        .and_then(|()| stdout.flush())
        .is_err()
    {
        // Who started us was killed; the mount is wanted all the same.
        warn("nobody waited for the mount");
    }
    let null = File::options().write(true).open("/dev/null").context("/dev/null")?;
    rustix::stdio::dup2_stdout(null).context("/dev/null")
}

/// Where the background process says what it has to say.
fn log_path() -> Option<PathBuf> {
    let state = private::base_folder("XDG_STATE_HOME", ".local/state")?;
    Some(state.join("yore/mount.log"))
}

fn where_it_says_why() -> String {
    let log = log_path().map(|path| format!("{} may say why", path.display()));
    log.unwrap_or_else(|| "`yore mount --foreground` may say why".into())
}

fn log() -> Option<File> {
    let path = log_path()?;
    private::folder(path.parent()?).ok()?;
    private::log(&path).ok()
}
