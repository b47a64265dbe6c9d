//! Receiving a push: the one way in which snapshots come about, local or remote.
//!
//! The sender walks its tree depth first, names in bytewise order, and tells what differs
//! from the newest snapshot of the line; what it does not mention stays as it was. Contents
//! come before the entries that name them.
//!
//! Rows are written while the push goes on, in small transactions, under numbers that no
//! snapshot reaches yet: entries begin at a snapshot that is not there, contents and files
//! carry the push's number. The [commit](commit) is one transaction that makes them real.
//! A push that dies leaves what it sent; the next one of its line [goes on](resume) from there.

mod base;
mod commit;
mod contents;
mod heal;
mod large;
mod made;
mod resume;
pub(crate) mod rows;
mod succession;
mod tree;

pub use base::BaseValues;
pub(crate) use commit::drop_runs;
pub(crate) use heal::heal;
pub use large::LargeOp;
pub use made::Made;
pub(crate) use succession::{release, write_delta};
pub use tree::Body;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{OptionalExtension, TransactionBehavior};

use crate::catalog::{Snapshot, join_roots};
use crate::delta::Shared;
use crate::lock::Lock;
use crate::stops::Stop;
use crate::write::{Budget, ROW, Writer};
use crate::{ContentId, Error, FolderId, Hash, LineId, PushId, Repository, Result, RunId, SnapshotId, lock};

use rows::Rows;
use tree::Entered;

/// What a push is of.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// The name of the machine.
    pub host: String,
    /// The paths that were asked for: absolute, clean, sorted, none inside another.
    pub roots: Vec<Vec<u8>>,
    /// What the user calls the snapshot.
    pub tags: Vec<String>,
    /// When it was made and what it is called, of one that is copied from another repository; else now.
    pub made: Option<Made>,
}

/// A push that is being received.
pub struct Ingest {
    repository: Arc<Repository>,
    writer: Writer,
    options: PushOptions,
    line: LineId,
    line_root: FolderId,
    snapshot: SnapshotId,
    base: Option<Snapshot>,
    stack: Entered,
    rows: Rows,
    /// Contents of this push that are not in the catalog yet.
    recent: HashMap<Hash, ContentId>,
    /// Contents that were sent and were here already, by what their names begin with: one that is forgotten before an
    /// entry names it was no lie.
    were_here: HashSet<[u8; 8]>,
    /// Contents that a path had, and the one that it has now.
    successions: Vec<(ContentId, ContentId)>,
    /// What a changed large content shares with the one before it.
    shared: HashMap<ContentId, (ContentId, Shared)>,
    /// How many matches there are in all of them.
    matches_kept: usize,
    /// Bytes of memory that the replaced bytes take in all of them.
    literals_kept: usize,
    large: Option<large::LargeContent>,
    /// Runs of large contents that turned out to be known.
    unused_runs: Vec<RunId>,
    links: HashMap<u64, i64>,
    /// Folders that were removed; everything in them is closed at the end.
    removed_folders: Vec<FolderId>,
    totals: rows::Totals,
    /// Contents that are here and could not be read when they were looked at last, by their names and lengths.
    damaged: HashMap<(Hash, u64), ContentId>,
    /// What an earlier push of the line sent before it died.
    kept: resume::Kept,
    /// Bytes that had been written when rows were flushed last.
    flushed_at: u64,
    /// Committed, or put away: nothing is left to do.
    is_over: bool,
    // Released last: whoever gets the line's lock finds this push committed or swept.
    _push_lock: Lock,
    _line_lock: Lock,
}

/// What a commit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The new snapshot.
    pub snapshot: Snapshot,
    /// Contents that were turned into reverse deltas.
    pub deltas: u64,
    /// Damaged contents that are whole again.
    pub healed: u64,
}

