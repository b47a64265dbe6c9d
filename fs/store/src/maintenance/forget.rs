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
//! When the newest of a line goes, what P had lives again: that is one transaction, since the next push
//! is told against P. Of snapshots in the midst only the rows of the snapshots go at once, into `going`; what
//! nobody sees any more follows in steps, and a crash between two of them leaves the rest to the next time.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::ballast::Room;
use crate::lock::Lock;
use crate::stops::Stop;
use crate::{ContentId, EntryId, Error, LineId, Repository, Result, SnapshotId, lock};

// Statements on entries under the writer's lock. Those on closed ones say 9223372036854775807,
// `ALIVE`, in full: SQLite does not use `entries_closed` for a parameter, but reads all entries.

/// Contents of closed entries that live again, as far as they are deltas.
const BECOMING_NEWEST: &str =
    "SELECT DISTINCT c.id FROM entries e JOIN folders f ON f.id = coalesce(nullif(e.folder, 0), e.child)
       JOIN contents c ON c.id = e.content
     WHERE e.last >= ?1 AND e.last < 9223372036854775807 AND e.first <= ?1 AND f.line = ?2 AND c.base IS NOT NULL";

/// Closed entries that live again.
const REVIVE: &str = "UPDATE entries SET last = 9223372036854775807
     WHERE last >= ?1 AND last < 9223372036854775807 AND first <= ?1
       AND (SELECT line FROM folders WHERE id = coalesce(nullif(folder, 0), child)) = ?2";

/// Entries that ended in a gap, and began there.
const IN_THE_MIDDLE: &str =
    "SELECT e.id, e.content FROM entries e JOIN folders f ON f.id = coalesce(nullif(e.folder, 0), e.child)
     WHERE e.last > ?1 AND e.last < ?2 AND e.last < 9223372036854775807 AND e.first > ?1 AND f.line = ?3";

/// Entries that began in the gap at a line's end: the youngest of each folder, and of the roots.
/// Those that began later than the last forgotten snapshot are of a push that is running.
const AT_THE_END: &str = "SELECT e.id, e.content FROM folders f CROSS JOIN entries e ON e.folder = f.id
       WHERE f.line = ?3 AND e.first > ?1 AND e.first <= ?2
     UNION ALL
     SELECT e.id, e.content FROM entries e CROSS JOIN folders f ON f.id = e.child
       WHERE e.folder = 0 AND e.first > ?1 AND e.first <= ?2 AND f.line = ?3";

