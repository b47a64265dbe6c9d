//! Holes in heads: what nothing needs any more of a file in which other segments live.
//!
//! A stored file never changes but for this: ranges in which no run lies are given back to the file system. Rows say
//! what is a hole, so it may be done at any time after the commit that dropped a run, and again: a crash leaves a file
//! that takes more than it needs until a segment of it is dropped again, or until the next collection.
//!
//! Who reads by plans made before finds zeros, which are not what the checks say, and looks again. Who hands a file
//! to the kernel, which checks nothing, holds it meanwhile ([`HeldFile`]): it gets no holes then. Nor does one that has
//! another name: somebody has copied the repository by hard links, and needs what was there then.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rusqlite::Connection;
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;

use crate::catalog::Run;
use crate::error::IoContext;
use crate::layout::{FileKind, SEGMENT, stored_file};
use crate::stops::Stop;
use crate::{Error, FileId, Repository, Result, RunId};

/// Whether the file system of this file can give ranges back.
pub(crate) fn are_possible(file: &File) -> io::Result<bool> {
    // Behind its end there is nothing to give back.
    let end = file.metadata()?.len();
    is_punched(punch(file, end..end + SEGMENT))
}

/// Whether it was done; an error if it failed though it can be done.
fn is_punched(result: Result<(), Errno>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn punch(file: &File, range: Range<u64>) -> Result<(), Errno> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    loop {
        match fallocate(file, flags, range.start, range.end - range.start) {
            Err(Errno::INTR) => continue,
            done => return done,
        }
    }
}

/// A stored file that gets no holes, as long as this lives.
#[derive(Debug)]
pub struct HeldFile(File);

