//! Questions across snapshots: the versions of a path, where names occur, what differs.
//!
//! All of them are answered from lifetimes: an entry says by itself in which snapshots it is,
//! so that work grows with what changed and not with the number of snapshots.

mod any;
mod diff;
mod find;
mod passages;
#[cfg(test)]
mod tests;

pub(crate) use any::find_snapshot;
pub use any::{History, OpenContent, Space, TellChange, TellFound, TellProgress, Wanted, go_on, space_of};
pub use diff::Change;
pub use find::Found;
pub use passages::{NextPassage, PIECE, Passage, TellPassage, read_passages};

use rusqlite::OptionalExtension;

use crate::catalog::{Content, Entry, Snapshot};
use crate::layout::FileKind;
use crate::paths::Timeline;
use crate::{ContentId, Error, FolderId, Repository, Result, SnapshotId};

/// One version of a path: the same entry in one or more snapshots that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The first snapshot that has it.
    pub snapshot: Snapshot,
    /// The name of the last snapshot that has it; `None` if that is the newest of its line.
    pub until: Option<String>,
    /// The path as it was.
    pub entry: Entry,
    /// How its bytes are kept.
    pub stored_as: StoredAs,
}

/// How the bytes of an entry are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredAs {
    /// As segments of its own.
    Whole,
    /// In a pack, whole, perhaps with others in a frame.
    Packed,
    /// As a reverse delta.
    Delta {
        /// Deltas below it until a whole content: 0 if its base is whole.
        base_depth: u64,
    },
    /// It has no bytes: no regular file, or an empty one.
    Nothing,
}

/// What was found at a path, and up to which snapshot that is known to hold.
struct Step {
    entry: Option<Entry>,
    until: SnapshotId,
}

impl Repository {
    /// The versions of an absolute path through all snapshots, oldest first. Different lines are
    /// different histories: a path that two hosts have shows up for each.
    ///
    /// A version ends where its metadata changes too, and where the path is absent meanwhile.
    pub fn versions(&self, path: &[u8]) -> Result<Vec<Version>> {
        let timeline = Timeline::new(self.snapshots()?);
        let mut versions = Vec::new();
        for line in timeline.lines() {
            self.versions_in(line, path, &mut versions)?;
        }
        versions.sort_by_key(|version| (version.snapshot.time, version.snapshot.id));
        Ok(versions)
    }

    fn versions_in(&self, line: &[Snapshot], path: &[u8], versions: &mut Vec<Version>) -> Result<()> {
        let mut index = 0;
        let mut open: Option<(usize, Entry)> = None;
        while index < line.len() {
            let step = self.step(&line[index], path)?;
            if step.entry.as_ref().map(|entry| entry.id) != open.as_ref().map(|(_, entry)| entry.id) {
                if let Some((from, entry)) = open.take() {
                    versions.push(self.version(line, from..index, entry)?);
                }
                open = step.entry.map(|entry| (index, entry));
            }
            // A row holds for its life: nothing has to be looked up again before that ends.
            index = line
                .partition_point(|snapshot| snapshot.id <= step.until)
                .max(index + 1);
        }
        if let Some((from, entry)) = open {
            versions.push(self.version(line, from..line.len(), entry)?);
        }
        Ok(())
    }

    fn version(&self, line: &[Snapshot], range: std::ops::Range<usize>, entry: Entry) -> Result<Version> {
        let until = (range.end < line.len()).then(|| line[range.end - 1].name.clone());
        let stored_as = entry
            .content
            .map_or(Ok(StoredAs::Nothing), |content| self.stored_as(content))?;
        Ok(Version {
            snapshot: line[range.start].clone(),
            until,
            entry,
            stored_as,
        })
    }

    /// Walks a path at one snapshot.
    fn step(&self, snapshot: &Snapshot, path: &[u8]) -> Result<Step> {
        let mut entry = self.root(snapshot.id)?;
        let mut until = entry.last;
        for name in path
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty() && *name != b".")
        {
            let Some(folder) = entry.child else {
                return Ok(Step { entry: None, until });
            };
            let condition = "e.folder = ?1 AND e.name = ?2 AND e.first <= ?3 AND e.last >= ?3";
            match self.entries(condition, (folder, name, snapshot.id))?.pop() {
                Some(found) => entry = found,
                None => {
                    let until = until.min(self.absent_until(folder, name, snapshot.id)?);
                    return Ok(Step { entry: None, until });
                }
            }
            until = until.min(entry.last);
        }
        Ok(Step {
            entry: Some(entry),
            until,
        })
    }

    /// The last number before a name that a folder does not have at a snapshot comes into it.
    fn absent_until(&self, folder: FolderId, name: &[u8], snapshot: SnapshotId) -> Result<SnapshotId> {
        let next: Option<i64> = self
            .connection()?
            .prepare_cached("SELECT min(first) FROM entries WHERE folder = ?1 AND name = ?2 AND first > ?3")?
            .query_row((folder, name, snapshot), |row| row.get(0))?;
        Ok(SnapshotId(next.map_or(i64::MAX, |next| next - 1)))
    }

    fn stored_as(&self, id: ContentId) -> Result<StoredAs> {
        let mut connection = self.connection()?;
        let catalog = connection.transaction()?;
        let get = |id| Content::get(&catalog, id)?.ok_or_else(|| Error::Damaged(format!("catalog: no content {id}")));
        let content = get(id)?;
        if content.base.is_some() {
            let mut seen = std::collections::HashSet::from([id]);
            let mut below = content.base;
            while let Some(base) = below {
                if !seen.insert(base) {
                    return Err(Error::Damaged(format!("catalog: the chain of content {id} has no end")));
                }
                below = get(base)?.base;
            }
            return Ok(StoredAs::Delta {
                base_depth: seen.len() as u64 - 2,
            });
        }
        let kind: Option<i64> = catalog
            .prepare_cached("SELECT f.kind FROM runs r JOIN files f ON f.id = r.file WHERE r.id = ?1")?
            .query_row([content.run], |row| row.get(0))
            .optional()?;
        match kind.and_then(FileKind::from_code) {
            Some(FileKind::Head) | None => Ok(StoredAs::Whole),
            Some(_) => Ok(StoredAs::Packed),
        }
    }
}
