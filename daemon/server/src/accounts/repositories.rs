//! What is known of every repository: whose it is, and how its backups go.

use rusqlite::{Connection, OptionalExtension, Row, ToSql};

use super::{Accounts, By, Error, RepositoryName, Result, UserName, audit, bytes, stored, users};
use crate::retention::Keep;
use crate::units::Seconds;
use crate::weekdays::Weekdays;

/// A repository. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryRow {
    /// Its number; never given twice.
    pub id: i64,
    /// Its user's number.
    pub user: i64,
    /// Its user's name.
    pub user_name: UserName,
    /// Its name.
    pub name: RepositoryName,
    /// The machine whose files it has.
    pub machine: Option<String>,
    /// The key that made it.
    pub key: Option<i64>,
    /// The key of the machine that pushes to it.
    pub claimed_by: Option<i64>,
    /// When it was made.
    pub created: i64,
    /// Its own rules of keeping; else the configuration's hold.
    pub keep: Option<Keep>,
    /// Its own minimum age; else the configuration's holds.
    pub keep_at_least: Option<Seconds>,
    /// Its own maximum age; else the configuration's holds.
    pub max_age: Option<Seconds>,
    /// Its own days that do not count; else the configuration's hold.
    pub skip_weekdays: Option<Weekdays>,
    /// The last push that was committed, and its snapshot.
    pub last_success: Option<(i64, String)>,
    /// The last push that failed, and why.
    pub last_failure: Option<(i64, String)>,
    /// Whether the last push that ended was the one that failed.
    pub last_push_failed: bool,
    /// Whether it only lost its connection.
    pub last_push_lost: bool,
    /// What it takes on the disk.
    pub bytes: u64,
    /// How often its agent means to push.
    pub interval_seen: Option<Seconds>,
    /// Since when nothing is pruned here, and why.
    pub pruning_suspended: Option<(i64, String)>,
    /// The newest snapshot that was looked at for losses; none if that is not known.
    pub looked: Option<i64>,
    /// The round of verification: when it began, and the content after which it goes on; none if
    /// it is complete.
    pub verify_round: Option<(i64, Option<i64>)>,
    /// Damage that was found, and when.
    pub damage: Option<(i64, String)>,
}

impl RepositoryRow {
    /// `USER/NAME`
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.user_name, self.name)
    }
}

/// A push that lost its connection, in the column `failed`.
const LOST: i64 = 2;

const SELECT: &str = "SELECT repositories.id, user, users.name, repositories.name, machine, key, claimed_by,
    repositories.created, keep, keep_at_least, max_age, skip_weekdays, success_time, success_snapshot, failure_time,
    failure_why, bytes, interval_seen, suspended_time, suspended_why, verified_until, damage_time, damage, verify_began,
    failed, looked
    FROM repositories JOIN users ON users.id = user";

fn read(row: &Row<'_>) -> rusqlite::Result<RepositoryRow> {
    let seconds = |column: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Seconds));
    Ok(RepositoryRow {
        id: row.get(0)?,
        user: row.get(1)?,
        user_name: row.get(2)?,
        name: row.get(3)?,
        machine: row.get(4)?,
        key: row.get(5)?,
        claimed_by: row.get(6)?,
        created: row.get(7)?,
        keep: parsed(row, 8, |text| {
            serde_json::from_str(text).map_err(|error| error.to_string())
        })?,
        keep_at_least: seconds(9)?,
        max_age: seconds(10)?,
        skip_weekdays: parsed(row, 11, str::parse)?,
        last_success: when_and_what(row, 12)?,
        last_failure: when_and_what(row, 14)?,
        last_push_failed: row.get::<_, i64>(24)? > 0,
        last_push_lost: row.get::<_, i64>(24)? == LOST,
        bytes: bytes(row.get(16)?),
        interval_seen: seconds(17)?,
        pruning_suspended: when_and_what(row, 18)?,
        looked: row.get(25)?,
        verify_round: match row.get::<_, Option<i64>>(23)? {
            Some(began) => Some((began, row.get(20)?)),
            None => None,
        },
        damage: when_and_what(row, 21)?,
    })
}