impl Ingest {
    /// Begins to receive a push.
    ///
    /// # Errors
    /// [`Error::Busy`] if a push of the same line is running; [`Error::Refused`] if a copy is not later than what
    /// is here.
    pub fn begin(repository: &Arc<Repository>, options: PushOptions, mut budget: Box<dyn Budget>) -> Result<Self> {
        repository.writable()?;
        if let Some(made) = &options.made {
            // The commit looks again; but nothing need be sent for a copy that cannot be.
            made.check(&*repository.connection()?, repository.now())?;
        }
        crate::ballast::hold(repository.path())?;
        if repository.newest_of(&options)?.0 == LineId(0) {
            // Roots lie in the table of lines and in its index.
            let roots: usize = options.roots.iter().map(|root| root.len() + 1).sum();
            budget.reserve(2 * (roots + options.host.len()) as u64 + 2 * ROW)?;
        }
        let (line, line_root) = find_line(repository, &options)?;
        let line_lock = lock::line(repository.path(), line)?.ok_or_else(|| {
            Error::Busy(format!(
                "another snapshot of these paths of {} is being made; wait for it and try again",
                options.host
            ))
        })?;
        // Its number first, its lock second, its row third: a row without a held lock is dead.
        let (push, push_lock) = match resume::claim(repository, line)? {
            Some(claimed) => claimed,
            None => {
                let push = PushId(crate::catalog::take(&*repository.connection()?, "pushes", 1)?);
                (push, lock::new_push(repository.path(), push)?)
            }
        };
        let mut connection = repository.connection()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut writer = Writer::new(repository.clone(), push, budget);
        let snapshot = SnapshotId(crate::catalog::take(&transaction, "snapshots", 1)?);
        let entry = writer.ids.next_in(&transaction, "entries")?;
        transaction.execute(
            "INSERT OR REPLACE INTO pushes (id, line, snapshot, entry, time) VALUES (?1, ?2, ?3, ?4, ?5)",
            (push, line, snapshot, entry, repository.now()),
        )?;
        let kept = resume::Kept::of(&transaction, push, writer.ids.next_in(&transaction, "contents")?)?;
        let base = Snapshot::newest(&transaction, line)?;
        let damaged = heal::damaged(&transaction)?;
        Stop::PushBegun.around(|| transaction.commit())?;
        drop(connection);
        Ok(Ingest {
            repository: repository.clone(),
            writer,
            options,
            line,
            line_root,
            snapshot,
            base,
            stack: Entered::default(),
            rows: Rows::default(),
            recent: HashMap::new(),
            were_here: HashSet::new(),
            successions: Vec::new(),
            shared: HashMap::new(),
            matches_kept: 0,
            literals_kept: 0,
            large: None,
            unused_runs: Vec::new(),
            links: HashMap::new(),
            removed_folders: Vec::new(),
            totals: rows::Totals::default(),
            damaged,
            kept,
            flushed_at: 0,
            is_over: false,
            _push_lock: push_lock,
            _line_lock: line_lock,
        })
    }

    /// The newest snapshot of the line: what this push is told against.
    pub fn base(&self) -> Option<&Snapshot> {
        self.base.as_ref()
    }

    /// The line that the push belongs to.
    pub fn line(&self) -> LineId {
        self.line
    }

    /// Bytes written to stored files so far.
    pub fn written(&self) -> u64 {
        self.writer.written
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if !self.is_over {
            // What cannot be put away now is dropped by whoever claims it.
            let _ = self.put_away();
        }
    }
}

impl Repository {
    /// The number of the line that such a push would belong to, 0 if there is none yet, and its
    /// newest snapshot.
    pub fn newest_of(&self, options: &PushOptions) -> Result<(LineId, Option<Snapshot>)> {
        let connection = self.connection()?;
        let line: Option<LineId> = connection
            .query_row(
                "SELECT id FROM lines WHERE host = ?1 AND roots = ?2",
                (&options.host, join_roots(&options.roots)),
                |row| row.get(0),
            )
            .optional()?;
        let Some(line) = line else {
            return Ok((LineId(0), None));
        };
        Ok((line, Snapshot::newest(&connection, line)?))
    }
}

/// The line of a host and its roots; made at its first push.
fn find_line(repository: &Repository, options: &PushOptions) -> Result<(LineId, FolderId)> {
    let mut connection = repository.connection()?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let roots = join_roots(&options.roots);
    let known = transaction
        .query_row(
            "SELECT id, root FROM lines WHERE host = ?1 AND roots = ?2",
            (&options.host, &roots),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let line = match known {
        Some(line) => line,
        None => {
            let line = LineId(crate::catalog::take(&transaction, "lines", 1)?);
            let root = FolderId(crate::catalog::take(&transaction, "folders", 1)?);
            transaction.execute("INSERT INTO folders (id, line) VALUES (?1, ?2)", (root, line))?;
            transaction.execute(
                "INSERT INTO lines (id, host, roots, root) VALUES (?1, ?2, ?3, ?4)",
                (line, &options.host, &roots, root),
            )?;
            (line, root)
        }
    };
    Stop::LineMade.around(|| transaction.commit())?;
    Ok(line)
}
