//! From rows back to paths, and from lifetimes to the snapshots that are kept.
//!
//! A row knows its folder, and a folder is known by the row whose `child` it is; so a path is
//! found by walking up, at a snapshot, because a folder may have had several places:
//!
//! ```text
//! entry ──folder──▶ row with child = folder ──folder──▶ … ──▶ row of `/`, whose folder is 0
//! ```
//!
//! What was found holds for as long as all rows on the way live, and is remembered with that.

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalog::Entry;
use crate::{Error, FolderId, LineId, Repository, Result, Snapshot, SnapshotId};

/// Bytes of paths that are remembered, about; then all are forgotten.
const REMEMBERED: usize = 16 << 20;

/// Bytes of a path that is not unusually long.
const USUAL: usize = 4 << 10;

/// Folders on the way up after which the catalog must be going in circles.
const DEEPEST: usize = 1 << 16;

/// The folder that the row of `/` lies in.
pub(crate) const ABOVE_ROOT: FolderId = FolderId(0);

/// A path that a folder had from one snapshot to another.
struct Place {
    /// Absolute, without a slash at its end: `/` is empty.
    path: Arc<Vec<u8>>,
    first: SnapshotId,
    last: SnapshotId,
}

impl Place {
    /// About what it takes in memory, in bytes.
    fn memory(&self) -> usize {
        self.path.len() + 128
    }
}

/// What a path needs of a folder on the way up. Not its attributes: there may be many folders.
struct Step {
    name: Vec<u8>,
    parent: FolderId,
    child: Option<FolderId>,
    first: SnapshotId,
    last: SnapshotId,
}

impl From<Entry> for Step {
    fn from(entry: Entry) -> Self {
        Step {
            name: entry.name,
            parent: entry.folder,
            child: entry.child,
            first: entry.first,
            last: entry.last,
        }
    }
}

/// Finds the paths of folders; bounded memory.
pub(crate) struct Paths<'a> {
    repository: &'a Repository,
    known: HashMap<FolderId, Vec<Place>>,
    /// What they take in memory, in bytes.
    remembered: usize,
}

impl<'a> Paths<'a> {
    pub fn new(repository: &'a Repository) -> Self {
        Paths {
            repository,
            known: HashMap::new(),
            remembered: 0,
        }
    }

    /// The absolute path of a name in a folder at a snapshot; `None` if the folder was not there.
    pub fn of(&mut self, folder: FolderId, name: &[u8], snapshot: SnapshotId) -> Result<Option<Vec<u8>>> {
        if folder == ABOVE_ROOT {
            return Ok(Some(b"/".to_vec()));
        }
        let parent = self.folder(folder, snapshot)?;
        Ok(parent.map(|parent| [parent.as_slice(), b"/", name].concat()))
    }

    /// The path of a folder, without a slash at its end.
    fn folder(&mut self, folder: FolderId, snapshot: SnapshotId) -> Result<Option<Arc<Vec<u8>>>> {
        // Up to the root, or to a folder that is known …
        let mut way = Vec::new();
        let mut at = folder;
        let (mut path, mut first, mut last) = loop {
            if at == ABOVE_ROOT {
                break (Vec::new(), SnapshotId(i64::MIN), SnapshotId(i64::MAX));
            }
            if let Some(place) = self.known(at, snapshot) {
                if at == folder {
                    return Ok(Some(place.path.clone()));
                }
                break (place.path.to_vec(), place.first, place.last);
            }
            let Some(entry) = self.repository.folder(snapshot, at)? else {
                return Ok(None);
            };
            at = entry.folder;
            way.push(Step::from(entry));
            if way.len() > DEEPEST {
                return Err(Error::Damaged(format!("catalog: folder {folder} lies in itself")));
            }
        };
        // … and down again.
        for step in way.into_iter().rev() {
            if step.parent != ABOVE_ROOT {
                path.push(b'/');
                path.extend(step.name);
            }
            (first, last) = (first.max(step.first), last.min(step.last));
            let Some(child) = step.child else { continue };
            // Of a long way down only its end is asked for again soon.
            if path.len() <= USUAL || child == folder {
                let path = Arc::new(path.clone());
                self.remember(child, Place { path, first, last });
            }
        }
        Ok(Some(Arc::new(path)))
    }

