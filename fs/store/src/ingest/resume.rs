//! Going on where an earlier push of the line died.
//!
//! What a push sends is verified and stored as it comes, under the push's number. If it dies,
//! those files and rows stay; the next push of the line takes over the number, and with it all
//! that is complete: the sender is told what there is and does not send it again.
//!
//! | died with | what the next push finds |
//! |---|---|
//! | the connection, or the sender | everything received: packs are closed, the groups of an unfinished segment stored |
//! | this process, or the machine | files that were fsynced and whose rows were flushed; others are dropped |
//!
//! Entries and closings are told anew by each push. Nothing kept is taken on trust: files must
//! have the length that their row says, and stored bytes are compared with their checks when they are
//! claimed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::catalog::{Content, Run, parts};
use crate::error::IoContext;
use crate::ingest::{Ingest, drop_runs, release};
use crate::layout::{FileKind, SEGMENT, stored_file};
use crate::lock::{self, Lock};
use crate::read::stored_frame;
use crate::tree_hash::Value;
use crate::{ContentId, Error, FileId, Hash, LineId, PushId, Repository, Result, RunId};

/// What an earlier push left for this one.
#[derive(Default)]
pub(super) struct Kept {
    /// Contents of this push below this number were sent by an earlier one.
    below: ContentId,
    /// Whether there are any, or pieces of one.
    is_some: bool,
    /// Pieces of large contents that were not complete.
    pub partials: HashMap<[u8; 16], Vec<RunId>>,
    /// Runs whose stored bytes were compared with their checks.
    verified: HashSet<RunId>,
}

impl Kept {
    /// What there is under a push's number before it begins; `below` is a new content's number.
    pub fn of(connection: &Connection, push: PushId, below: i64) -> Result<Self> {
        let mut kept = Kept {
            below: ContentId(below),
            ..Kept::default()
        };
        let mut statement = connection.prepare_cached("SELECT key, run FROM partials WHERE push = ?1")?;
        let mut rows = statement.query([push])?;
        while let Some(row) = rows.next()? {
            kept.partials.entry(row.get(0)?).or_default().push(row.get(1)?);
        }
        let contents: bool = connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM contents WHERE push = ?1)")?
            .query_row([push], |row| row.get(0))?;
        kept.is_some = contents || !kept.partials.is_empty();
        Ok(kept)
    }
}

/// Takes over the newest dead push of a line; older ones are swept. The caller holds the line's lock.
pub(super) fn claim(repository: &Arc<Repository>, line: LineId) -> Result<Option<(PushId, Lock)>> {
    let pushes: Vec<PushId> = {
        let connection = repository.connection()?;
        let mut statement = connection.prepare_cached("SELECT id FROM pushes WHERE line = ?1 ORDER BY id DESC")?;
        let pushes = statement.query_map([line], |row| row.get(0))?;
        pushes.collect::<rusqlite::Result<_>>()?
    };
    let mut claimed = None;
    for push in pushes {
        let Some(lock) = lock::push(repository.path(), push)? else {
            continue;
        };
        if claimed.is_some() {
            repository.sweep_push(push)?;
            continue;
        }
        clear(repository, push)?;
        claimed = Some((push, lock));
    }
    repository.unlink_dead()?;
    Ok(claimed)
}

/// Drops of a dead push what the next one cannot use: its tree, and files that are not complete.
fn clear(repository: &Arc<Repository>, push: PushId) -> Result<()> {
    let incomplete = incomplete_files(repository, push)?;
    let _writer = lock::writer(repository.path())?;
    let mut connection = repository.connection()?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    drop_tree(&transaction, push)?;
    for file in incomplete {
        drop_file(&transaction, push, file)?;
    }
    drop_incomplete(&transaction, push)?;
    drop_unused(&transaction, push)?;
    Ok(transaction.commit()?)
}

