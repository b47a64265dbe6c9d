//! Snapshots and the lives of entries, where the catalog and its copy are of different times.
//!
//! The rows of the newest snapshots may be lost while their entries are there: a copy of the catalog is of before. What
//! they had is known then, and of the last one the time too, which is kept apart. Snapshots from the midst of a line
//! that are lost are like forgotten ones. One whose `/` is lost gets another.

use std::collections::HashMap;

use rusqlite::Connection;

use super::salvage::Gap;
use crate::catalog::{self, ALIVE, ENTRY, Entry, Snapshot};
use crate::ingest::rows::insert_entry;
use crate::time::snapshot_name;
use crate::{EntryId, FolderId, Kind, LineId, Meta, Result, SnapshotId};

/// The tag of a snapshot that got its row again.
const TAG: &str = "recovered";

/// Gives rows to them; gives how many.
pub(super) fn revive(new: &Connection) -> Result<u64> {
    let lost: Vec<(LineId, SnapshotId)> = new
        .prepare(
            "SELECT DISTINCT f.line, e.first FROM entries e
               JOIN folders f ON f.id = CASE e.folder WHEN 0 THEN e.child ELSE e.folder END
               JOIN lines l ON l.id = f.line
             WHERE e.first > coalesce((SELECT max(id) FROM snapshots s WHERE s.line = f.line), 0) ORDER BY e.first",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (number, (line, id)) in lost.iter().enumerate() {
        revive_one(new, *line, *id, number + 1 == lost.len())?;
    }
    Ok(lost.len() as u64)
}

fn revive_one(new: &Connection, line: LineId, id: SnapshotId, is_last: bool) -> Result<()> {
    let (host, roots, root) = new.query_row("SELECT host, roots, root FROM lines WHERE id = ?1", [line], |row| {
        Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?, row.get(2)?))
    })?;
    let after: i64 = new.query_row("SELECT coalesce(max(time), 0) + 1 FROM snapshots", [], |row| row.get(0))?;
    let said: Option<i64> = new.query_row(
        "SELECT max(next) FROM next_ids WHERE name = 'snapshot second'",
        [],
        |row| row.get(0),
    )?;
    let time = said.filter(|said| is_last && *said > after).unwrap_or(after);
    let mut snapshot = Snapshot {
        id,
        line,
        name: snapshot_name(time),
        time,
        host,
        tags: vec![TAG.into()],
        roots: catalog::split_roots(&roots),
        root,
        files: 0,
        folders: 0,
        others: 0,
        bytes: 0,
        new_bytes: 0,
        unread: 0,
        check: 0,
    };
    add_up(new, &mut snapshot)?;
    snapshot.insert(new)
}

/// Gives `/` to snapshots that lack it, without which nothing in them is found and nothing is told against them: that of
/// their neighbour, or else another folder's, or a plain one. Gives how many.
pub(super) fn give_roots(new: &Connection) -> Result<u64> {
    let (snapshots, _) = Snapshot::find(new, "ORDER BY s.line, s.id", [])?;
    let mut given = 0;
    for (at, snapshot) in snapshots.iter().enumerate() {
        if has_root(new, snapshot)? {
            continue;
        }
        let is_newest = snapshots.get(at + 1).is_none_or(|next| next.line != snapshot.line);
        let last = if is_newest { SnapshotId(ALIVE) } else { snapshot.id };
        give_root(new, snapshot, last)?;
        given += 1;
    }
    Ok(given)
}

