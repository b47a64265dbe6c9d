//! What differs between two snapshots.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use crate::catalog::{Entry, Snapshot};
use crate::history::TellChange;
use crate::paths::ABOVE_ROOT;
use crate::tree::Listing;
use crate::{ContentId, FolderId, Kind, Repository, Result, SnapshotId};

/// How a path differs: from the first snapshot to the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    Added(Entry),
    /// It is no more.
    Removed(Entry),
    /// Other bytes, another link text or another device number.
    Modified(Entry, Entry),
    /// The same bytes with other metadata.
    Meta(Entry, Entry),
}

/// A name that is in one of two folders, or in both with the same kind.
struct Pair {
    a: Option<Entry>,
    b: Option<Entry>,
}

impl Pair {
    /// How its row is another one.
    fn row(&self) -> Option<Change> {
        match (self.a.clone(), self.b.clone()) {
            (Some(old), Some(new)) => (old.id != new.id).then_some(Change::Modified(old, new)),
            (Some(old), None) => Some(Change::Removed(old)),
            (None, new) => new.map(Change::Added),
        }
    }
}

/// Two folders, or one and nothing, whose names are being gone through.
struct Level {
    /// Bytes of their path.
    path: usize,
    a: Arc<Listing>,
    b: Arc<Listing>,
    /// Where in each.
    at: (usize, usize),
}

impl Level {
    /// The next name of either. Unchanged rows that cannot have anything below them are left out.
    fn next(&mut self) -> Option<Pair> {
        loop {
            let (a, b) = (self.a.get(self.at.0), self.b.get(self.at.1));
            let order = match (a, b) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                // What changes its kind is gone first, and then something else.
                (Some(a), Some(b)) if a.name == b.name && a.meta.kind != b.meta.kind => Ordering::Less,
                (Some(a), Some(b)) => a.name.cmp(&b.name),
            };
            let (a, b) = (a.filter(|_| order.is_le()), b.filter(|_| order.is_ge()));
            self.at.0 += usize::from(a.is_some());
            self.at.1 += usize::from(b.is_some());
            let unchanged = a.zip(b).is_some_and(|(a, b)| a.id == b.id && a.child.is_none());
            if !unchanged {
                let (a, b) = (a.cloned(), b.cloned());
                return Some(Pair { a, b });
            }
        }
    }
}

/// A walk through two snapshots. Not by recursion: trees may be deeper than a thread's stack.
struct Walk<'a> {
    repository: &'a Repository,
    snapshots: (SnapshotId, SnapshotId),
    /// Folders with something changed below them, where that is known.
    touched: Option<HashSet<FolderId>>,
    /// Of the pair told last: the only path that is held, however many names there are below it.
    path: Vec<u8>,
    levels: Vec<Level>,
}

impl Walk<'_> {
    /// Goes into the folders of a pair, the one told last.
    fn enter(&mut self, pair: &Pair) -> Result<()> {
        let (a, b) = (child(&pair.a), child(&pair.b));
        let touched = |folder| self.touched.as_ref().is_none_or(|touched| touched.contains(&folder));
        if a == b && !a.is_some_and(touched) {
            return Ok(());
        }
        let list = |snapshot, folder: Option<FolderId>| match folder {
            Some(folder) => self.repository.list(snapshot, folder),
            None => Ok(Arc::default()),
        };
        let level = Level {
            path: self.path.len(),
            a: list(self.snapshots.0, a)?,
            b: list(self.snapshots.1, b)?,
            at: (0, 0),
        };
        self.levels.push(level);
        Ok(())
    }

    /// The next pair, whose path is then [`path`](Self::path).
    fn next(&mut self) -> Option<Pair> {
        loop {
            let level = self.levels.last_mut()?;
            self.path.truncate(level.path);
            match level.next() {
                Some(pair) => {
                    let name = pair.a.as_ref().or(pair.b.as_ref()).map(|entry| &entry.name);
                    self.path.push(b'/');
                    self.path.extend(name.into_iter().flatten());
                    return Some(pair);
                }
                None => self.levels.pop(),
            };
        }
    }
}

impl Repository {
    /// Tells what differs from snapshot `a` to snapshot `b`, depth first, a folder before what is
    /// in it, names in bytewise order. What changes its kind is removed and added; a folder that
    /// was moved is removed in one place and added in another, with everything in it.
    ///
    /// Along a line this looks only into folders with a changed row below them.
    pub fn diff(&self, a: &Snapshot, b: &Snapshot, change: &mut TellChange<'_>) -> Result<()> {
        self.walk(a, b, &mut |pair| self.change_of(pair), change)
    }

