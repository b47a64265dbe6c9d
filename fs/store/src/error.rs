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
    #[error("catalog: {0}{advice}", advice = catalog_advice(.0))]
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
    #[error("quota: {} used of {}, this push needs at least {} more", size(*.used), size(*.limit), size(*.needed))]
    OverBudget {
        /// Bytes stored now.
        used: u64,
        /// Bytes allowed.
        limit: u64,
        /// Bytes that the refused write wanted.
        needed: u64,
    },
    /// The disk must keep some room.
    #[error("disk: {} free, {} of it must stay free; this push needs at least {} more", size(*.free), size(*.floor), size(*.needed))]
    OverFloor {
        /// Bytes free now.
        free: u64,
        /// Bytes that must stay free.
        floor: u64,
        /// Bytes that the refused write wanted.
        needed: u64,
    },
    /// The user may not.
    #[error("not allowed: {0}")]
    Denied(String),
    /// The key of this machine was revoked on the server.
    #[error("this machine's key was revoked; `yore link` makes a new one")]
    KeyRevoked,
    /// There is no room for what has to be written so that the newest snapshot of a line can go.
    #[error("{0}; the newest snapshot wants some room to go: forget older snapshots first")]
    NewestStays(Box<Error>),
    /// What had been kept of an earlier push is gone, and was counted upon: the same push, begun
    /// anew, sends it again.
    #[error("{0}; push again")]
    Again(String),
    /// A repository at the other end of a connection, or the connection.
    #[error("{place}: {message}")]
    Elsewhere {
        /// Its URL.
        place: String,
        /// What it said, or what happened to the connection.
        message: String,
        /// Whether the connection was lost: the same may succeed later.
        lost: bool,
    },
}

impl Error {
    /// Whether it is for want of room: a quota, the server's floor, a full disk.
    pub fn is_want_of_room(&self) -> bool {
        match self {
            Error::OverBudget { .. } | Error::OverFloor { .. } => true,
            Error::Io { source, .. } => matches!(
                source.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            ),
            Error::Catalog(error) => lacks_room(error),
            Error::NewestStays(why) => why.is_want_of_room(),
            _ => false,
        }
    }

    /// Whether stored bytes are not what they were, contents or catalog.
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Error::Damaged(_) => true,
            Error::Catalog(error) => matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)),
            _ => false,
        }
    }

    /// Whether the same may succeed a little later, without anybody's doing.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Error::Busy(_) | Error::Again(_) | Error::Elsewhere { lost: true, .. }
        )
    }
}

/// Whether SQLite may have had no room. A full disk it calls so; what a quota of the file system forbids is an error of
/// writing to it, and what the shared memory of its log wants may be either.
pub fn lacks_room(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{
        SQLITE_FULL, SQLITE_IOERR_SHMMAP, SQLITE_IOERR_SHMOPEN, SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_WRITE,
    };
    const CODES: [i32; 5] = [
        SQLITE_FULL,
        SQLITE_IOERR_WRITE,
        SQLITE_IOERR_SHMOPEN,
        SQLITE_IOERR_SHMSIZE,
        SQLITE_IOERR_SHMMAP,
    ];
    let failure = error.sqlite_error();
    failure.is_some_and(|failure| CODES.contains(&failure.extended_code))
}

/// What SQLite leaves open. Files of its own that it has to make are what it cannot open on a full disk.
fn catalog_advice(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => "",
        Some(rusqlite::ErrorCode::CannotOpen) => "; is the disk full, or its folder not to be written to?",
        _ if lacks_room(error) => "; is the disk full, or a quota of it?",
        _ => "",
    }
}

/// Bytes as people read them: `19.8 GiB`. Exact below a KiB.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match value.fract() < 0.05 {
        true => format!("{value:.0} {}", UNITS[unit]),
        false => format!("{value:.1} {}", UNITS[unit]),
    }
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
