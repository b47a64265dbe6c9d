//! Writing stored files: packs, segments, deltas.
//!
//! What is written does not change any more (but for [holes](crate::holes)). The order that makes it safe:
//!
//! 1. a row in `files` that names its push (a crash leaves a row and perhaps a file: swept by the row),
//! 2. the file is created, written, fsynced,
//! 3. its folder is fsynced,
//! 4. the commit that takes the push's name off the row.
//!
//! Nothing that a snapshot reaches names a file before step 4.

mod head;
mod sealer;
mod sink;

pub(crate) use sink::StreamSink;

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use head::OpenHead;
use sealer::{Complete, Sealer};

use crate::catalog::{FrameRow, IdAllocator, Run, stored_check};
use crate::error::IoContext;
use crate::frame::{Encoding, Frame};
use crate::layout::{FileKind, PACK, stored_file};
use crate::stops::Stop;
use crate::tree_hash::Value;
use crate::{Error, FileId, PushId, Repository, Result, RunId};

/// Says how much may be written. It is asked before every write.
pub trait Budget: Send {
    /// Takes `bytes` off the budget, or refuses with [`Error::OverBudget`](crate::Error::OverBudget).
    fn reserve(&mut self, bytes: u64) -> Result<()>;
}

/// No limit.
pub struct Unlimited;

impl Budget for Unlimited {
    fn reserve(&mut self, _bytes: u64) -> Result<()> {
        Ok(())
    }
}

/// A fixed number of bytes for one push.
pub struct Limit {
    /// Bytes allowed.
    pub limit: u64,
    /// Bytes used so far.
    pub used: u64,
}

impl Budget for Limit {
    fn reserve(&mut self, bytes: u64) -> Result<()> {
        if self.used + bytes > self.limit {
            return Err(crate::Error::OverBudget {
                used: self.used,
                limit: self.limit,
                needed: bytes,
            });
        }
        self.used += bytes;
        Ok(())
    }
}

/// About what a row takes in the catalog with its indexes, in bytes; measured by FORMAT.md.
pub(crate) const ROW: u64 = 160;

/// Files registered in one transaction.
const RESERVE: usize = 16;

/// A pack that is being filled.
struct OpenPack {
    id: FileId,
    file: File,
    path: PathBuf,
    offset: u64,
}

/// Writes the stored files of one push, or of one step of maintenance.
pub(crate) struct Writer {
    pub repository: Arc<Repository>,
    pub push: PushId,
    pub ids: IdAllocator,
    budget: Box<dyn Budget>,
    pack: Option<OpenPack>,
    head: Option<OpenHead>,
    /// Whether the file system has holes, as far as that is known.
    has_holes: Option<bool>,
    reserved: [VecDeque<FileId>; 3],
    folders: BTreeSet<PathBuf>,
    sealer: Sealer,
    /// Bytes written so far.
    pub written: u64,
}

impl Writer {
    pub fn new(repository: Arc<Repository>, push: PushId, budget: Box<dyn Budget>) -> Self {
        Writer {
            repository,
            push,
            ids: IdAllocator::default(),
            budget,
            pack: None,
            head: None,
            has_holes: None,
            reserved: Default::default(),
            folders: BTreeSet::new(),
            sealer: Sealer::default(),
            written: 0,
        }
    }

    /// Appends a run to the current pack.
    pub fn append_to_pack(
        &mut self,
        frames: &[(Vec<u8>, FrameRow)],
        encoding: Encoding,
        position: Option<u64>,
    ) -> Result<Run> {
        let bytes = stored_length(frames);
        self.grant(bytes, false)?;
        let mut pack = match self.pack.take() {
            Some(pack) => pack,
            None => self.new_pack()?,
        };
        write_frames(&pack.file, frames, pack.offset).at(&pack.path)?;
        self.grant(bytes, true)?;
        let rows = frames.iter().map(|(_, row)| *row).collect();
        let id = self.next_run()?;
        let run = Run::new(id, pack.id, FileKind::Pack, pack.offset, encoding, position, rows);
        pack.offset += bytes as u64;
        self.written += bytes as u64;
        let full = pack.offset >= PACK;
        self.pack = Some(pack);
        if full {
            self.seal_pack()?;
        }
        Ok(run)
    }

