//! The list of snapshots: the one thing in a mount that changes.
//!
//! Freshness comes from two sides. Whoever asks about the root gets a list that
//! is checked against the catalog first, so a new snapshot is in the next `ls`.
//! And a thread looks twice a second for what changed and takes back what the
//! kernel remembers of it, which a request's own thread must not do: the kernel
//! holds the root's lock while it waits for that request, and would wait for
//! the lock to invalidate.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fuser::{INodeNo, Notifier};
use yore_store::{History, Result, Snapshot, SnapshotId};

use crate::lock;

/// The name of the symlink to the newest snapshot.
pub(crate) const LATEST: &str = "latest";

/// How long an answer from another machine is good for: each costs a round trip,
/// and a path through the root asks for every one of its names.
const PATIENCE: Duration = Duration::from_millis(200);

/// The snapshots as of one moment.
#[derive(Default)]
pub(crate) struct Snapshots {
    by_id: Vec<Snapshot>,
    latest: Option<SnapshotId>,
}

impl Snapshots {
    /// From the store's list, oldest first.
    fn new(mut snapshots: Vec<Snapshot>) -> Self {
        let latest = snapshots.last().map(|snapshot| snapshot.id);
        snapshots.sort_by_key(|snapshot| snapshot.id);
        Snapshots {
            by_id: snapshots,
            latest,
        }
    }

    /// The snapshot with this id.
    pub(crate) fn by_id(&self, id: SnapshotId) -> Option<&Snapshot> {
        self.by_id
            .binary_search_by_key(&id, |snapshot| snapshot.id)
            .ok()
            .map(|index| &self.by_id[index])
    }

    /// The snapshot with this name.
    pub(crate) fn by_name(&self, name: &[u8]) -> Option<&Snapshot> {
        self.by_id.iter().find(|snapshot| snapshot.name.as_bytes() == name)
    }

    /// The newest snapshot.
    pub(crate) fn latest(&self) -> Option<&Snapshot> {
        self.by_id(self.latest?)
    }

    /// The snapshots with a greater id than this, in the order of their ids.
    pub(crate) fn after(&self, id: SnapshotId) -> &[Snapshot] {
        &self.by_id[self.by_id.partition_point(|snapshot| snapshot.id <= id)..]
    }

    /// The newest snapshot among those that an entry lived in.
    pub(crate) fn newest_within(&self, first: SnapshotId, last: SnapshotId) -> Option<&Snapshot> {
        self.by_id
            .iter()
            .rev()
            .find(|snapshot| (first..=last).contains(&snapshot.id))
    }

    /// The names in the root that mean something else now than they did in `self`.
    fn changes_to<'a>(&'a self, now: &'a Snapshots) -> BTreeSet<&'a str> {
        let gone = self
            .by_id
            .iter()
            .filter(|was| now.by_id(was.id).is_none_or(|is| is.name != was.name));
        let new = now
            .by_id
            .iter()
            .filter(|is| self.by_id(is.id).is_none_or(|was| is.name != was.name));
        let latest = (self.latest != now.latest).then_some(LATEST);
        gone.chain(new)
            .map(|snapshot| snapshot.name.as_str())
            .chain(latest)
            .collect()
    }
}

/// The list of snapshots, kept in step with the catalog.
///
/// No lock is held while the repository is asked: it may be at the other end of a
/// connection, and what is below a snapshot needs the list too.
pub(crate) struct Live {
    repository: Arc<dyn History>,
    /// For how long an answer is taken for the present one.
    patience: Duration,
    questions: AtomicU64,
    state: Mutex<State>,
}

struct State {
    /// The number of the question that this answers; questions may overtake each other.
    question: u64,
    /// When it was asked.
    asked: Instant,
    /// The catalog's data version from before the list was read: if somebody
    /// commits in between, we read once too often, never once too seldom.
    version: i64,
    snapshots: Arc<Snapshots>,
    /// The names that changed since the kernel was told last, those too that came
    /// and went: somebody may have looked in between.
    changed: BTreeSet<String>,
}