impl HeldFile {
    /// Holds a file, unless it is just getting some. Its rows are to be looked at after that.
    pub(crate) fn new(file: File) -> Option<Self> {
        flock(&file, FlockOperation::NonBlockingLockShared).ok()?;
        Some(HeldFile(file))
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        // As with other locks: a process that is just being started has all our files for a moment.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Runs of which a transaction may leave nothing but a range of a head, by their files.
#[derive(Default)]
pub(crate) struct Leaving(BTreeMap<FileId, Vec<Run>>);

impl Leaving {
    /// Those of some runs that lie in a head with others. By their checks: a row that is not what it was would name a
    /// range of another.
    pub(crate) fn of(connection: &Connection, runs: &[RunId]) -> Result<Self> {
        let mut leaving = Leaving::default();
        let mut in_heads = connection.prepare_cached(
            "SELECT 1 FROM runs r JOIN files f ON f.id = r.file
             WHERE r.id = ?1 AND f.kind = ?2 AND f.push IS NULL AND f.bytes > r.bytes",
        )?;
        for id in runs {
            if !in_heads.exists((id, FileKind::Head as i64))? {
                continue;
            }
            match Run::get(connection, *id) {
                Ok(run) => run.map(|run| leaving.0.entry(run.file).or_default().push(run)),
                Err(error) if error.is_damage() => None,
                Err(error) => return Err(error),
            };
        }
        Ok(leaving)
    }
}

impl Repository {
    /// Gives back the ranges of those that are gone by now, of files that are not.
    pub(crate) fn give_back(&self, leaving: Leaving) -> Result<()> {
        for (file, runs) in leaving.0 {
            let Some(file) = self.claim(file)? else { continue };
            let gone = gone(&*self.connection()?, &runs)?;
            self.make_holes(&file, &gone)?;
        }
        Ok(())
    }

    /// Gives back what else heads have that no run lies in: a push died before it had given it back, or somebody held
    /// the file, or it was dropped by another step than a push.
    pub(crate) fn give_back_all(&self) -> Result<()> {
        let heads = heads_with_gaps(&*self.connection()?)?;
        // Here only what is there says what is not. Where rows were lost, what they named must not be lost too.
        if heads.is_empty() || lacks_rows(&*self.connection()?)? {
            return Ok(());
        }
        for file in heads {
            match self.give_back_gaps(file) {
                // It takes what it took, and stops nothing else.
                Err(error) if error.is_damage() || matches!(error, Error::Io { .. }) => continue,
                given => given?,
            }
        }
        Ok(())
    }

    fn give_back_gaps(&self, file: FileId) -> Result<()> {
        let Some(file) = self.claim(file)? else { return Ok(()) };
        let gaps = gaps(&*self.connection()?, &file)?;
        self.make_holes(&file, &gaps)
    }

    /// Takes a head to make holes in it, unless it is gone, somebody holds it, or it has another name.
    fn claim(&self, id: FileId) -> Result<Option<Claimed>> {
        let path = stored_file(self.path(), FileKind::Head, id);
        let file = match File::options().write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.at(&path)?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(None),
            locked => locked.at(&path)?,
        }
        let status = file.metadata().at(&path)?;
        let length = status.len();
        Ok((status.nlink() == 1).then_some(Claimed { id, file, path, length }))
    }

    fn make_holes(&self, claimed: &Claimed, ranges: &[Range<u64>]) -> Result<()> {
        let Claimed { id, file, path, length } = claimed;
        for range in ranges {
            if !is_punched(Stop::HoleMade.around(|| punch(file, range.clone()))).at(path)? {
                return Ok(());
            }
        }
        let made: u64 = ranges.iter().map(|range| range.end.min(*length) - range.start).sum();
        if made == 0 {
            return Ok(());
        }
        Stop::HolesSynced.around(|| file.sync_all()).at(path)?;
        self.in_transaction(Stop::HolesTold, |transaction| {
            // Less may be left to tell: another one was told of them who made the same holes.
            let tell = "UPDATE files SET bytes = max(bytes - ?2, (SELECT sum(bytes) FROM runs WHERE file = ?1))
                        WHERE id = ?1 AND push IS NULL AND dead = 0";
            transaction.execute(tell, (id, made as i64))?;
            Ok(())
        })
    }
}

/// A head that gets holes.
struct Claimed {
    id: FileId,
    file: File,
    path: PathBuf,
    length: u64,
}

/// The ranges of runs that are not there any more.
fn gone(connection: &Connection, runs: &[Run]) -> Result<Vec<Range<u64>>> {
    let mut is_there = connection.prepare_cached("SELECT 1 FROM runs WHERE id = ?1")?;
    let mut ranges = Vec::new();
    for run in runs {
        if !is_there.exists([run.id])? {
            ranges.push(run.offset..run.offset + run.bytes());
        }
    }
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup();
    Ok(ranges)
}

/// Heads of which something is to be given back: with fewer runs than segments. (By the index of the runs alone: their
/// rows are most of a catalog of large files.)
fn heads_with_gaps(connection: &Connection) -> Result<Vec<FileId>> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM files WHERE kind = ?1 AND push IS NULL AND dead = 0 AND bytes > ?2
           AND (SELECT count(*) FROM runs WHERE file = files.id) < (bytes + ?2 - 1) / ?2",
    )?;
    let heads = statement.query_map((FileKind::Head as i64, SEGMENT as i64), |row| row.get(0))?;
    Ok(heads.collect::<rusqlite::Result<_>>()?)
}

/// Whether a segment has lost its run, or a content a segment.
fn lacks_rows(connection: &Connection) -> Result<bool> {
    let lacks = "SELECT EXISTS (SELECT 1 FROM parts WHERE run IS NOT NULL AND run NOT IN (SELECT id FROM runs))
          OR EXISTS (SELECT 1 FROM contents WHERE run IS NULL AND push IS NULL
                     AND (size + ?1 - 1) / ?1 <> (SELECT count(*) FROM parts WHERE content = contents.id))";
    Ok(connection.query_row(lacks, [SEGMENT as i64], |row| row.get(0))?)
}

