//! Giving a thing its metadata.
//!
//! The order matters: a change of owner clears setuid and capabilities, so the
//! owner comes first; the permissions come last, since they may take away our
//! own right to do the rest. Neither attributes nor permissions touch the
//! modification time.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmod, chownat, fchmod, futimens,
    openat, removexattr, setxattr, utimensat,
};
use rustix::io::Errno;
use yore_store::{Kind, Meta};

use crate::folder::at_name;
use crate::metadata::Stat;
use crate::xattrs::{self, Thing};

/// What could not be given, without that being an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Attributes that this user may not set or this file system cannot hold.
    pub xattrs_lost: u64,
    /// Whether owner or group stayed another, because this user may not set them.
    pub owner_lost: bool,
}

/// Gives `name` in `dir` (empty: `dir` itself) the owner, attributes, time and
/// permissions of `meta`, and takes away `user.` attributes and ACLs that
/// `meta` does not have. Nothing is followed.
///
/// # Errors
/// If it is not of the kind that `meta` says, or what the system says. Without
/// the right to give files away the owner just stays, and setuid and setgid go.
pub fn apply_meta(dir: BorrowedFd, name: &[u8], meta: &Meta) -> io::Result<Applied> {
    let name = at_name(name);
    // Held by a descriptor, so that all is given to one and the same thing.
    let thing = openat(
        dir,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let stat = Stat::of(thing.as_fd())?;
    if stat.kind() != Some(meta.kind) {
        return Err(io::Error::other("it was replaced by another thing in the meantime"));
    }
    let owner_lost = !give_owner(thing.as_fd(), &stat, meta)?;
    // The kernel resolves this to the thing held, even if that is a symlink.
    let path = format!("/proc/self/fd/{}", thing.as_raw_fd());
    let xattrs_lost = give_xattrs(&Thing::at(dir, name), &path, meta)?;
    utimensat(dir, name, &times_of(meta), AtFlags::SYMLINK_NOFOLLOW)?;
    if meta.kind != Kind::Symlink {
        chmod(&path, mode_of(meta, owner_lost))?;
    }
    Ok(Applied {
        xattrs_lost,
        owner_lost,
    })
}

/// The same for a regular file that is open for writing.
pub(super) fn apply_to_file(file: &File, meta: &Meta) -> io::Result<Applied> {
    let owner_lost = !give_owner(file.as_fd(), &Stat::of(file.as_fd())?, meta)?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let xattrs_lost = give_xattrs(&Thing::Open(file.as_fd()), &path, meta)?;
    futimens(file, &times_of(meta))?;
    fchmod(file, mode_of(meta, owner_lost))?;
    Ok(Applied {
        xattrs_lost,
        owner_lost,
    })
}

fn times_of(meta: &Meta) -> Timestamps {
    let keep = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_OMIT,
    };
    let mtime = Timespec {
        tv_sec: meta.mtime,
        tv_nsec: meta.mtime_ns.into(),
    };
    Timestamps {
        last_access: keep,
        last_modification: mtime,
    }
}

/// Setuid of another user's program must not become setuid of ours.
fn mode_of(meta: &Meta, owner_lost: bool) -> Mode {
    Mode::from_raw_mode(if owner_lost { meta.mode & 0o1777 } else { meta.mode })
}

/// Whether owner and group are now what they should be.
fn give_owner(thing: BorrowedFd, stat: &Stat, meta: &Meta) -> io::Result<bool> {
    let (uid, gid) = (meta.owner.uid, meta.owner.gid);
    if (stat.uid, stat.gid) == (uid, gid) {
        return Ok(true);
    }
    // To the system this number is nobody's, and giving a thing to it changes nothing.
    if uid == u32::MAX || gid == u32::MAX {
        return Ok(false);
    }
    let chown = |uid, gid| chownat(thing, "", uid, gid, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW);
    match chown(Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
        Ok(()) => Ok(true),
        // EINVAL: the numbers do not exist in this user namespace.
        Err(Errno::PERM | Errno::INVAL) => {
            // One of the user's own groups can be given without the rest.
            let group = chown(None, Some(Gid::from_raw(gid)));
            Ok(group.is_ok() && stat.uid == uid)
        }
        Err(error) => Err(error.into()),
    }
}

/// How many attributes could not be given.
fn give_xattrs(thing: &Thing, path: &str, meta: &Meta) -> io::Result<u64> {
    for (old, _) in xattrs::read(thing)?.unwrap_or_default() {
        let ours = old.starts_with(b"user.") || old.starts_with(b"system.posix_acl_");
        if ours && !meta.xattrs.iter().any(|(new, _)| *new == old) {
            removexattr(path, old.as_slice())?;
        }
    }
    let mut lost = 0;
    for (name, value) in meta.xattrs.iter().filter(|(name, _)| xattrs::is_kept(name)) {
        match setxattr(path, name.as_slice(), value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(Errno::PERM | Errno::ACCESS | Errno::NOTSUP | Errno::INVAL) => lost += 1,
            // Larger than this file system has room for beside an inode.
            Err(Errno::NOSPC | Errno::TOOBIG | Errno::RANGE) => lost += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(lost)
}
