//! The machines' keys. A key reaches the repositories of its user, and nothing else.

use rusqlite::{Connection, OptionalExtension, Row};
use russh::keys::{HashAlg, PublicKey};

use super::{Accounts, By, Error, Result, User, audit, users};

/// The key of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its number; never given twice.
    pub id: i64,
    /// Its user's number.
    pub user: i64,
    /// As OpenSSH has it, without a comment: `ssh-ed25519 AAAA…`.
    pub public: String,
    /// `SHA256:…`
    pub fingerprint: String,
    /// The machine's name.
    pub comment: String,
    /// When it was enrolled, in seconds since 1970.
    pub added: i64,
    /// When it was used last, within a minute.
    pub last_used: Option<i64>,
    /// When it was revoked.
    pub revoked: Option<i64>,
}

/// How exactly the last use is remembered: each change of it is an fsync.
const USE_STEP: i64 = 60;

const SELECT: &str = "SELECT id, user, public, fingerprint, comment, added, last_used, revoked FROM keys";

fn read(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok(Key {
        id: row.get(0)?,
        user: row.get(1)?,
        public: row.get(2)?,
        fingerprint: row.get(3)?,
        comment: row.get(4)?,
        added: row.get(5)?,
        last_used: row.get(6)?,
        revoked: row.get(7)?,
    })
}

/// A public key as it is stored, and its fingerprint.
fn normal(public: &str) -> Result<(String, String)> {
    let bad = |error: russh::keys::ssh_key::Error| Error::BadKey(error.to_string());
    let mut key = PublicKey::from_openssh(public.trim()).map_err(bad)?;
    key.set_comment("");
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    Ok((key.to_openssh().map_err(bad)?.trim().to_owned(), fingerprint))
}

fn find(connection: &Connection, user: i64, public: &str) -> Result<Option<Key>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE user = ? AND public = ?"))?;
    Ok(statement.query_row((user, public), read).optional()?)
}

/// Enters a key of a user, in the caller's transaction; one that is there already stays as it is.
pub(super) fn enter(
    connection: &Connection,
    now: i64,
    user: &User,
    public: &str,
    comment: &str,
    by: By<'_>,
) -> Result<Key> {
    let (public, fingerprint) = normal(public)?;
    match find(connection, user.id, &public)? {
        Some(key) if key.revoked.is_some() => return Err(Error::KeyRevoked),
        Some(key) => return Ok(key),
        None => {}
    }
    connection.execute(
        "INSERT INTO keys (user, public, fingerprint, comment, added) VALUES (?, ?, ?, ?, ?)",
        (user.id, &public, &fingerprint, comment, now),
    )?;
    let key = find(connection, user.id, &public)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let what = format!("key add {} {}", user.name, key.id);
    audit::write(connection, now, by, &what, "", &format!("{fingerprint} {comment}"))?;
    Ok(key)
}

impl Accounts {
    /// Whose key this is, if that user may come in by it. The key's last use is remembered: ask only
    /// when it is proved.
    pub fn key_login(&self, user: &str, public: &str) -> Result<Option<(User, Key)>> {
        let Some((user, key)) = self.key_of(user, public)? else {
            return Ok(None);
        };
        let now = self.now();
        if key.last_used.is_none_or(|used| now >= used + USE_STEP || now < used) {
            let sql = "UPDATE keys SET last_used = ? WHERE id = ?";
            self.connection().prepare_cached(sql)?.execute((now, key.id))?;
        }
        Ok(Some((user, key)))
    }

    /// As [`Accounts::key_login`], for a key that was only offered: nothing is remembered.
    pub fn key_of(&self, user: &str, public: &str) -> Result<Option<(User, Key)>> {
        let (Ok(name), Ok((public, _))) = (user.parse(), normal(public)) else {
            return Ok(None);
        };
        let connection = self.connection();
        let Some(user) = users::find(&connection, &name)?.filter(|user| !user.disabled) else {
            return Ok(None);
        };
        let key = find(&connection, user.id, &public)?.filter(|key| key.revoked.is_none());
        Ok(key.map(|key| (user, key)))
    }

    /// Whether a session that came in by this key may go on.
    pub fn key_is_valid(&self, id: i64) -> Result<bool> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT 1 FROM keys JOIN users ON users.id = keys.user WHERE keys.id = ? AND revoked IS NULL AND NOT disabled",
        )?;
        Ok(statement.exists([id])?)
    }

    /// All keys, by number.
    pub fn keys(&self) -> Result<Vec<Key>> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY id"))?;
        let keys = statement.query_map([], read)?;
        Ok(keys.collect::<rusqlite::Result<_>>()?)
    }

    /// Revokes a key by its number, its fingerprint (with every user who has it) or its machine's name
    /// (if one key alone has it); gives those that are revoked now. Sessions end when they ask
    /// [`Accounts::key_is_valid`].
    ///
    /// # Errors
    /// [`Error::NoSuchKey`] if no valid key is meant, [`Error::AmbiguousKey`].
    pub fn revoke(&self, key: &str, by: By<'_>) -> Result<Vec<Key>> {
        self.change(|transaction| {
            let meant = meant(transaction, key)?;
            for key in &meant {
                let sql = "UPDATE keys SET revoked = ? WHERE id = ?";
                transaction.execute(sql, (self.now(), key.id))?;
                let owner =
                    users::find_id(transaction, key.user)?.map_or_else(String::new, |user| user.name.to_string());
                let (what, old) = (
                    format!("key revoke {owner} {}", key.id),
                    format!("{} {}", key.fingerprint, key.comment),
                );
                audit::write(transaction, self.now(), by, &what, &old, "")?;
            }
            Ok(meant)
        })
    }
}

impl Accounts {
    /// Revokes a key of a user, if it is valid still: of a machine that is gone.
    pub fn revoke_of(&self, user: i64, id: i64, by: By<'_>) -> Result<()> {
        self.change(|transaction| {
            let sql = "UPDATE keys SET revoked = ? WHERE id = ? AND user = ? AND revoked IS NULL";
            if transaction.execute(sql, (self.now(), id, user))? == 0 {
                return Ok(());
            }
            audit::write(
                transaction,
                self.now(),
                by,
                &format!("key revoke {} {id}", by.who),
                "",
                "",
            )
        })
    }
}

/// The valid keys that a text means.
fn meant(connection: &Connection, text: &str) -> Result<Vec<Key>> {
    let by = |column: &str| -> Result<Vec<Key>> {
        let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE {column} = ? AND revoked IS NULL"))?;
        let keys = statement.query_map([text], read)?;
        Ok(keys.collect::<rusqlite::Result<_>>()?)
    };
    for column in ["id", "fingerprint"] {
        let keys = by(column)?;
        if !keys.is_empty() {
            return Ok(keys);
        }
    }
    let named = by("comment")?;
    match named.len() {
        0 => Err(Error::NoSuchKey(text.to_owned())),
        1 => Ok(named),
        _ => Err(Error::AmbiguousKey {
            name: text.to_owned(),
            ids: named.iter().map(|key| key.id.to_string()).collect(),
        }),
    }
}
