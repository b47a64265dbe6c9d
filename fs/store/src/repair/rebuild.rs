//! A new catalog from what can be read of the damaged one and of its copies.
//!
//! 1. rows of the damaged one, as far as they can be read;
//! 2. lines, owners and attributes, which have no checks, are those of a copy where that makes their snapshots and
//!    entries sound;
//! 3. what is not what it was goes, and makes a gap like what could not be read;
//! 4. gaps are filled from the copies, the newest first; what of that is not sound goes again;
//! 5. work in hand goes: what dead pushes had sent is sent again;
//!    folders of which the line is not known are of the one whose `/` leads to them;
//! 6. the newest snapshots of which only the entries are left get rows again;
//! 7. lives that a copy had not seen the end of end where the next entry of their name begins; if a line does not add
//!    up then, with the newest snapshot that the copy knew: a file that is missing is better than one that is another;
//! 8. snapshots whose `/` is lost get that of a neighbour.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::salvage::{Gap, TABLES, Table};
use super::{Rebuilt, rows, snapshots};
use crate::catalog::{self, ALIVE, Snapshot};
use crate::layout::{self, FileKind, stored_file};
use crate::{Error, FileId, Result};

/// What is to be filled of a table.
struct Missing {
    table: Table,
    gaps: Vec<Gap>,
}

/// Builds a new catalog in `folder`, as [`create`](catalog::create) makes one in a repository's.
///
/// # Errors
/// [`Error::Damaged`] if neither the catalog nor any copy can be read at all.
pub(super) fn rebuild(repository: &Path, folder: &Path) -> Result<Rebuilt> {
    catalog::create(folder)?;
    let new = Connection::open(layout::catalog(folder))?;
    new.pragma_update(None, "synchronous", "off")?;
    let mut rebuilt = Rebuilt::default();
    let mut missing = salvage(repository, &new)?;
    let copies = catalog::copies(repository)?;
    if missing.iter().all(|one| one.gaps == [ALL]) && copies.is_empty() {
        return Err(Error::Damaged(
            "the catalog: nothing of it can be read, and there is no copy of it".into(),
        ));
    }
    for (number, copy) in copies.iter().enumerate() {
        let plain = folder.join("copy.sqlite3");
        // One that cannot be unpacked is as if it were not there.
        if catalog::unpack(copy, &plain).is_ok() {
            with_copy(&new, &plain, |new| match is_of_another_history(new)? {
                true => Ok(()),
                false => take_from(repository, new, &mut missing, number == 0, &mut rebuilt),
            })?;
        }
        let _ = std::fs::remove_file(&plain);
        if missing.iter().all(|one| one.gaps.is_empty()) {
            break;
        }
    }
    let dropped = drop_damaged(repository, &new, &mut missing)?;
    rebuilt.unreadable = rebuilt
        .unreadable
        .max(missing.iter().map(|one| one.gaps.len() as u64).sum());
    rebuilt.lost = missing.iter().map(|one| one.gaps.len() as u64).sum();
    debug_assert!(copies.is_empty() || dropped == 0 || rebuilt.lost > 0);
    drop_work_in_hand(&new)?;
    join_folders(&new)?;
    end_lives(&new)?;
    rebuilt.revived = snapshots::revive(&new)?;
    rebuilt.ended = snapshots::end_uncertain(&new)?;
    rebuilt.revived += snapshots::give_roots(&new)?;
    keep_names(repository, &new)?;
    new.pragma_update(None, "synchronous", "full")?;
    new.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(rebuilt)
}

const ALL: Gap = (1, i64::MAX);

/// Rows that came after the newest copy that could be used: no copy has any.
const AFTER_THE_COPY: Gap = (i64::MAX, i64::MAX);

fn salvage(repository: &Path, new: &Connection) -> Result<Vec<Missing>> {
    let old = Connection::open_with_flags(layout::catalog(repository), OpenFlags::SQLITE_OPEN_READ_ONLY);
    let readable = old.and_then(|old| {
        old.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
            .map(|()| old)
    });
    let mut missing = Vec::new();
    for table in TABLES {
        let gaps = match &readable {
            Ok(old) => table.salvage(old, new)?,
            Err(_) => vec![ALL],
        };
        missing.push(Missing { table, gaps });
    }
    if let Ok(old) = &readable {
        // Counters, and what waits to be collected; without them neither is wrong, only later.
        for name in ["next_ids", "nameless", "going", "damaged"] {
            let _ = copy_small(old, new, name);
        }
        let pushes = Table {
            name: "pushes",
            key: "id",
        };
        let _ = pushes.salvage(old, new);
    }
    Ok(missing)
}

