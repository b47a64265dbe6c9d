//! The work that a server does by itself: forgetting, verifying, sweeping; and the judgements
//! that it makes of what is pushed. No accounts, no network, no clock: those come from the caller.
//!
//! ```text
//! keeper ── night? ──▶ Planner ── whose turn? ──▶ sweep, retention, verify_round
//!                                                  └── between steps: busy()?
//! ```
//!
//! All of it yields. `busy` is asked between steps, and when it says yes (a push is running or
//! wants to, the night is over, the server ends, pruning was suspended meanwhile) what was done so
//! far is given back; the rest is for another time. Calls block: they are for threads that may.

mod mass;
mod planner;
mod retention;
#[cfg(test)]
mod testing;
mod verify;

pub use mass::is_mass_change;
pub use planner::Planner;
pub use retention::{RetentionReport, Stopped, retention};
pub use verify::{Round, verify_round, verify_tonight};

use yore_store::{Policy, Repository, Result, Swept};

/// Seconds of a day without a change of the clock.
const DAY: i64 = 86_400;

/// What the server does by itself with one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Which snapshots stay; all of them without it.
    pub policy: Option<Policy>,
    /// Seconds in which a snapshot neither goes nor makes another one go.
    pub keep_at_least: i64,
    /// Whether pruning waits until somebody has looked, after a [mass change](is_mass_change).
    pub suspended: bool,
    /// Seconds in which all data is to be read and compared with its names; not at all without it.
    pub verify_all_in: Option<i64>,
}

/// Sweeps what pushes that died left behind; `None` if it is not the time for that.
///
/// # Errors
/// What the store says.
pub fn sweep(repository: &Repository, busy: &dyn Fn() -> bool) -> Result<Option<Swept>> {
    match busy() {
        true => Ok(None),
        false => repository.sweep().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{History, noise};
    use super::*;

    #[test]
    fn what_a_dead_push_left_is_swept_when_nothing_else_runs() {
        let history = History::new();
        history.push(1, &noise(1, 1000));
        history.leave_a_dead_push();
        assert_eq!(sweep(&history.repository, &|| true).unwrap(), None);
        let swept = sweep(&history.repository, &|| false).unwrap().unwrap();
        assert_eq!(swept.pushes, 1);
        let again = sweep(&history.repository, &|| false).unwrap().unwrap();
        assert_eq!(again, Swept::default());
    }
}
