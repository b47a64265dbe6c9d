//! The tables, and the steps by which a database of an older version becomes one of this version.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{Error, Result, folders};

/// How long one waits for the other process's transaction, which are milliseconds.
const BUSY: Duration = Duration::from_secs(30);

/// Step N makes version N of version N - 1; `user_version` says how many were done. A step that was
/// released is never changed. Times are seconds since 1970; what may be missing is NULL.
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
    migrate(&mut connection, &path)?;
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

/// Does the steps that were not done yet, all or none of them.
fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = STEPS.len() as i64;
    let steps = usize::try_from(done).ok().and_then(|done| STEPS.get(done..));
    let steps = steps.ok_or_else(|| Error::Future {
        path: path.to_owned(),
        found: done,
        known,
    })?;
    for step in steps {
        transaction.execute_batch(step)?;
    }
    // Written even if it is the same: a first write opens SQLite's log, which later cannot be opened.
    transaction.pragma_update(None, "user_version", known)?;
    Ok(transaction.commit()?)
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
