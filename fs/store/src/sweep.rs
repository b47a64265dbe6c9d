//! Sweeping: what dead pushes and dead files leave behind.
//!
//! Only rows say what may go, never a listing of a folder: a row in `pushes` whose lock
//! nobody holds, and rows in `files` marked dead. What a push sent before it died is kept for
//! a while: the next one of its line goes on from there ([`resume`](crate::ingest)). A file is unlinked after the commit that
//! marked it, then its folder is fsynced, and its row deleted after that, so a crash between any two steps repeats them.
//!
//! A push that died may have filled the disk, and its rows may be many. So it is condemned first, which takes little: no
//! push goes on with it any more, and its files go. Its rows follow in steps; as long as one is left, so is the push's.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::ballast::Room;
use crate::error::IoContext;
use crate::layout::{FileKind, stored_file};
use crate::stops::Stop;
use crate::{FileId, PushId, Repository, Result, RunId, lock};

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Pushes that had died.
    pub pushes: u64,
    /// Files removed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The `time` of a push that is being swept: no other goes on with it, and every sweep goes on sweeping it.
pub(crate) const CONDEMNED: i64 = 0;

impl Swept {
    fn add(&mut self, (files, bytes): (u64, u64)) {
        self.files += files;
        self.bytes += bytes;
    }
}

/// For how long what a dead push sent waits for the next push of its line, in seconds.
const KEPT: i64 = 7 * 24 * 60 * 60;

impl Repository {
    /// Sweeps what dead steps of maintenance left, and what pushes sent that died a week ago or
    /// earlier and that no push has gone on with. Pushes that live are left alone.
    pub fn sweep(&self) -> Result<Swept> {
        let before = self.now() - KEPT;
        self.sweep_where(|time| time.is_none_or(|time| time < before))
    }

    /// Sweeps everything that no living push needs: for when room is wanted.
    pub fn sweep_all(&self) -> Result<Swept> {
        self.sweep_where(|_| true)
    }

    fn sweep_where(&self, goes: impl Fn(Option<i64>) -> bool) -> Result<Swept> {
        if self.is_read_only() {
            return Ok(Swept::default());
        }
        let mut swept = Swept::default();
        crate::ballast::freeing(self.path(), |room| {
            for (push, _) in self.pushes()?.into_iter().filter(|(_, time)| goes(*time)) {
                // Held until the push is swept, so that nobody else sweeps it too, or goes on with it.
                if let Some(_dead) = lock::push(self.path(), push)? {
                    swept.add(self.sweep_push(push, room)?);
                    swept.pushes += 1;
                }
            }
            swept.add(self.unlink_dead()?);
            // Who died before any row had its number is in none: only its lock's file is left.
            lock::held_pushes(self.path())?;
            self.sweep_copy()
        })?;
        Ok(swept)
    }

    /// Numbers that files or pushes have, and the times of pushes; steps of maintenance have none.
    fn pushes(&self) -> Result<Vec<(PushId, Option<i64>)>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT id, time FROM pushes
             UNION SELECT push, NULL FROM files WHERE push IS NOT NULL AND push NOT IN (SELECT id FROM pushes)",
        )?;
        Ok(statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?)
    }

    /// Removes everything of an uncommitted push: its files, then its rows. The caller holds the push's lock.
    pub(crate) fn sweep_push(&self, push: PushId, room: Room) -> Result<(u64, u64)> {
        self.in_transaction(Stop::PushCondemned, |transaction| {
            transaction.execute("UPDATE pushes SET time = ?2 WHERE id = ?1", (push, CONDEMNED))?;
            Ok(transaction.execute("UPDATE files SET dead = 1 WHERE push = ?1", [push])?)
        })?;
        let gone = self.unlink_dead()?;
        self.drop_tree(push, room)?;
        while self.in_transaction(Stop::PartsDropped, |transaction| drop_parts(transaction, push, room))? {
            self.after_step(room)?;
        }
        for statement in ROWS_OF_A_PUSH {
            let some = |rows: &Transaction<'_>| Ok(rows.execute(statement, (push, room.rows()))?);
            while self.in_transaction(Stop::PushRowsDropped, some)? > 0 {
                self.after_step(room)?;
            }
        }
        self.in_transaction(Stop::PushDropped, |transaction| {
            transaction.execute("DELETE FROM files WHERE push = ?1", [push])?;
            Ok(transaction.execute("DELETE FROM pushes WHERE id = ?1", [push])?)
        })?;
        Ok(gone)
    }

    /// Does something in a transaction of its own, under the writer's lock; `stop` is its commit.
    pub(crate) fn in_transaction<T>(&self, stop: Stop, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let _writer = lock::writer(self.path())?;
        let mut connection = self.connection()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        stop.around(|| transaction.commit())?;
        Ok(done)
    }

    /// Where room is low, the log of a step makes room for that of the next one.
    pub(crate) fn after_step(&self, room: Room) -> Result<()> {
        match room {
            Room::Enough => Ok(()),
            Room::Low => self.checkpoint(),
        }
    }

    /// Unlinks the files that rows mark as dead; gives their number and bytes. One that cannot be unlinked keeps its
    /// row and stops nothing else.
    pub(crate) fn unlink_dead(&self) -> Result<(u64, u64)> {
        let mut unlinked = Unlinked::default();
        for (id, kind) in self.dead_files()? {
            if let Some(kind) = FileKind::from_code(kind) {
                unlinked.unlink(id, &stored_file(self.path(), kind, id));
            }
        }
        unlinked.sync()?;
        if !unlinked.gone.is_empty() {
            self.forget_files(&unlinked.gone)?;
        }
        Ok((unlinked.files, unlinked.bytes))
    }

    /// A planted fault: files go before the commit that marks them.
    pub(crate) fn unlink_early(&self, transaction: &Connection) -> Result<()> {
        if cfg!(feature = "fault-early-unlink") {
            for (id, kind) in dead_files(transaction)? {
                let kind = FileKind::from_code(kind).expect("a kind");
                let _ = unlink(&stored_file(self.path(), kind, id));
            }
        }
        Ok(())
    }

    fn dead_files(&self) -> Result<Vec<(FileId, i64)>> {
        dead_files(&*self.connection()?)
    }

    /// Deletes the rows of files that are gone; those of a push that is being swept stay until its runs are gone too.
    fn forget_files(&self, files: &[FileId]) -> Result<()> {
        let mut connection = self.connection()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for file in files {
            transaction
                .prepare_cached("DELETE FROM files WHERE id = ?1 AND dead = 1 AND push IS NULL")?
                .execute([file])?;
        }
        Ok(Stop::DeadRowsDropped.around(|| transaction.commit())?)
    }
}

