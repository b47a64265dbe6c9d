//! The ledger: how much each user has stored, while it is written.
//!
//! A user's figure is what the disk counts for the user's folder: blocks of stored files, of
//! catalogs and their logs, of folders, ballast and what dead pushes left. It is measured when a user
//! first comes and whenever a push or a removal ends, repository by repository; in between,
//! each write is added before it happens. So simultaneous pushes of one user share one figure, and
//! none of them writes a byte that another has taken.
//!
//! Between two measurements the figure may differ from the disk's by the rounding of files to
//! blocks (a thousandth) and by what the catalog takes more or less than 160 bytes a row.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use yore_store::{Budget, Error, Result};

/// After so many bytes the room on the disk is looked at again.
const LOOK: u64 = 16 << 20;

/// The figures of all users.
#[derive(Default)]
pub struct Ledger(Mutex<Users>);

type Users = HashMap<i64, HashMap<i64, Figure>>;

/// What one repository takes.
#[derive(Clone, Copy, Default)]
struct Figure {
    /// Bytes, as they were measured and have been taken since.
    used: u64,
    /// Bytes that were ever taken: what comes while it is measured is seen by this.
    taken: u64,
}

impl Ledger {
    fn users(&self) -> MutexGuard<'_, Users> {
        self.0.lock().expect("no panic while held")
    }

    /// What a user has stored, in bytes of the disk; `None` if it was never measured.
    pub fn used(&self, user: i64) -> Option<u64> {
        self.users()
            .get(&user)
            .map(|repositories| repositories.values().map(|figure| figure.used).sum())
    }

    /// Measures every repository of a user, unless that was done before.
    pub fn begin(&self, user: i64, repositories: &[(i64, PathBuf)]) -> Result<()> {
        let known: Vec<i64> = self
            .users()
            .get(&user)
            .map_or(Vec::new(), |known| known.keys().copied().collect());
        for (id, path) in repositories {
            if !known.contains(id) {
                self.measure(user, *id, path)?;
            }
        }
        let gone = |id: &i64| !repositories.iter().any(|(known, _)| known == id);
        self.users().entry(user).or_default().retain(|id, _| !gone(id));
        Ok(())
    }

    /// Measures a repository; gives its bytes. What is taken meanwhile is added: it may be counted
    /// twice until the next time, and is never forgotten.
    pub fn measure(&self, user: i64, repository: i64, path: &Path) -> Result<u64> {
        let taken = |ledger: &Self| {
            let users = ledger.users();
            users
                .get(&user)
                .and_then(|known| known.get(&repository))
                .map_or(0, |figure| figure.taken)
        };
        let before = taken(self);
        let bytes = disk_bytes(path)?;
        let mut users = self.users();
        let figure = users.entry(user).or_default().entry(repository).or_default();
        figure.used = bytes + (figure.taken - before);
        Ok(figure.used)
    }

    /// Gives back bytes that were removed from a repository into which somebody is writing.
    pub fn give_back(&self, user: i64, repository: i64, bytes: u64) {
        let mut users = self.users();
        if let Some(known) = users.get_mut(&user).and_then(|known| known.get_mut(&repository)) {
            known.used = known.used.saturating_sub(bytes);
        }
    }

    /// Takes bytes for a repository, if they fit; else what is used.
    fn take(&self, user: i64, repository: i64, bytes: u64, quota: Option<u64>) -> std::result::Result<(), u64> {
        let mut users = self.users();
        let repositories = users.entry(user).or_default();
        let used: u64 = repositories.values().map(|figure| figure.used).sum();
        if quota.is_some_and(|quota| used.saturating_add(bytes) > quota) {
            return Err(used);
        }
        let figure = repositories.entry(repository).or_default();
        figure.used += bytes;
        figure.taken += bytes;
        Ok(())
    }
}

/// Bytes that the disk counts for a folder and all that is in it.
///
/// # Errors
/// What the system says; what goes away meanwhile is not counted.
pub fn disk_bytes(folder: &Path) -> Result<u64> {
    let at = |path: &Path, source: std::io::Error| Error::Io {
        path: path.to_owned(),
        source,
    };
    let gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        match folder.symlink_metadata() {
            Ok(status) => bytes += status.blocks() * 512,
            Err(error) if gone(&error) => continue,
            Err(error) => return Err(at(&folder, error)),
        }
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if gone(&error) => continue,
            Err(error) => return Err(at(&folder, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| at(&folder, error))?;
            match entry.metadata() {
                Ok(status) if status.is_dir() => folders.push(entry.path()),
                Ok(status) => bytes += status.blocks() * 512,
                Err(error) if gone(&error) => {}
                Err(error) => return Err(at(&entry.path(), error)),
            }
        }
    }
    Ok(bytes)
}

