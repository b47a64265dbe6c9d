//! Users, keys, repositories and sessions as JSON objects; help documents the fields.

use serde::Serialize;
use yore_terminal::text::rfc3339;

use crate::accounts::{Key, RepositoryRow, SessionRow, User};

/// The fields of a [`UserObject`], for help.
pub const USER_FIELDS: &str = "  name          the user's name
  email         where mail goes
  quota         bytes that all repositories may take together
  used          bytes that they take
  repositories  how many there are
  keys          how many keys are valid
  may_prune     whether the user's machines may forget and prune
  may_copy      whether they may copy snapshots to here
  unix_user     who on the server may look into the mount
  has_password  whether a machine can be linked by a password
  disabled      whether nobody is let in
  created       when it was made";

/// A user.
#[derive(Serialize)]
pub struct UserObject<'a> {
    name: &'a str,
    email: Option<&'a str>,
    quota: Option<u64>,
    used: u64,
    repositories: usize,
    keys: usize,
    may_prune: bool,
    may_copy: bool,
    unix_user: Option<&'a str>,
    has_password: bool,
    disabled: bool,
    created: String,
}

impl<'a> UserObject<'a> {
    /// With what belongs to the user out of all repositories and keys.
    pub fn new(user: &'a User, repositories: &[RepositoryRow], keys: &[Key]) -> Self {
        let own = || repositories.iter().filter(|row| row.user == user.id);
        let valid = |key: &&Key| key.user == user.id && key.revoked.is_none();
        UserObject {
            name: user.name.as_str(),
            email: user.email.as_deref(),
            quota: user.quota,
            used: own().map(|row| row.bytes).sum(),
            repositories: own().count(),
            keys: keys.iter().filter(valid).count(),
            may_prune: user.may_prune,
            may_copy: user.may_copy,
            unix_user: user.unix_user.as_deref(),
            has_password: user.has_password,
            disabled: user.disabled,
            created: rfc3339(user.created),
        }
    }

    /// What the user's repositories take.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// How many repositories and valid keys there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.repositories, self.keys)
    }
}

/// The fields of a [`KeyObject`], for help.
pub const KEY_FIELDS: &str = "  id           its number
  user         whose it is
  machine      the machine that has it
  fingerprint  SHA256:…
  public       the public key, as OpenSSH has it
  added        when it was enrolled
  last_used    when it was used last, within a minute
  revoked      when it was revoked";

/// A key.
#[derive(Serialize)]
pub struct KeyObject<'a> {
    id: i64,
    user: &'a str,
    machine: &'a str,
    fingerprint: &'a str,
    public: &'a str,
    added: String,
    last_used: Option<String>,
    revoked: Option<String>,
}

impl<'a> KeyObject<'a> {
    /// With its user out of all of them.
    pub fn new(key: &'a Key, users: &'a [User]) -> Self {
        KeyObject {
            id: key.id,
            user: owner(key, users),
            machine: &key.comment,
            fingerprint: &key.fingerprint,
            public: &key.public,
            added: rfc3339(key.added),
            last_used: key.last_used.map(rfc3339),
            revoked: key.revoked.map(rfc3339),
        }
    }
}

/// The name of a key's user.
pub fn owner<'a>(key: &Key, users: &'a [User]) -> &'a str {
    let owner = users.iter().find(|user| user.id == key.user);
    owner.map_or("", |user| user.name.as_str())
}

/// The fields of a [`RepositoryObject`], for help.
pub const REPOSITORY_FIELDS: &str = "  user, repository   its names
  machine            whose files it has
  bytes              what it takes on the disk
  created            when it was made
  keep               its own rules in words; null: those of the configuration
  keep_at_least      its own minimum age; null: that of the configuration
  max_age            its own maximum age; null: that of the configuration
  skip_weekdays      its own days that do not count; null: those of the configuration
  last_success       the time of the last push that was committed
  snapshot           the name of its snapshot
  last_failure, failure      the time of the last push that failed, and why
  interval           seconds between two pushes, as its machine has it
  pruning_suspended, suspended_because   since when nothing is pruned, and why
  damage_found, damage       when damage was found, and what";

/// A repository.
#[derive(Serialize)]
pub struct RepositoryObject<'a> {
    user: &'a str,
    repository: &'a str,
    machine: Option<&'a str>,
    bytes: u64,
    created: String,
    keep: Option<String>,
    keep_at_least: Option<i64>,
    max_age: Option<i64>,
    skip_weekdays: Option<Vec<&'static str>>,
    last_success: Option<String>,
    snapshot: Option<&'a str>,
    last_failure: Option<String>,
    failure: Option<&'a str>,
    interval: Option<i64>,
    pruning_suspended: Option<String>,
    suspended_because: Option<&'a str>,
    damage_found: Option<String>,
    damage: Option<&'a str>,
}

impl<'a> From<&'a RepositoryRow> for RepositoryObject<'a> {
    fn from(row: &'a RepositoryRow) -> Self {
        fn when(what: &Option<(i64, String)>) -> Option<String> {
            what.as_ref().map(|(time, _)| rfc3339(*time))
        }
        fn what(what: &Option<(i64, String)>) -> Option<&str> {
            what.as_ref().map(|(_, text)| text.as_str())
        }
        RepositoryObject {
            user: row.user_name.as_str(),
            repository: row.name.as_str(),
            machine: row.machine.as_deref(),
            bytes: row.bytes,
            created: rfc3339(row.created),
            keep: row.keep.as_ref().map(ToString::to_string),
            keep_at_least: row.keep_at_least.map(|age| age.0),
            max_age: row.max_age.map(|age| age.0),
            skip_weekdays: row.skip_weekdays.map(|days| days.names()),
            last_success: when(&row.last_success),
            snapshot: what(&row.last_success),
            last_failure: when(&row.last_failure),
            failure: what(&row.last_failure),
            interval: row.interval_seen.map(|interval| interval.0),
            pruning_suspended: when(&row.pruning_suspended),
            suspended_because: what(&row.pruning_suspended),
            damage_found: when(&row.damage),
            damage: what(&row.damage),
        }
    }
}

/// The fields of a [`SessionObject`], for help.
pub const SESSION_FIELDS: &str = "    user, repository  what it works on
    from              its network address
    key               the number of its key
    what              what it does
    since, progress   when it began, when it was heard of last
    bytes             what it has sent";

/// A session.
#[derive(Serialize)]
pub struct SessionObject<'a> {
    user: &'a str,
    repository: Option<&'a str>,
    from: &'a str,
    key: Option<i64>,
    what: &'a str,
    since: String,
    progress: String,
    bytes: u64,
}

impl<'a> From<&'a SessionRow> for SessionObject<'a> {
    fn from(row: &'a SessionRow) -> Self {
        SessionObject {
            user: row.user.as_str(),
            repository: row.repository.as_ref().map(|name| name.as_str()),
            from: &row.from,
            key: row.key,
            what: &row.what,
            since: rfc3339(row.since),
            progress: rfc3339(row.progress),
            bytes: row.bytes,
        }
    }
}
