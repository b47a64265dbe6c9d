//! The roots of a push: what the caller named, as a walk wants it.
//!
//! A path is made absolute, `.` and `..` go, and symlinks on the way are
//! resolved, but a last component that is a symlink stays one: who names a
//! link means the link. A trailing `/`, `/.` or `/..` means what it points to,
//! as everywhere on Unix.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Absolute paths without `.`, `..` or symlinks on the way, sorted by
/// component, none given twice and none inside another. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots(Vec<PathBuf>);

/// What keeps paths from being roots.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// No path was given.
    #[error("nothing to back up: name at least one file or folder")]
    None,
    /// A path is not there, or the way to it cannot be searched.
    #[error("{}: {source}; nothing was backed up (is its disk mounted?)", path.display())]
    Missing {
        /// The path as it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Roots {
    /// Resolves the given paths, relative ones against the working folder.
    ///
    /// # Errors
    /// [`RootError::Missing`] names the first path that does not exist: a disk
    /// that is not mounted must not look like a deletion.
    pub fn resolve<P: AsRef<Path>>(given: &[P]) -> Result<Self, RootError> {
        let mut paths = given
            .iter()
            .map(|path| absolute(path.as_ref()).map_err(|source| missing(path.as_ref(), source)))
            .collect::<Result<Vec<_>, _>>()?;
        // By component an ancestor sorts directly before all that is in it.
        paths.sort();
        paths.dedup_by(|later, kept| later.starts_with(kept));
        if paths.is_empty() {
            Err(RootError::None)
        } else {
            Ok(Roots(paths))
        }
    }

    /// The paths.
    pub fn paths(&self) -> &[PathBuf] {
        &self.0
    }

    /// The paths as a snapshot keeps them.
    pub fn to_bytes(&self) -> Vec<Vec<u8>> {
        self.0.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect()
    }
}

fn missing(path: &Path, source: io::Error) -> RootError {
    RootError::Missing {
        path: path.to_owned(),
        source,
    }
}

fn absolute(path: &Path) -> io::Result<PathBuf> {
    let bytes = path.as_os_str().as_bytes();
    let (before, last) = match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&bytes[..=slash], &bytes[slash + 1..]),
        None => (&b"."[..], bytes),
    };
    if bytes.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    if matches!(last, b"" | b"." | b"..") {
        return path.canonicalize();
    }
    let path = Path::new(OsStr::from_bytes(before))
        .canonicalize()?
        .join(OsStr::from_bytes(last));
    path.symlink_metadata()?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nested_and_repeated_paths_are_taken_once() {
        let tree = tempfile::tempdir().unwrap();
        let base = tree.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("a/b")).unwrap();
        std::fs::create_dir(base.join("a-b")).unwrap();
        symlink("a", base.join("link")).unwrap();
        let given = ["a/b", "a-b", "a", "a/../a/./", "link/b", "link", "link/"]
            .map(|path| format!("{}/{path}", base.display()));
        let roots = Roots::resolve(&given).unwrap();
        assert_eq!(roots.paths(), ["a", "a-b", "link"].map(|name| base.join(name)));
    }

    #[test]
    fn a_root_that_is_not_there_is_named() {
        let error = Roots::resolve(&["/proc/no such disk/x"]).unwrap_err().to_string();
        assert!(error.starts_with("/proc/no such disk/x: "), "{error}");
        assert!(matches!(Roots::resolve::<&str>(&[]), Err(RootError::None)));
        assert!(Roots::resolve(&[""]).is_err());
        assert_eq!(Roots::resolve(&["/"]).unwrap().to_bytes(), [b"/"]);
    }
}