/// What a push may write: the user's quota, and the floor of the disk.
pub struct Quota {
    /// The figures.
    pub ledger: Arc<Ledger>,
    /// The user's number.
    pub user: i64,
    /// The repository's number.
    pub repository: i64,
    /// Its folder.
    pub path: PathBuf,
    /// What the user may store.
    pub quota: Option<u64>,
    /// What must stay free on the disk.
    pub floor: u64,
    /// Makes room of what nobody needs; says whether there was any.
    pub make_room: Box<dyn FnMut() -> bool + Send>,
    /// Bytes until the disk is looked at.
    pub until_look: u64,
}

impl Quota {
    fn floor_holds(&mut self, bytes: u64) -> Result<()> {
        if self.until_look > bytes {
            self.until_look -= bytes;
            return Ok(());
        }
        let disk = rustix::fs::statvfs(&self.path).map_err(|errno| Error::Io {
            path: self.path.clone(),
            source: errno.into(),
        })?;
        let free = disk.f_bavail * disk.f_frsize;
        if free < self.floor.saturating_add(bytes) {
            return Err(Error::OverFloor {
                free,
                floor: self.floor,
                needed: bytes,
            });
        }
        // Close to the floor each write is looked at.
        self.until_look = LOOK.min((free - self.floor - bytes) / 8);
        Ok(())
    }

    fn quota_holds(&mut self, bytes: u64) -> Result<()> {
        let taken = self.ledger.take(self.user, self.repository, bytes, self.quota);
        taken.map_err(|used| Error::OverBudget {
            used,
            limit: self.quota.unwrap_or(u64::MAX),
            needed: bytes,
        })
    }
}

impl Budget for Quota {
    fn reserve(&mut self, bytes: u64) -> Result<()> {
        let holds = |quota: &mut Self| quota.floor_holds(bytes).and_then(|()| quota.quota_holds(bytes));
        match holds(self) {
            Err(error) if error.is_want_of_room() && (self.make_room)() => {
                self.until_look = 0;
                holds(self)
            }
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(ledger: &Arc<Ledger>, path: &Path, repository: i64, quota: Option<u64>, floor: u64) -> Quota {
        Quota {
            ledger: ledger.clone(),
            user: 1,
            repository,
            path: path.to_owned(),
            quota,
            floor,
            make_room: Box::new(|| false),
            until_look: 0,
        }
    }

    #[test]
    fn pushes_of_one_user_share_one_figure() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::default());
        let mut one = quota(&ledger, folder.path(), 1, Some(1000), 0);
        let mut two = quota(&ledger, folder.path(), 2, Some(1000), 0);
        one.reserve(600).unwrap();
        let error = two.reserve(500).unwrap_err();
        assert!(
            matches!(
                error,
                Error::OverBudget {
                    used: 600,
                    limit: 1000,
                    needed: 500
                }
            ),
            "{error}"
        );
        two.reserve(400).unwrap();
        assert_eq!(ledger.used(1), Some(1000));
        // What was really written may be less.
        ledger.measure(1, 2, &folder.path().join("gone")).unwrap();
        assert_eq!(ledger.used(1), Some(600));
    }

    #[test]
    fn room_is_made_once_before_a_push_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::default());
        let mut push = quota(&ledger, folder.path(), 1, Some(1000), 0);
        push.reserve(900).unwrap();
        let (freed, path) = (ledger.clone(), folder.path().join("gone"));
        push.make_room = Box::new(move || freed.measure(1, 1, &path).is_ok());
        push.reserve(500).unwrap();
        assert_eq!(ledger.used(1), Some(500));
    }

    #[test]
    fn the_disk_keeps_its_floor() {
        let folder = tempfile::tempdir().unwrap();
        let mut push = quota(&Arc::default(), folder.path(), 1, None, u64::MAX / 2);
        assert!(matches!(push.reserve(1), Err(Error::OverFloor { needed: 1, .. })));
    }

    #[test]
    fn a_folder_counts_as_du_counts_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/b"), vec![1; 5000]).unwrap();
        std::fs::write(folder.path().join("c"), "x").unwrap();
        let du = std::process::Command::new("du")
            .args(["-s", "-B1"])
            .arg(folder.path())
            .output()
            .unwrap();
        let du: u64 = String::from_utf8(du.stdout)
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(disk_bytes(folder.path()).unwrap(), du);
    }
}
