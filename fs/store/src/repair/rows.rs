//! Which rows of a catalog are what they were, by their checks.

use std::path::Path;

use rusqlite::Connection;

use crate::catalog::{Content, ENTRY, Entry, Run, Snapshot, parts};
use crate::layout::{FileKind, stored_file};
use crate::{ContentId, Error, FileId, Result, RunId};

/// Keys of the rows of a table that are not what they were. Tables without checks have those that cannot be rows of theirs:
/// what refers to the others has a check.
pub(super) fn damaged(repository: &Path, catalog: &Connection, table: &str) -> Result<Vec<i64>> {
    match table {
        "files" => misplaced_files(repository, catalog),
        "snapshots" => {
            let (_, damaged) = Snapshot::find(catalog, "", [])?;
            Ok(damaged.into_iter().map(|snapshot| snapshot.id.0).collect())
        }
        "runs" => damaged_keys(catalog, "SELECT id FROM runs", |id| {
            Run::get(catalog, RunId(id)).map(drop)
        }),
        "contents" => damaged_keys(catalog, "SELECT id FROM contents", |id| {
            Content::get(catalog, ContentId(id)).map(drop)
        }),
        "parts" => damaged_keys(catalog, "SELECT DISTINCT content FROM parts", |id| {
            match Content::get(catalog, ContentId(id)) {
                Ok(Some(content)) => parts(catalog, &content).map(drop),
                // Of a content that is damaged itself nothing is known.
                _ => Ok(()),
            }
        }),
        "entries" => damaged_entries(catalog),
        "lines" => of_other_types(
            catalog,
            "lines WHERE typeof(host) || typeof(roots) || typeof(root) <> 'textblobinteger'",
        ),
        "folders" => of_other_types(catalog, "folders WHERE typeof(line) <> 'integer'"),
        "owners" => of_other_types(
            catalog,
            "owners WHERE typeof(uid) || typeof(gid) || typeof(user) || typeof(\"group\") <> 'integerintegertexttext'",
        ),
        "attributes" => of_other_types(catalog, "attributes WHERE typeof(data) <> 'blob'"),
        _ => Ok(Vec::new()),
    }
}

/// Rows that a page of another table in the place of theirs has brought.
fn of_other_types(catalog: &Connection, which: &str) -> Result<Vec<i64>> {
    let mut statement = catalog.prepare(&format!("SELECT id FROM {which}"))?;
    let keys = statement.query_map([], |row| row.get(0))?;
    Ok(keys.collect::<rusqlite::Result<_>>()?)
}

/// Files that are not where their rows say, but where those of another kind are.
fn misplaced_files(repository: &Path, catalog: &Connection) -> Result<Vec<i64>> {
    let rows: Vec<(FileId, i64)> = catalog
        .prepare("SELECT id, kind FROM files WHERE dead = 0 AND bytes > 0")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let is_at = |id, kind| stored_file(repository, kind, id).exists();
    let is_misplaced = |&(id, kind): &(FileId, i64)| match FileKind::from_code(kind) {
        None => true,
        Some(kind) => !is_at(id, kind) && FileKind::ALL.into_iter().any(|kind| is_at(id, kind)),
    };
    Ok(rows.into_iter().filter(is_misplaced).map(|(id, _)| id.0).collect())
}

fn damaged_keys(catalog: &Connection, keys: &str, read: impl Fn(i64) -> Result<()>) -> Result<Vec<i64>> {
    let keys: Vec<i64> = catalog
        .prepare(keys)?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut damaged = Vec::new();
    for key in keys {
        match read(key) {
            Ok(()) => {}
            Err(Error::Damaged(_)) => damaged.push(key),
            Err(error) => return Err(error),
        }
    }
    Ok(damaged)
}

/// Whether an entry is what it was.
pub(super) fn is_sound_entry(catalog: &Connection, id: i64) -> Result<bool> {
    let mut statement = catalog.prepare_cached(&format!("SELECT {ENTRY} WHERE e.id = ?1"))?;
    let mut rows = statement.query([id])?;
    Ok(rows.next()?.is_some_and(|row| Entry::read(row).is_ok()))
}

/// Whether the folders of all entries are of some line.
pub(super) fn are_of_lines(catalog: &Connection) -> Result<bool> {
    let lost = "SELECT EXISTS (SELECT 1 FROM (SELECT folder FROM entries WHERE folder <> 0 UNION SELECT child FROM entries
                  WHERE child IS NOT NULL) WHERE folder NOT IN (SELECT f.id FROM folders f JOIN lines l ON l.id = f.line))";
    Ok(!catalog.query_row(lost, [], |row| row.get::<_, bool>(0))?)
}

fn damaged_entries(catalog: &Connection) -> Result<Vec<i64>> {
    let mut statement = catalog.prepare(&format!("SELECT {ENTRY} ORDER BY e.id"))?;
    let mut rows = statement.query([])?;
    let mut damaged = Vec::new();
    while let Some(row) = rows.next()? {
        if Entry::read(row).is_err() {
            damaged.push(row.get(0)?);
        }
    }
    Ok(damaged)
}
