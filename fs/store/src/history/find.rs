//! Finding names in all snapshots at once.

use crate::catalog::Entry;
use crate::history::TellFound;
use crate::paths::{Paths, Timeline};
use crate::{EntryId, FolderId, LineId, Repository, Result, SnapshotId};

/// Rows looked at in one transaction.
const BATCH: usize = 4096;

/// An entry that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its absolute path in the first snapshot that has it. A folder above it may have been
    /// renamed since.
    pub path: Vec<u8>,
    /// The entry.
    pub entry: Entry,
    /// The name of the first snapshot that has it, of those that are kept.
    pub first: String,
    /// The name of the last one.
    pub last: String,
}

/// As much of a row as is needed to know whether it is looked for.
struct Candidate {
    id: EntryId,
    folder: FolderId,
    name: Vec<u8>,
    first: SnapshotId,
    last: SnapshotId,
    line: Option<LineId>,
}

impl Repository {
    /// Tells every entry of every snapshot whose name and absolute path fit, once each, in the
    /// order in which they came into the repository, until `found` breaks off. The name of `/` is empty.
    ///
    /// Reads every row once, however many snapshots there are, and holds no transaction while
    /// `matches` and `found` run.
    pub fn find(&self, matches: &dyn Fn(&[u8], &[u8]) -> bool, found: &mut TellFound<'_>) -> Result<()> {
        let timeline = Timeline::new(self.snapshots()?);
        let mut paths = Paths::new(self);
        let mut after = EntryId(i64::MIN);
        loop {
            let batch = self.candidates(after)?;
            for row in &batch {
                after = row.id;
                let Some(line) = row.line else { continue };
                let [first, ..] = timeline.reached(line, row.first, row.last) else {
                    continue;
                };
                let Some(path) = paths.of(row.folder, &row.name, first.id)? else {
                    continue;
                };
                if !matches(&row.name, &path) {
                    continue;
                }
                // Read again with its check. It may be gone by now, if its snapshots are forgotten.
                let Some(entry) = self.entry(row.id)? else { continue };
                let reached = timeline.reached(line, entry.first, row.last);
                let (Some(first), Some(last)) = (reached.first(), reached.last()) else {
                    continue;
                };
                let one = Found {
                    path,
                    entry,
                    first: first.name.clone(),
                    last: last.name.clone(),
                };
                if found(one).is_break() {
                    return Ok(());
                }
            }
            if batch.len() < BATCH {
                return Ok(());
            }
        }
    }

    fn candidates(&self, after: EntryId) -> Result<Vec<Candidate>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT e.id, e.folder, e.name, e.first, e.last, f.line FROM entries e
             LEFT JOIN folders f ON f.id = CASE e.folder WHEN 0 THEN e.child ELSE e.folder END
             WHERE e.id > ?1 ORDER BY e.id LIMIT ?2",
        )?;
        let rows = statement.query_map((after, BATCH as i64), |row| {
            Ok(Candidate {
                id: row.get(0)?,
                folder: row.get(1)?,
                name: row.get(2)?,
                first: row.get(3)?,
                last: row.get(4)?,
                line: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
