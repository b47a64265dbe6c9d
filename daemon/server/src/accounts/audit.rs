//! The audit log: who did what, from where, and what was and is.

use rusqlite::{Connection, Row};
use serde::Serialize;

use super::{Accounts, Result};

/// Who does something, and from where.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// A user of ours, or somebody on this machine: `ann`, `root on this machine`.
    pub who: &'a str,
    /// A network address, or `this machine`.
    pub from: &'a str,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    /// Its number; it grows with time.
    pub id: i64,
    /// When, in seconds since 1970.
    pub time: i64,
    /// Who.
    pub who: String,
    /// What was done, and to what: `user set ann`.
    pub what: String,
    /// From where.
    pub from: String,
    /// What was before; empty if nothing was.
    pub old: String,
    /// What is now; empty if nothing is.
    pub new: String,
}

impl Accounts {
    /// Writes a line. For what has no call of its own here: a forget, a takeover, a mail that failed.
    pub fn audit(&self, who: &str, what: &str, from: &str, old: &str, new: &str) -> Result<()> {
        write(&self.connection(), self.now(), By { who, from }, what, old, new)
    }

    /// Writes that somebody was not let in. As anybody who reaches the port can have that written, such
    /// lines go when `keep` others came after them; what was done stays.
    pub fn login_failed(&self, user: &str, from: &str, keep: i64) -> Result<()> {
        self.audit(user, LOGIN_FAILED, from, "", "")?;
        let connection = self.connection();
        let last = connection.last_insert_rowid();
        // Now and then: it reads the old lines.
        if last % (keep / 100).max(1) == 0 {
            let sql = "DELETE FROM audit WHERE id <= ? AND what = ?";
            connection.execute(sql, (last - keep, LOGIN_FAILED))?;
        }
        Ok(())
    }

    /// The newest lines of those not older than `since` (seconds since 1970), at most `limit`, oldest
    /// first.
    pub fn audit_log(&self, since: i64, limit: usize) -> Result<Vec<AuditRow>> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT id, time, who, what, address, old, new FROM audit WHERE time >= ? ORDER BY id DESC LIMIT ?",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map((since, limit), read)?;
        let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        rows.reverse();
        Ok(rows)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        id: row.get(0)?,
        time: row.get(1)?,
        who: row.get(2)?,
        what: row.get(3)?,
        from: row.get(4)?,
        old: row.get(5)?,
        new: row.get(6)?,
    })
}

/// What a login that failed is called.
const LOGIN_FAILED: &str = "login failed";

/// Writes a line, in the caller's transaction.
pub(super) fn write(connection: &Connection, now: i64, by: By<'_>, what: &str, old: &str, new: &str) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO audit (time, who, what, address, old, new) VALUES (?, ?, ?, ?, ?, ?)")?
        .execute((now, by.who, what, by.from, old, new))?;
    Ok(())
}

/// Settings by name, as the log shows them.
pub(super) type Settings = Vec<(&'static str, String)>;

/// What differs between two states of the same settings: `quota=10G` and `quota=20G`.
pub(super) fn difference(old: &Settings, new: &Settings) -> (String, String) {
    let differ = old.iter().zip(new).filter(|(old, new)| old != new);
    let (old, new): (Vec<_>, Vec<_>) = differ
        .map(|(old, new)| (format!("{}={}", old.0, old.1), format!("{}={}", new.0, new.1)))
        .unzip();
    (old.join(" "), new.join(" "))
}

/// A setting that need not be there.
pub(super) fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".into(), |value| value.to_string())
}
