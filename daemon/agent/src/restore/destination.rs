//! The folder under which things are restored.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

/// Opens the destination, and says whether it was there. One that was not is made for us alone: it gets its
/// permissions when all is in it.
pub(super) fn open_or_make(dest: &Path) -> io::Result<(OwnedFd, bool)> {
    // Without a slash at the end, which would follow a symlink.
    let dest: PathBuf = dest.components().collect();
    dest.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    let existed = match DirBuilder::new().mode(0o700).create(&dest) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
        made => made.map(|()| false)?,
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match open(&dest, flags | OFlags::NOFOLLOW, Mode::empty()) {
        Err(Errno::NOTDIR | Errno::LOOP) if dest.is_symlink() => {
            check_link(dest.symlink_metadata()?.uid(), rustix::process::geteuid().as_raw())?;
            Ok((open(&dest, flags, Mode::empty())?, existed))
        }
        opened => Ok((opened?, existed)),
    }
}

/// A destination that is a symlink is what the caller named, and is followed; but not by root if it is somebody
/// else's, who might have put it there since.
fn check_link(owner: u32, user: u32) -> io::Result<()> {
    match user == 0 && owner != 0 {
        true => Err(io::Error::other(
            "is another user's symlink; name the folder that it leads to",
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};

    use super::*;

    #[test]
    fn a_destination_that_is_made_is_for_nobody_else_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let dest = folder.path().join("a/b");
        assert!(!open_or_make(&dest).unwrap().1);
        assert_eq!(dest.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert!(open_or_make(&dest).unwrap().1);
    }

    #[test]
    fn root_follows_no_symlink_of_somebody_else() {
        let folder = tempfile::tempdir().unwrap();
        let (link, file) = (folder.path().join("link"), folder.path().join("file"));
        symlink(".", &link).unwrap();
        std::fs::write(&file, "").unwrap();
        assert!(open_or_make(&link).unwrap().1 && open_or_make(&file).is_err());
        if rustix::process::geteuid().is_root() {
            lchown(&link, Some(1234), None).unwrap();
            assert!(open_or_make(&link).is_err() && open_or_make(&link.join("")).is_err());
        }
        assert!(check_link(1000, 0).is_err() && check_link(0, 0).is_ok() && check_link(7, 1000).is_ok());
    }
}
