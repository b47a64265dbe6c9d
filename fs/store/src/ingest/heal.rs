//! Healing: a content that could not be read is whole again when its bytes come once more.
//!
//! A verification writes down in `damaged` what it could not read. Of those that the newest snapshot reaches the sender
//! is told, and sends them as if they were new. The commit then gives the damaged row the place of the new one:
//!
//! ```text
//! entries ──▶ X (damaged) ──▶ run ✗          entries ──▶ X ──▶ run of Y
//! deltas ───▶ X                         ▶     deltas ───▶ X
//!             Y (sent) ──▶ run                            Y goes, unless an entry names it
//! ```
//!
//! So nothing that names X changes, and older versions that are deltas against it come back with it. A whole content
//! of the same name that was there all along heals as well.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use crate::catalog::{ALIVE, Content, parts};
use crate::ingest::{Ingest, release};
use crate::maintenance::remember_base;
use crate::stops::Stop;
use crate::{ContentId, Hash, LineId, PushId, Repository, Result, RunId};

/// Bytes that a commit reads to see what has come back with what it healed; a verification reads the rest.
const READ_AGAIN: u64 = 256 << 20;

/// Contents that were damaged when they were read last, by their names and lengths; of several rows the first.
pub(in crate::ingest) fn damaged(connection: &Connection) -> Result<HashMap<(Hash, u64), ContentId>> {
    let mut statement = connection.prepare_cached(
        "SELECT c.hash, c.size, c.id FROM damaged d JOIN contents c ON c.id = d.content ORDER BY c.id DESC",
    )?;
    let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get::<_, i64>(1)? as u64), row.get(2)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

impl Ingest {
    /// Names of damaged contents that the newest snapshot of the line reaches: the sender may still have them.
    pub fn wanted(&self) -> Result<Vec<Hash>> {
        match &self.base {
            Some(_) => wanted(&*self.repository.connection()?, self.line),
            None => Ok(Vec::new()),
        }
    }

    /// Whether a content is here, but cannot be read.
    pub(super) fn is_damaged(&self, hash: Hash, size: u64) -> bool {
        self.damaged.contains_key(&(hash, size))
    }
}

