//! Taking over a dead push: what is dropped of it, and what is kept.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{OptionalExtension, Transaction};

use crate::ballast::Room;
use crate::catalog::{Content, Run, parts};
use crate::error::IoContext;
use crate::ingest::drop_runs;
use crate::layout::{FileKind, SEGMENT, stored_file};
use crate::lock::{self, Lock};
use crate::stops::Stop;
use crate::sweep::CONDEMNED;
use crate::{ContentId, Error, FileId, LineId, PushId, Repository, Result, RunId};

/// Takes over the newest dead push of a line; older ones are swept. The caller holds the line's lock, so whoever holds
/// that of one of its pushes is sweeping it: that is waited for, since until its tree is gone it would be seen in what
/// is committed now.
pub(in crate::ingest) fn claim(repository: &Arc<Repository>, line: LineId) -> Result<Option<(PushId, Lock)>> {
    let pushes: Vec<PushId> = {
        let connection = repository.connection()?;
        let mut statement = connection.prepare_cached("SELECT id FROM pushes WHERE line = ?1 ORDER BY id DESC")?;
        let pushes = statement.query_map([line], |row| row.get(0))?;
        pushes.collect::<rusqlite::Result<_>>()?
    };
    let mut claimed = None;
    for push in pushes {
        let lock = lock::dead_push(repository.path(), push)?;
        match begun(repository, push)? {
            None => {}
            Some(time) if claimed.is_some() || time == CONDEMNED => {
                repository.sweep_push(push, Room::Enough)?;
            }
            Some(_) => {
                clear(repository, push)?;
                claimed = Some((push, lock));
            }
        }
    }
    repository.unlink_dead()?;
    Ok(claimed)
}

/// When a push began, if it was not swept meanwhile.
fn begun(repository: &Repository, push: PushId) -> Result<Option<i64>> {
    let connection = repository.connection()?;
    let mut statement = connection.prepare_cached("SELECT time FROM pushes WHERE id = ?1")?;
    Ok(statement.query_row([push], |row| row.get(0)).optional()?)
}

/// Drops of a dead push what the next one cannot use: its tree, and files that are not complete.
fn clear(repository: &Arc<Repository>, push: PushId) -> Result<()> {
    let incomplete = incomplete_files(repository, push)?;
    repository.drop_tree(push, Room::Enough)?;
    repository.in_transaction(Stop::ClaimCleared, |transaction| {
        let shared = shared_runs(transaction, push)?;
        for file in incomplete {
            drop_file(transaction, push, file)?;
        }
        drop_unsynced(transaction, push)?;
        drop_damaged(transaction, push)?;
        drop_incomplete(transaction, push)?;
        drop_unused(transaction, push)?;
        drop_runs(transaction, &shared, None).map(drop)
    })
}

/// Segments that contents of a push share with committed ones, which may have been forgotten since.
pub(super) fn shared_runs(transaction: &Transaction<'_>, push: PushId) -> Result<Vec<RunId>> {
    let mut statement = transaction.prepare_cached(
        "SELECT DISTINCT r.id FROM contents c JOIN parts p ON p.content = c.id JOIN runs r ON r.id = p.run
           JOIN files f ON f.id = r.file WHERE c.push = ?1 AND f.push IS NULL",
    )?;
    let runs = statement.query_map([push], |row| row.get(0))?;
    Ok(runs.collect::<rusqlite::Result<_>>()?)
}

impl Repository {
    /// Deletes the tree that a dead push told: its entries, what they would have ended, its folders.
    /// Contents of others that only it named may have lost their last entry.
    pub(crate) fn drop_tree(&self, push: PushId, room: Room) -> Result<()> {
        let tree: Option<(i64, i64)> = self
            .connection()?
            .query_row("SELECT entry, snapshot FROM pushes WHERE id = ?1", [push], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        // A step of maintenance told none.
        let Some((entry, snapshot)) = tree else { return Ok(()) };
        let some = |rows: &Transaction<'_>| drop_entries(rows, (entry, snapshot, room.rows()));
        while self.in_transaction(Stop::EntriesDropped, some)? > 0 {
            self.after_step(room)?;
        }
        self.in_transaction(Stop::ClosingsDropped, |rows| {
            Ok(rows.execute("DELETE FROM closings WHERE push = ?1", [push])?)
        })?;
        Ok(())
    }
}

/// Deletes some of the entries that a dead push told, from the last one back: those numbered from ?1 on that begin with
/// snapshot ?2, at most ?3; gives how many.
fn drop_entries(transaction: &Transaction<'_>, told: (i64, i64, i64)) -> Result<usize> {
    const SOME: &str = "SELECT id FROM entries WHERE id >= ?1 AND first = ?2 ORDER BY id DESC LIMIT ?3";
    for statement in [
        format!(
            "INSERT OR IGNORE INTO nameless (content)
               SELECT content FROM entries JOIN contents c ON c.id = content AND c.push IS NULL
               WHERE entries.id IN ({SOME})
                 AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.content = c.id AND NOT (e.id >= ?1 AND e.first = ?2))"
        ),
        format!(
            "DELETE FROM folders WHERE id IN (SELECT child FROM entries WHERE id IN ({SOME}))
               AND id NOT IN (SELECT root FROM lines)
               AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.child = folders.id AND NOT (e.id >= ?1 AND e.first = ?2))"
        ),
    ] {
        transaction.prepare_cached(&statement)?.execute(told)?;
    }
    let delete = format!("DELETE FROM entries WHERE id IN ({SOME})");
    Ok(transaction.prepare_cached(&delete)?.execute(told)?)
}