/// Whether no snapshot lacks `/`.
pub(super) fn have_roots(catalog: &Connection) -> Result<bool> {
    let (snapshots, _) = Snapshot::find(catalog, "", [])?;
    for snapshot in &snapshots {
        if !has_root(catalog, snapshot)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn has_root(catalog: &Connection, snapshot: &Snapshot) -> Result<bool> {
    let mut has_root = catalog
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM entries WHERE child = ?1 AND first <= ?2 AND last >= ?2)")?;
    Ok(has_root.query_row((snapshot.root, snapshot.id), |row| row.get(0))?)
}

fn give_root(new: &Connection, snapshot: &Snapshot, last: SnapshotId) -> Result<()> {
    let like = new
        .prepare(&format!(
            "SELECT {ENTRY} JOIN folders f ON f.id = e.child WHERE f.line = ?1
             ORDER BY e.child <> ?2, e.folder <> 0, abs(e.first - ?3) LIMIT 1"
        ))?
        .query_and_then((snapshot.line, snapshot.root, snapshot.id), Entry::read)?
        .next()
        .transpose()?;
    let root = Entry {
        id: EntryId(catalog::take(new, "entries", 1)?),
        folder: FolderId(0),
        name: Vec::new(),
        first: snapshot.id,
        last,
        meta: like.map_or_else(|| Meta::plain(Kind::Folder, 0o755), |like| like.meta),
        size: 0,
        content: None,
        child: Some(snapshot.root),
        link: None,
    };
    insert_entry(new, &root, &mut HashMap::new())?;
    let mut snapshot = snapshot.clone();
    if !snapshot.tags.iter().any(|tag| tag == TAG) {
        snapshot.tags.push(TAG.into());
    }
    add_up(new, &mut snapshot)?;
    new.execute("DELETE FROM snapshots WHERE id = ?1", [snapshot.id])?;
    snapshot.insert(new)
}

/// Remembers which entries a copy has in these gaps of whose ends it cannot know, and the newest snapshot that it knew.
pub(super) fn remember_uncertain(new: &Connection, gaps: &[Gap]) -> Result<()> {
    new.execute_batch(
        "CREATE TEMP TABLE IF NOT EXISTS uncertain (id INTEGER PRIMARY KEY, line INTEGER, until INTEGER)",
    )?;
    let mut remember = new.prepare_cached(&format!(
        "INSERT OR IGNORE INTO temp.uncertain
         SELECT e.id, f.line, (SELECT max(id) FROM copy.snapshots WHERE line = f.line)
         FROM copy.entries e JOIN copy.folders f ON f.id = CASE e.folder WHEN 0 THEN e.child ELSE e.folder END
         WHERE e.last = {ALIVE} AND e.id BETWEEN ?1 AND ?2 AND NOT EXISTS (SELECT 1 FROM main.entries WHERE id = e.id)"
    ))?;
    gaps.iter().try_for_each(|gap| remember.execute(*gap).map(drop))?;
    Ok(())
}

/// Ends those of a line of which not all snapshots add up, but for folders, without which nothing in them would be
/// found, and for what the newest has, which is what a push is told against; gives how many.
pub(super) fn end_uncertain(new: &Connection) -> Result<u64> {
    new.execute_batch(
        "CREATE TEMP TABLE IF NOT EXISTS uncertain (id INTEGER PRIMARY KEY, line INTEGER, until INTEGER)",
    )?;
    let lines: Vec<LineId> = new
        .prepare("SELECT DISTINCT line FROM temp.uncertain")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut ended = 0;
    for line in lines {
        let (snapshots, _) = Snapshot::find(new, "WHERE s.line = ?1", [line])?;
        let mut add_up = true;
        for snapshot in snapshots {
            add_up &= adds_up(new, snapshot)?;
        }
        if !add_up {
            ended += new.execute(
                "UPDATE entries SET last = (SELECT until FROM temp.uncertain WHERE id = entries.id)
                 WHERE last = ?2 AND child IS NULL AND id IN (
                   SELECT id FROM temp.uncertain
                   WHERE line = ?1 AND until < (SELECT max(id) FROM snapshots WHERE line = ?1))",
                (line, ALIVE),
            )? as u64;
        }
    }
    Ok(ended)
}

fn adds_up(new: &Connection, snapshot: Snapshot) -> Result<bool> {
    let mut sum = snapshot.clone();
    add_up(new, &mut sum)?;
    Ok(sum == snapshot)
}

/// Counts what a snapshot has, whatever its row said.
fn add_up(new: &Connection, snapshot: &mut Snapshot) -> Result<()> {
    (snapshot.files, snapshot.folders, snapshot.others) = (0, 0, 0);
    (snapshot.bytes, snapshot.check) = (0, 0);
    let mut statement = new.prepare(&format!(
        "SELECT {ENTRY} JOIN folders f ON f.id = CASE e.folder WHEN 0 THEN e.child ELSE e.folder END
         WHERE f.line = ?1 AND e.first <= ?2 AND (e.last >= ?2 OR e.last = {ALIVE})"
    ))?;
    let mut rows = statement.query((snapshot.line, snapshot.id))?;
    while let Some(row) = rows.next()? {
        let entry = Entry::read(row)?;
        match entry.meta.kind {
            Kind::File => snapshot.files += 1,
            Kind::Folder => snapshot.folders += 1,
            _ => snapshot.others += 1,
        }
        snapshot.bytes += entry.size;
        snapshot.check = snapshot.check.wrapping_add(entry.sum());
    }
    Ok(())
}
