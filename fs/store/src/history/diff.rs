//! What differs between two snapshots.

use std::collections::HashSet;
use std::ops::ControlFlow;
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

/// A path that is still to be compared.
struct Pair {
    path: Vec<u8>,
    a: Option<Entry>,
    b: Option<Entry>,
}

impl Repository {
    /// Tells what differs from snapshot `a` to snapshot `b`, depth first, a folder before what is
    /// in it, names in bytewise order. What changes its kind is removed and added; a folder that
    /// was moved is removed in one place and added in another, with everything in it.
    ///
    /// Along a line this looks only into folders with a changed row below them.
    pub fn diff(&self, a: &Snapshot, b: &Snapshot, change: &mut TellChange<'_>) -> Result<()> {
        let touched = (a.line == b.line).then(|| self.touched(a.id, b.id)).transpose()?;
        let mut stack = vec![Pair {
            path: Vec::new(),
            a: Some(self.root(a.id)?),
            b: Some(self.root(b.id)?),
        }];
        // A stack of its own: trees may be deeper than a thread's.
        while let Some(pair) = stack.pop() {
            let path: &[u8] = if pair.path.is_empty() { b"/" } else { &pair.path };
            let mut told = ControlFlow::Continue(());
            if let (Some(old), Some(new)) = (&pair.a, &pair.b) {
                if old.meta.kind != new.meta.kind {
                    let Pair { path, a, b } = pair;
                    stack.push(Pair {
                        path: path.clone(),
                        a: None,
                        b,
                    });
                    stack.push(Pair { path, a, b: None });
                    continue;
                }
                if let Some(how) = self.compare(old, new)? {
                    told = change(path, how);
                }
            } else if let Some(old) = &pair.a {
                told = change(path, Change::Removed(old.clone()));
            } else if let Some(new) = &pair.b {
                told = change(path, Change::Added(new.clone()));
            }
            if told.is_break() {
                return Ok(());
            }
            let (old, new) = (child(&pair.a), child(&pair.b));
            let same = old == new
                && touched
                    .as_ref()
                    .zip(old)
                    .is_some_and(|(touched, folder)| !touched.contains(&folder));
            if !same {
                let old = old.map_or(Ok(Arc::default()), |folder| self.list(a.id, folder))?;
                let new = new.map_or(Ok(Arc::default()), |folder| self.list(b.id, folder))?;
                push_children(&mut stack, &pair.path, &old, &new);
            }
        }
        Ok(())
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

/// Puts the names of two listings on the stack, the first name on top. Unchanged rows that
/// cannot have anything below them are left out.
fn push_children(stack: &mut Vec<Pair>, path: &[u8], old: &Listing, new: &Listing) {
    let bottom = stack.len();
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let (a, b) = match (old.peek(), new.peek()) {
            (None, None) => break,
            (Some(a), Some(b)) if a.name == b.name => (old.next(), new.next()),
            (Some(a), Some(b)) if a.name < b.name => (old.next(), None),
            (Some(_), None) => (old.next(), None),
            _ => (None, new.next()),
        };
        let unchanged = a.zip(b).is_some_and(|(a, b)| a.id == b.id && a.child.is_none());
        if let (false, Some(entry)) = (unchanged, a.or(b)) {
            let path = [path, b"/", &entry.name].concat();
            stack.push(Pair {
                path,
                a: a.cloned(),
                b: b.cloned(),
            });
        }
    }
    stack[bottom..].reverse();
}
