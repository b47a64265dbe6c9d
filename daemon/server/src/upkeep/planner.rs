//! Whose turn it is: of the repositories that wait, the one whose work is longest ago.
//!
//! So a large repository delays the others by one turn at most and none is forgotten, whatever
//! a night has time for; the next night goes on where this one stopped.

use std::collections::BTreeMap;

/// The turns of repositories (or of whatever `K` names) for one kind of work.
#[derive(Clone, Debug)]
pub struct Planner<K> {
    turns: BTreeMap<K, Turn>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    /// When the work was last done; `None`: never.
    done: Option<i64>,
    /// Not before this, whatever its turn.
    not_before: Option<i64>,
}

impl<K> Default for Planner<K> {
    fn default() -> Self {
        Planner { turns: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Planner<K> {
    /// Sets which repositories there are, with the time at which the work of each was last done as far
    /// as the caller remembers it. Those that are gone are forgotten; of those that are known, what is
    /// later counts.
    pub fn set(&mut self, repositories: impl IntoIterator<Item = (K, Option<i64>)>) {
        let mut before = std::mem::take(&mut self.turns);
        for (key, done) in repositories {
            let known = before.remove(&key).unwrap_or_default();
            let turn = Turn {
                done: known.done.max(done),
                ..known
            };
            self.turns.insert(key, turn);
        }
    }

    /// The next repository: the work of which was last done at least `every` seconds before `now`,
    /// longest ago of all; those that never had it come first. Leaves out those that `is_busy` names.
    pub fn next(&self, now: i64, every: i64, is_busy: impl Fn(&K) -> bool) -> Option<K> {
        let waiting = self
            .turns
            .iter()
            .filter(|(key, turn)| turn.due(every).is_none_or(|due| due <= now) && turn.may(now) && !is_busy(key));
        waiting.min_by_key(|(_, turn)| turn.done).map(|(key, _)| key.clone())
    }

    /// The earliest time at which [`next`](Self::next) can have one, in the past if it has to wait for
    /// those that are busy; `None` without repositories.
    pub fn next_time(&self, every: i64) -> Option<i64> {
        let times = self
            .turns
            .values()
            .map(|turn| turn.due(every).max(turn.not_before).unwrap_or(i64::MIN));
        times.min()
    }

    /// The work was done.
    pub fn done(&mut self, key: &K, now: i64) {
        if let Some(turn) = self.turns.get_mut(key) {
            *turn = Turn {
                done: Some(now),
                not_before: None,
            };
        }
    }

    /// The work could not be done, or only in part: it keeps its turn, but lets others pass until then.
    pub fn put_off(&mut self, key: &K, until: i64) {
        if let Some(turn) = self.turns.get_mut(key) {
            turn.not_before = Some(until);
        }
    }
}

impl Turn {
    fn due(&self, every: i64) -> Option<i64> {
        self.done.map(|done| done.saturating_add(every))
    }

    fn may(&self, now: i64) -> bool {
        self.not_before.is_none_or(|time| time <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn planner(repositories: &[(&'static str, Option<i64>)]) -> Planner<&'static str> {
        let mut planner = Planner::default();
        planner.set(repositories.iter().copied());
        planner
    }

    fn idle(_: &&str) -> bool {
        false
    }

    #[test]
    fn the_one_whose_work_is_longest_ago_is_next_and_new_ones_come_first() {
        let mut planner = planner(&[("a", Some(300)), ("b", Some(100)), ("c", None), ("d", Some(200))]);
        let mut order = Vec::new();
        for turn in 0..4 {
            let next = planner.next(DAY * 2, DAY, idle).unwrap();
            planner.done(&next, DAY * 2 + turn);
            order.push(next);
        }
        assert_eq!(order, ["c", "b", "d", "a"]);
        assert_eq!(planner.next(DAY * 2 + 10, DAY, idle), None);
        assert_eq!(planner.next_time(DAY), Some(DAY * 3));
        assert_eq!(planner.next(DAY * 3, DAY, idle), Some("c"));
    }

    #[test]
    fn nights_that_are_too_short_for_all_reach_all_in_turn() {
        let names = ["a", "b", "c", "d", "e"];
        let mut planner = planner(&names.map(|name| (name, None)));
        let mut count = BTreeMap::new();
        for night in 1..=10 {
            for turn in 0..2 {
                let now = night * DAY + turn;
                let next = planner.next(now, DAY / 2, idle).unwrap();
                *count.entry(next).or_insert(0) += 1;
                planner.done(&next, now);
            }
        }
        assert!(names.iter().all(|name| count[name] == 4), "{count:?}");
    }

    #[test]
    fn busy_ones_and_those_that_failed_let_others_pass_and_keep_their_turn() {
        let mut planner = planner(&[("a", Some(1)), ("b", Some(2)), ("c", Some(3))]);
        assert_eq!(planner.next(DAY * 2, DAY, |name| *name == "a"), Some("b"));
        planner.put_off(&"a", DAY * 2 + 600);
        assert_eq!(planner.next(DAY * 2, DAY, idle), Some("b"));
        planner.done(&"b", DAY * 2);
        planner.done(&"c", DAY * 2);
        assert_eq!(planner.next(DAY * 2 + 599, DAY, idle), None);
        assert_eq!(planner.next_time(DAY), Some(DAY * 2 + 600));
        assert_eq!(planner.next(DAY * 2 + 600, DAY, idle), Some("a"));
    }

    #[test]
    fn repositories_come_and_go_and_what_was_done_is_remembered() {
        let mut planner = planner(&[("a", Some(DAY)), ("b", Some(DAY))]);
        planner.done(&"a", 5 * DAY);
        // The caller's memory is older than ours.
        planner.set([("a", Some(DAY)), ("c", Some(4 * DAY))]);
        assert_eq!(planner.next(5 * DAY, 0, idle), Some("c"));
        planner.done(&"b", 6 * DAY);
        assert_eq!(planner.next(6 * DAY, 2 * DAY, idle), Some("c"));
        planner.set([]);
        assert_eq!((planner.next(9 * DAY, 0, idle), planner.next_time(0)), (None, None));
    }

    #[test]
    fn one_that_is_new_waits_for_nothing() {
        let planner = planner(&[("a", None), ("b", Some(DAY))]);
        assert_eq!(planner.next_time(DAY), Some(i64::MIN));
        assert_eq!(planner.next(0, DAY, idle), Some("a"));
    }

    #[test]
    fn a_time_in_the_future_does_not_come_before_one_in_the_past() {
        // As a clock that was set back leaves it.
        let planner = planner(&[("a", Some(100 * DAY)), ("b", Some(DAY))]);
        assert_eq!(planner.next(2 * DAY, DAY, idle), Some("b"));
    }
}
