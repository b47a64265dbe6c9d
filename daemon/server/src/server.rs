//! What all sessions of a server share: accounts, ledger, turns, the pushes that are running.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use yore_store::{Committed, Error, Repository, Result};
use yore_wire::shortened;

use crate::accounts::{self, Accounts, Key, RepositoryRow, User};
use crate::clerk::{Desk, News};
use crate::config::Config;
use crate::failure::{Cause, Failed};
use crate::ledger::{Ledger, Mark};
use crate::mail::Enrolled;
use crate::quota::Disks;
use crate::running::{Ending, Running, RunningPush, Seen};
use crate::session::Caller;
use crate::turns::{OneEach, Turns};

/// Sessions that one machine's key may have at once: a push, some mounts, many commands.
const MOST_OF_KEY: usize = 64;

/// Sessions that one user may have at once, over all machines.
const MOST_OF_USER: usize = 100;

/// Repositories that one user may have: each is a row, and some work of each night.
const MOST_REPOSITORIES: usize = 1000;

/// A server.
pub struct Server {
    /// Users, keys, repositories.
    pub accounts: Accounts,
    /// What users have stored.
    pub ledger: Arc<Ledger>,
    /// The disks that pushes write to.
    pub disks: Arc<Disks>,
    /// Who may work now.
    pub turns: Arc<Turns>,
    /// Who searches through a repository.
    pub searching: Arc<OneEach>,
    /// Who has a large folder listed, which takes memory until the agent has read it.
    pub listing: Arc<OneEach>,
    /// Who reads one back.
    pub verifying: Arc<OneEach>,
    /// The pushes that are running.
    pub running: Arc<Running>,
    /// Where sessions leave what happened.
    pub desk: Desk,
    /// Held while somebody looks for losses.
    pub looking: Mutex<()>,
    /// Held while a repository is made: the room for it is not to be found twice.
    making: Mutex<()>,
    config: RwLock<Arc<Config>>,
    /// Sessions, to be ended when their key or user goes.
    sessions: Mutex<Vec<(Caller, Weak<Seen>)>>,
}