/// A text that has a syntax of its own.
fn parsed<T>(row: &Row<'_>, column: usize, parse: impl Fn(&str) -> Result<T, String>) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    let failed =
        |error: String| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into());
    text.map(|text| parse(&text).map_err(failed)).transpose()
}

/// A time, and a text in the column after it.
fn when_and_what(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<(i64, String)>> {
    let time: Option<i64> = row.get(column)?;
    time.map(|time| Ok((time, row.get::<_, Option<String>>(column + 1)?.unwrap_or_default())))
        .transpose()
}

/// The repository of a user, in the caller's transaction.
pub(super) fn find(connection: &Connection, user: i64, name: &RepositoryName) -> Result<Option<RepositoryRow>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE user = ? AND repositories.name = ?"))?;
    Ok(statement.query_row((user, name), read).optional()?)
}

/// All repositories by user and name, in the caller's transaction.
pub(super) fn all(connection: &Connection) -> Result<Vec<RepositoryRow>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY users.name, repositories.name"))?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The repository of this number, in the caller's transaction.
pub(super) fn find_id(connection: &Connection, id: i64) -> Result<RepositoryRow> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE repositories.id = ?"))?;
    let found = statement.query_row([id], read).optional()?;
    found.ok_or_else(|| Error::NoSuchRepository(format!("number {id}")))
}

impl Accounts {
    /// A repository of a user.
    pub fn repository(&self, user: i64, name: &RepositoryName) -> Result<Option<RepositoryRow>> {
        find(&self.connection(), user, name)
    }

    /// The repository of this number.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`].
    pub fn repository_by_id(&self, id: i64) -> Result<RepositoryRow> {
        find_id(&self.connection(), id)
    }

    /// All repositories, by user and name.
    pub fn repositories(&self) -> Result<Vec<RepositoryRow>> {
        all(&self.connection())
    }

    /// Enters a repository that the machine of a key makes; its folder is for the caller to make.
    ///
    /// # Errors
    /// [`Error::RepositoryExists`], [`Error::NoSuchUser`].
    pub fn add_repository(
        &self,
        user: i64,
        name: &RepositoryName,
        key: Option<i64>,
        machine: Option<&str>,
        from: &str,
    ) -> Result<RepositoryRow> {
        self.change(|transaction| {
            let owner =
                users::find_id(transaction, user)?.ok_or_else(|| Error::NoSuchUser(format!("number {user}")))?;
            if find(transaction, user, name)?.is_some() {
                return Err(Error::RepositoryExists(name.clone()));
            }
            let sql = "INSERT INTO repositories (user, name, key, claimed_by, machine, created, looked)
                VALUES (?1, ?2, ?3, ?3, ?4, ?5, 0)";
            transaction.execute(sql, (user, name, key, machine, self.now()))?;
            let (who, what) = (owner.name.as_str(), format!("repo add {}/{name}", owner.name));
            audit::write(
                transaction,
                self.now(),
                By { who, from },
                &what,
                "",
                machine.unwrap_or_default(),
            )?;
            find(transaction, user, name)?.ok_or_else(|| Error::NoSuchRepository(name.to_string()))
        })
    }

    /// Says that the machine of this key pushes to a repository from now on.
    pub fn set_claim(&self, repository: i64, key: i64, machine: &str, from: &str) -> Result<()> {
        self.change(|transaction| {
            let old = find_id(transaction, repository)?;
            if old.claimed_by == Some(key) && old.machine.as_deref() == Some(machine) {
                return Ok(());
            }
            let sql = "UPDATE repositories SET claimed_by = ?, machine = ? WHERE id = ?";
            transaction.execute(sql, (key, machine, repository))?;
            let shown = |key: Option<i64>, machine: &str| match key {
                Some(key) => format!("{machine} (key {key})"),
                None => machine.to_owned(),
            };
            let was = shown(old.claimed_by, old.machine.as_deref().unwrap_or_default());
            let by = By {
                who: old.user_name.as_str(),
                from,
            };
            let what = format!("repo takeover {}", old.full_name());
            audit::write(transaction, self.now(), by, &what, &was, &shown(Some(key), machine))
        })
    }

