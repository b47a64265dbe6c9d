//! What is known of a path besides its bytes, read from the file system.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, SeekFrom, fstat, readlinkat, seek, statat};
use rustix::io::Errno;
use yore_store::{DataExtents, Kind, Meta, Owner};

use crate::folder::{at_name, open_file};
use crate::xattrs::{self, Thing};

/// A file with more data extents than this is kept as one without holes: the
/// list would cost more than the zeros.
const MOST_EXTENTS: usize = 100_000;

/// The longest name of a user or group that a repository takes.
const LONGEST_OWNER: usize = 256;

/// The part of `struct stat` that tells whether a thing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Device number of the file system.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Modification time, seconds since 1970.
    pub mtime: i64,
    /// Its nanoseconds, 0..1_000_000_000.
    pub mtime_ns: u32,
    /// Change time of the inode, seconds since 1970.
    pub ctime: i64,
    /// Its nanoseconds, 0..1_000_000_000.
    pub ctime_ns: u32,
    /// `st_mode`: kind and permissions.
    pub mode: u32,
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
    /// Device number of a device, else 0.
    pub rdev: u64,
    /// Number of names.
    pub nlink: u64,
    /// Allocated size in units of 512 bytes.
    pub blocks: u64,
}

// The fields' types differ from one architecture to the next.
#[allow(clippy::unnecessary_cast)]
impl From<rustix::fs::Stat> for Stat {
    fn from(stat: rustix::fs::Stat) -> Self {
        Stat {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            size: stat.st_size as u64,
            mtime: stat.st_mtime as i64,
            mtime_ns: stat.st_mtime_nsec as u32,
            ctime: stat.st_ctime as i64,
            ctime_ns: stat.st_ctime_nsec as u32,
            mode: stat.st_mode as u32,
            uid: stat.st_uid as u32,
            gid: stat.st_gid as u32,
            rdev: stat.st_rdev as u64,
            nlink: stat.st_nlink as u64,
            blocks: stat.st_blocks as u64,
        }
    }
}

impl Stat {
    /// Of `name` in `dir` itself, not of what a symlink points to.
    ///
    /// # Errors
    /// What the system says, `ENOENT` above all.
    pub fn at(dir: BorrowedFd, name: &[u8]) -> io::Result<Self> {
        Ok(statat(dir, at_name(name), AtFlags::SYMLINK_NOFOLLOW)?.into())
    }

    /// Of an open file or folder.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(open: BorrowedFd) -> io::Result<Self> {
        Ok(fstat(open)?.into())
    }

    /// What kind of thing it is; `None` for one that Linux does not have.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_st_mode(self.mode)
    }
}

/// Names of users and groups, each looked up once.
#[derive(Debug, Default)]
pub struct OwnerNames {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl OwnerNames {
    /// The owner with these numbers; names that are unknown, not UTF-8 or too long are empty.
    pub fn owner(&mut self, uid: u32, gid: u32) -> Owner {
        let text = |name: &std::ffi::OsStr| {
            let text = name.to_str().filter(|name| name.len() <= LONGEST_OWNER);
            text.unwrap_or_default().to_owned()
        };
        let user = self.users.entry(uid).or_insert_with(|| {
            uzers::get_user_by_uid(uid)
                .map(|user| text(user.name()))
                .unwrap_or_default()
        });
        let group = self.groups.entry(gid).or_insert_with(|| {
            uzers::get_group_by_gid(gid)
                .map(|group| text(group.name()))
                .unwrap_or_default()
        });
        Owner {
            uid,
            gid,
            user: user.clone(),
            group: group.clone(),
        }
    }
}

/// Metadata as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The metadata.
    pub meta: Meta,
    /// Its extended attributes are left out: they are too large.
    pub stripped: bool,
}

/// Reads the metadata of `name` in `dir` (empty: of `dir` itself), whose `stat`
/// the caller has. `open` is its own descriptor where there is one already, not
/// opened with `O_PATH`; its file offset may be moved.
///
/// # Errors
/// What the system says when a link, an attribute or a sparse file cannot be read.
pub fn read_meta(
    dir: BorrowedFd,
    name: &[u8],
    stat: &Stat,
    open: Option<BorrowedFd>,
    owners: &mut OwnerNames,
) -> io::Result<Found> {
    let name = at_name(name);
    let kind = stat
        .kind()
        .ok_or_else(|| io::Error::other(format!("unknown kind of file, mode {:o}", stat.mode)))?;
    let device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
    let xattrs = xattrs::read(&open.map_or_else(|| Thing::at(dir, name), Thing::Open))?;
    let stripped = xattrs.is_none();
    let meta = Meta {
        kind,
        mode: stat.mode & 0o7777,
        owner: owners.owner(stat.uid, stat.gid),
        mtime: stat.mtime,
        mtime_ns: stat.mtime_ns,
        rdev: if device { stat.rdev } else { 0 },
        target: match kind {
            Kind::Symlink => readlinkat(dir, name, Vec::new())?.into_bytes(),
            _ => Vec::new(),
        },
        xattrs: xattrs.unwrap_or_default(),
        data: match kind {
            Kind::File => sparse_extents(dir, name, stat, open)?,
            _ => None,
        },
    };
    Ok(Found { meta, stripped })
}

/// The data extents of a regular file that occupies less than its size.
fn sparse_extents(
    dir: BorrowedFd,
    name: &[u8],
    stat: &Stat,
    open: Option<BorrowedFd>,
) -> io::Result<Option<DataExtents>> {
    if stat.blocks.saturating_mul(512) >= stat.size {
        return Ok(None);
    }
    match open {
        Some(file) => data_extents(file, stat.size),
        None => data_extents(open_file(dir, name)?.as_fd(), stat.size),
    }
}

/// Where the first `size` bytes of an open file have data, ascending; `None`
/// if everywhere, if the file system cannot tell, or if the list would be
/// longer than a million. Moves the file's offset.
///
/// # Errors
/// What the system says.
pub fn data_extents(file: BorrowedFd, size: u64) -> io::Result<Option<DataExtents>> {
    let mut extents = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(file, SeekFrom::Data(at)) {
            // Nothing but a hole from here on.
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
            other => other?,
        };
        if start >= size {
            break;
        }
        // At least a byte on, even if the file is being cut under our hands.
        let end = match seek(file, SeekFrom::Hole(start)) {
            Err(Errno::NXIO) => break,
            other => other?.clamp(start + 1, size),
        };
        extents.push((start, end - start));
        if extents.len() > MOST_EXTENTS {
            return Ok(None);
        }
        at = end;
    }
    Ok((size > 0 && extents != [(0, size)]).then_some(extents))
}

#[cfg(test)]
mod tests;