    /// Takes bytes off the budget before they are written; by a planted fault, after that.
    fn grant(&mut self, bytes: usize, are_written: bool) -> Result<()> {
        match are_written == cfg!(feature = "fault-late-quota") {
            true => self.budget.reserve(bytes as u64),
            false => Ok(()),
        }
    }

    /// Creates a registered file of a kind.
    pub(super) fn create(&mut self, kind: FileKind) -> Result<(FileId, File, PathBuf)> {
        let id = match self.reserved[kind as usize].pop_front() {
            Some(id) => id,
            None => self.register(kind)?,
        };
        let path = stored_file(self.repository.path(), kind, id);
        let folder = path.parent().expect("a stored file lies in a folder");
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error).at(folder),
            _ => {}
        }
        // The folder above too, even if this one was there: whoever made it may have died before its fsync.
        self.folders.insert(folder.parent().expect("two levels").to_owned());
        self.folders.insert(folder.to_owned());
        let file = File::create_new(&path).at(&path)?;
        Ok((id, file, path))
    }

    /// Takes room for rows of the catalog, of so many bytes, off the budget.
    pub fn reserve_rows(&mut self, bytes: u64) -> Result<()> {
        self.budget.reserve(bytes)
    }

    pub(super) fn reserve_bytes(&mut self, bytes: u64) -> Result<()> {
        self.budget.reserve(bytes)?;
        self.written += bytes;
        Ok(())
    }

    /// Has a file fsynced that has so many bytes; [`sync`](Self::sync) waits for that.
    pub(super) fn seal(&mut self, id: FileId, file: File, path: PathBuf, bytes: u64) -> Result<()> {
        self.sealer.seal(Complete { id, file, path, bytes })
    }

    pub fn next_run(&mut self) -> Result<RunId> {
        Ok(RunId(self.ids.next(&self.repository, "runs")?))
    }

    /// Closes the current pack.
    pub fn seal_pack(&mut self) -> Result<()> {
        if let Some(pack) = self.pack.take() {
            self.seal(pack.id, pack.file, pack.path, pack.offset)?;
        }
        Ok(())
    }

    /// Makes everything written so far durable: files, then folders.
    pub fn sync(&mut self) -> Result<()> {
        self.seal_pack()?;
        self.sealer.finish()?;
        let folders = std::mem::take(&mut self.folders);
        if cfg!(feature = "fault-no-folder-sync") {
            return Ok(());
        }
        for folder in folders {
            Stop::FolderSynced
                .around(|| File::open(&folder).and_then(|folder| folder.sync_all()))
                .at(&folder)?;
        }
        Ok(())
    }

    /// Tells the catalog the sizes of what is fsynced; inside the caller's transaction.
    pub fn record_sealed(&mut self, connection: &rusqlite::Connection) -> Result<()> {
        self.sealer.take_ready()?;
        let mut statement = connection.prepare_cached("UPDATE files SET bytes = ?2 WHERE id = ?1")?;
        for (id, bytes) in self.sealer.sealed.drain(..) {
            if statement.execute((id, bytes as i64))? != 1 {
                return Err(Error::Busy(
                    "what was written has been swept meanwhile; do it again".into(),
                ));
            }
        }
        Ok(())
    }

    /// Takes the push's name off its files, which makes them part of the repository, and drops
    /// the registrations that were not used; inside the transaction of a commit, after
    /// [`sync`](Self::sync).
    pub fn commit_files(&mut self, connection: &rusqlite::Connection) -> Result<()> {
        self.record_sealed(connection)?;
        let mut delete = connection.prepare_cached("DELETE FROM files WHERE id = ?1")?;
        for id in self.reserved.iter_mut().flat_map(|ids| ids.drain(..)) {
            delete.execute([id])?;
        }
        // A delta that was broken off, or that no longer fitted: no row names what is in its file.
        connection
            .prepare_cached(
                "UPDATE files SET dead = 1 WHERE push = ?1 AND NOT EXISTS (SELECT 1 FROM runs WHERE file = files.id)",
            )?
            .execute([self.push])?;
        connection
            .prepare_cached("UPDATE files SET push = NULL WHERE push = ?1")?
            .execute([self.push])?;
        Ok(())
    }

    fn new_pack(&mut self) -> Result<OpenPack> {
        let (id, file, path) = self.create(FileKind::Pack)?;
        Ok(OpenPack {
            id,
            file,
            path,
            offset: 0,
        })
    }

    /// Registers some files of a kind, so that not each costs a transaction; gives the first.
    fn register(&mut self, kind: FileKind) -> Result<FileId> {
        let count = if kind == FileKind::Head { RESERVE } else { 1 };
        let ids = (0..count).map(|_| unused(&self.repository, &mut self.ids));
        let ids = ids.collect::<Result<Vec<_>>>()?;
        let mut connection = self.repository.connection()?;
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        for id in &ids {
            transaction
                .prepare_cached("INSERT INTO files (id, kind, bytes, push, dead) VALUES (?1, ?2, 0, ?3, 0)")?
                .execute((id, kind as i64, self.push))?;
        }
        Stop::FilesRegistered.around(|| transaction.commit())?;
        // Only now: a file whose row is not there would be swept by nobody.
        self.reserved[kind as usize].extend(ids);
        Ok(self.reserved[kind as usize].pop_front().expect("just registered"))
    }
}

