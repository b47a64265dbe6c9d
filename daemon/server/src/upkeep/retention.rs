//! Forgetting by the rules that the server has for a repository.
//!
//! The verdicts are the store's ([`Policy::judge_for_server`](yore_store::Policy::judge_for_server)
//! says what they withstand). Here they are carried out, oldest first, some snapshots at a time: the
//! oldest versions are nobody's base, so that little has to be rebased, and between two batches
//! a push gets its turn. A crash or a stop in between leaves a repository that is whole and
//! has a few snapshots more; the next call judges anew and goes on.

use std::sync::Arc;

use yore_store::{Error, Forgotten, Repository, Result, Snapshot};

use super::Rules;

/// Snapshots that are forgotten at a time, to begin with and at most: what is looked up for each
/// batch, whatever its size, takes some tenths of a second in a large repository.
const BATCH: (usize, usize) = (4, 16);

/// Entries in a batch above which the next one is smaller. They go in one transaction, under the lock
/// that a push needs for its commit: a few microseconds each, more on a slow disk.
const MANY: u64 = 20_000;

/// What the server forgot.
#[derive(Debug, Default)]
pub struct RetentionReport {
    /// The names of the snapshots that are gone, oldest first.
    pub names: Vec<String>,
    /// What went with them.
    pub forgotten: Forgotten,
    /// Snapshots that are to go and are still there.
    pub left: u64,
    /// Snapshots that the rules keep.
    pub kept: u64,
    /// Why some are left.
    pub stopped: Option<Stopped>,
}

/// Why not all that is to go went.
#[derive(Debug)]
pub enum Stopped {
    /// Pruning is suspended.
    Suspended,
    /// Something else is to be done first.
    Busy,
    /// A batch failed; those before it are gone.
    Failed(Error),
}

/// Forgets what the rules do not keep, as far as `busy` lets it. Without a policy, or with one that
/// has no rule, nothing goes.
///
/// # Errors
/// If the snapshots cannot be listed. A failure later is part of the report, because
/// something may be gone already.
pub fn retention(
    repository: &Arc<Repository>,
    rules: &Rules,
    now: i64,
    busy: &dyn Fn() -> bool,
) -> Result<RetentionReport> {
    let snapshots = repository.snapshots()?;
    let mut report = RetentionReport::default();
    let going = going(snapshots, rules, now, &mut report);
    if rules.suspended && !going.is_empty() {
        report.stopped = Some(Stopped::Suspended);
        return Ok(report);
    }
    let (mut rest, mut size) = (going.as_slice(), BATCH.0);
    while !rest.is_empty() && report.stopped.is_none() {
        if busy() {
            report.stopped = Some(Stopped::Busy);
            continue;
        }
        let (batch, after) = rest.split_at(size.min(rest.len()));
        let ids: Vec<_> = batch.iter().map(|snapshot| snapshot.id).collect();
        match repository.forget(&ids) {
            Ok(forgotten) => {
                report.add(batch, &forgotten);
                (rest, size) = (after, next_size(size, &forgotten));
            }
            Err(error) => report.stopped = Some(Stopped::Failed(error)),
        }
    }
    Ok(report)
}

/// How many snapshots come after a batch of this size.
fn next_size(size: usize, forgotten: &Forgotten) -> usize {
    match forgotten.entries > MANY {
        true => (size / 2).max(1),
        false => (size * 2).min(BATCH.1),
    }
}

/// The snapshots that are to go, oldest first.
fn going(snapshots: Vec<Snapshot>, rules: &Rules, now: i64, report: &mut RetentionReport) -> Vec<Snapshot> {
    let total = snapshots.len();
    let mut going: Vec<Snapshot> = match &rules.policy {
        None => Vec::new(),
        Some(policy) => policy
            .judge_for_server(snapshots, now, rules.keep_at_least)
            .into_iter()
            .filter(|verdict| verdict.reasons.is_empty())
            .map(|verdict| verdict.snapshot)
            .collect(),
    };
    going.reverse();
    report.left = going.len() as u64;
    report.kept = (total - going.len()) as u64;
    going
}