    /// Remembers a push that was committed, and what the repository takes on the disk since.
    pub fn record_success(&self, repository: i64, snapshot: &str, time: i64, bytes: u64) -> Result<()> {
        self.update(
            repository,
            "success_time = ?, success_snapshot = ?, bytes = ?, failed = 0",
            &[&time, &snapshot, &stored(bytes)],
        )
    }

    /// Remembers a push that failed; `lost` if that was only its connection.
    pub fn record_failure(&self, repository: i64, time: i64, why: &str, lost: bool) -> Result<()> {
        let failed = if lost { LOST } else { 1 };
        self.update(
            repository,
            "failure_time = ?, failure_why = ?, failed = ?",
            &[&time, &why, &failed],
        )
    }

    /// Remembers what a repository takes on the disk.
    pub fn set_bytes(&self, repository: i64, bytes: u64) -> Result<()> {
        self.update(repository, "bytes = ?", &[&stored(bytes)])
    }

    /// Remembers how often its agent means to push.
    pub fn set_interval_seen(&self, repository: i64, interval: Option<Seconds>) -> Result<()> {
        let seconds = interval.map(|interval| interval.0);
        self.update(repository, "interval_seen = ?", &[&seconds])
    }

    /// Remembers how far the round of verification is; see [`RepositoryRow::verify_round`].
    pub fn set_verify_round(&self, repository: i64, began: i64, next: Option<i64>) -> Result<()> {
        self.update(repository, "verify_began = ?, verified_until = ?", &[&began, &next])
    }

    /// Remembers which snapshot was looked at last; see [`RepositoryRow::looked`].
    pub fn set_looked(&self, repository: i64, snapshot: i64) -> Result<()> {
        self.update(repository, "looked = ?", &[&snapshot])
    }

    /// Remembers damage that was found.
    pub fn record_damage(&self, repository: i64, damage: &str) -> Result<()> {
        let now = self.now();
        self.update(repository, "damage_time = ?, damage = ?", &[&now, &damage])
    }

    /// Remembers that a whole verification, which began then, found no damage.
    pub fn clear_damage(&self, repository: i64, began: i64) -> Result<()> {
        let sql = "UPDATE repositories SET damage_time = NULL, damage = NULL WHERE id = ? AND damage_time < ?";
        self.connection().prepare_cached(sql)?.execute((repository, began))?;
        Ok(())
    }

    /// Prunes nothing here from now on; the first reason stays.
    pub fn suspend_pruning(&self, repository: i64, why: &str) -> Result<()> {
        self.change(|transaction| {
            let row = find_id(transaction, repository)?;
            if row.pruning_suspended.is_some() {
                return Ok(());
            }
            let sql = "UPDATE repositories SET suspended_time = ?, suspended_why = ? WHERE id = ?";
            transaction.execute(sql, (self.now(), why, repository))?;
            let by = By {
                who: "yored",
                from: "this machine",
            };
            let what = format!("repo suspend pruning {}", row.full_name());
            audit::write(transaction, self.now(), by, &what, "", why)
        })
    }

    /// Sets columns of a repository, which must be there.
    fn update(&self, repository: i64, columns: &str, values: &[&dyn ToSql]) -> Result<()> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&format!("UPDATE repositories SET {columns} WHERE id = ?"))?;
        let all: Vec<&dyn ToSql> = values.iter().copied().chain([&repository as &dyn ToSql]).collect();
        match statement.execute(&all[..])? {
            0 => Err(Error::NoSuchRepository(format!("number {repository}"))),
            _ => Ok(()),
        }
    }
}
