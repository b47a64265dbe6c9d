//! The commands of a person before and after a push.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// How often a command that runs is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Letters of a value in its environment.
const LONGEST: usize = 2000;

/// Why a command did not do.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It said so itself.
    #[error("`{command}`: {status}")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It could not be started.
    #[error("`{command}`: {source}")]
    Start {
        /// The command.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// It was stopped, as everything was.
    #[error("`{0}` was stopped")]
    Stopped(String),
}

/// Runs a command for `sh`; what it prints goes to stderr. It and what it started end when
/// `is_stopped` says so.
///
/// # Errors
/// [`HookError`].
pub(super) fn run(command: &str, environment: &[(&str, &str)], is_stopped: &dyn Fn() -> bool) -> Result<(), HookError> {
    let start = |source| HookError::Start {
        command: command.to_owned(),
        source,
    };
    let stderr = io::stderr().as_fd().try_clone_to_owned().map_err(start)?;
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .envs(environment.iter().map(|(name, value)| (name, fitting(value))))
        .stdin(Stdio::null())
        .stdout(stderr)
        // Of its own, so that all of it can be stopped.
        .process_group(0)
        .spawn()
        .map_err(start)?;
    loop {
        match child.try_wait().map_err(start)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                return Err(HookError::Failed {
                    command: command.to_owned(),
                    status,
                });
            }
            None if is_stopped() => {
                stop(&mut child);
                return Err(HookError::Stopped(command.to_owned()));
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

/// A value that an environment can hold: the command after a push that failed has to run whatever the error says.
fn fitting(value: &str) -> String {
    value.chars().filter(|letter| *letter != '\0').take(LONGEST).collect()
}

/// Asks it to end, and a second later does not ask.
fn stop(child: &mut Child) {
    let group = Pid::from_child(child);
    let _ = kill_process_group(group, Signal::TERM);
    for _ in 0..20 {
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        std::thread::sleep(LOOK);
    }
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_its_environment_and_says_how_it_ended() {
        assert!(run("test \"$A\" = 'b c'", &[("A", "b c")], &|| false).is_ok());
        let long = "b\0 c".to_owned() + &"d".repeat(1 << 20);
        assert!(
            run("case \"$A\" in 'b cd'*) ;; *) exit 1;; esac", &[("A", &long)], &|| {
                false
            })
            .is_ok()
        );
        let error = run("exit 3", &[], &|| false).unwrap_err().to_string();
        assert_eq!(error, "`exit 3`: exit status: 3");
    }

    #[test]
    fn a_command_is_stopped_with_what_it_started() {
        let started = std::time::Instant::now();
        let error = run("sleep 600 & sleep 600", &[], &|| true).unwrap_err();
        assert!(matches!(error, HookError::Stopped(_)) && started.elapsed() < Duration::from_secs(60));
    }
}
