//! Extended attributes of anything, symlinks included.
//!
//! Where there is an open descriptor it is used; else the thing is reached as
//! `/proc/self/fd/DIR/NAME`, which is short whatever the depth and follows
//! nothing at its end.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{fgetxattr, flistxattr, lgetxattr, llistxattr};
use rustix::io::{Errno, Result};
use yore_store::Xattrs;

/// The kernel lets no value and no list be larger than 64 KiB today.
const MOST: usize = 1 << 20;

/// What the attributes of one thing may take together. File systems let them be many times as
/// large; the message that tells an entry has to hold them.
const MOST_TOGETHER: usize = 1 << 20;

/// What an attribute takes besides its name and value.
const EACH: usize = 48;

/// Whose attributes are read.
pub(crate) enum Thing<'a> {
    /// An open file or folder.
    Open(BorrowedFd<'a>),
    /// A path below `/proc/self/fd`, not followed at its end.
    At(Vec<u8>),
}

impl<'a> Thing<'a> {
    /// `name` in `dir`.
    pub fn at(dir: BorrowedFd, name: &[u8]) -> Self {
        Thing::At([format!("/proc/self/fd/{}/", dir.as_raw_fd()).as_bytes(), name].concat())
    }

    fn list(&self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Thing::Open(fd) => flistxattr(fd, buffer),
            Thing::At(path) => llistxattr(path.as_slice(), buffer),
        }
    }

    fn get(&self, name: &[u8], buffer: &mut [u8]) -> Result<usize> {
        match self {
            Thing::Open(fd) => fgetxattr(fd, name, buffer),
            Thing::At(path) => lgetxattr(path.as_slice(), name, buffer),
        }
    }
}

/// Whether an attribute is part of a backup: all but the ones that a file
/// system makes up below `system.` (ACLs live there and are kept).
pub(crate) fn is_kept(name: &[u8]) -> bool {
    !name.starts_with(b"system.") || matches!(name, b"system.posix_acl_access" | b"system.posix_acl_default")
}

/// All attributes that are part of a backup, sorted by name; none where the
/// file system has none. Nothing if they are too large to be kept.
pub(crate) fn read(thing: &Thing) -> io::Result<Option<Xattrs>> {
    let list = match growing(|buffer| thing.list(buffer)) {
        Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(Some(Vec::new())),
        other => other?,
    };
    gather(&list, |name| growing(|buffer| thing.get(name, buffer)))
}

/// The values of listed names, read no further than what may be kept.
fn gather(list: &[u8], mut value: impl FnMut(&[u8]) -> Result<Vec<u8>>) -> io::Result<Option<Xattrs>> {
    let mut xattrs = Vec::new();
    let mut room = MOST_TOGETHER;
    for name in list
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty() && is_kept(name))
    {
        let value = match value(name) {
            // It went since it was listed.
            Err(Errno::NODATA) => continue,
            other => other?,
        };
        match room.checked_sub(EACH + name.len() + value.len()) {
            None => return Ok(None),
            Some(left) => room = left,
        }
        xattrs.push((name.to_vec(), value));
    }
    xattrs.sort_unstable();
    // Some file systems list a name that the system adds by itself.
    xattrs.dedup_by(|next, one| next.0 == one.0);
    Ok(Some(xattrs))
}

/// Calls with more and more room until the answer fits.
fn growing(mut call: impl FnMut(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut buffer = vec![0; 512];
    loop {
        match call(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < MOST => buffer.resize(buffer.len() * 4, 0),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_without_end_are_not_gathered() {
        let list: Vec<u8> = (0..1000).flat_map(|i| format!("user.{i}\0").into_bytes()).collect();
        let mut asked = 0;
        let kept = gather(&list, |_| {
            asked += 1;
            Ok(vec![7; 64 << 10])
        });
        assert_eq!((kept.unwrap(), asked), (None, 16));
        let few = gather(&list, |_| Ok(vec![7; 100])).unwrap().unwrap();
        assert_eq!(few.len(), 1000);
        let gone = gather(b"user.gone\0", |_| Err(Errno::NODATA));
        assert_eq!(gone.unwrap(), Some(vec![]));
    }
}
