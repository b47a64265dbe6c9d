//! Turnover: how many files a snapshot took over, lost and changed; for whoever has to notice that
//! most are gone.
//!
//! What the snapshot before had and this one has not in the same way is closed at the one before:
//!
//! ```text
//! closed there, and a row of the name begins here    kept if the content is the same, else changed
//! closed there, and none does                        vanished
//! ```
//!
//! So it costs what changed, however large the tree is. A file in a folder that was renamed
//! vanishes and is new.

use std::collections::HashMap;

use rusqlite::Connection;

use crate::{FolderId, Hash, Kind, Repository, Result, Snapshot, SnapshotId};

/// How the files of a line changed from one snapshot to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turnover {
    /// Files in the snapshot before.
    pub before: u64,
    /// Those whose paths are gone.
    pub vanished: u64,
    /// Those that are there and have other content.
    pub changed: u64,
    /// Files whose paths were not there before.
    pub new: u64,
}

impl Repository {
    /// What a snapshot changed against the one that is before it in its line; against nothing if there is
    /// none.
    ///
    /// # Errors
    /// If the catalog cannot be read.
    pub fn turnover(&self, snapshot: &Snapshot) -> Result<Turnover> {
        let mut connection = self.connection()?;
        let catalog = connection.transaction()?;
        let base: Option<SnapshotId> = catalog.query_row(
            "SELECT max(id) FROM snapshots WHERE line = ?1 AND id < ?2",
            (snapshot.line, snapshot.id),
            |row| row.get(0),
        )?;
        let Some(base) = base else {
            return Ok(Turnover {
                new: snapshot.files,
                ..Turnover::default()
            });
        };
        let before = catalog.query_row("SELECT files FROM snapshots WHERE id = ?1", [base], |row| {
            row.get::<_, i64>(0)
        })? as u64;
        let (vanished, changed) = compare(&catalog, base, snapshot.id)?;
        Ok(Turnover {
            before,
            vanished,
            changed,
            new: (snapshot.files + vanished).saturating_sub(before),
        })
    }
}

/// The files that ended with `base` and were not there in `snapshot`, and those that were, changed.
fn compare(catalog: &Connection, base: SnapshotId, snapshot: SnapshotId) -> Result<(u64, u64)> {
    // The number is that of what is alive, in full: for a parameter SQLite reads all entries.
    let mut statement = catalog.prepare_cached(
        "SELECT e.folder, e.name, c.hash FROM entries e LEFT JOIN contents c ON c.id = e.content
         WHERE e.last = ?1 AND e.last < 9223372036854775807 AND e.kind = ?2 ORDER BY e.folder",
    )?;
    let mut rows = statement.query((base, Kind::File as i64))?;
    let (mut vanished, mut changed) = (0, 0);
    let mut folder: Option<(FolderId, Names)> = None;
    while let Some(row) = rows.next()? {
        let (id, name, hash): (FolderId, Vec<u8>, Option<Hash>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let names = match &mut folder {
            Some((known, names)) if *known == id => names,
            _ => &mut folder.insert((id, begun(catalog, id, snapshot)?)).1,
        };
        match names.get(&name) {
            None => vanished += 1,
            Some(now) => changed += u64::from(*now != hash),
        }
    }
    Ok((vanished, changed))
}

/// Names of files, with their contents unless they are empty.
type Names = HashMap<Vec<u8>, Option<Hash>>;

/// The files of a folder that began with a snapshot.
fn begun(catalog: &Connection, folder: FolderId, snapshot: SnapshotId) -> Result<Names> {
    let mut statement = catalog.prepare_cached(
        "SELECT e.name, c.hash FROM entries e LEFT JOIN contents c ON c.id = e.content
         WHERE e.folder = ?1 AND e.first = ?2 AND e.kind = ?3",
    )?;
    let rows = statement.query_map((folder, snapshot, Kind::File as i64), |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, file, folder};
    use crate::{Body, Ingest, Meta};

    fn touch(ingest: &mut Ingest, name: &str, bytes: &[u8], mode: u32) {
        let body = Body {
            hash: Hash::of(bytes),
            size: bytes.len() as u64,
        };
        ingest
            .put(name.as_bytes(), Meta::plain(Kind::File, mode), Some(body), None)
            .unwrap();
    }

    #[test]
    fn what_vanished_changed_and_came_is_told_apart() {
        let bench = Bench::new();
        let first = bench.push("host", |ingest| {
            folder(ingest, "d", 0o755);
            for name in ["changed", "emptied", "kept", "touched", "vanished"] {
                file(ingest, name, name.as_bytes());
            }
            ingest.leave().unwrap();
            folder(ingest, "gone", 0o755);
            file(ingest, "a", b"a");
            file(ingest, "b", b"b");
            ingest.leave().unwrap();
        });
        let turnover = |snapshot: &Snapshot| bench.repository.turnover(snapshot).unwrap();
        assert_eq!(
            turnover(&first),
            Turnover {
                new: 7,
                ..Turnover::default()
            }
        );
        bench.push("other", |ingest| file(ingest, "changed", b"of another line"));
        let second = bench.push("host", |ingest| {
            ingest.enter(b"d", None).unwrap();
            file(ingest, "changed", b"now another");
            file(ingest, "emptied", b"");
            file(ingest, "new", b"new");
            touch(ingest, "touched", b"touched", 0o600);
            ingest.remove(b"vanished").unwrap();
            ingest.leave().unwrap();
            ingest.remove(b"gone").unwrap();
        });
        let expected = Turnover {
            before: 7,
            vanished: 3,
            changed: 2,
            new: 1,
        };
        assert_eq!(turnover(&second), expected);
        let third = bench.push("host", |_| {});
        let same = Turnover {
            before: 5,
            ..Turnover::default()
        };
        assert_eq!(turnover(&third), same);
        // Later pushes do not change what an earlier one did.
        assert_eq!(turnover(&second), expected);
    }

    #[test]
    fn a_file_that_became_a_folder_has_vanished() {
        let bench = Bench::new();
        bench.push("host", |ingest| file(ingest, "x", b"a file"));
        let second = bench.push("host", |ingest| {
            folder(ingest, "x", 0o755);
            ingest.leave().unwrap();
        });
        let turnover = bench.repository.turnover(&second).unwrap();
        assert_eq!((turnover.before, turnover.vanished, turnover.new), (1, 1, 0));
    }
}
