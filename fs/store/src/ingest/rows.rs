//! Rows on their way into the catalog: gathered, then written in one transaction.

#[cfg(test)]
mod tests;
mod weights;

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::catalog::{Content, Entry, FRAME_ROW, Part, Run, take};
use crate::ingest::Ingest;
use crate::meta::{encode_extents, encode_xattrs};
use crate::stops::Stop;
use crate::write::ROW;
use crate::{ContentId, EntryId, FolderId, Kind, Owner, Result, RunId};

use weights::Weights;

/// Rows written in one transaction.
const BATCH: usize = 32_000;

/// Bytes of rows written in one transaction: attributes may be long.
const BATCH_BYTES: u64 = 8 << 20;

/// Owners whose numbers are remembered.
const MOST_OWNERS: usize = 10_000;

/// After so many stored bytes rows are written even if they are few: of large contents a crash loses
/// no more, and the segment that was not complete.
const FLUSH: u64 = 8 << 20;

/// A row to be written.
pub(super) enum NewRow {
    Folder(FolderId),
    Entry(Box<Entry>),
    Closing(EntryId),
    Run(Run),
    Content(Content),
    Part {
        content: ContentId,
        segment: u64,
        part: Part,
    },
    Partial {
        key: [u8; 16],
        run: RunId,
    },
    Complete {
        key: [u8; 16],
    },
}

impl NewRow {
    /// About what it takes in memory while it waits, in bytes.
    fn memory(&self) -> u64 {
        let more = match self {
            NewRow::Entry(entry) => entry.name.len() + entry.meta.memory(),
            NewRow::Run(run) => run.frames.len() * FRAME_ROW,
            _ => 0,
        };
        ROW + more as u64
    }
}

/// Rows that wait, and what earlier ones were given as numbers.
#[derive(Default)]
pub(super) struct Rows {
    waiting: Vec<NewRow>,
    /// What those take in memory.
    bytes: u64,
    /// What they take in the catalog, at most.
    room: u64,
    weights: Weights,
    owners: HashMap<Owner, i64>,
}

impl Rows {
    /// Contents that entries name whose rows wait.
    pub fn contents_waiting(&self) -> HashSet<ContentId> {
        let content = |row: &NewRow| match row {
            NewRow::Entry(entry) => entry.content,
            _ => None,
        };
        self.waiting.iter().filter_map(content).collect()
    }

    pub fn is_full(&self) -> bool {
        self.waiting.len() >= BATCH || self.bytes >= BATCH_BYTES
    }
}

/// What a snapshot adds up to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub files: i64,
    pub folders: i64,
    pub others: i64,
    pub bytes: i64,
    pub check: i64,
}

impl Totals {
    /// Adds one entry (`sign` 1) or takes it off (`sign` -1).
    pub fn count(&mut self, kind: Kind, size: i64, sum: i64, sign: i64) {
        match kind {
            Kind::File => self.files += sign,
            Kind::Folder => self.folders += sign,
            _ => self.others += sign,
        }
        self.bytes += sign * size;
        self.check = self.check.wrapping_add(sum.wrapping_mul(sign));
    }
}

impl Ingest {
    pub(super) fn add_row(&mut self, row: NewRow) -> Result<()> {
        self.rows.bytes += row.memory();
        self.rows.room += self.rows.weights.of(&row);
        self.rows.waiting.push(row);
        let is_due = self.rows.is_full() || self.writer.written - self.flushed_at >= FLUSH;
        if is_due { self.flush() } else { Ok(()) }
    }

    /// Writes the rows that wait. They are invisible until the commit.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.writer.reserve_rows(self.rows.room)?;
        self.write_rows()
    }

    /// The same without asking for room: for rows of what is stored already.
    pub(super) fn write_rows(&mut self) -> Result<()> {
        self.flushed_at = self.writer.written;
        (self.rows.bytes, self.rows.room) = (0, 0);
        if self.rows.owners.len() > MOST_OWNERS {
            self.rows.owners.clear();
        }
        let repository = self.repository.clone();
        // Files were registered before, and waited for: what a power cut takes back of a push are rows of what they hold.
        repository.connection()?.lazily(|connection| {
            let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            for row in self.rows.waiting.drain(..) {
                insert(&transaction, row, self.writer.push, &mut self.rows.owners)?;
            }
            self.writer.record_sealed(&transaction)?;
            Ok(Stop::RowsFlushed.around(|| transaction.commit())?)
        })?;
        self.recent.clear();
        Ok(())
    }
}

