//! A repository whose making was broken off: it can be made all the same.
//!
//! ```text
//! locks/ packs/ heads/ deltas/     empty
//! catalog.sqlite3                  not there, without tables, or without a single line
//! ballast, yore.toml.new
//! ```
//!
//! `yore.toml` comes last, so a folder that has it is none of these. One that has lost it is a repository that wants a
//! repair: a catalog in which anybody ever began a push is not touched, and neither is one that cannot be read.

use std::fs::File;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use rustix::fs::{FlockOperation, flock};

use crate::error::IoContext;
use crate::layout::{self, FileKind};
use crate::stops::Stop;
use crate::{Error, Result};

/// What is there, apart from the folders of stored files and of locks, before `yore.toml` is.
const PARTS: [&str; 6] = [
    "ballast",
    "catalog.sqlite3",
    "catalog.sqlite3-journal",
    "catalog.sqlite3-shm",
    "catalog.sqlite3-wal",
    "yore.toml.new",
];

/// Makes sure that there is nothing in a folder, but for what a making that was broken off left: that goes. Until what
/// is given is dropped nobody else makes a repository there.
///
/// # Errors
/// [`Error::NotEmpty`].
pub(crate) fn clear(folder: &Path) -> Result<File> {
    let used = || Error::NotEmpty(folder.to_owned());
    let making = File::open(folder).at(folder)?;
    if flock(&making, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK) {
        return Err(used());
    }
    let names = names(folder)?;
    if !names.iter().all(|name| is_of_making(folder, name)) || !is_unused(folder) {
        return Err(used());
    }
    for name in PARTS.iter().filter(|part| names.iter().any(|name| name == *part)) {
        let path = folder.join(name);
        match Stop::HalfMadeRemoved.around(|| std::fs::remove_file(&path)) {
            // SQLite removes its log itself when the catalog has been looked at.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed.at(&path)?,
        }
    }
    Ok(making)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).at(folder)?;
    let name = |entry: std::io::Result<std::fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    entries.map(name).collect::<std::io::Result<_>>().at(folder)
}

fn is_of_making(folder: &Path, name: &str) -> bool {
    let is_empty = || names(&folder.join(name)).is_ok_and(|names| names.is_empty());
    let is_kind = || FileKind::ALL.iter().any(|kind| kind.folder() == name);
    PARTS.contains(&name) || ((name == "locks" || is_kind()) && is_empty())
}

/// Whether nobody has ever begun a push. A catalog that cannot be read may be one that was used.
fn is_unused(folder: &Path) -> bool {
    let path = layout::catalog(folder);
    let look = || -> rusqlite::Result<bool> {
        let catalog = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let table = "SELECT 1 FROM sqlite_schema WHERE name = 'lines'";
        let has_lines = catalog.query_row(table, [], |_| Ok(())).optional()?.is_some();
        let line = || catalog.query_row("SELECT 1 FROM lines", [], |_| Ok(())).optional();
        Ok(!has_lines || line()?.is_none())
    };
    !path.exists() || look().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use crate::{Compression, Repository};

    #[test]
    fn a_making_that_was_broken_off_can_be_done_again() {
        let bench = Bench::new();
        let path = bench.repository.path();
        std::fs::remove_file(layout::config(path)).unwrap();
        std::fs::write(path.join("yore.toml.new"), "format").unwrap();
        Repository::init(path, Compression::Off).unwrap();
        // Without tables, which come in one transaction.
        std::fs::remove_file(layout::config(path)).unwrap();
        std::fs::write(layout::catalog(path), "").unwrap();
        std::fs::write(path.join("catalog.sqlite3-wal"), "").unwrap();
        std::fs::write(path.join("catalog.sqlite3-shm"), "").unwrap();
        let again = Repository::init(path, Compression::Off).unwrap();
        assert!(again.snapshots().unwrap().is_empty());
        assert!(matches!(
            Repository::init(path, Compression::Off),
            Err(Error::NotEmpty(_))
        ));
    }

    #[test]
    fn a_repository_that_was_used_and_has_lost_its_yore_toml_stays() {
        let bench = Bench::new();
        bench.push("host", |_| {});
        let path = bench.repository.path();
        std::fs::remove_file(layout::config(path)).unwrap();
        assert!(matches!(
            Repository::init(path, Compression::Off),
            Err(Error::NotEmpty(_))
        ));
        assert!(Repository::repair(path, false, &mut |_, _| Ok(())).unwrap().config);
        assert_eq!(bench.reopened().snapshots().unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_catalog_and_files_of_others_stay() {
        let bench = Bench::new();
        let path = bench.repository.path();
        std::fs::remove_file(layout::config(path)).unwrap();
        let refused = || matches!(Repository::init(path, Compression::Off), Err(Error::NotEmpty(_)));
        std::fs::write(path.join("packs/file"), "bytes").unwrap();
        assert!(refused());
        std::fs::remove_file(path.join("packs/file")).unwrap();
        std::fs::write(layout::catalog(path), "no catalog").unwrap();
        assert!(refused());
    }
}