impl Server {
    /// A server over these accounts.
    pub fn new(config: Config, accounts: Accounts) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get());
        Arc::new(Server {
            accounts,
            ledger: Arc::default(),
            disks: Arc::default(),
            looking: Mutex::default(),
            making: Mutex::default(),
            // One more than there are cores: somebody always waits for a disk.
            turns: Turns::new(cores + 1),
            searching: Arc::default(),
            listing: Arc::default(),
            verifying: Arc::default(),
            running: Arc::default(),
            desk: Desk::default(),
            config: RwLock::new(Arc::new(config)),
            sessions: Mutex::default(),
        })
    }

    /// The configuration as it is now.
    pub fn config(&self) -> Arc<Config> {
        self.config.read().expect("no panic while held").clone()
    }

    /// Takes another configuration; what cannot change while it runs stays.
    pub fn reconfigure(&self, config: Config) {
        *self.config.write().expect("no panic while held") = Arc::new(config);
    }

    /// Seconds since 1970.
    pub fn now(&self) -> i64 {
        self.accounts.now()
    }

    /// One line to stderr, which is the journal where the server is a service.
    pub fn complain(&self, message: fmt::Arguments<'_>) {
        // What an agent says of itself must not look like another line of ours.
        let message = shortened(&message.to_string());
        eprintln!("yored: {}", yore_terminal::text::one_line(&message));
    }

    /// Remembers a session for as long as what is returned lives.
    pub fn follow(&self, caller: &Caller, seen: Arc<Seen>) -> Arc<Seen> {
        let mut sessions = self.sessions.lock().expect("no panic while held");
        sessions.retain(|(_, seen)| seen.strong_count() > 0);
        sessions.push((caller.clone(), Arc::downgrade(&seen)));
        seen
    }

    /// Whether there are more sessions of a caller's key or user than may be. Each may take much memory.
    pub fn is_crowded(&self, caller: &Caller) -> bool {
        let sessions = self.sessions.lock().expect("no panic while held");
        let living = || sessions.iter().filter(|(_, seen)| seen.strong_count() > 0);
        let key = |caller: &Caller| caller.key.as_ref().map(|key| key.id);
        let of_user = living().filter(|(other, _)| other.user.id == caller.user.id).count();
        let of_key = living().filter(|(other, _)| key(other) == key(caller)).count();
        of_user > MOST_OF_USER || key(caller).is_some() && of_key > MOST_OF_KEY
    }

    /// Ends sessions whose key was revoked or whose user is gone or disabled; with `all`, every one.
    pub fn end_sessions(&self, all: bool) {
        let sessions = self.sessions.lock().expect("no panic while held").clone();
        for (caller, seen) in sessions {
            let Some(seen) = seen.upgrade() else { continue };
            if all {
                (seen.end)(Ending::Leaving);
            } else if !self.may_stay(&caller) {
                (seen.end)(Ending::NotLetIn);
            }
        }
    }

    /// Whether a caller's key and user are still good. If that cannot be found out, they are.
    pub fn may_stay(&self, caller: &Caller) -> bool {
        let key_holds = caller
            .key
            .as_ref()
            .is_none_or(|key| self.accounts.key_is_valid(key.id).unwrap_or(true));
        let user = self.accounts.user_by_id(caller.user.id);
        let user_holds = user.map_or(true, |user| user.is_some_and(|user| !user.disabled));
        key_holds && user_holds
    }

    /// A repository as the accounts know it now.
    pub fn repository_row(&self, id: i64) -> Result<RepositoryRow> {
        self.accounts.repository_by_id(id).map_err(refused)
    }

    /// The repositories of a user, and their folders.
    pub fn repositories_of(&self, user: i64) -> Result<Vec<(i64, PathBuf)>> {
        let rows = self.accounts.repositories().map_err(refused)?;
        let mine = rows.into_iter().filter(|row| row.user == user);
        Ok(mine
            .map(|row| (row.id, self.accounts.repository_path(&row.user_name, &row.name)))
            .collect())
    }

    /// What a user may store.
    pub fn quota(&self, user: i64) -> Result<Option<u64>> {
        let user = self.accounts.user_by_id(user).map_err(refused)?;
        Ok(user.and_then(|user| user.quota))
    }

    /// Whether a user may have one repository more, of so many bytes. As long as what is returned lives,
    /// nobody else is told so.
    ///
    /// # Errors
    /// [`Error::OverBudget`], [`Error::OverFloor`], or [`Error::Denied`] if there are too many.
    pub fn room_for(&self, user: &User, needed: u64) -> Result<MutexGuard<'_, ()>> {
        let making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let repositories = self.repositories_of(user.id)?;
        if repositories.len() >= MOST_REPOSITORIES {
            let name = &user.name;
            return Err(Error::Denied(format!(
                "{name} has {MOST_REPOSITORIES} repositories, the most that a user may have"
            )));
        }
        self.floor_holds(needed)?;
        self.ledger.begin(user.id, || Ok(repositories))?;
        let used = self.ledger.used(user.id).unwrap_or(0);
        match self.quota(user.id)? {
            Some(limit) if used.saturating_add(needed) > limit => Err(Error::OverBudget { used, limit, needed }),
            _ => Ok(making),
        }
    }

    /// Whether the disk has so much above what must stay free.
    fn floor_holds(&self, needed: u64) -> Result<()> {
        let (disk, floor) = (yore_store::space_of(self.accounts.data())?, self.config().keep_free.0);
        let free = disk.available.saturating_mul(disk.block);
        match free < floor.saturating_add(needed) {
            true => Err(Error::OverFloor { free, floor, needed }),
            false => Ok(()),
        }
    }

    /// Begins a push into a repository, if none is running.
    pub fn begin_push(&self, row: &RepositoryRow, caller: &Caller, seen: &Arc<Seen>) -> Result<RunningPush> {
        let stale_after = self.config().stale_after.0;
        let (running, before) = self.running.begin(row.id, seen, self.now(), stale_after)?;
        if let Some(before) = before {
            let what = format!("push takeover {}", row.full_name());
            let user = caller.user.name.as_str();
            let _ = self.accounts.audit(user, &what, &caller.from, &before, &caller.from);
        }
        Ok(running)
    }

    /// A push has begun: whose the repository is, and when the next one is to be expected.
    pub fn pushing(&self, row: &RepositoryRow, caller: &Caller, interval: Option<i64>) -> Result<()> {
        if let (Some(key), None) = (&caller.key, row.claimed_by) {
            self.accounts
                .set_claim(row.id, key.id, &key.comment, &caller.from)
                .map_err(refused)?;
        }
        let interval = interval.map(crate::units::Seconds);
        self.accounts.set_interval_seen(row.id, interval).map_err(refused)
    }

    /// Measures a repository whose push has just put away all that it had.
    pub fn measured(&self, row: &RepositoryRow) {
        let mark = self.ledger.mark(row.user, row.id);
        self.measured_since(row, mark);
    }

    /// Measures a repository after something was made or removed in it, unless a push runs there: what
    /// that has taken and not written yet, the disk does not know. It measures itself when it ends.
    pub fn measured_at_rest(&self, row: &RepositoryRow) -> bool {
        // The mark first: a push that begins after it was looked for takes nothing before the mark.
        let mark = self.ledger.mark(row.user, row.id);
        let at_rest = !self.running.has(row.id);
        if at_rest {
            self.measured_since(row, mark);
        }
        at_rest
    }

    fn measured_since(&self, row: &RepositoryRow, mark: Mark) {
        let path = self.accounts.repository_path(&row.user_name, &row.name);
        match self.ledger.measure(row.user, row.id, mark, &path) {
            Ok(bytes) => {
                let _ = self.accounts.set_bytes(row.id, bytes);
                let used = self.ledger.used(row.user).unwrap_or(bytes);
                self.desk.tell(News::Used { user: row.user, used });
            }
            Err(error) => self.complain(format_args!("{}: {error}", row.full_name())),
        }
    }

    /// Sweeps what dead pushes of a user left, in all of the user's repositories; says whether that
    /// made room.
    pub fn make_room(&self, user: i64) -> bool {
        let rows = self.accounts.repositories().unwrap_or_default();
        let mut freed = false;
        for row in rows.iter().filter(|row| row.user == user) {
            let path = self.accounts.repository_path(&row.user_name, &row.name);
            let swept = Repository::open_with_cache(&path, 1 << 20).and_then(|repository| repository.sweep_all());
            let bytes = match swept {
                Ok(swept) => swept.bytes,
                // Its first push has not come, or it was deleted.
                Err(Error::NotARepository(_)) => 0,
                Err(error) => {
                    self.complain(format_args!("making room in {}: {error}", path.display()));
                    0
                }
            };
            if bytes == 0 {
                continue;
            }
            freed = true;
            if !self.measured_at_rest(row) {
                self.ledger.adjust(user, row.id, -(bytes as i64));
            }
        }
        freed
    }

    /// A push has ended without a snapshot.
    pub fn push_failed(&self, row: &RepositoryRow, caller: &Caller, failure: Failed) {
        let name = row.full_name();
        let why = &failure.why;
        self.complain(format_args!("push into {name} from {} failed: {why}", caller.from));
        let lost = failure.cause == Cause::Lost;
        let _ = self.accounts.record_failure(row.id, self.now(), why, lost);
        let repository = row.id;
        self.desk.tell(News::Failed { repository, failure });
    }

    /// A push is a snapshot.
    pub fn push_done(&self, row: &RepositoryRow, caller: &Caller, committed: &Committed) {
        let (snapshot, repository) = (&committed.snapshot, row.id);
        eprintln!(
            "yored: push into {} from {}: snapshot {}",
            row.full_name(),
            caller.from,
            snapshot.name
        );
        let bytes = self.repository_row(repository).map_or(0, |row| row.bytes);
        // Not the snapshot's time, which stays behind where the clock was wrong once.
        let _ = self
            .accounts
            .record_success(repository, &snapshot.name, self.now(), bytes);
        self.desk.tell(News::Done { repository });
    }

    /// A verification has found damage.
    pub fn damage_found(&self, repository: i64, count: usize, first: &str) {
        let text = format!("{count} found, the first: {}", shortened(first));
        let _ = self.accounts.record_damage(repository, &text);
        self.desk.tell(News::Damage { repository, what: text });
    }

    /// All data was read back since this time and there was no damage; what was found before is no more.
    pub fn no_damage(&self, repository: i64, began: i64) {
        let _ = self.accounts.clear_damage(repository, began);
    }

    /// A key was enrolled.
    pub fn key_enrolled(&self, caller: &Caller, key: &Key) {
        self.complain(format_args!(
            "{}: key {} of {} enrolled from {}",
            caller.user.name, key.fingerprint, key.comment, caller.from
        ));
        self.desk.tell(News::Enrolled {
            user: caller.user.id,
            key: Box::new(key.clone()),
            from: caller.from.clone(),
            how: match caller.invitation {
                Some(_) => Enrolled::Invitation,
                None => Enrolled::Password,
            },
        });
    }
}