fn insert(connection: &Connection, row: NewRow, push: crate::PushId, owners: &mut HashMap<Owner, i64>) -> Result<()> {
    match row {
        NewRow::Folder(id) => {
            connection
                .prepare_cached("INSERT INTO folders (id, line) SELECT ?1, line FROM pushes WHERE id = ?2")?
                .execute((id, push))?;
        }
        NewRow::Entry(entry) => insert_entry(connection, &entry, owners)?,
        NewRow::Closing(entry) => {
            connection
                .prepare_cached("INSERT OR IGNORE INTO closings (push, entry) VALUES (?1, ?2)")?
                .execute((push, entry))?;
        }
        NewRow::Run(run) => run.insert(connection)?,
        NewRow::Content(content) => content.insert(connection, push)?,
        NewRow::Part { content, segment, part } => part.insert(connection, content, segment)?,
        NewRow::Partial { key, run } => {
            connection
                .prepare_cached("INSERT OR IGNORE INTO partials (push, key, run) VALUES (?1, ?2, ?3)")?
                .execute((push, key, run))?;
        }
        NewRow::Complete { key } => {
            connection
                .prepare_cached("DELETE FROM partials WHERE push = ?1 AND key = ?2")?
                .execute((push, key))?;
        }
    }
    Ok(())
}

/// Inserts an entry, with what it refers to where that is not there. Owners whose numbers are known are in `owners`.
pub(crate) fn insert_entry(connection: &Connection, entry: &Entry, owners: &mut HashMap<Owner, i64>) -> Result<()> {
    let meta = &entry.meta;
    let owner = match owners.get(&meta.owner) {
        Some(owner) => *owner,
        None => {
            let owner = intern_owner(connection, &meta.owner)?;
            owners.insert(meta.owner.clone(), owner);
            owner
        }
    };
    let xattrs = match meta.xattrs.is_empty() {
        true => None,
        false => Some(intern_attribute(connection, &encode_xattrs(&meta.xattrs))?),
    };
    let data = meta
        .data
        .as_ref()
        .map(|data| intern_attribute(connection, &encode_extents(data)))
        .transpose()?;
    let target = (!meta.target.is_empty()).then_some(&meta.target);
    let mut statement = connection.prepare_cached(
        "INSERT INTO entries (id, folder, name, first, last, kind, mode, owner, mtime, mtime_ns, size, content,
                              child, link, rdev, target, xattrs, data, sum)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    statement.execute(rusqlite::params![
        entry.id,
        entry.folder,
        entry.name,
        entry.first,
        entry.last,
        meta.kind as i64,
        meta.mode,
        owner,
        meta.mtime,
        meta.mtime_ns,
        entry.size as i64,
        entry.content,
        entry.child,
        entry.link,
        meta.rdev as i64,
        target,
        xattrs,
        data,
        entry.sum(),
    ])?;
    Ok(())
}

fn intern_owner(connection: &Connection, owner: &Owner) -> Result<i64> {
    let key = (owner.uid, owner.gid, &owner.user, &owner.group);
    let known = connection
        .prepare_cached("SELECT id FROM owners WHERE uid = ?1 AND gid = ?2 AND user = ?3 AND \"group\" = ?4")?
        .query_row(key, |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    let id = take(connection, "owners", 1)?;
    connection.execute(
        "INSERT INTO owners (id, uid, gid, user, \"group\") VALUES (?1, ?2, ?3, ?4, ?5)",
        (id, owner.uid, owner.gid, &owner.user, &owner.group),
    )?;
    Ok(id)
}

fn intern_attribute(connection: &Connection, data: &[u8]) -> Result<i64> {
    let known = connection
        .prepare_cached("SELECT id FROM attributes WHERE data = ?1")?
        .query_row([data], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    let id = take(connection, "attributes", 1)?;
    connection
        .prepare_cached("INSERT INTO attributes (id, data) VALUES (?1, ?2)")?
        .execute((id, data))?;
    Ok(id)
}
