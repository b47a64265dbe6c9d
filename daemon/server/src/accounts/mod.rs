//! Who may do what, and what is known of every repository: one SQLite database.
//!
//! ```text
//! DATA/yored.sqlite3               this database (0600)
//! DATA/host_key                    the server's key; see `host_key`
//! DATA/users/USER/REPOSITORY/      a repository of `yore_store` (folders 0700)
//! DATA/users/USER/.deleted-N/      one that is being removed; no name can begin with a dot
//!
//! names         user and repository names          schema        tables, and how they came to be
//! users         accounts                           passwords     argon2id
//! keys          the machines' keys                 invitations   one-time tokens that enrol a key
//! repositories  their state                        settings      their settings, their end
//! sessions      who is connected now               audit         who did what, old and new
//! mails         what was told to whom and when     folders       what lies on the disk
//! removal       of a folder with its row
//! ```
//!
//! Always true:
//! - The daemon and the command line use the database at the same time, so transactions are short, and
//!   whatever is decided on what was read is decided inside one that writes (`BEGIN IMMEDIATE`).
//! - What an administrator changes and its line in the audit log are one transaction.
//! - After [`Accounts::open`] no call opens a file: threads that serve a session are under Landlock.
//!   The exceptions are the calls that say so; only the command line makes them.
//! - Secrets are not here: of passwords and invitations there are hashes only.
//!
//! A new table or column is a new step at the end of `schema`; a new thing that is remembered is a
//! file of its own here, with its `impl Accounts`.

mod audit;
mod error;
mod folders;
mod invitations;
mod keys;
mod mails;
mod names;
mod passwords;
mod removal;
mod repositories;
mod schema;
mod sessions;
mod settings;
mod users;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use yore_store::{Clock, SystemClock};

pub use audit::{AuditRow, By};
pub use error::{Error, Result};
pub use folders::{DATABASE, give};
pub use keys::Key;
pub use names::{RepositoryName, UserName};
pub use passwords::PasswordHash;
pub use repositories::RepositoryRow;
pub use sessions::{NewSession, SessionRow};
pub use settings::RepositoryChange;
pub use users::{User, UserChange};

/// The accounts of a server. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    data: PathBuf,
    clock: Arc<dyn Clock>,
    connection: Mutex<Connection>,
}

impl Accounts {
    /// Opens the database of a data folder; makes both if they are not there.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Database`], or [`Error::Future`] if a later version was here.
    pub fn open(data: &Path) -> Result<Self> {
        Self::open_with_clock(data, Arc::new(SystemClock))
    }

    /// As [`Accounts::open`], with a clock that a test sets.
    ///
    /// # Errors
    /// As [`Accounts::open`].
    pub fn open_with_clock(data: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        folders::prepare(data)?;
        let connection = Mutex::new(schema::open(data)?);
        Ok(Accounts(Arc::new(Inner {
            data: data.to_owned(),
            clock,
            connection,
        })))
    }

    /// The folder of everything.
    pub fn data(&self) -> &Path {
        &self.0.data
    }

    /// The folder of a user's repositories.
    pub fn user_path(&self, user: &UserName) -> PathBuf {
        folders::user(&self.0.data, user)
    }

    /// The folder of a repository.
    pub fn repository_path(&self, user: &UserName, repository: &RepositoryName) -> PathBuf {
        self.user_path(user).join(repository.as_str())
    }

    /// A number that changes whenever another process has changed something; what goes through these
    /// accounts or a clone of them does not change it.
    pub fn data_version(&self) -> Result<i64> {
        Ok(self
            .connection()
            .pragma_query_value(None, "data_version", |row| row.get(0))?)
    }

    /// Seconds since 1970, now.
    pub fn now(&self) -> i64 {
        self.0.clock.now()
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A thread that panicked has rolled its transaction back: the connection is good.
        self.0.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One transaction that writes; an error rolls it back.
    fn change<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }
}

/// What SQLite can hold of a number of bytes.
fn stored(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A number of bytes as it was stored.
fn bytes(stored: i64) -> u64 {
    stored.max(0).unsigned_abs()
}

#[cfg(test)]
mod tests;