/// Files that are marked as dead, and their kinds.
fn dead_files(connection: &Connection) -> Result<Vec<(FileId, i64)>> {
    // The index is not believed: a file in which a run lies is not dead.
    let mut statement = connection.prepare_cached(
        "SELECT id, kind FROM files WHERE dead = 1 AND +dead = 1
           AND (push IS NOT NULL OR NOT EXISTS (SELECT 1 FROM runs WHERE file = files.id))",
    )?;
    let dead = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(dead.collect::<rusqlite::Result<_>>()?)
}

/// Files that were unlinked, and what has to be fsynced before their rows go.
#[derive(Default)]
struct Unlinked {
    gone: Vec<FileId>,
    folders: BTreeSet<PathBuf>,
    files: u64,
    bytes: u64,
}

impl Unlinked {
    fn unlink(&mut self, id: FileId, path: &Path) {
        let Ok(length) = unlink(path) else { return };
        self.gone.push(id);
        // Also of one that was not there: whoever unlinked it may have died before this.
        self.folders.extend(path.parent().map(Path::to_owned));
        self.files += u64::from(length.is_some());
        self.bytes += length.unwrap_or(0);
    }

    /// Without this a power cut could bring back a file that no row names any more.
    fn sync(&self) -> Result<()> {
        for folder in self.folders.iter().filter(|folder| folder.exists()) {
            Stop::UnlinkedFolderSynced
                .around(|| File::open(folder).and_then(|folder| folder.sync_all()))
                .at(folder)?;
        }
        Ok(())
    }
}

/// Deletes some rows of push ?1, at most ?2, each statement those that the ones before it have left.
const ROWS_OF_A_PUSH: [&str; 4] = [
    "DELETE FROM contents WHERE id IN (SELECT id FROM contents WHERE push = ?1 LIMIT ?2)",
    "DELETE FROM partials WHERE push = ?1 AND run IN (SELECT run FROM partials WHERE push = ?1 LIMIT ?2)",
    "DELETE FROM runs WHERE id IN
       (SELECT id FROM runs WHERE file IN (SELECT id FROM files WHERE push = ?1) LIMIT ?2)",
    "DELETE FROM closings WHERE push = ?1 AND entry IN (SELECT entry FROM closings WHERE push = ?1 LIMIT ?2)",
];

/// Deletes some of the parts of a push's contents; whether there were any. Segments that they shared with a content that
/// was forgotten meanwhile go with them.
fn drop_parts(transaction: &Transaction<'_>, push: PushId, room: Room) -> Result<bool> {
    let parts = {
        let mut statement = transaction.prepare_cached(
            "SELECT content, segment, run FROM parts WHERE content IN (SELECT id FROM contents WHERE push = ?1) LIMIT ?2",
        )?;
        let parts = statement.query_map((push, room.rows()), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        parts.collect::<rusqlite::Result<Vec<(i64, i64, Option<RunId>)>>>()?
    };
    let mut delete = transaction.prepare_cached("DELETE FROM parts WHERE content = ?1 AND segment = ?2")?;
    for (content, segment, _) in &parts {
        delete.execute((content, segment))?;
    }
    let runs: Vec<RunId> = parts.iter().filter_map(|(_, _, run)| *run).collect();
    crate::ingest::drop_runs(transaction, &runs, None)?;
    Ok(!parts.is_empty())
}

/// Removes a file that may not have been made; gives its length if it was there.
fn unlink(path: &Path) -> Result<Option<u64>> {
    let length = match std::fs::metadata(path) {
        Ok(status) => status.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at(path),
    };
    match Stop::DeadFileUnlinked.around(|| std::fs::remove_file(path)) {
        Ok(()) => Ok(Some(length)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at(path),
    }
}

#[cfg(test)]
mod tests {
    use crate::layout;
    use crate::testing::Bench;

    #[test]
    fn the_lock_of_who_was_killed_before_any_row_had_his_number_goes() {
        let bench = Bench::new();
        let lock = |number: i64| layout::locks(bench.repository.path()).join(format!("push-{number}"));
        let alive = bench.begin("host");
        let number = bench.number("SELECT id FROM pushes");
        std::fs::write(lock(number + 1), "").unwrap();
        bench.repository.sweep().unwrap();
        assert!(lock(number).exists() && !lock(number + 1).exists());
        drop(alive);
    }
}