impl RetentionReport {
    fn add(&mut self, batch: &[Snapshot], forgotten: &Forgotten) {
        self.names.extend(batch.iter().map(|snapshot| snapshot.name.clone()));
        self.left -= batch.len() as u64;
        self.forgotten.snapshots += forgotten.snapshots;
        self.forgotten.entries += forgotten.entries;
        self.forgotten.contents += forgotten.contents;
        self.forgotten.bytes += forgotten.bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::upkeep::DAY;
    use yore_store::Policy;

    use crate::upkeep::testing::{History, START, noise};

    /// One snapshot a day for 30 days.
    fn month() -> History {
        let history = History::new();
        for day in 0..30 {
            history.push(day, &noise(day as u8, 50_000));
        }
        history
    }

    fn daily(daily: u32) -> Rules {
        Rules {
            policy: Some(Policy {
                daily,
                ..Policy::default()
            }),
            keep_at_least: 7 * DAY,
            ..Rules::default()
        }
    }

    const END: i64 = START + 29 * DAY + 3600;

    #[test]
    fn what_no_rule_keeps_goes_and_the_rest_is_sound() {
        let history = month();
        let report = retention(&history.repository, &daily(3), END, &|| false).unwrap();
        // Seven that are young, and three that the rule wants of the others.
        assert_eq!((report.kept, report.left, report.names.len()), (10, 0, 20));
        assert!(report.stopped.is_none());
        assert_eq!(report.forgotten.snapshots, 20);
        assert!(report.names.is_sorted(), "oldest first");
        let left = history.repository.snapshots().unwrap();
        assert_eq!(left.len(), 10);
        assert!(left.iter().all(|snapshot| !report.names.contains(&snapshot.name)));
        assert_eq!(history.repository.verify(true, &mut |_, _| Ok(())).unwrap().damages, []);
        let again = retention(&history.repository, &daily(3), END, &|| false).unwrap();
        assert_eq!((again.kept, again.names.len()), (10, 0));
    }

    #[test]
    fn it_yields_between_batches_and_goes_on_later() {
        let history = month();
        let asked = Cell::new(0);
        let busy = || {
            asked.set(asked.get() + 1);
            asked.get() > 1
        };
        let first = retention(&history.repository, &daily(3), END, &busy).unwrap();
        assert!(matches!(first.stopped, Some(Stopped::Busy)));
        assert_eq!((first.names.len(), first.left), (BATCH.0, 20 - BATCH.0 as u64));
        let rest = retention(&history.repository, &daily(3), END, &|| false).unwrap();
        assert_eq!((rest.names.len(), rest.left), (20 - BATCH.0, 0));
        let nothing = retention(&history.repository, &daily(1), END, &|| true).unwrap();
        assert_eq!((nothing.names.len(), nothing.left), (0, 2));
    }

    #[test]
    fn batches_are_smaller_where_much_goes_and_never_nothing() {
        let forgotten = |entries| Forgotten {
            entries,
            ..Forgotten::default()
        };
        let sizes = |entries| {
            let sizes = std::iter::successors(Some(BATCH.0), |size| Some(next_size(*size, &forgotten(entries))));
            sizes.take(5).collect::<Vec<_>>()
        };
        assert_eq!(sizes(10), [4, 8, 16, 16, 16]);
        assert_eq!(sizes(MANY + 1), [4, 2, 1, 1, 1]);
    }

    #[test]
    fn suspended_pruning_says_what_it_would_have_done() {
        let history = month();
        let suspended = Rules {
            suspended: true,
            ..daily(3)
        };
        let report = retention(&history.repository, &suspended, END, &|| false).unwrap();
        assert!(matches!(report.stopped, Some(Stopped::Suspended)));
        assert_eq!((report.names.len(), report.left), (0, 20));
        assert_eq!(history.repository.snapshots().unwrap().len(), 30);
    }

    #[test]
    fn without_a_rule_nothing_goes() {
        let history = month();
        for rules in [Rules::default(), daily(0)] {
            let report = retention(&history.repository, &rules, END + 1000 * DAY, &|| false).unwrap();
            assert_eq!((report.kept, report.left, report.names.len()), (30, 0, 0));
        }
    }

    #[test]
    fn an_idle_repository_is_left_alone_after_the_first_time() {
        let history = month();
        let later = |years: i64| END + years * 366 * DAY;
        let mut weekly_too = daily(3);
        weekly_too.policy.as_mut().unwrap().weekly = 3;
        let first = retention(&history.repository, &weekly_too, later(1), &|| false).unwrap();
        assert_eq!(first.kept, 4);
        let second = retention(&history.repository, &weekly_too, later(20), &|| false).unwrap();
        assert_eq!((second.kept, second.names.len()), (4, 0));
    }

    #[test]
    fn a_push_that_runs_is_neither_waited_for_nor_disturbed() {
        let history = month();
        let push = history.begin();
        let report = retention(&history.repository, &daily(3), END, &|| false).unwrap();
        assert_eq!(report.names.len(), 20);
        history.finish(push, &noise(99, 50_000));
        assert_eq!(history.repository.verify(true, &mut |_, _| Ok(())).unwrap().damages, []);
    }
}
