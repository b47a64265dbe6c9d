//! What can go wrong with accounts, as a caller can match it.

use std::path::{Path, PathBuf};

use super::{RepositoryName, UserName};

/// The result of most calls here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the accounts. Its text names the thing and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on a file or folder of the server failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database failed.
    #[error("accounts: {0}")]
    Database(#[from] rusqlite::Error),
    /// The database was written by a later version.
    #[error("{}: version {found}, this yored reads up to {known}; install a newer yored", path.display())]
    Future {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest that we know.
        known: i64,
    },
    /// What cannot be a name.
    #[error("{name:?} cannot be the name of a {what}: {why}; write 1 to 64 of a-z, A-Z, 0-9, `.`, `_` and `-`")]
    BadName {
        /// `user` or `repository`.
        what: &'static str,
        /// What was given.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No such user.
    #[error("no user {0}; `yored user list` lists them")]
    NoSuchUser(String),
    /// The name is in use.
    #[error("user {0} is there already")]
    UserExists(UserName),
    /// A user whose repositories would go too.
    #[error("user {name} has {count} repositories; give --with-repositories to remove them all")]
    HasRepositories {
        /// The user.
        name: UserName,
        /// How many there are.
        count: usize,
    },
    /// No such repository.
    #[error("no repository {0}; `yored repo list` lists them")]
    NoSuchRepository(String),
    /// The name is in use.
    #[error("repository {0} is there already")]
    RepositoryExists(RepositoryName),
    /// Somebody uses what is to be removed.
    #[error("{what} is in use now, from {from}; wait for it, or revoke its key")]
    InUse {
        /// The user or repository.
        what: String,
        /// From where.
        from: String,
    },
    /// No such key.
    #[error("no key {0}; `yored key list` lists them")]
    NoSuchKey(String),
    /// A name that several keys have.
    #[error("{name} is the name of several keys; give the number of one of them: {}", ids.join(", "))]
    AmbiguousKey {
        /// What was given.
        name: String,
        /// Their numbers.
        ids: Vec<String>,
    },
    /// A key that was revoked does not come back.
    #[error("this key was revoked; make a new one with `yore link`")]
    KeyRevoked,
    /// Not a public key.
    #[error("not an OpenSSH public key: {0}")]
    BadKey(String),
    /// The invitation was used meanwhile, or is over.
    #[error("this invitation was used or is over; ask for a new one (`yored invite`)")]
    InvitationUsed,
    /// A password that cannot be one.
    #[error("the password {0}")]
    BadPassword(&'static str),
}

/// Gives an I/O error the path that it is about.
pub(super) trait IoContext<T> {
    /// Names `path` in the error.
    fn at(self, path: &Path) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> IoContext<T> for std::result::Result<T, E> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io {
            path: path.to_owned(),
            source: source.into(),
        })
    }
}