    /// Tells which rows are others in snapshot `b` than in `a`, in the same order: beside what differs also names
    /// that only became others of the same file, or no longer are. That is what a copy has to tell: a hard-linked
    /// file is told by all of its names or none. There is no [`Change::Meta`] then.
    pub fn rows(&self, a: &Snapshot, b: &Snapshot, change: &mut TellChange<'_>) -> Result<()> {
        self.walk(a, b, &mut |pair| Ok(pair.row()), change)
    }

    fn walk(
        &self,
        a: &Snapshot,
        b: &Snapshot,
        how: &mut dyn FnMut(&Pair) -> Result<Option<Change>>,
        change: &mut TellChange<'_>,
    ) -> Result<()> {
        let touched = (a.line == b.line).then(|| self.touched(a.id, b.id)).transpose()?;
        let mut walk = Walk {
            repository: self,
            snapshots: (a.id, b.id),
            touched,
            path: Vec::new(),
            levels: Vec::new(),
        };
        let (a, b) = (self.root(a.id)?, self.root(b.id)?);
        let mut next = Some(Pair { a: Some(a), b: Some(b) });
        while let Some(pair) = next {
            let path: &[u8] = if walk.path.is_empty() { b"/" } else { &walk.path };
            let how = how(&pair)?;
            if how.is_some_and(|how| change(path, how).is_break()) {
                return Ok(());
            }
            walk.enter(&pair)?;
            next = walk.next();
        }
        Ok(())
    }

    fn change_of(&self, pair: &Pair) -> Result<Option<Change>> {
        Ok(match (&pair.a, &pair.b) {
            (Some(old), Some(new)) => self.compare(old, new)?,
            (Some(old), None) => Some(Change::Removed(old.clone())),
            (None, Some(new)) => Some(Change::Added(new.clone())),
            (None, None) => None,
        })
    }

    fn compare(&self, old: &Entry, new: &Entry) -> Result<Option<Change>> {
        if old.id == new.id {
            return Ok(None);
        }
        let same_bytes = old.size == new.size
            && old.meta.target == new.meta.target
            && old.meta.rdev == new.meta.rdev
            && self.same_content(old.content, new.content)?;
        Ok(match same_bytes {
            false => Some(Change::Modified(old.clone(), new.clone())),
            true if old.meta != new.meta => Some(Change::Meta(old.clone(), new.clone())),
            true => None,
        })
    }

    /// Two numbers may stand for the same bytes.
    fn same_content(&self, a: Option<ContentId>, b: Option<ContentId>) -> Result<bool> {
        let (Some(a), Some(b)) = (a, b) else { return Ok(a == b) };
        Ok(a == b || self.content_hash(a)? == self.content_hash(b)?)
    }

    /// The folders in which a row lives in one of two snapshots and not in the other, and all
    /// folders above those, in either snapshot.
    pub(super) fn touched(&self, a: SnapshotId, b: SnapshotId) -> Result<HashSet<FolderId>> {
        let (low, high) = (a.min(b), a.max(b));
        let changed: Vec<FolderId> = {
            let connection = self.connection()?;
            // The first half reads the index of all rows, which is less than listing a big tree.
            let mut statement = connection.prepare_cached(
                "SELECT folder FROM entries WHERE first > ?1 AND first <= ?2
                 UNION SELECT folder FROM entries WHERE last >= ?1 AND last < ?2",
            )?;
            statement
                .query_map((low, high), |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?
        };
        let mut touched = HashSet::new();
        for snapshot in [low, high] {
            // Of each snapshot its own: a folder seen in one may lie elsewhere in the other.
            let mut seen = HashSet::new();
            for &folder in &changed {
                let mut at = folder;
                while at != ABOVE_ROOT && seen.insert(at) {
                    let Some(entry) = self.folder(snapshot, at)? else { break };
                    at = entry.folder;
                }
            }
            touched.extend(seen);
        }
        Ok(touched)
    }
}

fn child(entry: &Option<Entry>) -> Option<FolderId> {
    entry
        .as_ref()
        .filter(|entry| entry.meta.kind == Kind::Folder)
        .and_then(|entry| entry.child)
}
