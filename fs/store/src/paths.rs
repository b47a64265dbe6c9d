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

use crate::{Error, FolderId, LineId, Repository, Result, Snapshot, SnapshotId};

/// Paths that are remembered; then all are forgotten.
const REMEMBERED: usize = 1 << 16;

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

/// Finds the paths of folders; bounded memory.
pub(crate) struct Paths<'a> {
    repository: &'a Repository,
    known: HashMap<FolderId, Vec<Place>>,
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
                break (Arc::default(), SnapshotId(i64::MIN), SnapshotId(i64::MAX));
            }
            if let Some(place) = self.known(at, snapshot) {
                break (place.path.clone(), place.first, place.last);
            }
            let Some(entry) = self.repository.folder(snapshot, at)? else {
                return Ok(None);
            };
            at = entry.folder;
            way.push(entry);
            if way.len() > DEEPEST {
                return Err(Error::Damaged(format!("catalog: folder {folder} lies in itself")));
            }
        };
        // … and down again.
        for entry in way.into_iter().rev() {
            if entry.folder != ABOVE_ROOT {
                path = Arc::new([path.as_slice(), b"/", &entry.name].concat());
            }
            (first, last) = (first.max(entry.first), last.min(entry.last));
            if let Some(child) = entry.child {
                self.remember(
                    child,
                    Place {
                        path: path.clone(),
                        first,
                        last,
                    },
                );
            }
        }
        Ok(Some(path))
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
        self.remembered += 1;
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
