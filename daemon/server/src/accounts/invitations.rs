//! Invitations: a token that enrols one key, once, until it is over.
//!
//! 160 random bits cannot be guessed, so a plain hash is enough to keep them.

use std::io::Read;
use std::path::Path;

use rusqlite::OptionalExtension;
use yore_store::Hash;

use super::error::IoContext;
use super::{Accounts, By, Error, Key, Result, User, UserName, audit, keys, users};

/// What every token begins with: it is told from a password, and found where it was leaked.
pub const PREFIX: &str = "yi-";

const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// How long it is remembered that an invitation was used or is over.
const REMEMBERED: i64 = 90 * 86_400;

fn new_token() -> Result<String> {
    let source = Path::new("/dev/urandom");
    let mut random = [0; 20];
    std::fs::File::open(source)
        .and_then(|mut file| file.read_exact(&mut random))
        .at(source)?;
    Ok(format!("{PREFIX}{}", base32(&random)))
}

/// RFC 4648's base32 in lower case; 5 bytes are 8 digits, so these 20 need no padding.
fn base32(bytes: &[u8; 20]) -> String {
    let digit = |at: usize| {
        // The five bits from bit 5 * at on lie in two bytes at most.
        let (byte, shift) = (at * 5 / 8, at * 5 % 8);
        let pair = u16::from(bytes[byte]) << 8 | u16::from(*bytes.get(byte + 1).unwrap_or(&0));
        DIGITS[usize::from(pair >> (11 - shift) & 31)] as char
    };
    (0..32).map(digit).collect()
}

impl Accounts {
    /// Makes an invitation for a user; it is good until `expires` (seconds since 1970). Opens a file:
    /// for the command line only.
    ///
    /// # Errors
    /// [`Error::NoSuchUser`].
    pub fn invite(&self, user: &UserName, expires: i64, by: By<'_>) -> Result<String> {
        let token = new_token()?;
        self.change(|transaction| {
            let owner = users::known(transaction, user)?;
            let now = self.now();
            transaction.execute("DELETE FROM invitations WHERE expires < ?", [now - REMEMBERED])?;
            transaction.execute(
                "INSERT INTO invitations (user, hash, made, expires) VALUES (?, ?, ?, ?)",
                (owner.id, Hash::of(token.as_bytes()), now, expires),
            )?;
            let new = format!("until {}", yore_terminal::text::time(expires));
            audit::write(transaction, now, by, &format!("invite {user}"), "", &new)
        })?;
        Ok(token)
    }

    /// The user of this name and the number of the invitation, if it is one for that user that was not
    /// used and is not over. It is not used up by this.
    pub fn invitation_login(&self, user: &str, token: &str) -> Result<Option<(User, i64)>> {
        let Ok(name) = user.parse() else {
            return Ok(None);
        };
        let connection = self.connection();
        let Some(user) = users::find(&connection, &name)?.filter(|user| !user.disabled) else {
            return Ok(None);
        };
        let mut statement = connection.prepare_cached(
            "SELECT id FROM invitations WHERE user = ? AND hash = ? AND used IS NULL AND expires > ?",
        )?;
        let hash = Hash::of(token.as_bytes());
        let id = statement
            .query_row((user.id, hash, self.now()), |row| row.get(0))
            .optional()?;
        Ok(id.map(|id| (user, id)))
    }

    /// Enrols a key of a user, and uses up the invitation by which the user came in.
    ///
    /// # Errors
    /// [`Error::InvitationUsed`] if somebody was faster, [`Error::KeyRevoked`], [`Error::BadKey`].
    pub fn enrol(&self, user: i64, invitation: Option<i64>, public: &str, comment: &str, from: &str) -> Result<Key> {
        self.change(|transaction| {
            let owner = users::find_id(transaction, user)?.filter(|owner| !owner.disabled);
            let owner = owner.ok_or_else(|| Error::NoSuchUser(format!("number {user}")))?;
            let (now, name) = (self.now(), owner.name.to_string());
            let by = By { who: &name, from };
            if let Some(id) = invitation {
                let sql =
                    "UPDATE invitations SET used = ?1 WHERE id = ?2 AND user = ?3 AND used IS NULL AND expires > ?1";
                if transaction.execute(sql, (now, id, user))? == 0 {
                    return Err(Error::InvitationUsed);
                }
                audit::write(transaction, now, by, &format!("invitation used {name}"), "", "")?;
            }
            keys::enter(transaction, now, &owner, public, comment, by)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_base32() {
        let mut bytes = [0; 20];
        bytes[..10].copy_from_slice(b"foobarfoob");
        // `printf foobarfoob | base32`
        assert!(base32(&bytes).starts_with("mzxw6ytbojtg633c"));
        assert_eq!(base32(&[255; 20]), "7".repeat(32));
        let (one, two) = (new_token().unwrap(), new_token().unwrap());
        assert_ne!(one, two);
        assert_eq!((one.len(), &one[..3]), (35, "yi-"));
    }
}
