//! Opening and listing folders for the watcher, by path: quicker than a walk, which looks at
//! every file, and good enough, as nothing is read through what is opened here.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, openat, statat};

/// The longest path that the kernel is handed at once; its own limit is 4096.
const LONGEST: usize = 4000;

/// A name in a folder.
pub(super) struct Name {
    pub name: Vec<u8>,
    pub is_folder: bool,
}

/// Opens a folder of any depth; not one that is a symlink.
pub(super) fn open(path: &[u8]) -> io::Result<OwnedFd> {
    let way = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
    let last = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY | OFlags::NOFOLLOW;
    let mut at = openat(CWD, "/", way, Mode::empty())?;
    let mut rest = path.strip_prefix(b"/").unwrap_or(path);
    while rest.len() > LONGEST {
        // A name has at most 255 bytes, so there is a slash.
        let cut = rest[..LONGEST]
            .iter()
            .rposition(|byte| *byte == b'/')
            .ok_or(io::ErrorKind::InvalidFilename)?;
        at = openat(&at, &rest[..cut], way, Mode::empty())?;
        rest = &rest[cut + 1..];
    }
    Ok(openat(
        &at,
        if rest.is_empty() { b"." } else { rest },
        last,
        Mode::empty(),
    )?)
}

/// The names in a folder, in no order.
pub(super) fn list(folder: BorrowedFd) -> io::Result<Vec<Name>> {
    let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
    let mut entries = RawDir::new(folder, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes().to_vec();
        if name == b"." || name == b".." {
            continue;
        }
        let is_folder = match entry.file_type() {
            FileType::Directory => true,
            FileType::Unknown => is_folder(folder, &name),
            _ => false,
        };
        names.push(Name { name, is_folder });
    }
    Ok(names)
}

fn is_folder(folder: BorrowedFd, name: &[u8]) -> bool {
    statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// (device, inode) of a file that has several names.
pub(super) fn several_names(folder: BorrowedFd, name: &[u8]) -> Option<(u64, u64)> {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let is_file = FileType::from_raw_mode(stat.st_mode) != FileType::Directory;
    (is_file && stat.st_nlink > 1).then_some((stat.st_dev, stat.st_ino))
}

/// A path through which the kernel finds what is open, whatever its depth.
pub(super) fn by_descriptor(open: &OwnedFd) -> String {
    // The dot makes it the folder and not the link to it.
    format!("/proc/self/fd/{}/.", std::os::fd::AsRawFd::as_raw_fd(&open.as_fd()))
}

/// A path as the watcher has it: `/` is empty.
pub(super) fn below_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

/// Whether a path is that of a folder or of something in it.
pub(super) fn is_at_or_below(path: &[u8], top: &[u8]) -> bool {
    path.strip_prefix(top)
        .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// The folder that a path is in; `/` is in none.
pub(super) fn above(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    Some(&path[..slash])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn folders_deeper_than_a_path_may_be_long_are_opened() {
        let tree = tempfile::tempdir().unwrap();
        let mut path = tree.path().canonicalize().unwrap().as_os_str().as_bytes().to_vec();
        let name = [b'n'; 200];
        for _ in 0..50 {
            let at = open(&path).unwrap();
            rustix::fs::mkdirat(&at, &name[..], Mode::RWXU).unwrap();
            path.push(b'/');
            path.extend(name);
        }
        let deepest = open(&path).unwrap();
        openat(&deepest, "file", OFlags::CREATE, Mode::RUSR).unwrap();
        let names = list(deepest.as_fd()).unwrap();
        assert_eq!(
            (names.len(), names[0].name.as_slice(), names[0].is_folder),
            (1, &b"file"[..], false)
        );
        assert!(open(b"/proc/self/exe").is_err());
        open(b"/").unwrap();
    }
}
