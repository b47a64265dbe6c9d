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

mod claim;
#[cfg(test)]
mod tests;

pub(super) use claim::claim;

use std::collections::{HashMap, HashSet};

use claim::{drop_file, drop_incomplete, shared_runs};
use rusqlite::{Connection, TransactionBehavior};

use crate::ballast::Room;
use crate::catalog::{Content, Run, parts};
use crate::ingest::{Ingest, drop_runs, release};
use crate::lock;
use crate::read::{FrameError, stored_frame};
use crate::stops::Stop;
use crate::tree_hash::Value;
use crate::{ContentId, Error, Hash, PushId, Result, RunId};

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
        match (0..run.frames.len())
            .try_for_each(stored)
            .map_err(FrameError::into_error)
        {
            Ok(()) => Ok(()),
            Err(Error::Damaged(_)) => {
                self.drop_kept_run(&run)?;
                Err(Error::Again(
                    "what an earlier push had sent is damaged; it is dropped".into(),
                ))
            }
            // Too many open files, say: nothing is known of what was kept.
            Err(error) => Err(error),
        }
    }

    fn drop_kept_run(&self, run: &Run) -> Result<()> {
        let push = self.writer.push;
        self.repository.in_transaction(Stop::KeptRunDropped, |transaction| {
            let shared = shared_runs(transaction, push)?;
            drop_file(transaction, push, run.file)?;
            drop_incomplete(transaction, push)?;
            drop_runs(transaction, &shared, None).map(drop)
        })
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
        let is_waiting = self.large.as_ref().is_some_and(|large| large.is_waiting());
        if self.writer.written == 0 && !is_waiting && !self.kept.is_some {
            return self.discard();
        }
        // Rows that cannot be flushed are lost, and with them the files that they name.
        let repository = self.repository.clone();
        crate::ballast::with_room(repository.path(), |_| {
            // Without room for the last groups, the rest is kept all the same.
            let _ = self.end_partial_segment();
            self.writer.sync()?;
            self.write_rows()
        })
    }

    /// Ends the push and sweeps what was sent.
    fn discard(&mut self) -> Result<()> {
        self.repository.sweep_push(self.writer.push, Room::Enough)?;
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
        Stop::UnclaimedDropped.around(|| transaction.commit())?;
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
