//! Frames from stored files, verified.

use std::fs::File;
use std::io;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};

use crate::catalog::{Run, stored_check};
use crate::layout::stored_file;
use crate::tree_hash::group_value;
use crate::{Error, Hash, Repository, RunId, frame};

/// Why a frame could not be had.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// Its row or its file is gone: it may have been moved, or the content rebased. Look again.
    Gone(String),
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
            FrameError::Gone(what) => Error::Damaged(what),
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
        let bytes = Arc::new(self.decoded_frame(run, index)?);
        self.caches.keep_frame(run.id, index as u32, &bytes);
        Ok(bytes)
    }

    /// The same, past the cache: for reading whole contents once.
    pub(crate) fn decoded_frame(&self, run: &Run, index: usize) -> Result<Vec<u8>, FrameError> {
        let row = run.frames[index];
        let stored = self.stored_bytes(run, index)?;
        let place = || {
            format!(
                "{} at {}",
                stored_file(self.path(), run.kind, run.file).display(),
                run.offset + run.starts[index].0
            )
        };
        let bytes = frame::decode_owned(run.encoding, stored, row.length).map_err(|_| Error::Damaged(place()))?;
        let value = match run.position {
            Some(first) => group_value(first + index as u64, &bytes),
            None => Hash::of(&bytes).0,
        };
        if value != row.value && !cfg!(feature = "fault-unverified-frame") {
            return Err(Error::Damaged(place()).into());
        }
        Ok(bytes)
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
                self.caches.drop_run(run.id);
                Err(FrameError::Gone(format!("{} is missing", path.display())))
            }
            Err(source) => Err(FrameError::Failed(Error::Io { path, source })),
        }
    }

    fn stored_bytes(&self, run: &Run, index: usize) -> Result<Vec<u8>, FrameError> {
        let file = self.file_of(run)?;
        let length = run.frames[index].stored as usize;
        let offset = run.offset + run.starts[index].0;
        self.caches.count_read(length);
        read_exact(&file, offset, length).map_err(|source| {
            let path = stored_file(self.path(), run.kind, run.file);
            let error = match source.kind() {
                io::ErrorKind::UnexpectedEof => Error::Damaged(format!("{} is cut short", path.display())),
                _ => Error::Io { path, source },
            };
            error.into()
        })
    }
}

/// So many bytes of a file, into memory that is not cleared first.
fn read_exact(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let at = offset + bytes.len() as u64;
        let room = length - bytes.len();
        match pread(file, spare_capacity(&mut bytes), at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            // Room for more than was asked may have been given.
            Ok(got) => bytes.truncate(bytes.len() - got.saturating_sub(room)),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

/// Stored bytes of a frame as they are, for copying; verified by their check.
pub(crate) fn stored_frame(repository: &Repository, run: &Run, index: usize) -> Result<Vec<u8>, FrameError> {
    let stored = repository.stored_bytes(run, index)?;
    if stored_check(&stored) != run.frames[index].check {
        let path = stored_file(repository.path(), run.kind, run.file);
        return Err(Error::Damaged(format!("{} at {}", path.display(), run.offset + run.starts[index].0)).into());
    }
    Ok(stored)
}