    fn known(&self, folder: FolderId, snapshot: SnapshotId) -> Option<&Place> {
        self.known
            .get(&folder)?
            .iter()
            .find(|place| place.first <= snapshot && snapshot <= place.last)
    }

    fn remember(&mut self, folder: FolderId, place: Place) {
        if self.remembered >= REMEMBERED {
            self.known.clear();
            self.remembered = 0;
        }
        self.remembered += place.memory();
        self.known.entry(folder).or_default().push(place);
    }
}

/// The kept snapshots of every line, oldest first.
pub(crate) struct Timeline(HashMap<LineId, Vec<Snapshot>>);

impl Timeline {
    pub fn new(snapshots: Vec<Snapshot>) -> Self {
        let mut lines: HashMap<LineId, Vec<Snapshot>> = HashMap::new();
        for snapshot in snapshots {
            lines.entry(snapshot.line).or_default().push(snapshot);
        }
        // Along a line, numbers are the order; times may be equal.
        lines
            .values_mut()
            .for_each(|line| line.sort_by_key(|snapshot| snapshot.id));
        Timeline(lines)
    }

    /// The lines.
    pub fn lines(&self) -> impl Iterator<Item = &[Snapshot]> {
        self.0.values().map(Vec::as_slice)
    }

    /// The snapshots of one line.
    pub fn line(&self, line: LineId) -> &[Snapshot] {
        self.0.get(&line).map_or(&[], Vec::as_slice)
    }

    /// Where among [`line`](Self::line) those lie that a lifetime reaches. Nothing for rows of a
    /// push that is still running (they begin after every snapshot), and for rows whose
    /// snapshots were all forgotten.
    pub fn reach(&self, line: LineId, first: SnapshotId, last: SnapshotId) -> std::ops::Range<usize> {
        let snapshots = self.line(line);
        let from = snapshots.partition_point(|snapshot| snapshot.id < first);
        let to = snapshots.partition_point(|snapshot| snapshot.id <= last);
        from..to.max(from)
    }

    /// Those snapshots.
    pub fn reached(&self, line: LineId, first: SnapshotId, last: SnapshotId) -> &[Snapshot] {
        &self.line(line)[self.reach(line, first, last)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, file, folder};
    use crate::tree::LONGEST_PATH;

    #[test]
    fn paths_of_deep_folders_are_found_in_bounded_memory() {
        let bench = Bench::new();
        let name = "x".repeat(255);
        let depth = LONGEST_PATH / 256 - 1;
        // All on the way to each of them would take 8 MiB to remember.
        let chains = ["a", "b", "c", "d"];
        let snapshot = bench.push("host", |push| {
            for chain in chains {
                folder(push, chain, 0o755);
                (0..depth).for_each(|_| folder(push, &name, 0o755));
                file(push, "file", b"1");
                (0..=depth).for_each(|_| push.leave().unwrap());
            }
        });
        let mut paths = Paths::new(&bench.repository);
        for chain in chains.into_iter().chain(chains) {
            let path = format!("/{chain}{}", format!("/{name}").repeat(depth));
            let deepest = bench.repository.lookup(&snapshot, path.as_bytes()).unwrap();
            let found = paths.of(deepest.child.unwrap(), b"file", snapshot.id).unwrap();
            assert!(found == Some(format!("{path}/file").into_bytes()), "{chain}");
            let kept = paths.known.values().flatten().map(Place::memory).sum::<usize>();
            assert_eq!(kept, paths.remembered);
            assert!(kept <= REMEMBERED + LONGEST_PATH + 128, "{kept}");
        }
    }
}
