//! Locks between processes, and between threads of one.
//!
//! `flock` on files in `REPO/locks`: a lock dies with its process, so a stale lock file
//! means nothing. `writer` covers commits and steps of maintenance, seconds at most;
//! `line-N` keeps one push of a line at a time; `push-N` tells that push N lives, so that
//! nobody sweeps what it has not committed yet.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::IoContext;
use crate::{LineId, PushId, Result, layout};

/// A held lock; released when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    path: PathBuf,
    remove: bool,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while still held: whoever opened it before finds its push gone from the catalog.
        if self.remove {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn acquire(path: PathBuf, wait: bool, remove: bool) -> Result<Option<Lock>> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .at(&path)?;
    let operation = if wait {
        FlockOperation::LockExclusive
    } else {
        FlockOperation::NonBlockingLockExclusive
    };
    loop {
        match flock(&file, operation) {
            Ok(()) => {
                return Ok(Some(Lock {
                    _file: file,
                    path,
                    remove,
                }));
            }
            Err(rustix::io::Errno::INTR) => continue,
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error).at(&path),
        }
    }
}

/// Waits for the writer's lock.
pub fn writer(repository: &Path) -> Result<Lock> {
    Ok(acquire(layout::locks(repository).join("writer"), true, false)?.expect("a lock that is waited for is got"))
}

/// Takes the lock of a line's pushes; `None` if a push of it is running.
pub fn line(repository: &Path, line: LineId) -> Result<Option<Lock>> {
    acquire(layout::locks(repository).join(format!("line-{line}")), false, false)
}

/// Takes the lock that says that a push lives; `None` if it does.
pub fn push(repository: &Path, push: PushId) -> Result<Option<Lock>> {
    acquire(layout::locks(repository).join(format!("push-{push}")), false, true)
}
