//! What a server forgets by itself, when it cannot trust every snapshot that was pushed.
//!
//! Somebody who has stolen a machine's key can push snapshots, as many as he likes and empty if he
//! likes, at the times that the server's clock gives; he cannot forget or back-date any. What he
//! can try against the rules, and what holds:
//!
//! | he pushes | so that | what holds |
//! |---|---|---|
//! | thousands in a row | `last` counts only his | `interval`: one an interval counts |
//! | one after each good one | his is the newest of the day, the week, the year | a young snapshot makes nothing go |
//! | one an hour to a machine that is off | `hourly` counts only his | the same, and the rules with longer periods |
//! | one to a machine that is off | `within` is counted back from his | the same |
//! | one of another host or other paths | rules count across | lines are judged apart |
//! | none; the machine stays off | everything gets too old | nothing is counted from now |
//!
//! **A young snapshot makes nothing go**: older ones are judged as if it was not there. So whatever
//! the rules wanted when the theft began is there for `keep_at_least` after it, however he pushes:
//!
//! ```text
//!  ── good ─┬────┬────┬────┬──┊─× ×××××× ──▶ now       ┊ now − keep_at_least
//!           what the rules want of these  ┊ stays, as do all of these
//! ```
//!
//! The price is that up to twice as many snapshots stay as the rules say. To keep the first of each
//! period besides the newest would cost the same and give less: the first can be his too.
//!
//! What rules cannot close: one who goes unnoticed for longer than `keep_at_least` and pushes once a
//! period looks like the machine itself, and history goes at the pace of the rules (a policy of only
//! `within` has no pace: one snapshot and patience are enough against a machine that is off, so
//! it should have `weekly` or `monthly` beside it). And quotas can be filled, which shows.

use std::collections::{HashMap, HashSet};

use crate::retention::{Policy, Verdict};
use crate::{Snapshot, SnapshotId};

impl Policy {
    /// Judges as [`Policy::judge`] does, but so that what was pushed less than `keep_at_least`
    /// seconds before `now` neither goes nor makes anything go, and that the newest of a line stays
    /// whatever the rules say. Whatever `judge` keeps stays here too.
    pub fn judge_for_server(&self, snapshots: Vec<Snapshot>, now: i64, keep_at_least: i64) -> Vec<Verdict> {
        let is_old = |snapshot: &&Snapshot| !is_young(snapshot, now, keep_at_least);
        let old = snapshots.iter().filter(is_old).cloned().collect();
        let mut settled: HashMap<SnapshotId, Vec<String>> = self
            .judge(old)
            .into_iter()
            .map(|verdict| (verdict.snapshot.id, verdict.reasons))
            .collect();
        let mut verdicts = self.judge(snapshots);
        for verdict in &mut verdicts {
            if let Some(reasons) = settled.remove(&verdict.snapshot.id) {
                verdict.reasons = reasons;
            }
        }
        keep_newest(&mut verdicts);
        spare_young(verdicts, now, keep_at_least)
    }
}

/// Gives those that go and were made less than `keep_at_least` seconds before `now` a reason to
/// stay: `younger than 7d`.
pub(super) fn spare_young(mut verdicts: Vec<Verdict>, now: i64, keep_at_least: i64) -> Vec<Verdict> {
    for verdict in &mut verdicts {
        if verdict.reasons.is_empty() && is_young(&verdict.snapshot, now, keep_at_least) {
            let reason = format!("younger than {}", length_of_time(keep_at_least));
            verdict.reasons.push(reason);
        }
    }
    verdicts
}

/// A number of seconds as `7d`, `36h`, `90min` or `45s`: in the longest unit that it is a multiple of.
fn length_of_time(seconds: i64) -> String {
    let units = [("d", 86_400), ("h", 3600), ("min", 60)];
    let fits = |(_, length): &&(&str, i64)| seconds != 0 && seconds % length == 0;
    let (unit, length) = units.iter().find(fits).unwrap_or(&("s", 1));
    format!("{}{unit}", seconds / length)
}

/// A snapshot from the future, which a clock that was wrong for a while left, is young.
fn is_young(snapshot: &Snapshot, now: i64, keep_at_least: i64) -> bool {
    snapshot.time > now.saturating_sub(keep_at_least.max(0))
}

/// The next push is told against the newest of its line, and an idle line is to keep one.
fn keep_newest(verdicts: &mut [Verdict]) {
    let mut lines = HashSet::new();
    for verdict in verdicts {
        if lines.insert(verdict.snapshot.line) && verdict.reasons.is_empty() {
            verdict.reasons.push("newest".into());
        }
    }
}
