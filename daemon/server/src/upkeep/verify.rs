//! Verifying a share of a repository every night, so that all of it was read in some nights.
//!
//! A [`Round`] is what the caller keeps between nights. A night's share is what is left of the
//! round divided by the nights that are left of it, so that what comes meanwhile is
//! covered, and a night that was cut short is made up for by those after it:
//!
//! ```text
//! all in 4 nights    night 1        night 2          night 3          night 4
//! 400 GiB            100 of 400     20 of 300, cut   140 of 280       140 of 140
//! ```

use std::sync::Arc;

use yore_store::{ContentId, Repository, Result, VerifiedShare};

use super::DAY;

/// How far the verification of a repository is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// When it began, in seconds since 1970.
    pub began: i64,
    /// What the next share begins after; `None` if the round is complete.
    pub next: Option<ContentId>,
}

impl Round {
    /// A round that begins now.
    pub fn begin(now: i64) -> Self {
        Round {
            began: now,
            next: Some(Repository::ROUND),
        }
    }

    /// The round to work on: the present one until it is complete, then none until its time is over,
    /// so that a repository of one large content is not read every night.
    pub fn at(round: Option<Round>, all_in: i64, now: i64) -> Option<Round> {
        match round {
            Some(round) if round.next.is_some() => Some(round),
            Some(round) if nights_left(round.began, all_in, now) > 0 => None,
            _ => Some(Round::begin(now)),
        }
    }
}

/// The nights, this one included, until a round should be complete; 0 if it should have been. Nights
/// do not begin to the second, so they are rounded.
fn nights_left(began: i64, all_in: i64, now: i64) -> u64 {
    // A clock that was set back does not make a round longer than it is.
    let gone = now.saturating_sub(began).max(0);
    let left = all_in.saturating_sub(gone);
    u64::try_from(left.saturating_add(DAY / 2) / DAY).unwrap_or(0)
}

/// Verifies tonight's share of a round; gives what was found and the round as it is then. `None` if
/// there is nothing to do.
///
/// # Errors
/// As for [`verify_tonight`].
pub fn verify_round(
    repository: &Arc<Repository>,
    round: Option<Round>,
    all_in: i64,
    now: i64,
    busy: &dyn Fn() -> bool,
) -> Result<Option<(VerifiedShare, Round)>> {
    let Some(round) = Round::at(round, all_in, now) else {
        return Ok(None);
    };
    let after = round.next.unwrap_or(Repository::ROUND);
    let nights = nights_left(round.began, all_in, now).max(1);
    let bytes = repository.bytes_to_verify(after)?.div_ceil(nights);
    let share = verify_tonight(repository, Some(after), bytes, busy)?;
    let round = Round {
        next: share.next,
        ..round
    };
    Ok(Some((share, round)))
}

/// Verifies from a cursor on until `bytes_budget` bytes have been read or `busy` says yes. Without a
/// cursor a round begins, with a check of the catalog. At least one content is read unless
/// `busy` forbids it.
///
/// # Errors
/// Damage is a result and not an error; errors are what kept us from looking.
pub fn verify_tonight(
    repository: &Arc<Repository>,
    cursor: Option<ContentId>,
    bytes_budget: u64,
    busy: &dyn Fn() -> bool,
) -> Result<VerifiedShare> {
    repository.verify_from(cursor.unwrap_or(Repository::ROUND), bytes_budget, busy, &mut |_, _| {
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upkeep::testing::{History, START, noise};

    const NIGHTS: i64 = 5;

    /// Contents of 40,000 bytes each.
    fn history(contents: i64) -> History {
        let history = History::new();
        (0..contents).for_each(|number| grow(&history, number));
        history
    }

    fn grow(history: &History, number: i64) {
        history.push(0, &noise(number as u8, 40_000));
    }

    fn night(history: &History, round: Option<Round>, number: i64) -> Option<(VerifiedShare, Round)> {
        // Some minutes early or late.
        let now = START + number * DAY + (number % 3 - 1) * 600;
        verify_round(&history.repository, round, NIGHTS * DAY, now, &|| false).unwrap()
    }

    #[test]
    fn all_is_read_in_the_nights_that_it_may_take_and_each_costs_about_the_same() {
        let history = history(20);
        let (mut round, mut read) = (None, Vec::new());
        for number in 0..NIGHTS {
            let (share, now) = night(&history, round, number).unwrap();
            assert_eq!(share.verified.damages, []);
            read.push(share.verified.contents);
            round = Some(now);
        }
        assert_eq!(read, [4; 5]);
        let complete = round.filter(|round| round.next.is_none()).expect("complete in time");
        let (_, next) = night(&history, Some(complete), NIGHTS).expect("the next round begins");
        assert!(next.began > complete.began);
    }

    #[test]
    fn what_comes_meanwhile_and_nights_that_are_lost_are_made_up_for() {
        let history = history(20);
        let (mut round, mut read) = (None, 0);
        for number in [0, 1, 3, 4] {
            let (share, now) = night(&history, round, number).unwrap();
            read += share.verified.contents;
            round = Some(now);
            if number < 3 {
                grow(&history, 100 + number);
            }
        }
        assert_eq!((read, round.unwrap().next), (22, None));
    }

    #[test]
    fn a_round_that_is_complete_early_rests_until_its_time_is_over() {
        let history = history(1);
        let (share, round) = night(&history, None, 0).unwrap();
        assert_eq!((share.verified.contents, round.next), (1, None));
        assert!((1..NIGHTS).all(|number| night(&history, Some(round), number).is_none()));
        assert!(night(&history, Some(round), NIGHTS).is_some());
    }

    #[test]
    fn a_busy_night_leaves_the_round_where_it_was() {
        let history = history(6);
        let (_, round) = night(&history, None, 0).unwrap();
        let (share, after) = verify_round(&history.repository, Some(round), NIGHTS * DAY, START + DAY, &|| true)
            .unwrap()
            .unwrap();
        assert_eq!((share.verified.contents, after), (0, round));
    }

    #[test]
    fn a_round_that_is_late_or_whose_clock_was_set_back_still_ends() {
        assert_eq!(nights_left(0, 5 * DAY, 100 * DAY), 0);
        assert_eq!(nights_left(100 * DAY, 5 * DAY, 0), 5);
        let history = history(6);
        let (_, round) = night(&history, None, 0).unwrap();
        let (_, late) = night(&history, Some(round), 50).unwrap();
        assert_eq!(late.next, None);
    }
}
