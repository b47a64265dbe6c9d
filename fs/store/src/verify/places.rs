//! Contents, bases, segments, runs and files: does each name what is there?
//!
//! Here the catalog is compared with itself and with the lengths of files; nothing is read.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use rusqlite::Connection;

use crate::catalog::{Content, Run, parts};
use crate::layout::{FileKind, SEGMENT, stored_file};
use crate::verify::{Suspects, Verifier, tolerate};
use crate::{ContentId, Error, FileId, Hash, Result, RunId, tree_hash};

/// A stored file as its row has it.
struct StoredFile {
    kind: i64,
    bytes: u64,
}

impl StoredFile {
    /// Whether it is no damage that the file has this length. A head with holes takes less than its length.
    fn may_have(&self, length: Option<u64>) -> bool {
        let is_head = self.kind == FileKind::Head as i64;
        length.is_some_and(|length| length == self.bytes || is_head && length > self.bytes)
    }
}

impl Verifier<'_> {
    pub(super) fn check_places(&mut self, catalog: &Connection) -> Result<()> {
        self.result.contents = catalog.query_row("SELECT count(*) FROM contents WHERE push IS NULL", [], |row| {
            row.get::<_, i64>(0)
        })? as u64;
        self.check_chains(catalog)?;
        self.check_contents(catalog)?;
        self.check_segments(catalog)?;
        let lengths = self.check_files(catalog)?;
        let broken_runs = self.check_runs(catalog, &lengths)?;
        suspect_users(catalog, &broken_runs, &mut self.suspects)?;
        suspect_deltas(catalog, &mut self.suspects)
    }

    /// Bases exist, and every chain ends in a whole content.
    fn check_chains(&mut self, catalog: &Connection) -> Result<()> {
        let mut statement = catalog.prepare(
            "SELECT d.id, d.base, b.id IS NULL FROM contents d LEFT JOIN contents b ON b.id = d.base
                      WHERE d.base IS NOT NULL",
        )?;
        let mut bases: HashMap<ContentId, ContentId> = HashMap::new();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, base): (ContentId, ContentId) = (row.get(0)?, row.get(1)?);
            bases.insert(id, base);
            if row.get(2)? {
                self.suspects
                    .lost
                    .push((id, format!("catalog: its base {base} is missing")));
            }
        }
        let circular = without_end(&bases);
        let lost = circular
            .into_iter()
            .map(|id| (id, "catalog: its chain of bases has no end".to_owned()));
        self.suspects.lost.extend(lost);
        // What depends on a lost one is found by reading it.
        self.suspects
            .contents
            .extend(self.suspects.lost.iter().map(|(id, _)| *id));
        Ok(())
    }

    /// A content, or its delta stream, lies inside the run that it names, or is whole and has
    /// all of its segments.
    fn check_contents(&mut self, catalog: &Connection) -> Result<()> {
        let mut statement = catalog.prepare(
            "SELECT c.id FROM contents c LEFT JOIN runs r ON r.id = c.run WHERE c.push IS NULL AND CASE
               WHEN c.run IS NOT NULL
                 THEN r.id IS NULL OR c.skip + (CASE WHEN c.base IS NULL THEN c.size ELSE c.stream END) > r.length
               ELSE c.base IS NOT NULL
                 OR (SELECT count(*) FROM parts p WHERE p.content = c.id) <> (c.size + ?1 - 1) / ?1
             END",
        )?;
        let misplaced = statement.query_map([SEGMENT as i64], |row| row.get(0))?;
        self.suspects
            .contents
            .extend(misplaced.collect::<rusqlite::Result<Vec<ContentId>>>()?);
        Ok(())
    }

    /// The values of the segments make the name of their content; without reading a byte of them.
    fn check_segments(&mut self, catalog: &Connection) -> Result<()> {
        let mut statement = catalog.prepare(
            "SELECT c.id, c.hash, c.size FROM contents c
             WHERE c.push IS NULL AND EXISTS (SELECT 1 FROM parts p WHERE p.content = c.id)",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, hash, size): (ContentId, Hash, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let content = Content::whole(id, hash, size as u64, None, 0);
            let values: Option<Vec<_>> = match parts(catalog, &content) {
                Ok(parts) => Some(parts.into_iter().map(|part| part.value).collect()),
                // Segments are missing in between.
                Err(error) => tolerate(error).map(|_| None)?,
            };
            // A content of one segment has no value below its name.
            let fits = values.is_some_and(|values| {
                values.len() < 2 || tree_hash::root(size as u64, &values).is_ok_and(|name| name == hash)
            });
            if !fits {
                let what = format!("catalog: the segments of content {hash} do not make its name");
                let paths = self.paths_of_content(id)?;
                self.damage(what, paths);
                self.suspects.contents.insert(id);
            }
        }
        Ok(())
    }

    /// Files are there and as long as their rows say. Gives their lengths where they are not, or are others for holes.
    fn check_files(&mut self, catalog: &Connection) -> Result<HashMap<FileId, Option<u64>>> {
        let mut statement = catalog.prepare("SELECT id, kind, bytes FROM files WHERE push IS NULL AND dead = 0")?;
        let mut rows = statement.query([])?;
        let mut lengths = HashMap::new();
        while let Some(row) = rows.next()? {
            let (id, file) = (
                row.get(0)?,
                StoredFile {
                    kind: row.get(1)?,
                    bytes: row.get::<_, i64>(2)? as u64,
                },
            );
            let length = self.length(id, &file);
            if length != Some(file.bytes) {
                lengths.insert(id, length);
            }
            if !file.may_have(length) {
                self.suspects.files.insert(id);
            }
        }
        Ok(lengths)
    }

    /// Every run reads, its file has it, and its columns say what its frames add up to. Gives
    /// those of which that does not hold.
    fn check_runs(&mut self, catalog: &Connection, lengths: &HashMap<FileId, Option<u64>>) -> Result<HashSet<RunId>> {
        let mut statement = catalog.prepare(
            "SELECT r.id, r.bytes, r.length, f.bytes FROM runs r LEFT JOIN files f ON f.id = r.file
             WHERE f.push IS NULL ORDER BY r.file",
        )?;
        let mut rows = statement.query([])?;
        let mut broken = HashSet::new();
        while let Some(row) = rows.next()? {
            let id: RunId = row.get(0)?;
            let run = match Run::get(catalog, id) {
                Ok(run) => run.ok_or_else(|| Error::Damaged(format!("catalog run {id}")))?,
                Err(error) => {
                    self.damage(tolerate(error)?, Vec::new());
                    broken.insert(id);
                    continue;
                }
            };
            let (bytes, length, file): (i64, i64, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let end = run.offset + run.bytes();
            let longest = lengths.get(&run.file).copied().flatten().unwrap_or(0).max(file as u64);
            if (bytes as u64, length as u64) != (run.bytes(), run.length()) || end > longest {
                self.damage(
                    format!("catalog run {id}: its lengths do not fit its frames or its file"),
                    Vec::new(),
                );
                broken.insert(id);
            }
            if lengths
                .get(&run.file)
                .is_some_and(|length| length.is_none_or(|length| length < end))
            {
                broken.insert(id);
            }
        }
        Ok(broken)
    }

    /// A file that a prune removed meanwhile is no damage: its row says so by now.
    pub(super) fn look_at_files_again(&mut self) -> Result<()> {
        for id in std::mem::take(&mut self.suspects.files) {
            let file = {
                let connection = self.repository.connection()?;
                let mut statement = connection
                    .prepare_cached("SELECT kind, bytes FROM files WHERE id = ?1 AND push IS NULL AND dead = 0")?;
                let row = statement.query_row([id], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)));
                rusqlite::OptionalExtension::optional(row)?
            };
            let Some((kind, bytes)) = file else { continue };
            let file = StoredFile {
                kind,
                bytes: bytes as u64,
            };
            let what = match self.length(id, &file) {
                length if file.may_have(length) => continue,
                Some(length) => format!("has {length} bytes, it should have {}", file.bytes),
                None => "is missing".into(),
            };
            let path = self.file_path(id, &file).unwrap_or_default();
            self.damage(format!("{}: {what}", path.display()), Vec::new());
        }
        Ok(())
    }

    fn file_path(&self, id: FileId, file: &StoredFile) -> Option<PathBuf> {
        Some(stored_file(self.repository.path(), FileKind::from_code(file.kind)?, id))
    }

    fn length(&self, id: FileId, file: &StoredFile) -> Option<u64> {
        Some(std::fs::metadata(self.file_path(id, file)?).ok()?.len())
    }
}

