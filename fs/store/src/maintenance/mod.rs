//! What is done to a repository besides pushing: forgetting snapshots, collecting what nothing
//! reaches any more, repacking.
//!
//! Each step prepares files without a lock, under a number of its own as a push has one, and
//! then changes rows in one short transaction under the writer's lock, if they are still as
//! they were. A step that dies leaves files whose rows name its number: swept.

mod collect;
mod forget;
mod repack;
#[cfg(test)]
mod tests;
mod unused;
mod whole;

pub(crate) use collect::remember_base;
pub use forget::Forgotten;

use std::sync::Arc;

use rusqlite::{Transaction, TransactionBehavior};

use crate::ballast::Room;
use crate::lock::Lock;
use crate::stops::Stop;
use crate::write::{Unlimited, Writer};
use crate::{PushId, Repository, Result, RunId, lock};

/// One step of maintenance: files that are written, and the transaction that names them.
struct Step {
    writer: Writer,
    _alive: Lock,
}

impl Step {
    fn begin(repository: &Arc<Repository>) -> Result<Self> {
        repository.writable()?;
        let push = PushId(crate::catalog::take(&*repository.connection()?, "pushes", 1)?);
        let alive = lock::new_push(repository.path(), push)?;
        Ok(Step {
            writer: Writer::new(repository.clone(), push, Box::new(Unlimited)),
            _alive: alive,
        })
    }

    /// Makes the files durable, then changes rows by `change`, which gives the runs that it freed; `stop` is the commit.
    fn commit(mut self, stop: Stop, change: impl FnOnce(&Transaction<'_>) -> Result<Vec<RunId>>) -> Result<()> {
        let repository = self.writer.repository.clone();
        let result = self.writer.sync().and_then(|()| {
            let _writer = lock::writer(repository.path())?;
            let mut connection = repository.connection()?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let freed = change(&transaction)?;
            self.writer.commit_files(&transaction)?;
            crate::ingest::drop_runs(&transaction, &freed, None)?;
            repository.unlink_early(&transaction)?;
            Ok(stop.around(|| transaction.commit())?)
        });
        if result.is_err() {
            let _ = repository.sweep_push(self.writer.push, Room::Enough);
        }
        repository.unlink_dead()?;
        result
    }
}
