//! Everything that can go wrong with a repository, as a caller can match it.

use std::path::{Path, PathBuf};

/// The result of most calls here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the store. Its text names the thing and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on one of our files failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The catalog failed.
    #[error("catalog: {0}")]
    Catalog(#[from] rusqlite::Error),
    /// There is no repository here.
    #[error("{}: not a yore repository; make one with `yore init`", .0.display())]
    NotARepository(PathBuf),
    /// There is something here already.
    #[error("{}: is not empty; a new repository wants a new or an empty folder", .0.display())]
    NotEmpty(PathBuf),
    /// `yore.toml` says something that we cannot read.
    #[error("{}: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The repository was written by a later version.
    #[error("{}: format {found}, this yore reads up to {known}; install a newer yore", path.display())]
    Future {
        /// The repository.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest that we know.
        known: u32,
    },
    /// Stored bytes are not what they were; the message names them.
    #[error("damaged: {0}; `yore verify --read-data` lists all damage")]
    Damaged(String),
    /// What was received does not hold together; nothing of it was committed.
    #[error("refused: {0}")]
    Refused(String),
    /// No snapshot has this name.
    #[error("no snapshot named {0}; `yore snapshots` lists them")]
    NoSuchSnapshot(String),
    /// Several snapshots begin so.
    #[error("{prefix} is ambiguous: {}", names.join(", "))]
    AmbiguousSnapshot {
        /// What was asked for.
        prefix: String,
        /// Some of the names that it fits.
        names: Vec<String>,
    },
    /// No such path in the snapshot.
    #[error("{path}: not in snapshot {snapshot}")]
    NoSuchPath {
        /// The path, readable.
        path: String,
        /// The snapshot's name.
        snapshot: String,
    },
    /// Somebody else is at it.
    #[error("{0}")]
    Busy(String),
    /// The space budget was refused.
    #[error("quota: {used} bytes used of {limit}, this push needs at least {needed} more")]
    OverBudget {
        /// Bytes stored now.
        used: u64,
        /// Bytes allowed.
        limit: u64,
        /// Bytes that the refused write wanted.
        needed: u64,
    },
}

/// Gives an I/O error the path that it is about.
pub trait IoContext<T> {
    /// Names `path` in the error.
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io {
            path: path.to_owned(),
            source,
        })
    }
}

impl<T> IoContext<T> for std::result::Result<T, rustix::io::Errno> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(std::io::Error::from).at(path)
    }
}
