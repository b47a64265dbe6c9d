//! Locks between processes, and between threads of one.
//!
//! `flock` on files in `REPO/locks`: a lock dies with its process, so a stale lock file
//! means nothing. `writer` covers commits and steps of maintenance, seconds at most;
//! `line-N` keeps one push of a line at a time; `push-N` tells that push N lives, so that
//! nobody sweeps what it has not committed yet, and who is killed leaves its file to the next sweep;
//! `maintenance` lets one forget and collect at a time; `copy` lets one copy the catalog.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::IoContext;
use crate::stops::Stop;
use crate::{LineId, PushId, Result, layout};

/// A held lock; released when dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    remove: bool,
}

impl Lock {
    /// Lets go without unlinking: the file of that name is another one's.
    fn forget(mut self) {
        self.remove = false;
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while still held: whoever opened it before looks whether it is still there.
        if self.remove {
            let _ = Stop::LockRemoved.around(|| std::fs::remove_file(&self.path));
        }
        // Closing is not enough: a process that another thread is just starting has all our files until it is another
        // program, and would hold the lock as long.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Takes a lock. A lock file may be unlinked by whoever held it while we waited for it: then
/// somebody else may hold a new one of that name, and ours is worth nothing.
fn acquire(path: PathBuf, wait: bool, remove: bool) -> Result<Option<Lock>> {
    loop {
        let Some(lock) = acquire_once(path.clone(), wait, remove)? else {
            return Ok(None);
        };
        let ours = rustix::fs::fstat(&lock.file).at(&path)?;
        match rustix::fs::stat(&path) {
            Ok(named) if (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino) => return Ok(Some(lock)),
            Ok(_) | Err(rustix::io::Errno::NOENT) => lock.forget(),
            Err(error) => return Err(error).at(&path),
        }
    }
}

fn acquire_once(path: PathBuf, wait: bool, remove: bool) -> Result<Option<Lock>> {
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
                return Ok(Some(Lock { file, path, remove }));
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

/// Waits until nobody forgets or collects in this repository.
pub fn maintenance(repository: &Path) -> Result<Lock> {
    let path = layout::locks(repository).join("maintenance");
    let lock = match acquire(path.clone(), true, false) {
        // The first time its file is made, and room may be what is wanted.
        Err(error) if error.is_want_of_room() && crate::ballast::release(repository) => acquire(path, true, false),
        lock => lock,
    };
    Ok(lock?.expect("a lock that is waited for is got"))
}

/// Takes the lock of whoever copies the catalog; `None` if somebody does.
pub fn copy(repository: &Path) -> Result<Option<Lock>> {
    acquire(layout::locks(repository).join("copy"), false, false)
}

/// Waits for the lock of a push that is known to be dead: whoever has it is sweeping it.
pub fn dead_push(repository: &Path, push: PushId) -> Result<Lock> {
    let path = layout::locks(repository).join(format!("push-{push}"));
    Ok(acquire(path, true, true)?.expect("a lock that is waited for is got"))
}

/// Takes the lock of a number that was never given before. Somebody who looks for locks of the dead may have it for a
/// moment, which is waited for.
pub fn new_push(repository: &Path, push: PushId) -> Result<Lock> {
    dead_push(repository, push)
}

/// How many pushes, or steps of maintenance, live. The files of locks of dead ones go.
pub fn held_pushes(repository: &Path) -> Result<usize> {
    let folder = layout::locks(repository);
    let mut held = 0;
    for entry in std::fs::read_dir(&folder).at(&folder)? {
        let path = entry.at(&folder)?.path();
        let is_push = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"push-"));
        held += usize::from(is_push && acquire(path, false, true)?.is_none());
    }
    Ok(held)
}

/// Takes the lock that says that a push lives; `None` if it does.
pub fn push(repository: &Path, push: PushId) -> Result<Option<Lock>> {
    acquire(layout::locks(repository).join(format!("push-{push}")), false, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn a_process_that_is_being_started_does_not_hold_what_was_let_go() {
        let bench = Bench::new();
        let lock = |wanted| line(bench.repository.path(), LineId(wanted)).unwrap();
        let held = lock(1).unwrap();
        // As the child of a fork has it.
        let _inherited = held.file.try_clone().unwrap();
        assert!(lock(1).is_none());
        drop(held);
        assert!(lock(1).is_some());
    }
}
