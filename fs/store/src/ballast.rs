//! Ballast: a file that keeps some room, so that a full disk can be made emptier.
//!
//! Opening the catalog, sweeping and forgetting write a little before they free anything.
//! Where the disk is full they let the ballast go first and take it up again at the end. A
//! push does not begin without it: what is kept for forgetting is not filled with contents.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::Result;
use crate::error::IoContext;

/// How much is kept.
const BALLAST: u64 = 4 << 20;

/// With less than this free, the ballast is let go.
const LOW: u64 = 32 << 20;

fn path(repository: &Path) -> PathBuf {
    repository.join("ballast")
}

/// Takes up the ballast, if it is not there.
///
/// # Errors
/// What the system says if there is no room for it.
pub(crate) fn hold(repository: &Path) -> Result<()> {
    let path = path(repository);
    if std::fs::metadata(&path).is_ok_and(|status| status.len() == BALLAST) {
        return Ok(());
    }
    let file = File::create(&path).at(&path)?;
    let held = fallocate(&file, FallocateFlags::empty(), 0, BALLAST).or_else(|error| match error {
        // A file system that cannot promise room is given bytes.
        rustix::io::Errno::OPNOTSUPP => fill(&file),
        error => Err(error),
    });
    if held.is_err() {
        let _ = std::fs::remove_file(&path);
    }
    held.at(&path)
}

fn fill(file: &File) -> rustix::io::Result<()> {
    let block = vec![0x5a; 1 << 20];
    for at in (0..BALLAST).step_by(block.len()) {
        rustix::io::retry_on_intr(|| rustix::io::pwrite(file, &block, at))?;
    }
    Ok(())
}

/// Lets the ballast go; says whether there was any.
pub(crate) fn release(repository: &Path) -> bool {
    std::fs::remove_file(path(repository)).is_ok()
}

/// Does what frees room, without the ballast if room is low.
pub(crate) fn with_room<T>(repository: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let is_low = statvfs(repository).is_ok_and(|status| status.f_bavail * status.f_frsize < LOW);
    if is_low {
        release(repository);
    }
    let result = work();
    if is_low {
        // If there is still no room, the next push will say so.
        let _ = hold(repository);
    }
    result
}