fn wanted(connection: &Connection, line: LineId) -> Result<Vec<Hash>> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT c.hash FROM damaged d JOIN contents c ON c.id = d.content
           JOIN entries e ON e.content = c.id AND e.last = ?2 JOIN folders f ON f.id = e.folder WHERE f.line = ?1",
    )?;
    let rows = statement.query_map((line, ALIVE), |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Gives damaged contents the place of sound ones of the same name, committed ones or those of `push`; inside a
/// transaction. Gives what was healed, and the runs that were left.
pub(crate) fn heal(connection: &Connection, push: Option<PushId>) -> Result<(Vec<ContentId>, Vec<RunId>)> {
    let all: Vec<(ContentId, Hash)> = connection
        .prepare_cached("SELECT c.id, c.hash FROM damaged d JOIN contents c ON c.id = d.content")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let damaged: HashSet<ContentId> = all.iter().map(|(id, _)| *id).collect();
    let (mut healed, mut freed) = (Vec::new(), Vec::new());
    for (id, hash) in all {
        let sound = Content::all_of(connection, &hash, push)?.into_iter();
        if let Some(sound) = sound
            .into_iter()
            .find(|other| other.base.is_none() && !damaged.contains(&other.id))
        {
            freed.extend(take_place(connection, id, &sound)?);
            healed.push(id);
        }
    }
    Ok((healed, freed))
}

/// Gives a content the place of another one of the same name.
fn take_place(connection: &Connection, id: ContentId, sound: &Content) -> Result<Vec<RunId>> {
    let base: Option<Option<ContentId>> = connection
        .prepare_cached("SELECT base FROM contents WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let freed = release(connection, id)?;
    remember_base(connection, base.flatten())?;
    if sound.run.is_none() {
        for (segment, part) in parts(connection, sound)?.iter().enumerate() {
            part.insert(connection, id, segment as u64)?;
        }
    }
    Content::whole(id, sound.hash, sound.size, sound.run, sound.skip).write(connection, None)?;
    connection
        .prepare_cached("DELETE FROM damaged WHERE content = ?1")?
        .execute([id])?;
    Ok(freed)
}

impl Repository {
    /// Reads damaged contents again that are deltas against what was healed; gives how many have come back with it.
    pub(crate) fn read_again(self: &Arc<Self>, healed: &[ContentId]) -> Result<u64> {
        let (mut back, mut read) = (0, 0);
        for content in healed {
            for (id, hash, size) in self.damaged_above(*content)? {
                read += size;
                if read > READ_AGAIN {
                    return Ok(back);
                }
                if self.is_sound(id, hash).unwrap_or(false) {
                    self.in_transaction(Stop::Recovered, |rows| {
                        Ok(rows.execute("DELETE FROM damaged WHERE content = ?1", [id])?)
                    })?;
                    back += 1;
                }
            }
        }
        Ok(back)
    }

    fn damaged_above(&self, base: ContentId) -> Result<Vec<(ContentId, Hash, u64)>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "WITH RECURSIVE above (id) AS (
               SELECT id FROM contents WHERE base = ?1 UNION SELECT c.id FROM above a JOIN contents c ON c.base = a.id)
             SELECT c.id, c.hash, c.size FROM above a JOIN damaged d ON d.content = a.id JOIN contents c ON c.id = a.id",
        )?;
        let rows = statement.query_map([base], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)? as u64))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn is_sound(self: &Arc<Self>, id: ContentId, hash: Hash) -> Result<bool> {
        let reader = self.open_content(id)?;
        Ok(crate::verify::hash_of(&reader, &mut vec![0; 1 << 20], &mut |_| Ok(()))? == hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{FileKind, stored_file};
    use crate::testing::{Bench, file, noise};
    use crate::{FileId, Snapshot};

    /// A content of which `number` says how it differs from the others.
    fn version(size: usize, number: u8) -> Vec<u8> {
        let mut bytes = noise(1, size);
        bytes[usize::from(number) * 1000..][..100].fill(number);
        bytes
    }

    fn read(bench: &Bench, snapshot: &Snapshot) -> Result<Vec<u8>> {
        let repository = bench.reopened();
        let entry = repository.lookup(snapshot, b"/file")?;
        let mut bytes = vec![0; entry.size as usize];
        repository
            .open_content(entry.content.unwrap())?
            .read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Flips a bit in the file in which a content lies, or its last segment.
    fn damage(bench: &Bench, content: ContentId) {
        let run = format!(
            "(SELECT coalesce(c.run, (SELECT run FROM parts WHERE content = c.id ORDER BY segment DESC LIMIT 1))
              FROM contents c WHERE c.id = {content})"
        );
        let number = |column: &str| {
            bench.number(&format!(
                "SELECT {column} FROM runs JOIN files f ON f.id = file WHERE runs.id = {run}"
            ))
        };
        let kind = FileKind::from_code(number("f.kind")).unwrap();
        let path = stored_file(bench.repository.path(), kind, FileId(number("file")));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[number("offset") as usize + 50] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }

    fn content_of(bench: &Bench, snapshot: &Snapshot) -> ContentId {
        bench.reopened().lookup(snapshot, b"/file").unwrap().content.unwrap()
    }

    #[test]
    fn what_comes_once_more_heals_with_all_that_needs_it() {
        for size in [20_000, 200_000, 9 << 20] {
            let bench = Bench::new();
            let versions: Vec<Vec<u8>> = (1..=3).map(|number| version(size, number)).collect();
            let made: Vec<Snapshot> = versions
                .iter()
                .map(|bytes| bench.push("host", |push| file(push, "file", bytes)))
                .collect();
            let newest = content_of(&bench, &made[2]);
            damage(&bench, newest);
            let verify = || bench.reopened().verify(true, &mut |_, _| Ok(())).unwrap().damages.len() as i64;
            let damaged = verify();
            assert!(damaged >= 1, "{size}");
            assert_eq!(bench.number("SELECT count(*) FROM damaged"), damaged);

            let mut push = bench.begin("host");
            assert_eq!(push.wanted().unwrap(), [Hash::of(&versions[2])]);
            push.enter(b"", None).unwrap();
            file(&mut push, "file", &versions[2]);
            push.leave().unwrap();
            let committed = push.commit(0).unwrap();
            assert_eq!(committed.healed as i64, damaged, "{size}");
            assert_eq!(content_of(&bench, &committed.snapshot), newest, "the entry goes on");
            for (snapshot, bytes) in made.iter().zip(&versions) {
                assert!(read(&bench, snapshot).unwrap() == *bytes, "{size}");
            }
            assert_eq!(
                (verify(), bench.number("SELECT count(*) FROM damaged")),
                (0, 0),
                "{size}"
            );
            assert_eq!(bench.begin("host").wanted().unwrap(), []);
        }
    }

    #[test]
    fn what_is_damaged_elsewhere_is_not_asked_for_and_stays_known() {
        let bench = Bench::new();
        let old = bench.push("host", |push| file(push, "file", &version(20_000, 1)));
        bench.push("host", |push| file(push, "file", b"another"));
        damage(&bench, content_of(&bench, &old));
        assert_eq!(
            bench.reopened().verify(true, &mut |_, _| Ok(())).unwrap().damages.len(),
            1
        );
        assert_eq!(bench.begin("host").wanted().unwrap(), []);
        let committed = bench.push("host", |push| file(push, "other", b"more"));
        assert!(read(&bench, &old).is_err());
        assert_eq!(bench.number("SELECT count(*) FROM damaged"), 1);
        bench.repository.forget(&[old.id, committed.id]).unwrap();
        assert_eq!(
            bench.number("SELECT count(*) FROM damaged"),
            0,
            "it went with its content"
        );
    }
}