/// Deletes the tree that a dead push told: its entries, what they would have ended, its folders.
/// Contents of others that only it named may have lost their last entry.
pub(crate) fn drop_tree(transaction: &Transaction<'_>, push: PushId) -> Result<()> {
    let (entry, snapshot): (i64, i64) = match transaction
        .query_row("SELECT entry, snapshot FROM pushes WHERE id = ?1", [push], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?
    {
        Some(row) => row,
        // A step of maintenance told none.
        None => return Ok(()),
    };
    for statement in [
        "INSERT OR IGNORE INTO nameless (content)
           SELECT content FROM entries JOIN contents c ON c.id = content AND c.push IS NULL
           WHERE entries.id >= ?1 AND first = ?2
             AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.content = c.id AND NOT (e.id >= ?1 AND e.first = ?2))",
        "DELETE FROM folders WHERE id IN (SELECT child FROM entries WHERE id >= ?1 AND first = ?2)
           AND id NOT IN (SELECT root FROM lines)
           AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.child = folders.id AND NOT (e.id >= ?1 AND e.first = ?2))",
        "DELETE FROM entries WHERE id >= ?1 AND first = ?2",
    ] {
        transaction.execute(statement, (entry, snapshot))?;
    }
    transaction.execute("DELETE FROM closings WHERE push = ?1", [push])?;
    Ok(())
}

/// Files of a push that were not fsynced, or are not there with the length that they had then.
fn incomplete_files(repository: &Repository, push: PushId) -> Result<Vec<FileId>> {
    let files: Vec<(FileId, i64, i64)> = {
        let connection = repository.connection()?;
        let mut statement = connection.prepare_cached("SELECT id, kind, bytes FROM files WHERE push = ?1")?;
        let files = statement.query_map([push], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        files.collect::<rusqlite::Result<_>>()?
    };
    let is_complete = |(id, kind, bytes): &(FileId, i64, i64)| {
        let path = FileKind::from_code(*kind).map(|kind| stored_file(repository.path(), kind, *id));
        let status = path.and_then(|path| std::fs::metadata(path).ok());
        *bytes > 0 && status.is_some_and(|status| status.len() == *bytes as u64)
    };
    let (complete, incomplete): (Vec<_>, Vec<_>) = files.into_iter().partition(is_complete);
    // Whoever made them may have died before the fsync of their folders.
    let mut folders = BTreeSet::new();
    for (id, kind, _) in complete {
        let path = FileKind::from_code(kind).map(|kind| stored_file(repository.path(), kind, id));
        let ancestors = path.iter().flat_map(|path| path.ancestors().skip(1).take(2));
        folders.extend(ancestors.map(Path::to_owned));
    }
    for folder in folders {
        File::open(&folder).and_then(|folder| folder.sync_all()).at(&folder)?;
    }
    Ok(incomplete.into_iter().map(|(id, ..)| id).collect())
}

/// Drops everything of a push that needs one of its files.
fn drop_file(transaction: &Transaction<'_>, push: PushId, file: FileId) -> Result<()> {
    for statement in [
        "DELETE FROM contents WHERE push = ?1 AND (run IN (SELECT id FROM runs WHERE file = ?2)
           OR id IN (SELECT content FROM parts WHERE run IN (SELECT id FROM runs WHERE file = ?2)))",
        "DELETE FROM parts WHERE run IN (SELECT id FROM runs WHERE file = ?2)
           AND content NOT IN (SELECT id FROM contents)",
        "DELETE FROM partials WHERE push = ?1 AND run IN (SELECT id FROM runs WHERE file = ?2)",
        "DELETE FROM runs WHERE file = ?2",
        "UPDATE files SET dead = 1, push = NULL WHERE id = ?2 AND push = ?1",
    ] {
        transaction.prepare_cached(statement)?.execute((push, file))?;
    }
    Ok(())
}

