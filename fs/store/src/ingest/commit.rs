//! The commit: one transaction that makes a push a snapshot.
//!
//! | step | a crash after it leaves |
//! |---|---|
//! | packs, segments and deltas fsynced, then their folders | files with rows of a dead push: gone on with, or swept |
//! | rows flushed, invisible, and on the disk with the next commit that waits for it | the same |
//! | the transaction | the snapshot; dead files that rows mark as dead: swept |
//! | dead files unlinked, then their rows deleted | nothing |

use rusqlite::{Connection, TransactionBehavior};

use crate::catalog::{ALIVE, Snapshot};
use crate::holes::Leaving;
use crate::ingest::heal::heal;
use crate::ingest::made::next_name;
use crate::ingest::rows::Totals;
use crate::ingest::succession::release;
use crate::ingest::{Committed, Ingest};
use crate::stops::Stop;
use crate::{ContentId, Error, Kind, PushId, Result, RunId, lock};

impl Ingest {
    /// Makes the push a snapshot of the time that it is now, or of that which a copy has. `unread` is the number of paths
    /// that could not be read.
    ///
    /// # Errors
    /// [`Error::Busy`] if the newest snapshot of the line was forgotten meanwhile: push again.
    pub fn commit(mut self, unread: u64) -> Result<Committed> {
        self.try_commit(unread).map_err(|error| self.fail(error))
    }

    fn try_commit(&mut self, unread: u64) -> Result<Committed> {
        // One that was begun and cannot be read to its end is in no entry.
        self.give_up_large();
        if !self.stack.is_empty() || (self.totals.folders == 0 && self.base.is_none()) {
            return Err(Error::Refused("the push is not complete".into()));
        }
        self.flush()?;
        self.close_removed_folders()?;
        let conversions = self.convert_superseded()?;
        self.writer.sync()?;
        let repository = self.repository.clone();
        let writer_lock = lock::writer(repository.path())?;
        let mut connection = repository.connection()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.check_base(&transaction)?;
        let (mut deltas, mut freed) = (0, std::mem::take(&mut self.unused_runs));
        let (healed, left) = heal(&transaction, Some(self.writer.push))?;
        freed.extend(left);
        freed.extend(self.drop_unnamed(&transaction)?);
        self.check_runs(&transaction)?;
        self.adopt_contents(&transaction)?;
        let totals = self.close_entries(&transaction)?;
        for conversion in &conversions {
            let runs = conversion.apply(&transaction)?;
            deltas += u64::from(!runs.is_empty());
            freed.extend(runs);
        }
        self.check_contents(&transaction)?;
        freed.extend(self.drop_partials(&transaction)?);
        self.writer.commit_files(&transaction)?;
        let leaving = Leaving::of(&transaction, &freed)?;
        let gone = drop_runs(&transaction, &freed, None)?;
        let stored = self.writer.written.saturating_sub(gone);
        let snapshot = self.insert_snapshot(&transaction, totals, stored, unread)?;
        if transaction.execute("DELETE FROM pushes WHERE id = ?1", [self.writer.push])? != 1 {
            return Err(Error::Busy(
                "what the push had sent was swept meanwhile; snapshot again".into(),
            ));
        }
        repository.unlink_early(&transaction)?;
        Stop::SnapshotMade.around(|| transaction.commit())?;
        drop(connection);
        self.is_over = true;
        drop(writer_lock);
        // The snapshot is there; what cannot be tidied up now is by the next command.
        let tidied = repository.unlink_dead().and_then(|_| repository.give_back(leaving));
        let _ = tidied.and_then(|()| repository.checkpoint());
        let healed = healed.len() as u64 + repository.read_again(&healed).unwrap_or(0);
        Ok(Committed {
            snapshot,
            deltas,
            healed,
        })
    }

    fn check_base(&self, connection: &Connection) -> Result<()> {
        let alone: bool = connection.query_row(
            "SELECT NOT EXISTS (SELECT 1 FROM pushes WHERE line = ?1 AND id <> ?2)",
            (self.line, self.writer.push),
            |row| row.get(0),
        )?;
        if !alone {
            return Err(Error::Busy(
                "what an earlier push of these paths left is still there; snapshot again".into(),
            ));
        }
        let newest: Option<crate::SnapshotId> =
            connection.query_row("SELECT max(id) FROM snapshots WHERE line = ?1", [self.line], |row| {
                row.get(0)
            })?;
        match newest == self.base.as_ref().map(|base| base.id) {
            true => Ok(()),
            false => Err(Error::Busy(
                "the newest snapshot was forgotten meanwhile; snapshot again".into(),
            )),
        }
    }

