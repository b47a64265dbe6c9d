//! Frames from stored files, verified.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::catalog::{Run, stored_check};
use crate::frame::Encoding;
use crate::layout::stored_file;
use crate::tree_hash::group_value;
use crate::{Error, Hash, Repository, RunId, frame};

/// Why a frame could not be had.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// Its row or its file is gone: it may have been moved, or the content rebased. Look again.
    Gone(String),
    /// Its bytes are not what its row says: it may have been given back since the row was read. Look again.
    Changed(String),
    /// Anything else; looking again does not help.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for FrameError {
    fn from(error: E) -> Self {
        FrameError::Failed(error.into())
    }
}

impl FrameError {
    /// The error for a caller who has looked again and found nothing changed.
    pub fn into_error(self) -> Error {
        match self {
            FrameError::Gone(what) | FrameError::Changed(what) => Error::Damaged(what),
            FrameError::Failed(error) => error,
        }
    }
}

impl Repository {
    /// The run of this number.
    pub(crate) fn run(&self, id: RunId) -> Result<Arc<Run>, FrameError> {
        if let Some(run) = self.caches.run(id) {
            return Ok(run);
        }
        let connection = self.connection()?;
        let run =
            Run::get(&connection, id)?.ok_or_else(|| FrameError::Gone(format!("run {id} is not in the catalog")))?;
        let run = Arc::new(run);
        self.caches.keep_run(&run);
        Ok(run)
    }

    /// Decoded bytes of frame `index` of a run, verified against its table.
    pub(crate) fn frame(&self, run: &Run, index: usize) -> Result<Arc<Vec<u8>>, FrameError> {
        if let Some(bytes) = self.caches.frame(run.id, index as u32) {
            return Ok(bytes);
        }
        let mut bytes = self.caches.memory_for(run.frames[index].length as usize);
        self.read_frame(run, index, &mut bytes)?;
        let bytes = Arc::new(bytes);
        self.caches.keep_frame(run.id, index as u32, &bytes);
        Ok(bytes)
    }

    /// The same into memory that is as long as the frame, past the cache: for reading whole contents once.
    pub(crate) fn read_frame(&self, run: &Run, index: usize, bytes: &mut [u8]) -> Result<(), FrameError> {
        let row = run.frames[index];
        // What is raw is read where it is wanted.
        if run.encoding == Encoding::Raw && row.stored == row.length {
            self.reading(run, index, |file, offset| file.read_exact_at(bytes, offset))?;
        } else {
            STORED.with_borrow_mut(|memory| {
                let length = row.stored as usize;
                if memory.len() < length {
                    memory.resize(length, 0);
                }
                let stored = &mut memory[..length];
                self.reading(run, index, |file, offset| file.read_exact_at(stored, offset))?;
                frame::decode_into(run.encoding, stored, bytes).map_err(|_| self.changed(run, index))
            })?;
        }
        let value = match run.position {
            Some(first) => group_value(first + index as u64, bytes),
            None => Hash::of(bytes).0,
        };
        match value == row.value || cfg!(feature = "fault-unverified-frame") {
            true => Ok(()),
            false => Err(self.changed(run, index)),
        }
    }

    fn changed(&self, run: &Run, index: usize) -> FrameError {
        let path = stored_file(self.path(), run.kind, run.file);
        FrameError::Changed(format!("{} at {}", path.display(), run.offset + run.starts[index].0))
    }

    /// The file that a run lies in.
    pub(crate) fn file_of(&self, run: &Run) -> Result<Arc<File>, FrameError> {
        if let Some(file) = self.caches.file(run.file) {
            return Ok(file);
        }
        let path = stored_file(self.path(), run.kind, run.file);
        match File::open(&path) {
            Ok(file) => {
                let file = Arc::new(file);
                self.caches.keep_file(run.file, &file);
                Ok(file)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // If one has moved, others may have.
                self.caches.drop_runs();
                Err(FrameError::Gone(format!("{} is missing", path.display())))
            }
            Err(source) => Err(FrameError::Failed(Error::Io { path, source })),
        }
    }

    /// Has the stored bytes of a frame read: `read` is given the file and where in it.
    fn reading(
        &self,
        run: &Run,
        index: usize,
        read: impl FnOnce(&File, u64) -> io::Result<()>,
    ) -> Result<(), FrameError> {
        let file = self.file_of(run)?;
        self.caches.count_read(run.frames[index].stored as usize);
        read(&file, run.offset + run.starts[index].0).map_err(|source| {
            let path = stored_file(self.path(), run.kind, run.file);
            let error = match source.kind() {
                io::ErrorKind::UnexpectedEof => Error::Damaged(format!("{} is cut short", path.display())),
                _ if is_lost(&source) => Error::Damaged(format!("{} cannot be read: {source}", path.display())),
                _ => Error::Io { path, source },
            };
            error.into()
        })
    }
}

/// Whether the disk does not give back what it was given, rather than that we cannot ask it just now.
pub(crate) fn is_lost(error: &io::Error) -> bool {
    use rustix::io::Errno;
    const LOST: [Errno; 4] = [Errno::IO, Errno::STALE, Errno::UCLEAN, Errno::BADMSG];
    Errno::from_io_error(error).is_some_and(|error| LOST.contains(&error))
}

thread_local! {
    /// Stored bytes before they are decoded: memory once a thread and not once a frame.
    static STORED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Stored bytes of a frame as they are, for copying; verified by their check.
pub(crate) fn stored_frame(repository: &Repository, run: &Run, index: usize) -> Result<Vec<u8>, FrameError> {
    let mut stored = vec![0; run.frames[index].stored as usize];
    repository.reading(run, index, |file, offset| file.read_exact_at(&mut stored, offset))?;
    match stored_check(&stored) == run.frames[index].check {
        true => Ok(stored),
        false => Err(repository.changed(run, index)),
    }
}
