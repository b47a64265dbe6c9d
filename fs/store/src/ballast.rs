//! Ballast: a file that keeps some room, so that a full disk can be made emptier.
//!
//! Opening the catalog, sweeping and forgetting write a little before they free anything.
//! Where the disk is full they let the ballast go first and take it up again at the end. A
//! push does not begin without it: what is kept for forgetting is not filled with contents.
//!
//! What goes, goes in steps, each a transaction whose log fits into the ballast. A row that is deleted
//! touches a page of its table and one of each index, each of 4 KiB in the log.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::Result;
use crate::error::IoContext;
use crate::stops::Stop;

/// How much is kept.
const BALLAST: u64 = 1 << 20;

/// With less than this free, the ballast is let go.
const LOW: u64 = 32 << 20;

/// How much room there is for the log of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Enough: what bounds a step is how long others wait for it.
    Enough,
    /// No more than the ballast.
    Low,
}

impl Room {
    /// Entries, or rows like them, that are deleted in one transaction.
    pub fn rows(self) -> i64 {
        match self {
            Room::Enough => 10_000,
            Room::Low => 20,
        }
    }

    /// Contents, each with its runs and parts.
    pub fn contents(self) -> i64 {
        match self {
            Room::Enough => 64,
            Room::Low => 8,
        }
    }
}

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
    let held = Stop::BallastHeld.around(|| take_up(&file, BALLAST));
    if held.is_err() {
        let _ = std::fs::remove_file(&path);
    }
    held.at(&path)
}

/// Takes up as much of the ballast as there is room for; the next push will say so if that is too little.
fn hold_some(repository: &Path) {
    let Ok(file) = File::create(path(repository)) else {
        return;
    };
    let steps = std::iter::successors(Some(BALLAST), |bytes| Some(bytes / 2)).take(5);
    for bytes in steps {
        if take_up(&file, bytes).is_ok() {
            return;
        }
        let _ = file.set_len(0);
    }
}

fn take_up(file: &File, bytes: u64) -> rustix::io::Result<()> {
    fallocate(file, FallocateFlags::empty(), 0, bytes).or_else(|error| match error {
        // A file system that cannot promise room is given bytes.
        rustix::io::Errno::OPNOTSUPP => fill(file, bytes),
        error => Err(error),
    })
}

fn fill(file: &File, bytes: u64) -> rustix::io::Result<()> {
    let block = vec![0x5a; 1 << 16];
    for at in (0..bytes).step_by(block.len()) {
        rustix::io::retry_on_intr(|| rustix::io::pwrite(file, &block, at))?;
    }
    Ok(())
}

/// Lets the ballast go; says whether there was any.
pub(crate) fn release(repository: &Path) -> bool {
    std::fs::remove_file(path(repository)).is_ok()
}

/// Whether there may not be room for the log of a transaction: on the file system, or by a quota of its own, which
/// only tells who tries.
fn is_low(repository: &Path) -> bool {
    let is_full = || statvfs(repository).is_ok_and(|status| status.f_bavail * status.f_frsize < LOW);
    is_full() || probe(&repository.join("probe")).is_err()
}

/// Takes up as much as the ballast in a file that has lost its name, and so goes whatever happens.
fn probe(path: &Path) -> std::io::Result<()> {
    let file = File::create(path)?;
    std::fs::remove_file(path)?;
    Ok(take_up(&file, BALLAST)?)
}

/// Does what frees room, without the ballast if room is low, or turns out to be. The work is done again then, and goes on
/// where it was.
pub(crate) fn freeing<T>(repository: &Path, mut work: impl FnMut(Room) -> Result<T>) -> Result<T> {
    match with_room(repository, &mut work) {
        Err(error) if error.is_want_of_room() && release(repository) => {
            let result = work(Room::Low);
            hold_some(repository);
            result
        }
        result => result,
    }
}

/// Does something, without the ballast if room is low.
pub(crate) fn with_room<T>(repository: &Path, work: impl FnOnce(Room) -> Result<T>) -> Result<T> {
    let is_low = is_low(repository);
    if is_low {
        release(repository);
    }
    let result = work(if is_low { Room::Low } else { Room::Enough });
    if is_low {
        hold_some(repository);
    }
    result
}
