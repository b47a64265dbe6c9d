//! Verification: does what the catalog says hold, and are the bytes what their names say?
//!
//! ```text
//!  1 integrity   SQLite's own check of its pages
//!  2 rows        entries against their checks, snapshots against the sums of their rows   ┐ one read
//!  3 places      contents, bases, segments, runs, files: does each name what is there?    ┘ transaction
//!  4 bytes       contents read through and hashed: all, or those that 3 has doubts about
//!  5 paths       what the damage reaches
//! ```
//!
//! A broken row or file makes contents suspect, and only reading tells whether they are
//! damaged: a delta may need nothing of the part of its base that is gone. Pushes and prunes
//! go on meanwhile; so a doubt that comes from the files is looked at again afterwards, and what a
//! running push has not committed is left out. Memory is bounded but for numbers of rows.

mod bytes;
mod places;
mod rows;
mod share;
#[cfg(test)]
mod share_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode};

use crate::catalog::{self, DamagedSnapshot, Snapshot};
use crate::paths::{Paths, Timeline};
use crate::read::is_lost;
use crate::stops::Stop;
use crate::{ContentId, Error, FolderId, Hash, LineId, Repository, Result, SnapshotId, TellProgress};

pub(crate) use bytes::hash_of;
pub use share::VerifiedShare;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The content, file or row, and what is wrong with it.
    pub what: String,
    /// Every path that cannot be read or trusted because of it, with the name of the snapshot
    /// that has the path there. Empty where nothing that is kept needs it.
    pub paths: Vec<(Vec<u8>, String)>,
}

/// What a verification looked at, and what it found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Snapshots whose sums were compared.
    pub snapshots: u64,
    /// Rows of entries.
    pub entries: u64,
    /// Contents.
    pub contents: u64,
    /// Bytes of contents that were read and hashed.
    pub bytes: u64,
    /// What is damaged; empty if all is well.
    pub damages: Vec<Damage>,
}

impl Verified {
    /// Takes in what was found further on. A damage without a text goes on with the paths of the one before.
    pub fn append(&mut self, more: Verified) {
        self.snapshots += more.snapshots;
        self.entries += more.entries;
        self.contents += more.contents;
        self.bytes += more.bytes;
        for damage in more.damages {
            match self.damages.last_mut().filter(|_| damage.what.is_empty()) {
                Some(last) => last.paths.extend(damage.paths),
                None => self.damages.push(damage),
            }
        }
    }
}

/// Doubts that the catalog's part leaves to the reading of bytes.
#[derive(Default)]
struct Suspects {
    /// Contents that a broken row or file bears on.
    contents: BTreeSet<ContentId>,
    /// Contents that cannot be opened at all, and why.
    lost: Vec<(ContentId, String)>,
    /// Files that were not as their rows say.
    files: BTreeSet<crate::FileId>,
}

/// A verification at work.
struct Verifier<'a> {
    repository: &'a Arc<Repository>,
    timeline: Timeline,
    paths: Paths<'a>,
    result: Verified,
    suspects: Suspects,
    /// Contents whose damage is in the result.
    reported: HashSet<ContentId>,
    /// Contents that were damaged when they were looked at before.
    damaged: HashSet<ContentId>,
    /// Those of them that are not any more.
    recovered: Vec<ContentId>,
}

impl Repository {
    /// Checks the catalog and that stored files are there, and with `read_data` reads every
    /// content and compares it with its name. `progress` hears of bytes read and to be read.
    ///
    /// # Errors
    /// Damage is a result and not an error; errors are what kept us from looking.
    pub fn verify(self: &Arc<Self>, read_data: bool, progress: &mut TellProgress<'_>) -> Result<Verified> {
        let verifier = self.verifier(read_data, progress)?;
        verifier.write_down();
        Ok(verifier.result)
    }

    /// The same with all data, and nothing is written down.
    pub(crate) fn verify_unmarked(self: &Arc<Self>, progress: &mut TellProgress<'_>) -> Result<Verified> {
        Ok(self.verifier(true, progress)?.result)
    }

    fn verifier(self: &Arc<Self>, read_data: bool, progress: &mut TellProgress<'_>) -> Result<Verifier<'_>> {
        let mut verifier = Verifier::new(self);
        if let Err(error) = verifier.run(read_data, progress) {
            // Pages that SQLite cannot read end the checks; what was found until then stands.
            verifier.damage(tolerate(error)?, Vec::new());
        }
        Ok(verifier)
    }
}

impl<'a> Verifier<'a> {
    fn new(repository: &'a Arc<Repository>) -> Self {
        Verifier {
            repository,
            timeline: Timeline::new(Vec::new()),
            paths: Paths::new(repository),
            result: Verified::default(),
            suspects: Suspects::default(),
            reported: HashSet::new(),
            damaged: known_damaged(repository).unwrap_or_default(),
            recovered: Vec::new(),
        }
    }

    fn run(&mut self, read_data: bool, progress: &mut TellProgress<'_>) -> Result<()> {
        self.check_catalog(read_data)?;
        self.look_at_files_again()?;
        self.check_bytes(read_data, progress)
    }

