//! What was told by mail, and when: nobody reads the same twice a day for long.

use super::{Accounts, Result};

const DAY: i64 = 86_400;

/// After a mail that could not be sent it is tried again.
const RETRY: i64 = 3600;

impl Accounts {
    /// Whether mail of this kind about this thing may be sent: not if one was within a day. If it may,
    /// it counts as sent; tell [`Accounts::mail_failed`] if it was not.
    pub fn mail_due(&self, kind: &str, subject: &str, now: i64) -> Result<bool> {
        self.mark(kind, subject, now, "time <= ?3 - ?4")
    }

    /// As [`Accounts::mail_due`], for what is told once until it is over ([`Accounts::mail_over`]).
    pub fn mail_once(&self, kind: &str, subject: &str, now: i64) -> Result<bool> {
        self.mark(kind, subject, now, "rearmed AND time <= ?3 - ?4")
    }

    fn mark(&self, kind: &str, subject: &str, now: i64, if_there: &str) -> Result<bool> {
        let sql = format!(
            "INSERT INTO mails (kind, subject, time, rearmed) VALUES (?1, ?2, ?3, 0)
             ON CONFLICT DO UPDATE SET time = ?3, rearmed = 0 WHERE {if_there}"
        );
        let connection = self.connection();
        let changed = connection.prepare_cached(&sql)?.execute((kind, subject, now, DAY))?;
        Ok(changed > 0)
    }

    /// What was told is over: the next time is told again, though not within the same day.
    pub fn mail_over(&self, kind: &str, subject: &str) -> Result<()> {
        let sql = "UPDATE mails SET rearmed = 1 WHERE kind = ? AND subject = ? AND NOT rearmed";
        self.connection().prepare_cached(sql)?.execute((kind, subject))?;
        Ok(())
    }

    /// A mail that was due could not be sent: it is due again in an hour.
    pub fn mail_failed(&self, kind: &str, subject: &str, now: i64) -> Result<()> {
        let sql = "UPDATE mails SET time = ?, rearmed = 1 WHERE kind = ? AND subject = ?";
        self.connection()
            .prepare_cached(sql)?
            .execute((now - DAY + RETRY, kind, subject))?;
        Ok(())
    }
}