/// Drops contents whose rows were not all flushed.
fn drop_incomplete(transaction: &Transaction<'_>, push: PushId) -> Result<()> {
    transaction.execute(
        "DELETE FROM contents WHERE push = ?1 AND CASE
           WHEN run IS NOT NULL THEN NOT EXISTS (SELECT 1 FROM runs WHERE id = contents.run)
           ELSE (size + ?2 - 1) / ?2 <> (SELECT count(*) FROM parts WHERE content = contents.id)
             OR EXISTS (SELECT 1 FROM parts p WHERE p.content = contents.id AND p.run IS NOT NULL
                        AND NOT EXISTS (SELECT 1 FROM runs WHERE id = p.run)) END",
        (push, SEGMENT as i64),
    )?;
    transaction.execute(
        "DELETE FROM partials WHERE push = ?1 AND NOT EXISTS (SELECT 1 FROM runs WHERE id = partials.run)",
        [push],
    )?;
    transaction.execute("DELETE FROM parts WHERE content NOT IN (SELECT id FROM contents)", [])?;
    Ok(())
}

/// Drops runs of a push's files that nothing names, and marks files as dead in which none is left.
fn drop_unused(transaction: &Transaction<'_>, push: PushId) -> Result<()> {
    for statement in [
        "DELETE FROM runs WHERE file IN (SELECT id FROM files WHERE push = ?1)
           AND NOT EXISTS (SELECT 1 FROM contents WHERE run = runs.id)
           AND NOT EXISTS (SELECT 1 FROM parts WHERE run = runs.id)
           AND NOT EXISTS (SELECT 1 FROM partials WHERE run = runs.id)",
        "UPDATE files SET dead = 1, push = NULL WHERE push = ?1
           AND NOT EXISTS (SELECT 1 FROM runs WHERE file = files.id)",
    ] {
        transaction.prepare_cached(statement)?.execute([push])?;
    }
    Ok(())
}

impl Ingest {
    /// Tells the names of the contents that an earlier push sent.
    pub fn kept(&self, tell: &mut dyn FnMut(Hash) -> Result<()>) -> Result<()> {
        if !self.kept.is_some {
            return Ok(());
        }
        let connection = self.repository.connection()?;
        let mut statement = connection.prepare_cached("SELECT hash FROM contents WHERE push = ?1 AND id < ?2")?;
        let mut rows = statement.query((self.writer.push, self.kept.below))?;
        while let Some(row) = rows.next()? {
            tell(row.get(0)?)?;
        }
        Ok(())
    }

    /// Tells the groups of large contents in whose midst an earlier push died: what the sender calls
    /// the content, the number of the first group, the chaining values.
    pub fn kept_groups(&self, tell: &mut dyn FnMut([u8; 16], u64, Vec<Value>) -> Result<()>) -> Result<()> {
        for (key, runs) in &self.kept.partials {
            for run in runs {
                let run = self.repository.run(*run).map_err(|error| error.into_error())?;
                let values = run.frames.iter().map(|frame| frame.value).collect();
                tell(*key, run.position.unwrap_or(0), values)?;
            }
        }
        Ok(())
    }

    /// Compares what was kept of a content with its checks, before an entry names it.
    pub(super) fn check_kept(&mut self, content: &Content) -> Result<()> {
        if !self.kept.is_some || content.id >= self.kept.below {
            return Ok(());
        }
        let runs = {
            let connection = self.repository.connection()?;
            let pending: bool = connection
                .prepare_cached("SELECT push IS NOT NULL FROM contents WHERE id = ?1")?
                .query_row([content.id], |row| row.get(0))?;
            match (pending, content.run) {
                (false, _) => return Ok(()),
                (true, Some(run)) => vec![run],
                (true, None) => parts(&connection, content)?
                    .iter()
                    .filter_map(|part| part.run)
                    .collect(),
            }
        };
        runs.into_iter().try_for_each(|run| self.check_kept_run(run))
    }

    /// The same for one run.
    pub(super) fn check_kept_run(&mut self, id: RunId) -> Result<()> {
        if !self.kept.verified.insert(id) {
            return Ok(());
        }
        let run = self.repository.run(id).map_err(|error| error.into_error())?;
        let stored = |index| stored_frame(&self.repository, &run, index).map(drop);
        if (0..run.frames.len()).try_for_each(stored).is_ok() {
            return Ok(());
        }
        self.drop_kept_run(&run)?;
        Err(Error::Again(
            "what an earlier push had sent is damaged; it is dropped".into(),
        ))
    }