fn copy_small(old: &Connection, new: &Connection, name: &str) -> rusqlite::Result<()> {
    let mut select = old.prepare(&format!("SELECT * FROM {name}"))?;
    let columns = select.column_count();
    let insert = format!(
        "INSERT OR IGNORE INTO {name} VALUES ({})",
        vec!["?"; columns].join(", ")
    );
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| row.get::<_, rusqlite::types::Value>(column));
        let values = values.collect::<rusqlite::Result<Vec<_>>>()?;
        new.execute(&insert, rusqlite::params_from_iter(values))?;
    }
    Ok(())
}

/// Removes rows that are not what they were, and has them filled; gives how many.
fn drop_damaged(repository: &Path, new: &Connection, missing: &mut [Missing]) -> Result<u64> {
    // A run is damaged if its file is unknown.
    name_files(repository, new)?;
    let mut dropped = 0;
    for one in missing {
        let damaged = rows::damaged(repository, new, one.table.name)?;
        one.table.remove(new, &damaged)?;
        one.gaps.extend(damaged.iter().map(|key| (*key, *key)));
        dropped += damaged.len() as u64;
    }
    Ok(dropped)
}

/// Does something while a copy is attached as `copy`.
fn with_copy(new: &Connection, copy: &Path, work: impl FnOnce(&Connection) -> Result<()>) -> Result<()> {
    let path = copy
        .to_str()
        .ok_or_else(|| Error::Refused(format!("{}: no UTF-8", copy.display())))?;
    new.execute("ATTACH ?1 AS copy", [path])?;
    let done = work(new);
    new.execute("DETACH copy", [])?;
    done
}

