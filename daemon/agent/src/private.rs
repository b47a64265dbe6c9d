//! Folders and files that are nobody else's: locks, which anybody who can open them could hold for ever, and what
//! is remembered of files that others may not see.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Makes a folder, and those above it, if it is not there.
///
/// # Errors
/// What the system says.
pub fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a file for writing, made if it is not there; what is in it stays.
pub(crate) fn file(path: &Path) -> io::Result<File> {
    open(path, File::options().write(true))
}

/// Opens a file for adding to its end, made if it is not there.
///
/// # Errors
/// What the system says.
pub fn log(path: &Path) -> io::Result<File> {
    open(path, File::options().append(true))
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.create(true).truncate(false).mode(0o600).open(path)?;
    // It may have been made by a version that let everybody read. Of somebody else's nothing can be changed.
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        let _ = file.set_permissions(Permissions::from_mode(mode & 0o7700));
    }
    Ok(file)
}

/// Where programs keep what is theirs: what the variable `xdg` says, else `home` in the home folder. Not if root
/// has the home of somebody else, as by `sudo -E`: there he could plant and replace what root trusts.
pub fn base_folder(xdg: &str, home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from)?;
        path.is_absolute().then_some(path)
    };
    let base = absolute(xdg).or_else(|| Some(absolute("HOME")?.join(home)))?;
    Some(base).filter(|base| !rustix::process::geteuid().is_root() || is_of(base, 0))
}

/// Whether a path, as far as it is there, is this user's.
fn is_of(path: &Path, user: u32) -> bool {
    let mut there = path.ancestors().filter_map(|folder| folder.metadata().ok());
    there.next().is_some_and(|folder| folder.uid() == user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_nobody_elses_and_so_is_what_was_there() {
        let base = tempfile::tempdir().unwrap();
        let inner = base.path().join("a/b");
        folder(&inner).unwrap();
        folder(&inner).unwrap();
        file(&inner.join("lock")).unwrap();
        log(&inner.join("log")).unwrap();
        assert_eq!((mode(&inner), mode(&base.path().join("a"))), (0o700, 0o700));
        assert_eq!((mode(&inner.join("lock")), mode(&inner.join("log"))), (0o600, 0o600));
        std::fs::set_permissions(inner.join("lock"), Permissions::from_mode(0o644)).unwrap();
        file(&inner.join("lock")).unwrap();
        assert_eq!(mode(&inner.join("lock")), 0o600);
    }

    #[test]
    fn what_is_remembered_of_files_is_nobody_elses() {
        let base = tempfile::tempdir().unwrap();
        let _state = crate::state::State::open(base.path(), "line").unwrap();
        let files: Vec<_> = base
            .path()
            .read_dir()
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        assert!(
            !files.is_empty() && files.iter().all(|file| mode(file) == 0o600),
            "{files:?}"
        );
    }

    #[test]
    fn a_folder_belongs_to_whom_the_nearest_one_that_is_there_does() {
        let base = tempfile::tempdir().unwrap();
        let owner = base.path().metadata().unwrap().uid();
        let missing = base.path().join(".cache/yore");
        assert!(is_of(&missing, owner) && !is_of(&missing, owner + 1));
    }
}