impl Live {
    /// Reads the list for the first time.
    pub(crate) fn new(repository: Arc<dyn History>) -> Result<Self> {
        let asked = Instant::now();
        let version = repository.version()?;
        let snapshots = Arc::new(Snapshots::new(repository.snapshots()?));
        let is_here = repository.folder_here().is_some();
        Ok(Live {
            repository,
            patience: if is_here { Duration::ZERO } else { PATIENCE },
            questions: AtomicU64::new(1),
            state: Mutex::new(State {
                question: 0,
                asked,
                version,
                snapshots,
                changed: BTreeSet::new(),
            }),
        })
    }

    /// The list as it is in the catalog at this moment; of a repository on another
    /// machine, as it was a moment ago.
    pub(crate) fn current(&self) -> Result<Arc<Snapshots>> {
        {
            let state = lock(&self.state);
            if state.asked.elapsed() < self.patience {
                return Ok(state.snapshots.clone());
            }
        }
        self.ask()
    }

    /// The snapshot with this id. One that we gave out a node for was in the list
    /// once, so whoever misses it had better ask again.
    pub(crate) fn snapshot(&self, id: SnapshotId) -> Result<Option<Snapshot>> {
        if let Some(known) = self.known().by_id(id) {
            return Ok(Some(known.clone()));
        }
        Ok(self.ask()?.by_id(id).cloned())
    }

    /// The list as it was last read.
    pub(crate) fn known(&self) -> Arc<Snapshots> {
        lock(&self.state).snapshots.clone()
    }

    /// Tells the kernel what changed in the folder of the snapshots, `root`, since
    /// it was told last. The list is never locked while the kernel is told: that
    /// may wait for a request which waits for the list.
    pub(crate) fn tell(&self, kernel: &Notifier, root: INodeNo) {
        // A catalog that cannot be read is reported by whoever asks for a file.
        if self.current().is_err() {
            return;
        }
        let changed = std::mem::take(&mut lock(&self.state).changed);
        for name in &changed {
            // It fails where nothing was remembered, or with the mount gone.
            let _ = kernel.inval_entry(root, OsStr::new(name));
        }
        if !changed.is_empty() {
            let _ = kernel.inval_inode(root, 0, 0);
        }
    }

