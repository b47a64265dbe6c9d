//! Forgetting snapshots.
//!
//! An entry lives from a first snapshot to a last; it goes when no snapshot that is kept falls
//! between them. With P kept, then some forgotten, then N kept, those are the entries that
//! began after P and ended before N:
//!
//! ```text
//!        P     ×     ×     N
//!  ──────┼─────┼─────┼─────┼──▶
//!        ├───────┤                stays: P has it
//!              ├─────┤            goes
//!                    ├────────    stays: N has it
//! ```
//!
//! When the newest of a line goes, what P had lives again.

use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};

use crate::catalog::ALIVE;
use crate::lock::Lock;
use crate::{ContentId, Error, LineId, Repository, Result, SnapshotId, lock};

/// What forgetting did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Snapshots that are gone.
    pub snapshots: u64,
    /// Entries that are gone.
    pub entries: u64,
    /// Contents that are gone.
    pub contents: u64,
    /// How many bytes fewer the repository's files have; negative if making contents whole
    /// took more than what went.
    pub bytes: i64,
}

/// A stretch of forgotten snapshots along a line.
struct Gap {
    line: LineId,
    /// The kept one before it, 0 if there is none.
    before: i64,
    /// The kept one after it.
    after: Option<i64>,
    /// The last that is forgotten.
    last: i64,
}

impl Repository {
    /// Forgets snapshots, from anywhere in their lines; then collects and repacks.
    ///
    /// # Errors
    /// [`Error::Busy`] if the newest of a line is to go while a push of that line is running.
    pub fn forget(self: &Arc<Self>, snapshots: &[SnapshotId]) -> Result<Forgotten> {
        self.writable()?;
        crate::ballast::with_room(self.path(), || self.forget_and_collect(snapshots))
    }

    fn forget_and_collect(self: &Arc<Self>, snapshots: &[SnapshotId]) -> Result<Forgotten> {
        let before = self.file_bytes()?;
        let mut forgotten = self.forget_rows(snapshots)?;
        forgotten.contents = self.collect()?;
        self.repack()?;
        self.checkpoint()?;
        forgotten.bytes = before - self.file_bytes()?;
        Ok(forgotten)
    }

    fn forget_rows(self: &Arc<Self>, snapshots: &[SnapshotId]) -> Result<Forgotten> {
        let mut forgotten = Forgotten::default();
        // Lines whose newest goes are locked, so that no push is told against it meanwhile.
        let mut line_locks: Vec<(LineId, Lock)> = Vec::new();
        loop {
            let gaps = gaps(&*self.connection()?, snapshots)?;
            for gap in gaps.iter().filter(|gap| gap.after.is_none()) {
                if !line_locks.iter().any(|(line, _)| *line == gap.line) {
                    let lock = lock::line(self.path(), gap.line)?.ok_or_else(|| {
                        Error::Busy("a snapshot of these paths is being made; forget its predecessor later".into())
                    })?;
                    line_locks.push((gap.line, lock));
                }
            }
            for content in self.to_be_whole(&gaps)? {
                self.make_whole(content)?;
            }
            let _writer = lock::writer(self.path())?;
            let mut connection = self.connection()?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Somebody may have forgotten, or superseded what was made whole, since we looked.
            if !to_be_whole(&transaction, &gaps)?.is_empty() {
                continue;
            }
            for gap in &gaps {
                forgotten.entries += forget_gap(&transaction, gap)?;
            }
            for snapshot in snapshots {
                forgotten.snapshots += transaction.execute("DELETE FROM snapshots WHERE id = ?1", [snapshot])? as u64;
            }
            transaction.commit()?;
            return Ok(forgotten);
        }
    }

    fn to_be_whole(&self, gaps: &[Gap]) -> Result<Vec<ContentId>> {
        to_be_whole(&*self.connection()?, gaps)
    }

    fn file_bytes(&self) -> Result<i64> {
        Ok(self
            .connection()?
            .query_row("SELECT coalesce(sum(bytes), 0) FROM files WHERE dead = 0", [], |row| {
                row.get(0)
            })?)
    }
}

/// The gaps that forgetting these snapshots makes.
fn gaps(connection: &Connection, snapshots: &[SnapshotId]) -> Result<Vec<Gap>> {
    let mut statement = connection.prepare_cached("SELECT id, line FROM snapshots ORDER BY line, id")?;
    let all = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(SnapshotId, LineId)>>>()?;
    let mut gaps: Vec<Gap> = Vec::new();
    let mut kept: Option<(SnapshotId, LineId)> = None;
    let mut open: Option<Gap> = None;
    for (id, line) in all {
        gaps.extend(open.take_if(|gap| gap.line != line));
        if snapshots.contains(&id) {
            let before = kept.filter(|(_, of)| *of == line).map_or(0, |(id, _)| id.0);
            open.get_or_insert(Gap {
                line,
                before,
                after: None,
                last: 0,
            })
            .last = id.0;
            continue;
        }
        if let Some(gap) = open.take() {
            gaps.push(Gap {
                after: Some(id.0),
                ..gap
            });
        }
        kept = Some((id, line));
    }
    gaps.extend(open);
    Ok(gaps)
}

/// Contents that the newest snapshots will reach once the gaps are forgotten, and that are deltas.
fn to_be_whole(connection: &Connection, gaps: &[Gap]) -> Result<Vec<ContentId>> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT c.id FROM entries e JOIN folders f ON f.id = coalesce(nullif(e.folder, 0), e.child)
           JOIN contents c ON c.id = e.content
         WHERE e.last >= ?1 AND e.last < ?2 AND e.first <= ?1 AND f.line = ?3 AND c.base IS NOT NULL",
    )?;
    let mut contents = Vec::new();
    for gap in gaps.iter().filter(|gap| gap.after.is_none() && gap.before != 0) {
        let rows = statement.query_map((gap.before, ALIVE, gap.line), |row| row.get(0))?;
        contents.extend(rows.collect::<rusqlite::Result<Vec<ContentId>>>()?);
    }
    Ok(contents)
}

/// Deletes the entries that lie in a gap, and remembers their contents for the collection.
fn forget_gap(connection: &Connection, gap: &Gap) -> Result<u64> {
    // Entries that began later than the last forgotten one are of a push that is running.
    let condition = match gap.after {
        Some(_) => "e.last > ?1 AND e.last < ?2 AND e.first > ?1",
        None => "e.first > ?1 AND e.first <= ?2",
    };
    let bounds = (gap.before, gap.after.unwrap_or(gap.last), gap.line);
    let select = |columns: &str| {
        format!(
            "SELECT {columns} FROM entries e JOIN folders f ON f.id = coalesce(nullif(e.folder, 0), e.child)
             WHERE {condition} AND f.line = ?3"
        )
    };
    let contents = format!(
        "INSERT OR IGNORE INTO nameless (content) {} AND e.content IS NOT NULL",
        select("e.content")
    );
    connection.execute(&contents, bounds)?;
    let entries = format!("DELETE FROM entries WHERE id IN ({})", select("e.id"));
    let deleted = connection.execute(&entries, bounds)? as u64;
    if gap.after.is_none() {
        connection.execute(
            "UPDATE entries SET last = ?2 WHERE last >= ?1 AND last < ?2 AND first <= ?1
               AND (SELECT line FROM folders WHERE id = coalesce(nullif(folder, 0), child)) = ?3",
            (gap.before, ALIVE, gap.line),
        )?;
    }
    Ok(deleted)
}