/// The contents whose chain of bases leads to no whole content but back to itself.
fn without_end(bases: &HashMap<ContentId, ContentId>) -> Vec<ContentId> {
    let mut ends: HashSet<ContentId> = HashSet::new();
    let mut circular: HashSet<ContentId> = HashSet::new();
    for &start in bases.keys() {
        let (mut way, mut on_way) = (Vec::new(), HashSet::new());
        let mut at = start;
        let comes_back = loop {
            if circular.contains(&at) || !on_way.insert(at) {
                break true;
            }
            if ends.contains(&at) {
                break false;
            }
            let Some(&base) = bases.get(&at) else { break false };
            way.push(at);
            at = base;
        };
        if comes_back {
            circular.extend(way)
        } else {
            ends.extend(way)
        }
    }
    circular.into_iter().collect()
}

/// What lies in broken runs is suspect.
fn suspect_users(catalog: &Connection, runs: &HashSet<RunId>, suspects: &mut Suspects) -> Result<()> {
    let mut users =
        catalog.prepare("SELECT id FROM contents WHERE run = ?1 UNION SELECT content FROM parts WHERE run = ?1")?;
    for run in runs {
        let users = users
            .query_map([run], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<ContentId>>>()?;
        suspects.contents.extend(users);
    }
    Ok(())
}

/// Everything that is made from a suspect is suspect.
fn suspect_deltas(catalog: &Connection, suspects: &mut Suspects) -> Result<()> {
    let mut statement = catalog.prepare("SELECT id FROM contents WHERE base = ?1")?;
    let mut queue: Vec<ContentId> = suspects.contents.iter().copied().collect();
    while let Some(base) = queue.pop() {
        let deltas = statement
            .query_map([base], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<ContentId>>>()?;
        queue.extend(deltas.into_iter().filter(|delta| suspects.contents.insert(*delta)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_and_what_leads_into_them_have_no_end() {
        let id = ContentId;
        let bases = [(1, 2), (2, 3), (3, 2), (4, 5), (6, 4), (7, 7)];
        let bases = bases.into_iter().map(|(delta, base)| (id(delta), id(base))).collect();
        let mut found = without_end(&bases);
        found.sort();
        assert_eq!(found, [id(1), id(2), id(3), id(7)]);
    }
}
