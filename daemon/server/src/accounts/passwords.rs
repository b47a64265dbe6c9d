//! Passwords: argon2id with the parameters of its authors (19 MiB, two passes).
//!
//! Hashing takes tens of milliseconds and 19 MiB, and happens outside of the connection's lock. How many
//! may be hashed at once is for the caller to bound.

use std::sync::OnceLock;

use argon2::password_hash::phc;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use rusqlite::OptionalExtension;

use super::{Accounts, By, Error, Result, User, UserChange, UserName};

/// Longer ones are refused before they cost anything.
const LONGEST: usize = 1024;

/// A password as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub(super) String);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(a password)")
    }
}

impl PasswordHash {
    /// Hashes a password with a new salt.
    ///
    /// # Errors
    /// [`Error::BadPassword`] if it is empty or longer than 1024 bytes.
    pub fn new(password: &str) -> Result<Self> {
        if password.is_empty() {
            return Err(Error::BadPassword("is empty"));
        }
        if password.len() > LONGEST {
            return Err(Error::BadPassword("is longer than 1024 bytes"));
        }
        let hash: phc::PasswordHash = Argon2::default()
            .hash_password(password.as_bytes())
            .map_err(|_| Error::BadPassword("could not be hashed"))?;
        Ok(PasswordHash(hash.to_string()))
    }

    /// Whether it is the hash of this password.
    pub fn is_of(&self, password: &str) -> bool {
        let hash = phc::PasswordHash::new(&self.0);
        hash.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    }
}

/// What is verified where there is nothing to verify, so that time does not tell which users there are.
fn dummy() -> &'static PasswordHash {
    static DUMMY: OnceLock<PasswordHash> = OnceLock::new();
    DUMMY.get_or_init(|| PasswordHash::new("nobody's").unwrap_or_else(|_| PasswordHash(String::new())))
}

impl Accounts {
    /// The user of this name, if this is the password and the account is not disabled. Takes as long
    /// for users who are not there, or have no password.
    pub fn password_login(&self, user: &str, password: &str) -> Result<Option<User>> {
        let hash = self.password_of(user)?;
        if password.is_empty() || password.len() > LONGEST {
            return Ok(None);
        }
        if !hash.as_ref().unwrap_or(dummy()).is_of(password) || hash.is_none() {
            return Ok(None);
        }
        // Asked again: the account may be gone, disabled, or have another password by now.
        let still = self.password_of(user)? == hash;
        match user.parse::<UserName>() {
            Ok(name) if still => Ok(self.user(&name)?.filter(|user| !user.disabled)),
            _ => Ok(None),
        }
    }

    fn password_of(&self, user: &str) -> Result<Option<PasswordHash>> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached("SELECT password FROM users WHERE name = ? AND password IS NOT NULL AND NOT disabled")?;
        Ok(statement
            .query_row([user], |row| row.get(0).map(PasswordHash))
            .optional()?)
    }

    /// Gives a user a password, or takes it away.
    ///
    /// # Errors
    /// [`Error::NoSuchUser`], [`Error::BadPassword`].
    pub fn set_password(&self, user: &UserName, password: Option<&str>, by: By<'_>) -> Result<()> {
        let change = UserChange {
            password: Some(password.map(PasswordHash::new).transpose()?),
            ..UserChange::default()
        };
        self.set_user(user, &change, by).map(drop)
    }
}
