//! Exit statuses, and errors as one line on stderr: what, where, what to do.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::text;

/// What the process exits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u8);

impl Status {
    /// All was done.
    pub const DONE: Status = Status(0);
    /// It failed; stderr says why.
    pub const FAILED: Status = Status(1);
    /// `verify` found damage.
    pub const DAMAGE: Status = Status(1);
    /// The command line does not make sense.
    pub const USAGE: Status = Status(2);
    /// `verify` could not run.
    pub const COULD_NOT_RUN: Status = Status(2);
    /// A snapshot was made in which some files are missing, because they could not be read.
    pub const PARTIAL: Status = Status(3);
    /// Nobody reads what we print (`yore ls | head`): what a shell says of SIGPIPE.
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

/// What the errors of a program are told with.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// What helps where the system denies it something.
    pub denied: &'static str,
}

impl Program {
    /// Prints an error and says what to exit with; `failure` where it has no status of its own.
    pub fn report(&self, error: &anyhow::Error, failure: Status) -> Status {
        if error
            .downcast_ref::<Stdout>()
            .is_some_and(|stdout| stdout.0.kind() == io::ErrorKind::BrokenPipe)
        {
            return Status::NOBODY_READS;
        }
        self.warn(&self.line(error));
        if error.is::<Usage>() { Status::USAGE } else { failure }
    }

    /// One line to stderr. That nobody reads it is no reason to stop.
    pub fn warn(&self, message: &str) {
        let _ = writeln!(io::stderr(), "{}: {}", self.name, text::one_line(message));
    }

    /// An error and its causes in one line, with what to do about it where we know that.
    pub fn line(&self, error: &anyhow::Error) -> String {
        let mut line = error.to_string();
        for cause in error.chain().skip(1).map(ToString::to_string) {
            // Most of our errors name their cause themselves.
            if !line.contains(&cause) {
                line = format!("{line}: {cause}");
            }
        }
        if let Some(advice) = self.advice(error).filter(|_| !line.contains(';')) {
            line = format!("{line}; {advice}");
        }
        text::one_line(&line)
    }

    /// What helps against an error of the system.
    fn advice(&self, error: &anyhow::Error) -> Option<&'static str> {
        let kind = error
            .chain()
            .find_map(|cause| cause.downcast_ref::<io::Error>())
            .map(io::Error::kind)?;
        Some(match kind {
            io::ErrorKind::PermissionDenied => self.denied,
            io::ErrorKind::StorageFull => "make room and run this again; every committed snapshot is intact",
            io::ErrorKind::QuotaExceeded => "your disk quota is used up; make room and run this again",
            io::ErrorKind::ReadOnlyFilesystem => "it can be read, not written to",
            io::ErrorKind::NotFound => "check the path",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: Program = Program {
        name: "yore",
        denied: "ask its owner",
    };

    #[test]
    fn a_cause_is_said_once_and_in_one_line() {
        let cause = io::Error::new(io::ErrorKind::PermissionDenied, "not for you");
        let error = anyhow::Error::new(cause).context("/a\nb: not for you");
        assert_eq!(PROGRAM.line(&error), "/a\\nb: not for you; ask its owner");
        let error = anyhow::anyhow!("inner").context("outer");
        assert_eq!(PROGRAM.line(&error), "outer: inner");
    }

    #[test]
    fn each_kind_of_error_has_its_status() {
        let usage = anyhow::Error::new(Usage("no".into()));
        assert_eq!(PROGRAM.report(&usage, Status::FAILED), Status::USAGE);
        assert_eq!(
            PROGRAM.report(&anyhow::anyhow!("no"), Status::COULD_NOT_RUN),
            Status::COULD_NOT_RUN
        );
        let pipe = anyhow::Error::new(Stdout(io::ErrorKind::BrokenPipe.into()));
        assert_eq!(PROGRAM.report(&pipe, Status::FAILED), Status::NOBODY_READS);
    }
}
