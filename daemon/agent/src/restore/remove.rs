//! Removing a thing with all that is in it, at any depth.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, unlinkat};
use yore_store::Kind;

use crate::folder::{Chain, How, names, open_folder};
use crate::metadata::Stat;

/// Removes `name` in `dir` and counts what went in `removed`, also when it
/// fails half-way. Never follows a symlink, never enters another file system.
///
/// # Errors
/// The first thing that cannot be removed ends it.
pub(super) fn remove(dir: BorrowedFd, name: &[u8], removed: &mut u64) -> io::Result<()> {
    let device = Stat::of(dir)?.dev;
    if Stat::at(dir, name)?.kind() != Some(Kind::Folder) {
        return unlink(dir, name, AtFlags::empty(), removed);
    }
    let mut chain = Chain::new(dir.try_clone_to_owned()?)?;
    let mut levels = vec![(name.to_vec(), enter(&mut chain, name, device)?.into_iter())];
    while let Some((_, left)) = levels.last_mut() {
        if let Some(name) = left.next() {
            let folder = chain.top()?;
            if Stat::at(folder, &name)?.kind() == Some(Kind::Folder) {
                let inside = enter(&mut chain, &name, device)?;
                levels.push((name, inside.into_iter()));
            } else {
                unlink(folder, &name, AtFlags::empty(), removed)?;
            }
        } else if let Some((name, _)) = levels.pop() {
            chain.pop();
            unlink(chain.top()?, &name, AtFlags::REMOVEDIR, removed)?;
        }
    }
    Ok(())
}

fn enter(chain: &mut Chain, name: &[u8], device: u64) -> io::Result<Vec<Vec<u8>>> {
    let folder = open_folder(chain.top()?, name, How::Read)?;
    if Stat::of(folder.as_fd())?.dev != device {
        return Err(io::Error::other(
            "another file system is mounted in it; nothing there was removed",
        ));
    }
    let names = names(folder.as_fd())?;
    chain.push(name, How::Read, folder)?;
    Ok(names)
}

fn unlink(dir: BorrowedFd, name: &[u8], flags: AtFlags, removed: &mut u64) -> io::Result<()> {
    unlinkat(dir, name, flags)?;
    *removed += 1;
    Ok(())
}
