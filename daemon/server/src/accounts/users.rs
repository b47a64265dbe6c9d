//! Accounts of people. A machine has a key of its own in one of them.

use rusqlite::{Connection, OptionalExtension, Row};

use super::audit::{self, Settings, difference, or_none};
use super::removal::Aside;
use super::{Accounts, By, Error, PasswordHash, Result, UserName, bytes, folders, stored};
use crate::units::Size;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its number; never given twice.
    pub id: i64,
    /// Its name.
    pub name: UserName,
    /// Where mail about its backups goes.
    pub email: Option<String>,
    /// How many bytes its repositories may take together.
    pub quota: Option<u64>,
    /// Whether its keys may forget and prune.
    pub may_prune: bool,
    /// Whether its keys may copy snapshots to here, with the times and names that those have elsewhere.
    pub may_copy: bool,
    /// Who on this machine may look into its repositories in the server's mount.
    pub unix_user: Option<String>,
    /// Whether one can enrol a key by a password.
    pub has_password: bool,
    /// A disabled account keeps everything and lets nobody in.
    pub disabled: bool,
    /// When it was made, in seconds since 1970.
    pub created: i64,
}

/// What is to change of an account; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Another address, or none.
    pub email: Option<Option<String>>,
    /// Another quota in bytes, or none.
    pub quota: Option<Option<u64>>,
    /// Whether its keys may forget and prune.
    pub may_prune: Option<bool>,
    /// Whether its keys may copy snapshots to here.
    pub may_copy: Option<bool>,
    /// Another Unix user, or none.
    pub unix_user: Option<Option<String>>,
    /// Another password, or none.
    pub password: Option<Option<PasswordHash>>,
    /// Whether it lets nobody in.
    pub disabled: Option<bool>,
}

const SELECT: &str =
    "SELECT id, name, email, quota, may_prune, unix_user, password IS NOT NULL, disabled, created, may_copy
     FROM users";

fn read(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get(0)?,
        name: row.get(1)?,
        email: row.get(2)?,
        quota: row.get::<_, Option<i64>>(3)?.map(bytes),
        may_prune: row.get(4)?,
        unix_user: row.get(5)?,
        has_password: row.get(6)?,
        disabled: row.get(7)?,
        created: row.get(8)?,
        may_copy: row.get(9)?,
    })
}

/// The user of this name, in the caller's transaction.
pub(super) fn find(connection: &Connection, name: &UserName) -> Result<Option<User>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE name = ?"))?;
    Ok(statement.query_row([name], read).optional()?)
}

/// The user of this number, in the caller's transaction.
pub(super) fn find_id(connection: &Connection, id: i64) -> Result<Option<User>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE id = ?"))?;
    Ok(statement.query_row([id], read).optional()?)
}

/// All users by name, in the caller's transaction.
pub(super) fn all(connection: &Connection) -> Result<Vec<User>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY name"))?;
    let users = statement.query_map([], read)?;
    Ok(users.collect::<rusqlite::Result<_>>()?)
}

/// As [`find`], where the user must be there.
pub(super) fn known(connection: &Connection, name: &UserName) -> Result<User> {
    find(connection, name)?.ok_or_else(|| Error::NoSuchUser(name.to_string()))
}

fn settings(user: &User) -> Settings {
    vec![
        ("email", or_none(user.email.as_ref())),
        ("quota", or_none(user.quota.map(Size))),
        ("may_prune", user.may_prune.to_string()),
        ("may_copy", user.may_copy.to_string()),
        ("unix_user", or_none(user.unix_user.as_ref())),
        ("disabled", user.disabled.to_string()),
    ]
}

impl Accounts {
    /// The user of this name.
    pub fn user(&self, name: &UserName) -> Result<Option<User>> {
        find(&self.connection(), name)
    }

    /// The user of this number.
    pub fn user_by_id(&self, id: i64) -> Result<Option<User>> {
        find_id(&self.connection(), id)
    }