/// A snapshot that goes, and is not the newest of its line.
const GOES: &str = "INSERT INTO going (line, snapshot) SELECT line, id FROM snapshots s
     WHERE id = ?1 AND EXISTS (SELECT 1 FROM snapshots WHERE line = s.line AND id > ?1)";

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// [`Error::Busy`] if the newest of a line is to go while a push of that line is running; [`Error::NewestStays`] if
    /// there is no room for what that has to write. No other snapshot needs any.
    pub fn forget(self: &Arc<Self>, snapshots: &[SnapshotId]) -> Result<Forgotten> {
        self.writable()?;
        let _maintenance = lock::maintenance(self.path())?;
        let before = self.file_bytes()?;
        let (mut forgotten, mut is_forgotten) = (Forgotten::default(), false);
        crate::ballast::freeing(self.path(), |room| {
            if !is_forgotten {
                forgotten = self.forget_rows(snapshots)?;
                is_forgotten = true;
            }
            self.drop_going(room, &mut forgotten.entries)?;
            self.drop_free(room, &mut forgotten.contents)
        })?;
        // What follows takes room before it frees some, and the ballast is not for that. It waits for a better day.
        let tidied = self.collect_and_tidy().map(|gone| forgotten.contents += gone);
        match tidied.and_then(|()| self.checkpoint()) {
            Err(error) if !error.is_want_of_room() => return Err(error),
            _ => {}
        }
        forgotten.bytes = before - self.file_bytes()?;
        Ok(forgotten)
    }

    /// All that takes room before it frees some; gives how many contents went.
    fn collect_and_tidy(self: &Arc<Self>) -> Result<u64> {
        let gone = self.collect()?;
        self.give_back_all()?;
        self.repack()?;
        self.drop_unused()?;
        Ok(gone)
    }

    /// Has the snapshots' rows go. For the newest of a line that wants room twice, for whole contents and for the one
    /// transaction that follows; there may be none for either.
    fn forget_rows(self: &Arc<Self>, snapshots: &[SnapshotId]) -> Result<Forgotten> {
        let newest_goes = gaps(&*self.connection()?, snapshots)?
            .iter()
            .any(|gap| gap.after.is_none());
        self.forget_rows_at_once(snapshots)
            .map_err(|error| match newest_goes && error.is_want_of_room() {
                true => Error::NewestStays(Box::new(error)),
                false => error,
            })
    }

    /// The same in one transaction, begun again until nobody has changed anything in between.
    fn forget_rows_at_once(self: &Arc<Self>, snapshots: &[SnapshotId]) -> Result<Forgotten> {
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
            // Somebody may have pushed, or forgotten, or superseded what was made whole, since we looked. On the way
            // back more lines may have to be locked.
            if self::gaps(&transaction, snapshots)? != gaps || !to_be_whole(&transaction, &gaps)?.is_empty() {
                continue;
            }
            for gap in gaps.iter().filter(|gap| gap.after.is_none()) {
                forgotten.entries += forget_end(&transaction, gap)?;
            }
            for snapshot in snapshots {
                transaction.execute(GOES, [snapshot])?;
                forgotten.snapshots += transaction.execute("DELETE FROM snapshots WHERE id = ?1", [snapshot])? as u64;
            }
            Stop::SnapshotsForgotten.around(|| transaction.commit())?;
            return Ok(forgotten);
        }
    }

    /// Deletes the entries of snapshots that are gone from the midst of their lines, and counts them.
    fn drop_going(&self, room: Room, entries: &mut u64) -> Result<()> {
        while let Some(deleted) = self.in_transaction(Stop::GoingDropped, |rows| drop_some_going(rows, room))? {
            *entries += deleted;
            self.after_step(room)?;
        }
        Ok(())
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
    let mut statement = connection.prepare_cached(BECOMING_NEWEST)?;
    let mut contents = Vec::new();
    for gap in gaps.iter().filter(|gap| gap.after.is_none() && gap.before != 0) {
        let rows = statement.query_map((gap.before, gap.line), |row| row.get(0))?;
        contents.extend(rows.collect::<rusqlite::Result<Vec<ContentId>>>()?);
    }
    Ok(contents)
}

/// Deletes the entries that lie in the gap at a line's end, and has those live again that it had ended.
fn forget_end(connection: &Connection, gap: &Gap) -> Result<u64> {
    let deleted = delete_entries(connection, AT_THE_END, (gap.before, gap.last, gap.line), i64::MAX)?;
    connection.execute(REVIVE, (gap.before, gap.line))?;
    Ok(deleted)
}

/// Deletes some of the entries that no snapshot has any more; `None` when there are none.
fn drop_some_going(connection: &Connection, room: Room) -> Result<Option<u64>> {
    let mut first = connection.prepare_cached("SELECT line, snapshot FROM going ORDER BY line, snapshot LIMIT 1")?;
    let first = first.query_row([], |row| Ok((row.get(0)?, row.get(1)?)));
    let Some((line, snapshot)) = first.optional()? else {
        return Ok(None);
    };
    let (before, after) = neighbours(connection, line, snapshot)?;
    let deleted = match after {
        Some(after) => delete_entries(connection, IN_THE_MIDDLE, (before, after, line), room.rows())?,
        // The newest went later, and with it all that began after the one before.
        None => 0,
    };
    if deleted < room.rows() as u64 {
        connection
            .prepare_cached("DELETE FROM going WHERE line = ?1 AND snapshot < ?2")?
            .execute((line, after.unwrap_or(i64::MAX)))?;
    }
    Ok(Some(deleted))
}

