//! The tables, and the steps by which a database of an older version becomes one of this version.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use yore_store::{MigrateError, migrate};

use super::{Error, Result, folders};

/// How long one waits for the other process's transaction, which are milliseconds.
const BUSY: Duration = Duration::from_secs(30);

/// How a database of an older version becomes one of this, by [`migrate`]. Times are seconds since 1970; what may be
/// missing is NULL.
const STEPS: [&str; 3] = [
    include_str!("schema.sql"),
    // The newest snapshot that was looked at for losses; NULL where none was since there is such a column.
    "ALTER TABLE repositories ADD COLUMN looked INTEGER;",
    "ALTER TABLE users ADD COLUMN may_copy INTEGER NOT NULL DEFAULT 0;",
];

/// Opens the database and brings it up to date.
pub fn open(data: &Path) -> Result<Connection> {
    let path = folders::database(data);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags)?;
    connection.busy_timeout(BUSY)?;
    use_log(&connection)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A temporary file could not be opened later.
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.set_prepared_statement_cache_capacity(64);
    migrate(&mut connection, &STEPS).map_err(|error| match error {
        MigrateError::Database(error) => error.into(),
        MigrateError::Future(found) => Error::Future {
            path,
            found,
            known: STEPS.len() as i64,
        },
    })?;
    Ok(connection)
}

/// Turns on SQLite's log. Of two processes that do so at once for the first time, SQLite tells one
/// that the database is busy and does not wait.
fn use_log(connection: &Connection) -> Result<()> {
    let since = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "wal") {
            Err(rusqlite::Error::SqliteFailure(failure, _))
                if failure.code == ErrorCode::DatabaseBusy && since.elapsed() < BUSY =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            done => return Ok(done?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        folders::prepare(folder.path()).unwrap();
        open(folder.path())
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        assert!(matches!(open(folder.path()), Err(Error::Future { found: 99, .. })));
    }

    /// The columns of each table.
    fn columns(connection: &Connection) -> Vec<(String, String)> {
        let all = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'
                   ORDER BY m.name, c.name";
        let mut statement = connection.prepare(all).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn a_database_of_each_older_version_is_brought_up_to_date_and_keeps_its_rows() {
        let new = tempfile::tempdir().unwrap();
        folders::prepare(new.path()).unwrap();
        let newest = columns(&open(new.path()).unwrap());
        for version in 1..STEPS.len() {
            let folder = tempfile::tempdir().unwrap();
            folders::prepare(folder.path()).unwrap();
            let mut old = Connection::open(folders::database(folder.path())).unwrap();
            migrate(&mut old, &STEPS[..version]).unwrap();
            old.execute("INSERT INTO users (name, created) VALUES ('ann', 1)", [])
                .unwrap();
            drop(old);
            let now = open(folder.path()).unwrap();
            assert_eq!(columns(&now), newest, "version {version}");
            let name: String = now.query_row("SELECT name FROM users", [], |row| row.get(0)).unwrap();
            assert_eq!(name, "ann", "version {version}");
        }
    }

    #[test]
    fn two_that_open_a_new_database_at_once_both_succeed() {
        let folder = tempfile::tempdir().unwrap();
        folders::prepare(folder.path()).unwrap();
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| open(folder.path()).map(drop))).collect();
            for one in all {
                one.join().unwrap().unwrap();
            }
        });
    }

    #[test]
    fn opening_has_opened_the_log() {
        let folder = tempfile::tempdir().unwrap();
        folders::prepare(folder.path()).unwrap();
        drop(open(folder.path()).unwrap());
        let again = open(folder.path()).unwrap();
        let log = folders::database(folder.path()).with_extension("sqlite3-wal");
        assert!(std::fs::metadata(log).unwrap().len() > 0);
        drop(again);
    }
}
