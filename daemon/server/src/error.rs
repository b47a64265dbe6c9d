//! Exit statuses, and errors as one line on stderr: what, where, what to do.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::text;

/// What the process exits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub(crate) u8);

impl Status {
    /// All was done.
    pub const DONE: Status = Status(0);
    /// It failed; stderr says why.
    pub const FAILED: Status = Status(1);
    /// The command line does not make sense.
    pub const USAGE: Status = Status(2);
    /// Nobody reads what we print (`yored audit | head`): what a shell says of SIGPIPE.
    pub const NOBODY_READS: Status = Status(141);
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        ExitCode::from(status.0)
    }
}

/// A command line that clap takes and that makes no sense all the same.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A write to stdout that failed. A type of its own, so that a pipe that broke
/// elsewhere is not taken for a reader that has had enough.
#[derive(Debug)]
pub struct Stdout(pub io::Error);

impl std::fmt::Display for Stdout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "standard output: {}", self.0)
    }
}

impl std::error::Error for Stdout {}

/// Prints an error and says what to exit with.
pub fn report(error: &anyhow::Error) -> Status {
    if error
        .downcast_ref::<Stdout>()
        .is_some_and(|stdout| stdout.0.kind() == io::ErrorKind::BrokenPipe)
    {
        return Status::NOBODY_READS;
    }
    warn(&line(error));
    if error.is::<Usage>() {
        Status::USAGE
    } else {
        Status::FAILED
    }
}

/// One line to stderr. That nobody reads it is no reason to stop.
pub fn warn(message: &str) {
    let _ = writeln!(io::stderr(), "yored: {}", text::one_line(message));
}

/// An error and its causes in one line, with what to do about it where we know that.
pub fn line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Most of our errors name their cause themselves.
        if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    if let Some(advice) = advice(error).filter(|_| !line.contains(';')) {
        line = format!("{line}; {advice}");
    }
    text::one_line(&line)
}

/// What helps against an error of the system.
fn advice(error: &anyhow::Error) -> Option<&'static str> {
    let kind = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<io::Error>())
        .map(io::Error::kind)?;
    Some(match kind {
        io::ErrorKind::PermissionDenied => "run this as the user that yored runs as, or as root",
        io::ErrorKind::StorageFull => "make room and run this again",
        io::ErrorKind::ReadOnlyFilesystem => "it can be read, not written to",
        io::ErrorKind::NotFound => "check the path",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once_and_in_one_line() {
        let cause = io::Error::new(io::ErrorKind::PermissionDenied, "not for you");
        let error = anyhow::Error::new(cause).context("/a\nb: not for you");
        assert!(line(&error).starts_with("/a\\nb: not for you; run this as"));
        let error = anyhow::anyhow!("inner").context("outer");
        assert_eq!(line(&error), "outer: inner");
    }

    #[test]
    fn each_kind_of_error_has_its_status() {
        assert_eq!(report(&Usage("no".into()).into()), Status::USAGE);
        assert_eq!(report(&anyhow::anyhow!("no")), Status::FAILED);
        let pipe = Stdout(io::ErrorKind::BrokenPipe.into());
        assert_eq!(report(&pipe.into()), Status::NOBODY_READS);
    }
}