    /// All users, by name.
    pub fn users(&self) -> Result<Vec<User>> {
        all(&self.connection())
    }

    /// Makes an account and its folder. Opens files: for the command line only.
    ///
    /// # Errors
    /// [`Error::UserExists`].
    pub fn add_user(&self, name: &UserName, settings: &UserChange, by: By<'_>) -> Result<User> {
        // An empty folder too many does no harm; a user without one could not push.
        folders::make(&self.0.data, &self.user_path(name))?;
        self.change(|transaction| {
            if find(transaction, name)?.is_some() {
                return Err(Error::UserExists(name.clone()));
            }
            let sql = "INSERT INTO users (name, created) VALUES (?, ?)";
            transaction.execute(sql, (name, self.now()))?;
            audit::write(transaction, self.now(), by, &format!("user add {name}"), "", "")?;
            self.change_user(transaction, name, settings, by)
        })
    }

    /// Changes an account; gives it as it is then.
    ///
    /// # Errors
    /// [`Error::NoSuchUser`].
    pub fn set_user(&self, name: &UserName, change: &UserChange, by: By<'_>) -> Result<User> {
        self.change(|transaction| self.change_user(transaction, name, change, by))
    }

    fn change_user(&self, connection: &Connection, name: &UserName, change: &UserChange, by: By<'_>) -> Result<User> {
        let old = known(connection, name)?;
        connection.execute(
            "UPDATE users SET email = ?, quota = ?, may_prune = ?, may_copy = ?, unix_user = ?, disabled = ? WHERE id = ?",
            (
                change.email.as_ref().unwrap_or(&old.email),
                change.quota.unwrap_or(old.quota).map(stored),
                change.may_prune.unwrap_or(old.may_prune),
                change.may_copy.unwrap_or(old.may_copy),
                change.unix_user.as_ref().unwrap_or(&old.unix_user),
                change.disabled.unwrap_or(old.disabled),
                old.id,
            ),
        )?;
        let what = format!("user set {name}");
        if let Some(password) = &change.password {
            let text = password.as_ref().map(|password| &password.0);
            connection.execute("UPDATE users SET password = ? WHERE id = ?", (text, old.id))?;
            let state = |there: bool| if there { "password=set" } else { "password=none" };
            let (was, is) = (state(old.has_password), state(text.is_some()));
            audit::write(connection, self.now(), by, &what, was, is)?;
        }
        let new = known(connection, name)?;
        let (was, is) = difference(&settings(&old), &settings(&new));
        if was != is {
            audit::write(connection, self.now(), by, &what, &was, &is)?;
        }
        Ok(new)
    }

    /// Removes an account, its keys and invitations, and its folder; if there are repositories, only
    /// with `with_repositories`. Opens files: for the command line only.
    ///
    /// # Errors
    /// [`Error::NoSuchUser`], [`Error::HasRepositories`], [`Error::InUse`].
    pub fn del_user(&self, name: &UserName, with_repositories: bool, by: By<'_>) -> Result<()> {
        let mut aside = Aside::of(self.user_path(name));
        self.change(|transaction| {
            let user = known(transaction, name)?;
            self.refuse_if_used(transaction, name, None)?;
            let sql = "SELECT count(*) FROM repositories WHERE user = ?";
            let count: i64 = transaction.query_row(sql, [user.id], |row| row.get(0))?;
            if count > 0 && !with_repositories {
                return Err(Error::HasRepositories {
                    name: name.clone(),
                    count: count.unsigned_abs() as usize,
                });
            }
            transaction.execute("DELETE FROM repositories WHERE user = ?", [user.id])?;
            transaction.execute("DELETE FROM users WHERE id = ?", [user.id])?;
            let old = format!("{count} repositories");
            audit::write(transaction, self.now(), by, &format!("user del {name}"), &old, "")?;
            aside.put(user.id)
        })?;
        aside.remove()
    }
}
