//! Which snapshots are to be copied, and in which order.
//!
//! The order is that of time over all lines, since a repository's time never goes back. What is older than the newest
//! snapshot of its line that both have is not missing there: it was forgotten there, or left out before.

use std::collections::{HashMap, HashSet};

use yore_store::{Error, Made, Result, Snapshot};

/// What a copy has to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Snapshots to copy, oldest first.
    pub copy: Vec<Snapshot>,
    /// How many are there already.
    pub there: u64,
    /// How many are older than what was copied last of their line.
    pub older: u64,
}

/// The same host and roots: snapshots of one line, in whichever repository.
type Line<'a> = (&'a str, &'a [Vec<u8>]);

fn line(snapshot: &Snapshot) -> Line<'_> {
    (&snapshot.host, &snapshot.roots)
}

fn order(snapshot: &Snapshot) -> (i64, i64) {
    Made::of(snapshot).order()
}

/// Whether two are of one line and one moment.
pub(super) fn is_same(a: &Snapshot, b: &Snapshot) -> bool {
    a.name == b.name && line(a) == line(b)
}

impl Plan {
    /// Of the chosen snapshots those that a repository with the snapshots `there` lacks.
    ///
    /// # Errors
    /// [`Error::Refused`] if one would have to come before what is there; older ones are only left out where they were
    /// not asked for by name.
    pub fn of(chosen: Vec<Snapshot>, there: &[Snapshot], by_name: bool) -> Result<Self> {
        let known: HashSet<(Line<'_>, &str)> = there.iter().map(|other| (line(other), other.name.as_str())).collect();
        let is_there = |snapshot: &Snapshot| known.contains(&(line(snapshot), snapshot.name.as_str()));
        let mut reached: HashMap<Line<'_>, (i64, i64)> = HashMap::new();
        for snapshot in chosen.iter().filter(|snapshot| is_there(snapshot)) {
            let newest = reached.entry(line(snapshot)).or_insert((i64::MIN, 0));
            *newest = order(snapshot).max(*newest);
        }
        let is_older = |snapshot: &Snapshot| {
            reached
                .get(&line(snapshot))
                .is_some_and(|newest| order(snapshot) < *newest)
        };
        let (mut plan, mut copy) = (Plan::default(), Vec::new());
        for snapshot in &chosen {
            match (is_there(snapshot), !by_name && is_older(snapshot)) {
                (true, _) => plan.there += 1,
                (false, true) => plan.older += 1,
                (false, false) => copy.push(snapshot.clone()),
            }
        }
        copy.sort_by_key(order);
        check(&copy, there)?;
        plan.copy = copy;
        Ok(plan)
    }
}

/// Refuses what would have to come before what is there.
fn check(copy: &[Snapshot], there: &[Snapshot]) -> Result<()> {
    let newest = there.iter().max_by_key(|snapshot| order(snapshot));
    match (copy.first(), newest) {
        (Some(first), Some(newest)) if order(first) <= order(newest) => Err(Error::Refused(format!(
            "{} of {} cannot be copied behind {} of {}, which is newer: the repository has newer snapshots of its own; \
             copy into a repository of its own (one that gets nothing but these copies)",
            first.name, first.host, newest.name, newest.host
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use yore_store::{FolderId, LineId, SnapshotId};

    use super::*;

    fn made(host: &str, time: i64, name: &str) -> Snapshot {
        Snapshot {
            id: SnapshotId(time),
            line: LineId(1),
            name: name.into(),
            time,
            host: host.into(),
            tags: vec![],
            roots: vec![b"/".to_vec()],
            root: FolderId(1),
            files: 0,
            folders: 1,
            others: 0,
            bytes: 0,
            new_bytes: 0,
            unread: 0,
            check: 0,
        }
    }

    /// Snapshots as `a1 b2`: of which host, when.
    fn snapshots(text: &str) -> Vec<Snapshot> {
        let one = |word: &str| made(&word[..1], word[1..].parse().unwrap(), word);
        text.split_whitespace().map(one).collect()
    }

    fn plan(source: &str, there: &str) -> Result<(String, u64, u64)> {
        let plan = Plan::of(snapshots(source), &snapshots(there), false)?;
        let names: Vec<&str> = plan.copy.iter().map(|snapshot| snapshot.name.as_str()).collect();
        Ok((names.join(" "), plan.there, plan.older))
    }

    #[test]
    fn all_lines_are_copied_in_order_of_time() {
        assert_eq!(plan("a1 b4 a3 b2", "").unwrap(), ("a1 b2 a3 b4".into(), 0, 0));
        assert_eq!(plan("a1 b2 a3 b4", "a1 b2").unwrap(), ("a3 b4".into(), 2, 0));
        assert_eq!(plan("a1 b2", "a1 b2").unwrap(), (String::new(), 2, 0));
    }

    #[test]
    fn what_was_forgotten_on_either_side_is_no_matter() {
        assert_eq!(plan("a1 a2 a3 a4", "a3").unwrap(), ("a4".into(), 1, 2));
        assert_eq!(plan("a4", "a1 a2 a3").unwrap(), ("a4".into(), 0, 0));
        assert_eq!(plan("a2 a3", "a1 a2").unwrap(), ("a3".into(), 1, 0));
    }

    #[test]
    fn nothing_is_put_before_what_is_there() {
        for (source, there) in [("a1", "b2"), ("a1", "a2"), ("a1 a3", "a1 b4"), ("a1", "b1")] {
            let error = plan(source, there).unwrap_err().to_string();
            assert!(error.contains("newer snapshots of its own"), "{error}");
        }
        let older = Plan::of(snapshots("a1 a2"), &snapshots("a2"), true);
        assert!(matches!(older, Err(Error::Refused(_))), "it was asked for");
    }
}