/// Whether the copy that is attached has another snapshot of a number that is in use: somebody has put an older catalog in
/// the place of this one, and pushed. Numbers of contents mean others there.
fn is_of_another_history(new: &Connection) -> Result<bool> {
    let mut there = new.prepare("SELECT EXISTS (SELECT 1 FROM copy.snapshots WHERE id = ?1 AND time <> ?2)")?;
    for snapshot in Snapshot::find(new, "", [])?.0 {
        if there.query_row((snapshot.id, snapshot.time), |row| row.get(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes over from the copy that is attached what is missing.
fn take_from(
    repository: &Path,
    new: &Connection,
    missing: &mut [Missing],
    is_first: bool,
    rebuilt: &mut Rebuilt,
) -> Result<()> {
    // A number that this one has given, and an older catalog in the place of the newer one has not.
    new.execute(
        "INSERT INTO main.next_ids (name, next) SELECT name, next FROM copy.next_ids WHERE true
         ON CONFLICT (name) DO UPDATE SET next = max(next, excluded.next)",
        [],
    )?;
    for (table, references) in REFERENCES {
        new.execute(
            &format!("INSERT OR IGNORE INTO main.{table} SELECT * FROM copy.{table} WHERE id IN ({references})"),
            [],
        )?;
    }
    for referred in REFERRED {
        referred.mend(new)?;
    }
    drop_damaged(repository, new, missing)?;
    if is_first {
        rebuilt.unreadable = missing.iter().map(|one| one.gaps.len() as u64).sum();
    }
    for one in missing.iter_mut() {
        if one.table.name == "entries" {
            snapshots::remember_uncertain(new, &one.gaps)?;
        }
        rebuilt.from_copies += one.table.fill(new, &one.gaps)?;
        one.gaps = still_missing(new, one)?;
    }
    rebuilt.from_copies -= drop_damaged(repository, new, missing)?.min(rebuilt.from_copies);
    Ok(())
}

/// Rows that the copy did not have. Of a stretch between others that could not be read nobody knows what was in it, so
/// what one copy has there is all.
fn still_missing(new: &Connection, one: &Missing) -> Result<Vec<Gap>> {
    let Table { name, key } = one.table;
    let mut there = new.prepare_cached(&format!("SELECT EXISTS (SELECT 1 FROM main.{name} WHERE {key} = ?1)"))?;
    // Behind the last row that could be read there may have been rows that came after the copy. An older one has none of
    // those, but rows that were deleted before this one was made.
    let is_open = one.gaps.iter().any(|gap| gap.1 == i64::MAX);
    let mut missing: Vec<Gap> = is_open.then_some(AFTER_THE_COPY).into_iter().collect();
    for gap in one.gaps.iter().filter(|gap| gap.0 == gap.1 && **gap != AFTER_THE_COPY) {
        if !there.query_row([gap.0], |row| row.get::<_, bool>(0))? {
            missing.push(*gap);
        }
    }
    Ok(missing)
}

/// What others name of the tables without checks. A page of another table in the place of theirs reads without an
/// error, so that what is lost with it makes no gap.
const REFERENCES: [(&str, &str); 4] = [
    (
        "lines",
        "SELECT line FROM main.snapshots UNION SELECT line FROM main.folders",
    ),
    (
        "folders",
        "SELECT folder FROM main.entries UNION SELECT child FROM main.entries UNION SELECT root FROM main.lines",
    ),
    ("owners", "SELECT owner FROM main.entries"),
    (
        "attributes",
        "SELECT xattrs FROM main.entries UNION SELECT data FROM main.entries",
    ),
];

/// Rows without checks, that those of entries or snapshots cover.
struct Referred {
    table: &'static str,
    /// All of a row but its number.
    columns: &'static str,
    /// The entries that name row ?1; of a line its snapshots do.
    entries: &'static str,
}

const REFERRED: [Referred; 3] = [
    Referred {
        table: "lines",
        columns: "host, roots, root",
        entries: "",
    },
    Referred {
        table: "owners",
        columns: "uid, gid, user, \"group\"",
        entries: "SELECT id FROM main.entries WHERE owner = ?1",
    },
    Referred {
        table: "attributes",
        columns: "data",
        entries: "SELECT id FROM main.entries WHERE xattrs = ?1 OR data = ?1",
    },
];

impl Referred {
    /// Takes rows over that differ from the copy's, where that makes an entry sound that is not. A row is never changed
    /// once it is written, so one of the two is damaged.
    fn mend(&self, new: &Connection) -> Result<()> {
        let Referred { table, columns, .. } = self;
        let differ: Vec<i64> = new
            .prepare(&format!(
                "SELECT m.id FROM main.{table} m JOIN copy.{table} c ON c.id = m.id
                 WHERE EXISTS (SELECT {columns} FROM main.{table} WHERE id = m.id
                               EXCEPT SELECT {columns} FROM copy.{table} WHERE id = m.id)"
            ))?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let take = format!(
            "UPDATE OR IGNORE main.{table} SET ({columns}) = (SELECT {columns} FROM copy.{table} WHERE id = ?1) WHERE id = ?1"
        );
        for id in differ {
            if self.is_sound(new, id)? {
                continue;
            }
            new.execute_batch("SAVEPOINT mend")?;
            new.execute(&take, [id])?;
            let end = match self.is_sound(new, id)? {
                true => "RELEASE mend",
                false => "ROLLBACK TO mend; RELEASE mend",
            };
            new.execute_batch(end)?;
        }
        Ok(())
    }

    /// Whether any entry that names a row, or any snapshot of a line, is what it was.
    fn is_sound(&self, new: &Connection, id: i64) -> Result<bool> {
        if self.table == "lines" {
            return Ok(!Snapshot::find(new, "WHERE s.line = ?1", [id])?.0.is_empty());
        }
        let mut entries = new.prepare_cached(self.entries)?;
        let mut rows = entries.query([id])?;
        while let Some(row) = rows.next()? {
            if rows::is_sound_entry(new, row.get(0)?)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Drops what pushes have not committed, and marks their files as dead.
fn drop_work_in_hand(new: &Connection) -> Result<()> {
    for statement in [
        "DELETE FROM entries WHERE EXISTS (SELECT 1 FROM pushes p WHERE entries.id >= p.entry AND entries.first = p.snapshot)",
        "DELETE FROM contents WHERE push IS NOT NULL",
        "DELETE FROM parts WHERE content NOT IN (SELECT id FROM contents)",
        "DELETE FROM runs WHERE file IN (SELECT id FROM files WHERE push IS NOT NULL)",
        "UPDATE files SET dead = 1, push = NULL WHERE push IS NOT NULL",
        "DELETE FROM pushes",
        "DELETE FROM damaged WHERE content NOT IN (SELECT id FROM contents)",
        "INSERT OR IGNORE INTO nameless SELECT id FROM contents c
           WHERE NOT EXISTS (SELECT 1 FROM entries WHERE content = c.id)",
    ] {
        new.execute(statement, [])?;
    }
    Ok(())
}

/// Which line a folder is of has no check, but the way to it from the line's `/` has.
fn join_folders(new: &Connection) -> Result<()> {
    new.execute_batch(
        "DELETE FROM folders WHERE line NOT IN (SELECT id FROM lines);
         WITH RECURSIVE reached(folder, line) AS (
           SELECT root, id FROM lines
           UNION SELECT e.child, r.line FROM reached r JOIN entries e ON e.folder = r.folder WHERE e.child IS NOT NULL)
         INSERT OR REPLACE INTO folders (id, line) SELECT folder, line FROM reached;",
    )?;
    Ok(())
}

/// An entry from a copy may have ended since: where a later one has its name, before that one.
fn end_lives(new: &Connection) -> Result<()> {
    new.execute(
        "UPDATE entries SET last = (
           SELECT coalesce(max(s.id), next.first - 1) FROM entries next
             JOIN folders f ON f.id = next.folder JOIN snapshots s ON s.line = f.line AND s.id < next.first
           WHERE next.id = (SELECT min(later.id) FROM entries later
             WHERE later.folder = entries.folder AND later.name = entries.name AND later.first > entries.first))
         WHERE last = ?1 AND folder <> 0 AND EXISTS (SELECT 1 FROM entries later
           WHERE later.folder = entries.folder AND later.name = entries.name AND later.first > entries.first)",
        [ALIVE],
    )?;
    Ok(())
}

/// Files that runs lie in and whose rows are lost: their kind is that of the folder in which they are.
fn name_files(repository: &Path, new: &Connection) -> Result<()> {
    let unnamed: Vec<FileId> = new
        .prepare("SELECT DISTINCT file FROM runs WHERE file NOT IN (SELECT id FROM files)")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in unnamed {
        for kind in FileKind::ALL {
            if let Ok(status) = std::fs::metadata(stored_file(repository, kind, id)) {
                let row = (id, kind as i64, status.len() as i64);
                new.execute(
                    "INSERT OR IGNORE INTO files (id, kind, bytes, push, dead) VALUES (?1, ?2, ?3, NULL, 0)",
                    row,
                )?;
            }
        }
    }
    Ok(())
}

/// What names rows, by what is counted. A row that is lost leaves its number in others, and a new one of that number would
/// be taken for it: a content would have the bytes of another one.
const NAMED: [(&str, &[&str]); 10] = [
    ("snapshot second", &["time FROM snapshots"]),
    (
        "snapshots",
        &[
            "id FROM snapshots",
            "first FROM entries",
            "last FROM entries WHERE last < 9223372036854775807",
        ],
    ),
    ("lines", &["id FROM lines", "line FROM snapshots", "line FROM folders"]),
    (
        "folders",
        &[
            "id FROM folders",
            "root FROM lines",
            "folder FROM entries",
            "child FROM entries",
        ],
    ),
    ("owners", &["id FROM owners", "owner FROM entries"]),
    (
        "attributes",
        &["id FROM attributes", "xattrs FROM entries", "data FROM entries"],
    ),
    ("links", &["link FROM entries"]),
    (
        "contents",
        &["id FROM contents", "base FROM contents", "content FROM entries"],
    ),
    ("runs", &["id FROM runs", "run FROM contents", "run FROM parts"]),
    ("entries", &["id FROM entries"]),
];

/// What is not to be given twice: numbers that rows have or name, the time of the last snapshot, and numbers of files
/// that are there, though no row may name them any more.
fn keep_names(repository: &Path, new: &Connection) -> Result<()> {
    let mut keep = new.prepare(
        "INSERT INTO next_ids (name, next) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET next = max(next, ?2)",
    )?;
    keep.execute(("files", highest_file(repository) + 1))?;
    for (counter, columns) in NAMED {
        for column in columns {
            let (column, from) = column.split_once(' ').expect("a column of a table");
            let highest = format!("SELECT coalesce(max({column}), 0) {from}");
            let highest: i64 = new.query_row(&highest, [], |row| row.get(0))?;
            keep.execute((counter, highest + 1))?;
        }
    }
    Ok(())
}

/// The highest number of a stored file.
fn highest_file(repository: &Path) -> i64 {
    let kinds = FileKind::ALL.map(|kind| repository.join(kind.folder()));
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = kinds
        .iter()
        .flat_map(|kind| entries(kind))
        .flat_map(|folder| entries(&folder.path()));
    let numbers = files.filter_map(|file| i64::from_str_radix(file.file_name().to_str()?, 16).ok());
    numbers.max().unwrap_or(0)
}
