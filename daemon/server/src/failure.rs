//! Why a push failed, and who has to do something about it.

use yore_store::Error;
use yore_wire::shortened;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The connection went, or one side was stopped: the agent comes again and goes on where it was.
    Lost,
    /// The user's quota.
    Quota,
    /// The server's disk.
    Disk,
    /// Anything else.
    Other,
}

/// A push that failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// What kind of failure it was.
    pub cause: Cause,
    /// In words, not very many: it is stored, logged and mailed.
    pub why: String,
}

impl Failed {
    /// One that the agent comes again after.
    pub fn lost(why: &str) -> Self {
        Failed {
            cause: Cause::Lost,
            why: shortened(why),
        }
    }

    /// What an agent says of itself.
    pub fn reported(why: &str) -> Self {
        Failed {
            cause: Cause::Other,
            why: shortened(why),
        }
    }
}

impl From<&Error> for Failed {
    fn from(error: &Error) -> Self {
        let cause = match error {
            Error::OverBudget { .. } => Cause::Quota,
            error if error.is_want_of_room() => Cause::Disk,
            _ => Cause::Other,
        };
        let why = shortened(&error.to_string());
        Failed { cause, why }
    }
}