/// The snapshots of a line before and after one that is gone; 0 if there is none before.
fn neighbours(connection: &Connection, line: LineId, snapshot: SnapshotId) -> Result<(i64, Option<i64>)> {
    let mut statement = connection.prepare_cached(
        "SELECT coalesce((SELECT max(id) FROM snapshots WHERE line = ?1 AND id < ?2), 0),
                (SELECT min(id) FROM snapshots WHERE line = ?1 AND id > ?2)",
    )?;
    Ok(statement.query_row((line, snapshot), |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Deletes at most so many of these entries, and remembers their contents for the collection.
fn delete_entries(connection: &Connection, entries: &str, bounds: (i64, i64, LineId), most: i64) -> Result<u64> {
    let (from, to, line) = bounds;
    let some: Vec<(EntryId, Option<ContentId>)> = connection
        .prepare_cached(&format!("SELECT id, content FROM ({entries}) LIMIT ?4"))?
        .query_map((from, to, line, most), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut remember = connection.prepare_cached("INSERT OR IGNORE INTO nameless (content) VALUES (?1)")?;
    let mut delete = connection.prepare_cached("DELETE FROM entries WHERE id = ?1")?;
    for (entry, content) in &some {
        content
            .iter()
            .try_for_each(|content| remember.execute([content]).map(drop))?;
        delete.execute([entry])?;
    }
    Ok(some.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ALIVE;
    use crate::testing::{Bench, file};

    #[test]
    fn alive_is_what_the_statements_say() {
        for statement in [BECOMING_NEWEST, REVIVE, IN_THE_MIDDLE] {
            assert!(statement.contains(&format!("last < {ALIVE}")));
        }
    }

    /// What SQLite goes through from end to end for a statement.
    fn scans(bench: &Bench, statement: &str) -> Vec<String> {
        let connection = bench.repository.connection().unwrap();
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
        let parameters: Vec<i64> = (1..=plan.parameter_count() as i64).collect();
        let steps = plan
            .query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3))
            .unwrap();
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        assert!(!steps.is_empty());
        steps.into_iter().filter(|step| step.starts_with("SCAN")).collect()
    }

    #[test]
    fn no_statement_under_the_lock_reads_all_entries() {
        let bench = Bench::new();
        for statement in [BECOMING_NEWEST, REVIVE, IN_THE_MIDDLE] {
            assert_eq!(scans(&bench, statement), [""; 0], "{statement}");
        }
        // There is no index from a line to its folders; they are few beside the entries.
        assert_eq!(scans(&bench, AT_THE_END), ["SCAN f"]);
    }

    #[test]
    fn the_newest_stays_where_there_is_no_room_to_have_it_go() {
        let bench = Bench::new();
        let before = bench.push("a", |ingest| file(ingest, "f", b"one"));
        let newest = bench.push("a", |ingest| file(ingest, "f", b"two"));
        // Each entry that goes wants more room than there is.
        bench.sql("CREATE TABLE filler (bytes)");
        bench.sql(
            "CREATE TRIGGER fills BEFORE DELETE ON entries BEGIN INSERT INTO filler VALUES (zeroblob(1000000)); END",
        );
        let most = bench.number("PRAGMA page_count") + 50;
        assert_eq!(bench.number(&format!("PRAGMA max_page_count = {most}")), most);
        let contents = bench.number("SELECT count(*) FROM contents");
        let refused = bench.repository.forget(&[newest.id]);
        assert!(matches!(refused, Err(Error::NewestStays(_))), "{refused:?}");
        // Nothing has gone.
        let ids = || -> Vec<SnapshotId> {
            let snapshots = bench.repository.snapshots().unwrap();
            snapshots.iter().map(|snapshot| snapshot.id).collect()
        };
        assert_eq!(ids(), [before.id, newest.id]);
        assert_eq!(bench.number("SELECT count(*) FROM contents"), contents);
        assert_eq!(bench.number("SELECT count(*) FROM going"), 0);
        bench.sql("DROP TRIGGER fills");
        bench.sql("DROP TABLE filler");
        assert_eq!(bench.repository.forget(&[newest.id]).unwrap().snapshots, 1);
        assert_eq!(ids(), [before.id]);
    }
}
