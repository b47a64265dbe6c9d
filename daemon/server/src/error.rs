//! Errors of `yored` as one line on stderr, and what it exits with.

use yore_terminal::error::Program;
pub use yore_terminal::error::{Status, Usage};

const PROGRAM: Program = Program {
    name: "yored",
    denied: "run this as the user that yored runs as, or as root",
};

/// Prints an error and says what to exit with.
pub fn report(error: &anyhow::Error) -> Status {
    PROGRAM.report(error, Status::FAILED)
}

/// One line to stderr.
pub fn warn(message: &str) {
    PROGRAM.warn(message);
}

/// An error and its causes in one line, with what to do about it where we know that.
pub fn line(error: &anyhow::Error) -> String {
    PROGRAM.line(error)
}