/// The next number that no file has. There may be some that the catalog does not know of: it may be an older copy, put
/// in place by hand, and what a later one knew is not to be written over.
fn unused(repository: &Repository, ids: &mut IdAllocator) -> Result<FileId> {
    loop {
        let id = FileId(ids.next(repository, "files")?);
        let is_there = |kind| stored_file(repository.path(), kind, id).symlink_metadata().is_ok();
        if !FileKind::ALL.into_iter().any(is_there) {
            return Ok(id);
        }
    }
}

/// Bytes of frames, as they are stored.
fn stored_length(frames: &[(Vec<u8>, FrameRow)]) -> usize {
    frames.iter().map(|(stored, _)| stored.len()).sum()
}

/// Writes frames one after the other, the first at `offset`.
fn write_frames(file: &File, frames: &[(Vec<u8>, FrameRow)], mut offset: u64) -> io::Result<()> {
    for (stored, _) in frames {
        file.write_all_at(stored, offset)?;
        offset += stored.len() as u64;
    }
    Ok(())
}

/// The row of a frame with these stored bytes.
pub(crate) fn frame_row(stored: &[u8], length: u32, value: Value) -> FrameRow {
    FrameRow {
        stored: stored.len() as u32,
        length,
        check: stored_check(stored),
        value,
    }
}

/// Frames made one by one as they are stored together: all raw, or all zstd.
pub(crate) fn unify(frames: Vec<(Frame, Value)>) -> (Encoding, Vec<(Vec<u8>, FrameRow)>) {
    let raw = frames.iter().all(|(frame, _)| frame.encoding == Encoding::Raw);
    let encoding = if raw { Encoding::Raw } else { Encoding::Zstd };
    let stored = frames.into_iter().map(|(frame, value)| {
        let length = frame.length;
        let bytes = if raw { frame.bytes } else { frame.into_zstd() };
        let row = frame_row(&bytes, length, value);
        (bytes, row)
    });
    (encoding, stored.collect())
}

#[cfg(test)]
mod tests {
    use crate::FileId;
    use crate::layout::{FileKind, stored_file};
    use crate::testing::{Bench, file};

    #[test]
    fn a_file_that_the_catalog_does_not_know_is_left_alone() {
        let bench = Bench::new();
        bench.push("host", |push| file(push, "file", b"bytes"));
        // As it is when an older copy of the catalog was put in place.
        let next = bench.number("SELECT next FROM next_ids WHERE name = 'files'");
        for (number, kind) in FileKind::ALL.into_iter().enumerate() {
            let path = stored_file(bench.repository.path(), kind, FileId(next + number as i64));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"of a later snapshot").unwrap();
        }
        bench.push("host", |push| file(push, "another", b"more bytes"));
        bench.repository.sweep_all().unwrap();
        for (number, kind) in FileKind::ALL.into_iter().enumerate() {
            let path = stored_file(bench.repository.path(), kind, FileId(next + number as i64));
            assert_eq!(std::fs::read(path).unwrap(), b"of a later snapshot");
        }
        assert_eq!(bench.number("SELECT max(id) FROM files"), next + 3);
    }
}
