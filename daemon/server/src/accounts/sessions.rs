//! Who is connected now. The daemon writes, `yored status` reads.

use rusqlite::Row;
use serde::Serialize;

use super::{Accounts, RepositoryName, Result, UserName, bytes, stored};

/// A session. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionRow {
    /// Its number; never given twice.
    pub id: i64,
    /// Its user.
    pub user: UserName,
    /// What it works on.
    pub repository: Option<RepositoryName>,
    /// Its network address.
    pub from: String,
    /// The number of the key that it came in by; none if by a password or an invitation.
    pub key: Option<i64>,
    /// What it does: `push`, `restore`.
    pub what: String,
    /// When it began.
    pub since: i64,
    /// When it was heard of last.
    pub progress: i64,
    /// What it has sent.
    pub bytes: u64,
}

/// A session that begins.
#[derive(Clone, Copy, Debug)]
pub struct NewSession<'a> {
    /// Its user.
    pub user: &'a UserName,
    /// What it works on, if that is known.
    pub repository: Option<&'a RepositoryName>,
    /// Its network address.
    pub from: &'a str,
    /// The number of the key that it came in by.
    pub key: Option<i64>,
    /// What it does.
    pub what: &'a str,
}

fn read(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    Ok(SessionRow {
        id: row.get(0)?,
        user: row.get(1)?,
        repository: row.get(2)?,
        from: row.get(3)?,
        key: row.get(4)?,
        what: row.get(5)?,
        since: row.get(6)?,
        progress: row.get(7)?,
        bytes: bytes(row.get(8)?),
    })
}

impl Accounts {
    /// Enters a session; gives its number.
    pub fn session_begin(&self, session: &NewSession<'_>) -> Result<i64> {
        let connection = self.connection();
        connection
            .prepare_cached(
                "INSERT INTO sessions (user, repository, address, key, what, since, progress, bytes)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 0)",
            )?
            .execute((
                session.user,
                session.repository,
                session.from,
                session.key,
                session.what,
                self.now(),
            ))?;
        Ok(connection.last_insert_rowid())
    }

    /// Says which repository a session works on.
    pub fn session_opens(&self, id: i64, repository: &RepositoryName) -> Result<()> {
        let sql = "UPDATE sessions SET repository = ?, progress = ? WHERE id = ?";
        self.connection()
            .prepare_cached(sql)?
            .execute((repository, self.now(), id))?;
        Ok(())
    }

    /// Says what a session does and how many bytes it has sent so far. An fsync: every few seconds is
    /// often enough. Every few minutes it
    /// must be, at rest too: after ten a repository may be deleted under it.
    pub fn session_progress(&self, id: i64, what: &str, bytes: u64) -> Result<()> {
        let sql = "UPDATE sessions SET what = ?, bytes = ?, progress = ? WHERE id = ?";
        self.connection()
            .prepare_cached(sql)?
            .execute((what, stored(bytes), self.now(), id))?;
        Ok(())
    }

    /// Removes a session that is over.
    pub fn session_end(&self, id: i64) -> Result<()> {
        self.connection()
            .prepare_cached("DELETE FROM sessions WHERE id = ?")?
            .execute([id])?;
        Ok(())
    }

    /// All sessions, oldest first.
    pub fn sessions(&self) -> Result<Vec<SessionRow>> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT id, user, repository, address, key, what, since, progress, bytes FROM sessions ORDER BY id",
        )?;
        let rows = statement.query_map([], read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Removes what a daemon that died has left; for the start of the next one.
    pub fn clear_sessions(&self) -> Result<()> {
        self.connection().execute("DELETE FROM sessions", [])?;
        Ok(())
    }
}