/// Files of a push that were not fsynced, or are not there with what was.
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
        // A head that was to go on may have got more, which nobody knows of: that is cut off.
        let is_head = *kind == FileKind::Head as i64;
        let is_whole = |length: u64| length == *bytes as u64 || is_head && length > *bytes as u64;
        *bytes > 0 && status.is_some_and(|status| is_whole(status.len()))
    };
    let (complete, incomplete): (Vec<_>, Vec<_>) = files.into_iter().partition(is_complete);
    // Whoever made them may have died before the fsync of their folders.
    let mut folders = BTreeSet::new();
    for (id, kind, bytes) in complete {
        let path = FileKind::from_code(kind).map(|kind| stored_file(repository.path(), kind, id));
        if let Some(path) = path.iter().find(|path| is_longer(path, bytes as u64)) {
            let file = File::options().write(true).open(path);
            file.and_then(|file| file.set_len(bytes as u64)).at(path)?;
        }
        let ancestors = path.iter().flat_map(|path| path.ancestors().skip(1).take(2));
        folders.extend(ancestors.map(Path::to_owned));
    }
    for folder in folders {
        Stop::ClaimedFolderSynced
            .around(|| File::open(&folder).and_then(|folder| folder.sync_all()))
            .at(&folder)?;
    }
    Ok(incomplete.into_iter().map(|(id, ..)| id).collect())
}

fn is_longer(path: &Path, bytes: u64) -> bool {
    std::fs::metadata(path).is_ok_and(|status| status.len() > bytes)
}

/// Drops everything of a push that needs one of its files.
pub(super) fn drop_file(transaction: &Transaction<'_>, push: PushId, file: FileId) -> Result<()> {
    for statement in [
        "DELETE FROM contents WHERE push = ?1 AND (run IN (SELECT id FROM runs WHERE file = ?2)
           OR id IN (SELECT content FROM parts WHERE run IN (SELECT id FROM runs WHERE file = ?2)))",
        "DELETE FROM parts WHERE run IN (SELECT id FROM runs WHERE file = ?2)
           AND content NOT IN (SELECT id FROM contents)",
        "DELETE FROM partials WHERE push = ?1 AND run IN (SELECT id FROM runs WHERE file = ?2)",
        // A segment that is shared lies in a committed file, whose rows are not this push's.
        "DELETE FROM runs WHERE file = ?2 AND file IN (SELECT id FROM files WHERE push = ?1)",
        "UPDATE files SET dead = 1, push = NULL WHERE id = ?2 AND push = ?1",
    ] {
        transaction.prepare_cached(statement)?.execute((push, file))?;
    }
    Ok(())
}

/// Drops the segments of a push that the disk may not have: they lie behind what was fsynced of their file.
fn drop_unsynced(transaction: &Transaction<'_>, push: PushId) -> Result<()> {
    transaction.execute(
        "DELETE FROM runs WHERE file IN (SELECT id FROM files WHERE push = ?1)
           AND offset + bytes > (SELECT bytes FROM files WHERE id = runs.file)",
        [push],
    )?;
    Ok(())
}

/// Drops rows of a push that are not what they were: read as they are, they would stop every push of the line.
fn drop_damaged(transaction: &Transaction<'_>, push: PushId) -> Result<()> {
    let ids = |statement: &str| -> Result<Vec<i64>> {
        let mut statement = transaction.prepare_cached(statement)?;
        let ids = statement.query_map([push], |row| row.get(0))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    };
    for id in ids("SELECT id FROM runs WHERE file IN (SELECT id FROM files WHERE push = ?1)")? {
        if is_damaged(Run::get(transaction, RunId(id)))? {
            transaction.execute("DELETE FROM runs WHERE id = ?1", [id])?;
        }
    }
    for id in ids("SELECT id FROM contents WHERE push = ?1")? {
        let content = Content::get(transaction, ContentId(id));
        // One that lies in one run has no parts.
        let in_parts = |content: Option<Content>| content.filter(|content| content.run.is_none());
        let parts = |content| in_parts(content).map_or(Ok(Vec::new()), |content| parts(transaction, &content));
        if is_damaged(content.and_then(parts))? {
            transaction.execute("DELETE FROM contents WHERE id = ?1", [id])?;
        }
    }
    Ok(())
}

fn is_damaged<T>(read: Result<T>) -> Result<bool> {
    match read {
        Ok(_) => Ok(false),
        Err(Error::Damaged(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Drops contents whose rows were not all flushed.
pub(super) fn drop_incomplete(transaction: &Transaction<'_>, push: PushId) -> Result<()> {
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