    fn ask(&self) -> Result<Arc<Snapshots>> {
        let question = self.questions.fetch_add(1, Ordering::Relaxed);
        let asked = Instant::now();
        let version = self.repository.version()?;
        {
            let mut state = lock(&self.state);
            if state.version == version {
                state.asked = state.asked.max(asked);
                return Ok(state.snapshots.clone());
            }
        }
        let snapshots = Arc::new(Snapshots::new(self.repository.snapshots()?));
        let mut state = lock(&self.state);
        // An answer to a later question is as good for us. Were ours put in its
        // place, the list could go back to what it was.
        if state.question < question {
            let changes = state.snapshots.changes_to(&snapshots);
            let changes: Vec<String> = changes.into_iter().map(String::from).collect();
            state.changed.extend(changes);
            state.question = question;
            state.asked = asked;
            state.version = version;
            state.snapshots = snapshots;
        }
        Ok(state.snapshots.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Counted, snapshot};

    fn snapshots(list: &[(i64, &str)]) -> Snapshots {
        Snapshots::new(list.iter().map(|(id, name)| snapshot(*id, name)).collect())
    }

    fn changes(from: &[(i64, &str)], to: &[(i64, &str)]) -> Vec<String> {
        snapshots(from)
            .changes_to(&snapshots(to))
            .into_iter()
            .map(String::from)
            .collect()
    }

    #[test]
    fn only_what_changed_is_taken_back() {
        assert_eq!(changes(&[(1, "a"), (2, "b")], &[(1, "a"), (2, "b")]), [""; 0]);
        assert_eq!(changes(&[(1, "a")], &[(1, "a"), (2, "b")]), ["b", "latest"]);
        assert_eq!(changes(&[(1, "a"), (2, "b")], &[(2, "b")]), ["a"]);
        assert_eq!(changes(&[(1, "a"), (2, "b")], &[(1, "a")]), ["b", "latest"]);
        assert_eq!(changes(&[], &[(1, "a")]), ["a", "latest"]);
    }

    #[test]
    fn a_name_used_again_is_another_snapshot() {
        assert_eq!(changes(&[(1, "a"), (5, "z")], &[(4, "a"), (5, "z")]), ["a"]);
        assert_eq!(changes(&[(1, "a")], &[(1, "renamed")]), ["a", "renamed"]);
    }

    #[test]
    fn snapshots_are_found_in_the_order_of_their_ids() {
        // The newest by time is not always the last that was pushed.
        let list = snapshots(&[(7, "old import"), (3, "b"), (5, "newest")]);
        assert_eq!(list.latest().unwrap().name, "newest");
        assert_eq!(list.by_id(SnapshotId(3)).unwrap().name, "b");
        assert_eq!(list.by_name(b"b").unwrap().id, SnapshotId(3));
        assert!(list.by_id(SnapshotId(4)).is_none());
        let after = |id| {
            list.after(SnapshotId(id))
                .iter()
                .map(|snapshot| snapshot.id.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (after(-1), after(3), after(4), after(7)),
            (vec![3, 5, 7], vec![5, 7], vec![5, 7], vec![])
        );
        assert_eq!(
            list.newest_within(SnapshotId(1), SnapshotId(6)).unwrap().id,
            SnapshotId(5)
        );
    }

    fn count(live: &Live) -> usize {
        live.current().unwrap().after(SnapshotId(-1)).len()
    }

    #[test]
    fn a_repository_far_away_is_not_asked_for_each_name() {
        for (is_here, expected) in [(true, 11), (false, 1)] {
            let repository = Arc::new(Counted::new(is_here));
            let live = Live::new(repository.clone()).unwrap();
            for _ in 0..10 {
                // As if no time passed between them.
                lock(&live.state).asked = Instant::now();
                live.current().unwrap();
            }
            assert_eq!(repository.asked.load(Ordering::Relaxed), expected);
            repository.version.store(2, Ordering::Relaxed);
            lock(&live.state).asked -= PATIENCE;
            assert_eq!(count(&live), 2, "and it is asked later");
        }
    }

    #[test]
    fn who_misses_a_snapshot_asks_again() {
        let repository = Arc::new(Counted::new(false));
        let live = Live::new(repository.clone()).unwrap();
        repository.version.store(2, Ordering::Relaxed);
        assert!(live.snapshot(SnapshotId(2)).unwrap().is_some());
        assert!(live.snapshot(SnapshotId(3)).unwrap().is_none());
    }

    #[test]
    fn a_slow_answer_does_not_take_the_place_of_a_later_one() {
        let live: Arc<std::sync::OnceLock<Live>> = Arc::default();
        let repository = Arc::new_cyclic(|own: &std::sync::Weak<Counted>| {
            let (live, own) = (live.clone(), own.clone());
            let first = AtomicU64::new(0);
            // The second time: while an answer is on its way, another snapshot is made,
            // and somebody else asks. He would wait for ever if the list were locked.
            let meanwhile = move || {
                if first.fetch_add(1, Ordering::Relaxed) == 1 {
                    own.upgrade().unwrap().version.store(3, Ordering::Relaxed);
                    assert_eq!(count(live.get().unwrap()), 3);
                }
            };
            Counted {
                meanwhile: Box::new(meanwhile),
                ..Counted::new(true)
            }
        });
        let live = live.get_or_init(|| Live::new(repository.clone()).unwrap());
        repository.version.store(2, Ordering::Relaxed);
        assert_eq!(count(live), 3, "the later answer");
        assert_eq!(live.known().after(SnapshotId(-1)).len(), 3);
        let changed = lock(&live.state).changed.clone();
        assert_eq!(Vec::from_iter(changed), ["2", "3", "latest"]);
    }

    #[test]
    fn what_came_and_went_unseen_is_taken_back_too() {
        let repository = Arc::new(Counted::new(true));
        let live = Live::new(repository.clone()).unwrap();
        for version in [2, 1] {
            repository.version.store(version, Ordering::Relaxed);
            assert_eq!(count(&live), version as usize);
        }
        assert!(lock(&live.state).changed.contains("2"));
    }
}
