//! Errors of `yore` as one line on stderr, and what it exits with.

use yore_terminal::error::Program;
pub use yore_terminal::error::{Status, Stdout, Usage};

const PROGRAM: Program = Program {
    name: "yore",
    denied: "ask its owner for access, or run this as root",
};

/// Prints an error and says what to exit with; `failure` where it has no status of its own.
pub fn report(error: &anyhow::Error, failure: Status) -> Status {
    PROGRAM.report(error, failure)
}

/// One line to stderr.
pub fn warn(message: &str) {
    PROGRAM.warn(message);
}

/// An error and its causes in one line, with what to do about it where we know that.
pub fn line(error: &anyhow::Error) -> String {
    PROGRAM.line(error)
}
