//! Sweeping: what dead pushes and dead files leave behind.
//!
//! Only rows say what may go, never a listing of a folder: a row in `pushes` whose lock
//! nobody holds, and rows in `files` marked dead. What a push sent before it died is kept for
//! a while: the next one of its line goes on from there ([`resume`](crate::ingest)). A file is unlinked after the commit that
//! marked it, and its row deleted after that, so a crash between any two steps repeats them.

use std::path::PathBuf;

use rusqlite::TransactionBehavior;

use crate::error::IoContext;
use crate::layout::{FileKind, stored_file};
use crate::{FileId, PushId, Repository, Result, lock};

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
        crate::ballast::with_room(self.path(), || {
            let mut swept = Swept::default();
            for (push, _) in self.pushes()?.into_iter().filter(|(_, time)| goes(*time)) {
                // Held until the push is swept, so that nobody else sweeps it too, or goes on with it.
                if let Some(_dead) = lock::push(self.path(), push)? {
                    self.sweep_push(push)?;
                    swept.pushes += 1;
                }
            }
            let (files, bytes) = self.unlink_dead()?;
            swept.files += files;
            swept.bytes += bytes;
            Ok(swept)
        })
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

    /// Takes everything of an uncommitted push out of the catalog and marks its files dead.
    /// The caller holds the push's lock.
    pub(crate) fn sweep_push(&self, push: PushId) -> Result<()> {
        let _writer = lock::writer(self.path())?;
        let mut connection = self.connection()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        crate::ingest::drop_tree(&transaction, push)?;
        for statement in [
            "DELETE FROM parts WHERE content IN (SELECT id FROM contents WHERE push = ?1)",
            "DELETE FROM contents WHERE push = ?1",
            "DELETE FROM runs WHERE file IN (SELECT id FROM files WHERE push = ?1)",
            "UPDATE files SET dead = 1, push = NULL WHERE push = ?1",
            "DELETE FROM partials WHERE push = ?1",
            "DELETE FROM pushes WHERE id = ?1",
        ] {
            transaction.execute(statement, [push])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Unlinks the files that rows mark as dead; gives their number and bytes.
    pub(crate) fn unlink_dead(&self) -> Result<(u64, u64)> {
        let dead: Vec<(FileId, i64)> = {
            let connection = self.connection()?;
            let mut statement = connection.prepare_cached("SELECT id, kind FROM files WHERE dead = 1")?;
            statement
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?
        };
        let (mut files, mut bytes) = (0, 0);
        for (id, kind) in &dead {
            let Some(kind) = FileKind::from_code(*kind) else {
                continue;
            };
            if let Some(length) = unlink(stored_file(self.path(), kind, *id))? {
                files += 1;
                bytes += length;
            }
        }
        if !dead.is_empty() {
            let mut connection = self.connection()?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (id, _) in &dead {
                transaction
                    .prepare_cached("DELETE FROM files WHERE id = ?1 AND dead = 1")?
                    .execute([id])?;
            }
            transaction.commit()?;
        }
        Ok((files, bytes))
    }
}

/// Removes a file that may not have been made; gives its length if it was there.
fn unlink(path: PathBuf) -> Result<Option<u64>> {
    let length = match std::fs::metadata(&path) {
        Ok(status) => status.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at(&path),
    };
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(Some(length)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at(&path),
    }
}