    /// All that one read transaction sees.
    fn check_catalog(&mut self, thorough: bool) -> Result<()> {
        let mut connection = self.repository.connection()?;
        let catalog = connection.transaction()?;
        self.check_integrity(&catalog, thorough)?;
        let (snapshots, damaged) = Snapshot::find(&catalog, "", [])?;
        self.timeline = Timeline::new(snapshots);
        for DamagedSnapshot { id, name } in damaged {
            self.damage(format!("catalog snapshot {id}"), vec![(b"/".to_vec(), name)]);
        }
        // One broken place in the catalog must not hide the others.
        for check in [Self::check_rows, Self::check_places] {
            if let Err(error) = check(self, &catalog) {
                self.damage(tolerate(error)?, Vec::new());
            }
        }
        Ok(catalog.commit()?)
    }

    /// With all data also whether indexes and tables say the same, which takes sorting.
    fn check_integrity(&mut self, catalog: &Connection, thorough: bool) -> Result<()> {
        let pragma = if thorough {
            "PRAGMA integrity_check"
        } else {
            "PRAGMA quick_check"
        };
        let mut statement = catalog.prepare(pragma)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let message: String = row.get(0)?;
            if message != "ok" {
                self.damage(format!("catalog: {message}"), Vec::new());
            }
        }
        if !catalog::may_be_written(self.repository.path()) {
            self.damage(
                "catalog: its header says that it must not be written to".into(),
                Vec::new(),
            );
        }
        Ok(())
    }

    /// Writes down which contents are damaged, so that the next push is asked for them, and which no longer are.
    fn write_down(&self) {
        if self.repository.is_read_only() || (self.reported.is_empty() && self.recovered.is_empty()) {
            return;
        }
        let written = self.repository.in_transaction(Stop::DamageNoted, |rows| {
            for id in &self.recovered {
                rows.execute("DELETE FROM damaged WHERE content = ?1", [id])?;
            }
            for id in &self.reported {
                let there = "INSERT OR IGNORE INTO damaged (content) SELECT id FROM contents WHERE id = ?1";
                rows.execute(there, [id])?;
            }
            Ok(())
        });
        // On a full disk nobody is asked; the result says it all the same.
        drop(written);
    }

    fn damage(&mut self, what: String, paths: Vec<(Vec<u8>, String)>) {
        self.result.damages.push(Damage { what, paths });
    }

    /// A content whose bytes cannot be had.
    fn report(&mut self, id: ContentId, hash: Hash, reason: &str) -> Result<()> {
        self.reported.insert(id);
        let paths = self.paths_of_content(id)?;
        self.damage(format!("content {hash}: {reason}"), paths);
        Ok(())
    }

    /// Every path of one row, with the snapshots that have it there.
    fn paths_of(
        &mut self,
        line: LineId,
        folder: FolderId,
        name: &[u8],
        (first, last): (SnapshotId, SnapshotId),
    ) -> Result<Vec<(Vec<u8>, String)>> {
        let mut paths = Vec::new();
        for snapshot in self.timeline.reached(line, first, last) {
            let path = match self.paths.of(folder, name, snapshot.id) {
                Ok(path) => path,
                // A folder above it is damaged itself.
                Err(error) => tolerate(error).map(|_| None)?,
            };
            let path = path.unwrap_or_else(|| [b"(lost folder)/", name].concat());
            paths.push((path, snapshot.name.clone()));
        }
        Ok(paths)
    }

    /// The same for all rows that name a content.
    fn paths_of_content(&mut self, content: ContentId) -> Result<Vec<(Vec<u8>, String)>> {
        type Row = (Option<LineId>, FolderId, Vec<u8>, SnapshotId, SnapshotId);
        let rows: Vec<Row> = {
            let connection = self.repository.connection()?;
            let mut statement = connection.prepare_cached(
                "SELECT f.line, e.folder, e.name, e.first, e.last FROM entries e
                 LEFT JOIN folders f ON f.id = e.folder WHERE e.content = ?1 ORDER BY e.id",
            )?;
            let rows = statement.query_map([content], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let mut paths = Vec::new();
        for (line, folder, name, first, last) in rows {
            if let Some(line) = line {
                paths.extend(self.paths_of(line, folder, &name, (first, last))?);
            }
        }
        Ok(paths)
    }
}

fn known_damaged(repository: &Repository) -> Result<HashSet<ContentId>> {
    let connection = repository.connection()?;
    let mut statement = connection.prepare_cached("SELECT content FROM damaged")?;
    let damaged = statement.query_map([], |row| row.get(0))?;
    Ok(damaged.collect::<rusqlite::Result<_>>()?)
}

/// The text of an error that means damage; any other error is given back.
fn tolerate(error: Error) -> Result<String> {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    match error {
        Error::Damaged(what) => Ok(what),
        // The disk may refuse to give what it once took. That we may not read it, or cannot just now, says nothing.
        Error::Io { ref source, .. } if is_lost(source) || source.kind() == std::io::ErrorKind::NotFound => {
            Ok(error.to_string())
        }
        // A flipped bit can make another type of a value.
        Error::Catalog(FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..)) => {
            Ok(error.to_string())
        }
        Error::Catalog(ref cause)
            if error.is_damage() || cause.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) =>
        {
            Ok(error.to_string())
        }
        error => Err(error),
    }
}