/// The ranges of a head in which no run lies.
fn gaps(connection: &Connection, head: &Claimed) -> Result<Vec<Range<u64>>> {
    let mut statement = connection.prepare_cached("SELECT id FROM runs WHERE file = ?1 ORDER BY offset")?;
    let runs = statement.query_map([head.id], |row| row.get(0))?;
    let runs: Vec<RunId> = runs.collect::<rusqlite::Result<_>>()?;
    let (mut end, mut gaps) = (0, Vec::new());
    for id in &runs {
        let Some(run) = Run::get(connection, *id)? else {
            continue;
        };
        if run.offset > end {
            gaps.push(end..run.offset);
        }
        end = end.max(run.offset + run.bytes());
    }
    if end < head.length {
        gaps.push(end..head.length);
    }
    // One that nothing lies in goes as a whole.
    Ok(if runs.is_empty() { Vec::new() } else { gaps })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::testing::{Bench, file, noise};
    use crate::{Body, Compression, ContentReader, Frame, GROUP, Hash, Ingest, Kind, LargeOp, Meta};

    const LENGTH: usize = 3 * SEGMENT as usize;

    /// Three segments that do not compress, and the same with another second segment.
    fn versions() -> (Vec<u8>, Vec<u8>) {
        let old = noise(1, LENGTH);
        let mut new = old.clone();
        let second = SEGMENT as usize..2 * SEGMENT as usize;
        new[second].copy_from_slice(&noise(2, SEGMENT as usize));
        (old, new)
    }

    /// Puts the version that follows `old`: segment by segment unchanged or new.
    fn change(push: &mut Ingest, old: &[u8], new: &[u8]) {
        push.large_begin(Some(Hash::of(old)), [7; 16]).unwrap();
        let segments = old.chunks(SEGMENT as usize).zip(new.chunks(SEGMENT as usize));
        for (old, new) in segments {
            if old == new {
                let groups = (new.len() as u64).div_ceil(GROUP);
                push.large_op(LargeOp::Same { groups }).unwrap();
                continue;
            }
            for group in new.chunks(GROUP as usize) {
                let frame = Frame::encode(group, Compression::Zstd(1));
                push.large_op(LargeOp::Frame(frame)).unwrap();
            }
        }
        let (hash, size) = (Hash::of(new), new.len() as u64);
        push.large_end(hash, size).unwrap();
        let meta = Meta::plain(Kind::File, 0o644);
        push.put(b"film", meta, Some(Body { hash, size }), None).unwrap();
    }

    /// The first head, and where it is.
    fn head(bench: &Bench) -> (FileId, PathBuf) {
        let id = FileId(bench.number("SELECT min(id) FROM files WHERE kind = 1"));
        (id, stored_file(bench.repository.path(), FileKind::Head, id))
    }

    fn told(bench: &Bench, head: FileId) -> i64 {
        bench.number(&format!("SELECT bytes FROM files WHERE id = {}", head.0))
    }

    fn with_gaps(bench: &Bench) -> Vec<FileId> {
        heads_with_gaps(&bench.repository.connection().unwrap()).unwrap()
    }

    fn on_disk(path: &Path) -> u64 {
        path.metadata().unwrap().blocks() * 512
    }

    fn open(repository: &Arc<Repository>, bytes: &[u8]) -> ContentReader {
        repository.open_hash(&Hash::of(bytes)).unwrap()
    }

    fn assert_reads(reader: &ContentReader, bytes: &[u8]) {
        let mut found = vec![0; bytes.len()];
        reader.read_at(0, &mut found).unwrap();
        assert!(found == bytes);
    }

    fn assert_sound(bench: &Bench) {
        let verified = bench.reopened().verify(true, &mut |_, _| Ok(())).unwrap();
        assert!(verified.damages.is_empty(), "{verified:?}");
    }

    #[test]
    fn what_does_not_compress_is_one_file_that_is_the_content() {
        let bench = Bench::new();
        let film = noise(1, LENGTH + 100_000);
        let mut text = noise(3, 4 * SEGMENT as usize);
        text[SEGMENT as usize..][..SEGMENT as usize].fill(b'a');
        bench.push("host", |push| {
            file(push, "film", &film);
            file(push, "mixed", &text);
            file(push, "second film", &text[..SEGMENT as usize]);
        });
        let (id, path) = head(&bench);
        assert!(std::fs::read(path).unwrap() == film);
        assert_eq!(told(&bench, id), film.len() as i64);
        let reader = open(&bench.repository, &film);
        let raw = reader.raw_file().unwrap().unwrap();
        assert_eq!(raw.file().metadata().unwrap().len(), film.len() as u64);
        // Of the mixed one what is in front of the letters, they, and each segment behind them.
        assert_eq!(bench.number("SELECT count(*) FROM files WHERE kind = 1"), 2 + 4);
        assert!(open(&bench.repository, &text).raw_file().unwrap().is_none());
        assert_reads(&open(&bench.reopened(), &text), &text);
        assert_sound(&bench);
    }

    #[test]
    fn only_where_a_file_system_has_none_it_is_no_error() {
        assert!(is_punched(Ok(())).unwrap());
        assert!(!is_punched(Err(Errno::OPNOTSUPP)).unwrap());
        assert!(is_punched(Err(Errno::IO)).is_err());
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("file")).unwrap();
        assert!(are_possible(&file).unwrap(), "the tests below need it");
        assert_eq!(file.metadata().unwrap().len(), 0);
    }

    #[test]
    fn a_segment_that_nothing_needs_any_more_becomes_a_hole() {
        let (bench, (old, new)) = (Bench::new(), versions());
        bench.push("host", |push| file(push, "film", &old));
        let (id, path) = head(&bench);
        let before = on_disk(&path);
        // As it was planned before, with nothing of it read yet.
        let planned = bench.reopened();
        let (reader, remote) = (open(&planned, &old), open(&planned, &old));
        bench.push("host", |push| change(push, &old, &new));
        assert_eq!(told(&bench, id), (LENGTH - SEGMENT as usize) as i64);
        assert_eq!(before - on_disk(&path), SEGMENT);
        assert_reads(&reader, &old);
        let frame = remote.stored_frame(SEGMENT, GROUP).unwrap();
        assert!(frame.is_none_or(|frame| frame.decode().unwrap() == old[SEGMENT as usize..][..GROUP as usize]));
        for version in [&old, &new] {
            let reader = open(&bench.reopened(), version);
            assert_reads(&reader, version);
            assert!(reader.raw_file().unwrap().is_none());
        }
        assert_eq!(with_gaps(&bench), []);
        assert_sound(&bench);
        // What is cut off is missed, though as many bytes are there as the row says.
        let cut = File::options().write(true).open(&path).unwrap();
        cut.set_len(3 * SEGMENT - 1).unwrap();
        assert!(
            !bench
                .reopened()
                .verify(true, &mut |_, _| Ok(()))
                .unwrap()
                .damages
                .is_empty()
        );
    }

    #[test]
    fn a_file_that_is_held_gets_no_hole_until_it_is_not() {
        let (bench, (old, new)) = (Bench::new(), versions());
        bench.push("host", |push| file(push, "film", &old));
        let (id, path) = head(&bench);
        let held = open(&bench.reopened(), &old).raw_file().unwrap().unwrap();
        bench.push("host", |push| change(push, &old, &new));
        assert!(std::fs::read(&path).unwrap() == old);
        assert_eq!(told(&bench, id), LENGTH as i64);
        assert_eq!(with_gaps(&bench), [id]);
        assert_sound(&bench);
        drop(held);
        let third = bench.push("host", |_| ());
        bench.repository.forget(&[third.id]).unwrap();
        assert_eq!(told(&bench, id), (LENGTH - SEGMENT as usize) as i64);
        assert!(std::fs::read(&path).unwrap()[SEGMENT as usize..][..SEGMENT as usize] == vec![0; SEGMENT as usize]);
        assert_sound(&bench);
    }

    #[test]
    fn a_copy_by_hard_links_keeps_what_it_has() {
        let (bench, (old, new)) = (Bench::new(), versions());
        bench.push("host", |push| file(push, "film", &old));
        let (id, path) = head(&bench);
        let copy = bench.repository.path().join("copy");
        std::fs::hard_link(&path, &copy).unwrap();
        bench.push("host", |push| change(push, &old, &new));
        assert!(std::fs::read(&copy).unwrap() == old);
        std::fs::remove_file(copy).unwrap();
        bench.repository.give_back_all().unwrap();
        assert_eq!(told(&bench, id), (LENGTH - SEGMENT as usize) as i64);
    }

    #[test]
    fn where_rows_are_lost_or_damaged_nothing_more_is() {
        for damage in [
            "DELETE FROM runs WHERE offset = 0 AND file IN (SELECT min(id) FROM files WHERE kind = 1)",
            "UPDATE runs SET offset = offset + 100 WHERE offset = 0",
        ] {
            let (bench, (old, new)) = (Bench::new(), versions());
            bench.push("host", |push| file(push, "film", &old));
            let (_, path) = head(&bench);
            let held = open(&bench.reopened(), &old).raw_file().unwrap();
            bench.push("host", |push| change(push, &old, &new));
            drop(held);
            assert!(bench.sql(damage) > 0);
            bench.repository.give_back_all().unwrap();
            assert!(std::fs::read(&path).unwrap() == old, "{damage}");
        }
    }

    #[test]
    fn one_that_can_get_no_holes_stops_nothing_else() {
        let (bench, (old, new)) = (Bench::new(), versions());
        bench.push("host", |push| file(push, "film", &old));
        let (_, path) = head(&bench);
        let held = open(&bench.reopened(), &old).raw_file().unwrap();
        bench.push("host", |push| change(push, &old, &new));
        drop(held);
        let third = bench.push("host", |_| ());
        std::fs::rename(&path, path.with_extension("away")).unwrap();
        std::fs::create_dir(&path).unwrap();
        let forgotten = bench.repository.forget(&[third.id]).unwrap();
        assert_eq!(forgotten.snapshots, 1);
    }

    #[test]
    fn when_its_last_segment_goes_the_file_does() {
        let (bench, (old, new)) = (Bench::new(), versions());
        let first = bench.push("host", |push| file(push, "film", &old));
        let (_, path) = head(&bench);
        bench.push("host", |push| change(push, &old, &new));
        let mut other = noise(9, LENGTH);
        other[SEGMENT as usize..][..SEGMENT as usize].copy_from_slice(&new[SEGMENT as usize..][..SEGMENT as usize]);
        let third = bench.push("host", |push| change(push, &new, &other));
        assert!(!path.exists());
        assert_reads(&open(&bench.reopened(), &old), &old);
        bench.repository.forget(&[first.id, third.id]).unwrap();
        assert_reads(&open(&bench.reopened(), &new), &new);
        assert_eq!(with_gaps(&bench), []);
        assert_sound(&bench);
    }

    #[test]
    fn of_a_file_that_the_disk_has_in_part_the_next_push_has_that_part() {
        let (bench, (film, _)) = (Bench::new(), versions());
        let mut dying = bench.begin("host");
        let meta = Meta::plain(Kind::Folder, 0o755);
        dying.enter(b"", Some(meta)).unwrap();
        dying.large_begin(None, [0; 16]).unwrap();
        for group in film.chunks(GROUP as usize) {
            let frame = Frame::encode(group, Compression::Zstd(1));
            dying.large_op(LargeOp::Frame(frame)).unwrap();
        }
        drop(dying);
        let (id, path) = head(&bench);
        assert_eq!(told(&bench, id), LENGTH as i64);
        // As if it had died before the second segment was fsynced.
        bench.sql(&format!("UPDATE files SET bytes = {SEGMENT} WHERE id = {}", id.0));
        drop(bench.begin("host"));
        assert_eq!(bench.number("SELECT sum(bytes) FROM runs"), SEGMENT as i64);
        assert_eq!(path.metadata().unwrap().len(), SEGMENT);
        bench.push("host", |push| file(push, "film", &film));
        assert_reads(&open(&bench.reopened(), &film), &film);
        assert_sound(&bench);
    }
}