    /// Drops contents that were sent and that no entry came to name: of a file that changed while
    /// it was read, or went. Gives the runs that they lay in.
    fn drop_unnamed(&self, connection: &Connection) -> Result<Vec<RunId>> {
        let mut statement = connection.prepare_cached(
            "SELECT id FROM contents c WHERE push = ?1 AND NOT EXISTS (SELECT 1 FROM entries WHERE content = c.id)",
        )?;
        let unnamed = statement
            .query_map([self.writer.push], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<ContentId>>>()?;
        let mut delete = connection.prepare_cached("DELETE FROM contents WHERE id = ?1")?;
        let mut freed = Vec::new();
        for content in unnamed {
            freed.extend(release(connection, content)?);
            delete.execute([content])?;
        }
        Ok(freed)
    }

    /// Segments that the push shares with other contents must still be there.
    fn check_runs(&self, connection: &Connection) -> Result<()> {
        let missing: bool = connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM contents c JOIN parts p ON p.content = c.id
                   WHERE c.push = ?1 AND p.run IS NOT NULL AND NOT EXISTS (SELECT 1 FROM runs WHERE id = p.run))",
            )?
            .query_row([self.writer.push], |row| row.get(0))?;
        match missing {
            false => Ok(()),
            true => Err(Error::Busy(
                "a content was forgotten while it was being told against; snapshot again".into(),
            )),
        }
    }

    /// Takes the push's name off its contents.
    fn adopt_contents(&self, connection: &Connection) -> Result<()> {
        connection
            .prepare_cached("UPDATE contents SET push = NULL WHERE push = ?1")?
            .execute([self.writer.push])?;
        Ok(())
    }

    /// Ends the lives that this push ends, and adds up what the snapshot has.
    fn close_entries(&self, connection: &Connection) -> Result<Totals> {
        let mut totals = self.totals;
        let Some(base) = &self.base else { return Ok(totals) };
        totals.files += base.files as i64;
        totals.folders += base.folders as i64;
        totals.others += base.others as i64;
        totals.bytes += base.bytes as i64;
        totals.check = totals.check.wrapping_add(base.check);
        let mut statement = connection.prepare_cached(
            "SELECT e.kind, e.size, e.sum FROM closings c JOIN entries e ON e.id = c.entry WHERE c.push = ?1",
        )?;
        let mut rows = statement.query([self.writer.push])?;
        while let Some(row) = rows.next()? {
            let kind = Kind::from_code(row.get(0)?).ok_or_else(|| Error::Damaged("catalog: an entry's kind".into()))?;
            totals.count(kind, row.get(1)?, row.get(2)?, -1);
        }
        let last = base.id.0 - i64::from(cfg!(feature = "fault-lifetime"));
        connection
            .prepare_cached("UPDATE entries SET last = ?2 WHERE id IN (SELECT entry FROM closings WHERE push = ?1)")?
            .execute((self.writer.push, last))?;
        connection
            .prepare_cached("DELETE FROM closings WHERE push = ?1")?
            .execute([self.writer.push])?;
        Ok(totals)
    }

    /// Everything that the new entries reach must be there and whole, whatever others did meanwhile.
    fn check_contents(&self, connection: &Connection) -> Result<()> {
        let missing: bool = connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM pushes p JOIN entries e ON e.id >= p.entry AND e.first = p.snapshot
                   LEFT JOIN contents c ON c.id = e.content
                   WHERE p.id = ?1 AND e.content IS NOT NULL AND e.last = ?2 AND (c.id IS NULL OR c.base IS NOT NULL))",
            )?
            .query_row((self.writer.push, ALIVE), |row| row.get(0))?;
        match missing {
            false => Ok(()),
            true => Err(Error::Busy(
                "a content was forgotten while it was being referred to; snapshot again".into(),
            )),
        }
    }

    fn insert_snapshot(&self, connection: &Connection, totals: Totals, stored: u64, unread: u64) -> Result<Snapshot> {
        let (time, name) = next_name(connection, self.repository.now(), self.options.made.as_ref())?;
        let snapshot = Snapshot {
            id: self.snapshot,
            line: self.line,
            name,
            time,
            host: self.options.host.clone(),
            tags: self.options.tags.clone(),
            roots: self.options.roots.clone(),
            root: self.line_root,
            files: totals.files as u64,
            folders: totals.folders as u64,
            others: totals.others as u64,
            bytes: totals.bytes as u64,
            new_bytes: stored,
            unread,
            check: totals.check,
        };
        snapshot.insert(connection)?;
        Ok(snapshot)
    }
}

/// Drops runs that nothing lies in any more, and marks files as dead that no run lies in: committed
/// ones, or those of a push. Gives the bytes of the runs that are gone.
pub(crate) fn drop_runs(connection: &Connection, runs: &[RunId], push: Option<PushId>) -> Result<u64> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM runs WHERE id = ?1
           AND NOT EXISTS (SELECT 1 FROM contents WHERE run = ?1)
           AND (?2 OR NOT EXISTS (SELECT 1 FROM parts WHERE run = ?1))
           AND NOT EXISTS (SELECT 1 FROM partials WHERE run = ?1) RETURNING file, bytes",
    )?;
    let unchecked = cfg!(feature = "fault-shared-segment");
    let mut kill = connection.prepare_cached(
        "UPDATE files SET dead = 1, push = NULL WHERE id = ?1 AND push IS ?2
           AND NOT EXISTS (SELECT 1 FROM runs WHERE file = ?1)",
    )?;
    let mut gone = 0;
    for run in runs {
        let files = delete
            .query_map((run, unchecked), |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for (file, bytes) in files {
            gone += bytes as u64;
            kill.execute((file, push))?;
        }
    }
    Ok(gone)
}
