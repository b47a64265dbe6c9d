//! What an administrator decides about a repository: its settings, and its end.

use rusqlite::{Connection, OptionalExtension};

use super::audit::{self, Settings, difference, or_none};
use super::removal::Aside;
use super::repositories::{find, find_id};
use super::{Accounts, By, Error, RepositoryName, RepositoryRow, Result, UserName, users};
use crate::retention::Keep;
use crate::units::Seconds;
use crate::weekdays::Weekdays;

/// What is to change of a repository; what is `None` stays, what is `Some(None)` is the
/// configuration's again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositoryChange {
    /// Its rules of keeping.
    pub keep: Option<Option<Keep>>,
    /// Its minimum age.
    pub keep_at_least: Option<Option<Seconds>>,
    /// Its maximum age.
    pub max_age: Option<Option<Seconds>>,
    /// Days that do not count.
    pub skip_weekdays: Option<Option<Weekdays>>,
}

/// A session that was still so many seconds ago is taken for one that its server did not end.
const QUIET: i64 = 600;

fn settings(row: &RepositoryRow) -> Settings {
    vec![
        ("keep", or_none(row.keep.as_ref())),
        ("keep_at_least", or_none(row.keep_at_least)),
        ("max_age", or_none(row.max_age)),
        ("skip_weekdays", or_none(row.skip_weekdays)),
    ]
}

impl Accounts {
    /// Changes the settings of a repository; gives it as it is then.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`].
    pub fn set_repository(&self, repository: i64, change: &RepositoryChange, by: By<'_>) -> Result<RepositoryRow> {
        self.change(|transaction| {
            let old = find_id(transaction, repository)?;
            let keep = change.keep.as_ref().unwrap_or(&old.keep).as_ref();
            let keep = keep.map(|keep| serde_json::to_string(keep).expect("numbers and a text"));
            let seconds = |span: Option<Seconds>| span.map(|span| span.0);
            let days = change.skip_weekdays.unwrap_or(old.skip_weekdays);
            transaction.execute(
                "UPDATE repositories SET keep = ?, keep_at_least = ?, max_age = ?, skip_weekdays = ? WHERE id = ?",
                (
                    keep,
                    seconds(change.keep_at_least.unwrap_or(old.keep_at_least)),
                    seconds(change.max_age.unwrap_or(old.max_age)),
                    days.map(|days| days.to_string()),
                    repository,
                ),
            )?;
            let new = find_id(transaction, repository)?;
            let (was, is) = difference(&settings(&old), &settings(&new));
            if was != is {
                let what = format!("repo set {}", new.full_name());
                audit::write(transaction, self.now(), by, &what, &was, &is)?;
            }
            Ok(new)
        })
    }

    /// Prunes here again.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`].
    pub fn resume_pruning(&self, repository: i64, by: By<'_>) -> Result<RepositoryRow> {
        self.change(|transaction| {
            let old = find_id(transaction, repository)?;
            let sql = "UPDATE repositories SET suspended_time = NULL, suspended_why = NULL WHERE id = ?";
            transaction.execute(sql, [repository])?;
            if let Some((_, why)) = &old.pruning_suspended {
                let what = format!("repo resume pruning {}", old.full_name());
                audit::write(transaction, self.now(), by, &what, why, "")?;
            }
            find_id(transaction, repository)
        })
    }

    /// Removes a repository, folder and all. Opens files: for the command line only.
    ///
    /// # Errors
    /// [`Error::NoSuchUser`], [`Error::NoSuchRepository`], [`Error::InUse`].
    pub fn del_repository(&self, user: &UserName, name: &RepositoryName, by: By<'_>) -> Result<()> {
        let mut aside = Aside::of(self.repository_path(user, name));
        self.change(|transaction| {
            let owner = users::known(transaction, user)?;
            let row = find(transaction, owner.id, name)?;
            let row = row.ok_or_else(|| Error::NoSuchRepository(format!("{user}/{name}")))?;
            self.refuse_if_used(transaction, user, Some(name))?;
            transaction.execute("DELETE FROM repositories WHERE id = ?", [row.id])?;
            let snapshot = row.last_success.as_ref().map(|(_, snapshot)| snapshot);
            let old = format!("bytes={} last={}", row.bytes, or_none(snapshot));
            audit::write(
                transaction,
                self.now(),
                by,
                &format!("repo del {}", row.full_name()),
                &old,
                "",
            )?;
            aside.put(row.id)
        })?;
        aside.remove()
    }

    /// Refuses if a session works on a repository, or on any of a user.
    pub(super) fn refuse_if_used(
        &self,
        connection: &Connection,
        user: &UserName,
        repository: Option<&RepositoryName>,
    ) -> Result<()> {
        let sql = "SELECT address FROM sessions WHERE user = ?1 AND (?2 IS NULL OR repository = ?2) AND progress > ?3";
        let quiet = self.now() - QUIET;
        let from: Option<String> = connection
            .query_row(sql, (user, repository, quiet), |row| row.get(0))
            .optional()?;
        let what = repository.map_or_else(|| format!("user {user}"), |name| format!("repository {user}/{name}"));
        from.map_or(Ok(()), |from| Err(Error::InUse { what, from }))
    }
}
