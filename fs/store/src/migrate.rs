//! Databases of older versions: the steps by which they become those of this version.

use rusqlite::{Connection, TransactionBehavior};

use crate::stops::Stop;

/// What keeps a database from being brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A later version made it.
    #[error("version {0} is a later one")]
    Future(i64),
    /// SQLite.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
}

/// Brings a database up to date. Step N makes version N of version N - 1, and `user_version` says how many were done;
/// a step that was released is never changed.
///
/// All steps are done or none, in one transaction: who is killed in the midst of it leaves the version that was there, and
/// of two at once the second finds nothing to do.
///
/// # Errors
/// [`MigrateError`]; nothing has changed then.
pub fn migrate(connection: &mut Connection, steps: &[&str]) -> Result<(), MigrateError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let left = usize::try_from(done).ok().and_then(|done| steps.get(done..));
    for step in left.ok_or(MigrateError::Future(done))? {
        transaction.execute_batch(step)?;
    }
    // Written even if it is the same: a first write opens SQLite's log, which later may not be possible.
    transaction.pragma_update(None, "user_version", steps.len() as i64)?;
    Ok(Stop::Migrated.around(|| transaction.commit())?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const STEPS: [&str; 3] = [
        "CREATE TABLE files (id INTEGER PRIMARY KEY, name TEXT NOT NULL);",
        "ALTER TABLE files ADD COLUMN bytes INTEGER NOT NULL DEFAULT 7;",
        "CREATE TABLE more (file INTEGER NOT NULL); INSERT INTO more SELECT id FROM files;",
    ];

    fn open(folder: &Path) -> Connection {
        let connection = Connection::open(folder.join("database")).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection
    }

    /// A database of an older version, with a row.
    fn of_version(version: usize) -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = open(folder.path());
        migrate(&mut connection, &STEPS[..version]).unwrap();
        connection
            .execute("INSERT INTO files (id, name) VALUES (1, 'one')", [])
            .unwrap();
        (folder, connection)
    }

    fn version(connection: &Connection) -> i64 {
        connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap()
    }

    fn assert_new(connection: &Connection) {
        let all = "SELECT name || bytes || count(file) FROM files LEFT JOIN more ON file = id";
        let found: String = connection.query_row(all, [], |row| row.get(0)).unwrap();
        assert_eq!((found.as_str(), version(connection)), ("one71", 3));
    }

    #[test]
    fn each_older_version_becomes_the_newest() {
        for from in 1..3 {
            let (_folder, mut connection) = of_version(from);
            migrate(&mut connection, &STEPS).unwrap();
            assert_new(&connection);
            migrate(&mut connection, &STEPS).unwrap();
            assert_new(&connection);
        }
    }

    #[test]
    fn who_is_killed_midway_leaves_what_was_there() {
        for from in 1..3 {
            for done in from..=3 {
                let (folder, mut connection) = of_version(from);
                // A page in memory is enough: the rest is in the log, as it is for a large database.
                connection.pragma_update(None, "cache_size", 1).unwrap();
                let transaction = connection.transaction().unwrap();
                STEPS[from..done]
                    .iter()
                    .for_each(|step| transaction.execute_batch(step).unwrap());
                transaction
                    .pragma_update(None, "user_version", STEPS.len() as i64)
                    .unwrap();
                // The files as they are now are what a kill leaves.
                let left = tempfile::tempdir().unwrap();
                for name in ["database", "database-wal"] {
                    std::fs::copy(folder.path().join(name), left.path().join(name)).unwrap();
                }
                let mut connection = open(left.path());
                assert_eq!(version(&connection), from as i64);
                migrate(&mut connection, &STEPS).unwrap();
                assert_new(&connection);
            }
        }
    }

    #[test]
    fn a_step_that_fails_undoes_those_before_it() {
        let (_folder, mut connection) = of_version(1);
        let failed = migrate(&mut connection, &[STEPS[0], STEPS[1], "nonsense"]);
        assert!(matches!(failed, Err(MigrateError::Database(_))), "{failed:?}");
        assert_eq!(version(&connection), 1);
        migrate(&mut connection, &STEPS).unwrap();
        assert_new(&connection);
    }

    #[test]
    fn a_later_version_is_left_alone() {
        let (_folder, mut connection) = of_version(3);
        let refused = migrate(&mut connection, &STEPS[..2]);
        assert!(matches!(refused, Err(MigrateError::Future(3))), "{refused:?}");
        connection.pragma_update(None, "user_version", -1).unwrap();
        let refused = migrate(&mut connection, &STEPS);
        assert!(matches!(refused, Err(MigrateError::Future(-1))), "{refused:?}");
    }

    #[test]
    fn of_two_at_once_one_does_it() {
        let (folder, _connection) = of_version(1);
        std::thread::scope(|threads| {
            let all: Vec<_> = (0..4)
                .map(|_| threads.spawn(|| migrate(&mut open(folder.path()), &STEPS)))
                .collect();
            all.into_iter().for_each(|one| one.join().unwrap().unwrap());
        });
        assert_new(&open(folder.path()));
    }
}