    fn drop_kept_run(&self, run: &Run) -> Result<()> {
        let mut connection = self.repository.connection()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        drop_file(&transaction, self.writer.push, run.file)?;
        drop_incomplete(&transaction, self.writer.push)?;
        Ok(transaction.commit()?)
    }

    /// Ends the push without a snapshot; what was sent stays for the next one of its line.
    ///
    /// If it ends for want of room, what can be done without goes: what dead pushes left, and
    /// what an earlier push sent and this one has not claimed. Where that frees anything the
    /// error becomes [`Error::Again`].
    pub fn fail(mut self, error: Error) -> Error {
        let wants_room = error.is_want_of_room();
        // First, so that there may be room for the rows of what is put away.
        let unclaimed = wants_room && self.drop_unclaimed().unwrap_or(false);
        // What cannot be put away is dropped by whoever claims it.
        let _ = self.put_away();
        if !wants_room {
            return error;
        }
        let swept = self.repository.sweep_all().is_ok_and(|swept| swept.bytes > 0);
        match unclaimed || swept {
            true => Error::Again(format!("{error}: what earlier pushes had left was swept")),
            false => error,
        }
    }

    /// Makes what was received durable, so that a later push can go on from there.
    pub(super) fn put_away(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.is_over, true) {
            return Ok(());
        }
        let is_settling = self.large.as_ref().is_some_and(|large| large.is_settling());
        if self.writer.written == 0 && !is_settling && !self.kept.is_some {
            return self.discard();
        }
        // Rows that cannot be flushed are lost, and with them the files that they name.
        let repository = self.repository.clone();
        crate::ballast::with_room(repository.path(), || {
            // Without room for the last groups, the rest is kept all the same.
            let _ = self.end_partial_segment();
            self.writer.sync()?;
            self.write_rows()
        })
    }

    /// Ends the push and sweeps what was sent.
    fn discard(&mut self) -> Result<()> {
        self.repository.sweep_push(self.writer.push)?;
        self.repository.unlink_dead().map(drop)
    }

    /// Sweeps what an earlier push sent and no entry of this one names; whether there was any.
    fn drop_unclaimed(&self) -> Result<bool> {
        let _writer = lock::writer(self.repository.path())?;
        let mut connection = self.repository.connection()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let unclaimed: Vec<ContentId> = {
            let mut statement = transaction.prepare_cached(
                "SELECT id FROM contents WHERE push = ?1 AND id < ?2 AND NOT EXISTS (
                   SELECT 1 FROM entries WHERE content = contents.id)",
            )?;
            let rows = statement.query_map((self.writer.push, self.kept.below), |row| row.get(0))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        // Entries that wait for their rows have claimed theirs too.
        let claimed = self.rows.contents_waiting();
        let mut freed = Vec::new();
        for content in unclaimed.iter().filter(|content| !claimed.contains(content)) {
            freed.extend(release(&transaction, *content)?);
            transaction
                .prepare_cached("DELETE FROM contents WHERE id = ?1")?
                .execute([content])?;
        }
        for (key, runs) in &self.kept.partials {
            // What was verified is claimed by the content that is under way.
            for run in runs.iter().filter(|run| !self.kept.verified.contains(run)) {
                transaction.execute(
                    "DELETE FROM partials WHERE push = ?1 AND key = ?2 AND run = ?3",
                    (self.writer.push, key, run),
                )?;
                freed.push(*run);
            }
        }
        // Not all that nothing names: rows of what this push sends may wait to be flushed.
        drop_runs(&transaction, &freed, Some(self.writer.push))?;
        transaction.commit()?;
        drop(connection);
        Ok(self.repository.unlink_dead()?.1 > 0)
    }

    /// Forgets which large contents are not complete; gives the runs that lie in them.
    pub(super) fn drop_partials(&self, connection: &Connection) -> Result<Vec<RunId>> {
        let mut statement = connection.prepare_cached("DELETE FROM partials WHERE push = ?1 RETURNING run")?;
        let runs = statement.query_map([self.writer.push], |row| row.get(0))?;
        Ok(runs.collect::<rusqlite::Result<_>>()?)
    }
}
