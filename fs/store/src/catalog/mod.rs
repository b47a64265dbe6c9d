//! The catalog: which path had which content in which snapshot, and where contents lie.
//!
//! One SQLite database in WAL mode with `synchronous = FULL`, but for what no snapshot reaches. A connection serves one
//! request at a time; no read transaction outlives its request.

mod contents;
mod copies;
mod ids;
mod rows;
mod snapshots;

pub use contents::{Content, Part, parts, some_parts};
pub(crate) use copies::{copies, unpack};
pub use ids::{IdAllocator, take};
pub use rows::*;
pub use snapshots::*;

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::layout::{self, FORMAT};
use crate::migrate::{MigrateError, migrate};
use crate::{Error, Result};

/// The `last` of an entry that is alive.
pub const ALIVE: i64 = i64::MAX;

/// How long a writer waits for another one's transaction, which are seconds at most.
pub const BUSY: Duration = Duration::from_secs(120);

/// How a catalog of an older version becomes one of this, by [`migrate`]; the first step makes it.
const STEPS: [&str; FORMAT as usize] = [include_str!("schema.sql")];

/// How a catalog can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and write.
    Write,
    /// Reading only, beside writers that may be at work.
    Read,
    /// Reading only, where not even SQLite's shared memory can be made: nobody writes meanwhile.
    Frozen,
}

/// Makes the catalog of a new repository.
pub fn create(repository: &Path) -> Result<()> {
    let connection = Connection::open(layout::catalog(repository))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    configure(&connection)?;
    bring_up_to_date(repository, connection)
}

fn bring_up_to_date(repository: &Path, mut connection: Connection) -> Result<()> {
    migrate(&mut connection, &STEPS).map_err(|error| match error {
        MigrateError::Database(error) => error.into(),
        MigrateError::Future(found) => future(repository, u32::try_from(found).unwrap_or(u32::MAX)),
    })
}

/// The error for a repository of a later format.
pub fn future(repository: &Path, found: u32) -> Error {
    Error::Future {
        path: repository.to_owned(),
        found,
        known: FORMAT,
    }
}

/// Opens a connection; `access` as found by [`probe`].
pub fn open(repository: &Path, access: Access) -> Result<Connection> {
    let path = layout::catalog(repository);
    let connection = match access {
        Access::Write => Connection::open_with_flags(
            &path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?,
        Access::Read => Connection::open_with_flags(
            &path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?,
        Access::Frozen => Connection::open_with_flags(
            frozen_uri(&path),
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI,
        )?,
    };
    configure(&connection)?;
    Ok(connection)
}

/// Finds how this process can use the catalog, and checks its version; an older one is brought up to date.
///
/// # Errors
/// [`Error::Future`] for a later format; [`Error::Catalog`] if it cannot be read at all.
pub fn probe(repository: &Path) -> Result<Access> {
    let writable = rustix::fs::access(repository, rustix::fs::Access::WRITE_OK).is_ok()
        && rustix::fs::access(layout::catalog(repository), rustix::fs::Access::WRITE_OK).is_ok();
    let ways: &[Access] = if writable {
        // Never without locks where others may be writing.
        &[Access::Write, Access::Read]
    } else {
        &[Access::Read, Access::Frozen]
    };
    let log = std::fs::metadata(layout::catalog(repository).with_extension("sqlite3-wal"));
    let has_log = log.is_ok_and(|log| log.len() > 0);
    let mut failure = None;
    for &access in ways {
        // A frozen catalog is read without its log: commits would be missing.
        if access == Access::Frozen && has_log {
            continue;
        }
        match open(repository, access).and_then(|connection| version(&connection)) {
            Ok(found) if found > FORMAT => return Err(future(repository, found)),
            // One that says nothing was not made, or is damaged: whoever reads it says so.
            Ok(found) if (1..FORMAT).contains(&found) => match access {
                Access::Write => {
                    bring_up_to_date(repository, open(repository, access)?)?;
                    return Ok(access);
                }
                _ => {
                    let why = format!("its format is {found}, and somebody who may write to it has to open it first");
                    return Err(Error::Refused(format!("{}: {why}", repository.display())));
                }
            },
            Ok(_) => return Ok(access),
            // SQLite needs a few kilobytes to open the catalog at all.
            Err(error) if is_full(&error) && crate::ballast::release(repository) => return probe(repository),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.expect("at least one way was tried"))
}

/// Whether SQLite would write to a catalog. The bytes at 18 and 19 are 2 in WAL mode and 1 in the older one, as a copy has
/// it that was put in place by hand; a larger number is a format that it only reads, or does not
/// (<https://www.sqlite.org/fileformat.html>, 1.3.3).
pub fn may_be_written(repository: &Path) -> bool {
    let mut header = [0; 20];
    let read = std::fs::File::open(layout::catalog(repository)).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && header[18..].iter().all(|version| matches!(version, 1 | 2))
}

/// The version that a catalog says it has, without a look at anything else in it; `None` if it cannot be read.
pub fn says_format(repository: &Path) -> Option<u32> {
    let says = open(repository, Access::Read).and_then(|connection| version(&connection));
    says.ok()
}

fn is_full(error: &Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, DiskFull, SystemIoFailure};
    matches!(error, Error::Catalog(rusqlite::Error::SqliteFailure(failure, _))
        if matches!(failure.code, CannotOpen | DiskFull | SystemIoFailure))
}

fn version(connection: &Connection) -> Result<u32> {
    // Reading the schema too makes SQLite open its shared memory, which may not be allowed.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn configure(connection: &Connection) -> Result<()> {
    connection.busy_timeout(BUSY)?;
    wait_for_disk(connection, true)?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    // A server's session may open nothing outside of its user's folder.
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.set_prepared_statement_cache_capacity(64);
    // Plans do not depend on the values that are bound: else SQLite makes a new one at each execution of a
    // statement that a partial index might serve.
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Whether a commit returns only when it is on the disk.
pub fn wait_for_disk(connection: &Connection, waits: bool) -> Result<()> {
    let level = if waits { "full" } else { "normal" };
    Ok(connection.pragma_update(None, "synchronous", level)?)
}

/// The URI of a catalog that nobody writes to, with everything escaped that a URI might read.
fn frozen_uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let escaped: String = path
        .as_os_str()
        .as_bytes()
        .iter()
        .map(|&byte| match byte {
            b'/' | b'.' | b'-' | b'_' => (byte as char).to_string(),
            byte if byte.is_ascii_alphanumeric() => (byte as char).to_string(),
            byte => format!("%{byte:02x}"),
        })
        .collect();
    format!("file:{escaped}?immutable=1")
}