/// What the accounts say, to whoever asked.
pub fn refused(error: accounts::Error) -> Error {
    Error::Refused(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::private::Ed25519Keypair;

    use super::*;
    use crate::accounts::{By, UserChange};
    use crate::units::Size;

    fn server() -> (tempfile::TempDir, Arc<Server>, User) {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(folder.path()).unwrap();
        let by = By {
            who: "root",
            from: "here",
        };
        let user = accounts
            .add_user(&"ann".parse().unwrap(), &UserChange::default(), by)
            .unwrap();
        (folder, Server::new(Config::default(), accounts), user)
    }

    fn seen() -> Arc<Seen> {
        Arc::new(Seen {
            from: "here".into(),
            heard: AtomicI64::new(0),
            told: AtomicI64::new(0),
            end: Box::new(|_| {}),
        })
    }

    #[test]
    fn a_new_repository_leaves_the_floor_and_is_one_of_so_many() {
        let (_folder, server, user) = server();
        let keep_free = |bytes| {
            server.reconfigure(Config {
                keep_free: Size(bytes),
                ..Config::default()
            });
        };
        keep_free(1 << 60);
        assert!(matches!(
            server.room_for(&user, 1),
            Err(Error::OverFloor { needed: 1, .. })
        ));
        keep_free(0);
        let add = |number: usize| {
            let name = format!("r{number}").parse().unwrap();
            server
                .accounts
                .add_repository(user.id, &name, None, None, "here")
                .unwrap()
        };
        (1..MOST_REPOSITORIES).map(add).for_each(drop);
        drop(server.room_for(&user, 1).unwrap());
        add(0);
        assert!(matches!(server.room_for(&user, 1), Err(Error::Denied(_))));
    }

    #[test]
    fn a_machine_and_a_user_have_so_many_sessions() {
        let (_folder, server, user) = server();
        let keys: Vec<Key> = (0..MOST_OF_USER as u8)
            .map(|seed| {
                let key = PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]));
                let public = key.public_key().to_openssh().unwrap();
                server.accounts.enrol(user.id, None, &public, "laptop", "here").unwrap()
            })
            .collect();
        let begin = |key: &Key| {
            let caller = Caller {
                user: user.clone(),
                key: Some(key.clone()),
                invitation: None,
                from: "here".into(),
            };
            let followed = server.follow(&caller, seen());
            (!server.is_crowded(&caller)).then_some(followed)
        };
        let mut sessions: Vec<_> = (0..MOST_OF_KEY).map_while(|_| begin(&keys[0])).collect();
        assert_eq!(sessions.len(), MOST_OF_KEY);
        assert!(begin(&keys[0]).is_none(), "one more of a machine");
        sessions.extend(keys[1..].iter().map_while(begin));
        assert_eq!(sessions.len(), MOST_OF_USER, "all machines together");
        sessions.pop();
        assert!(begin(&keys[1]).is_some(), "when one has ended");
    }

    #[test]
    fn what_a_running_push_has_taken_is_not_measured_away() {
        let (_folder, server, user) = server();
        let docs = "docs".parse().unwrap();
        let row = server
            .accounts
            .add_repository(user.id, &docs, None, None, "here")
            .unwrap();
        let seen = seen();
        let (push, _) = server.running.begin(row.id, &seen, server.now(), 60).unwrap();
        server.ledger.take(user.id, row.id, 5000, None).unwrap();
        assert!(!server.measured_at_rest(&row));
        assert_eq!(server.ledger.used(user.id), Some(5000));
        drop(push);
        assert!(server.measured_at_rest(&row));
        assert_eq!(server.ledger.used(user.id), Some(0), "it has written nothing");
    }
}
