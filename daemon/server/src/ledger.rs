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
use std::sync::{Mutex, MutexGuard};

use yore_store::{Error, Result};

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

/// A moment, in bytes that had been taken for a repository by then.
#[derive(Clone, Copy)]
pub struct Mark(u64);

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

    /// What one repository takes; `None` if it was never measured.
    pub fn of(&self, user: i64, repository: i64) -> Option<u64> {
        let users = self.users();
        let figure = users.get(&user).and_then(|known| known.get(&repository));
        figure.map(|figure| figure.used)
    }

    /// Measures every repository of a user, unless that was done before; forgets those that are gone.
    /// `repositories` gives their numbers and folders.
    pub fn begin(&self, user: i64, repositories: impl FnOnce() -> Result<Vec<(i64, PathBuf)>>) -> Result<()> {
        let known: Vec<i64> = self
            .users()
            .get(&user)
            .map_or(Vec::new(), |known| known.keys().copied().collect());
        // Asked for after that: one that another session has just made is not taken for gone.
        let repositories = repositories()?;
        for (id, path) in repositories.iter().filter(|(id, _)| !known.contains(id)) {
            let used = disk_bytes(path)?;
            // Two pushes may begin at once; what the first has taken by now stays taken.
            let mut users = self.users();
            users
                .entry(user)
                .or_default()
                .entry(*id)
                .or_insert(Figure { used, taken: 0 });
        }
        let is_gone = |id: &i64| known.contains(id) && !repositories.iter().any(|(there, _)| there == id);
        self.users().entry(user).or_default().retain(|id, _| !is_gone(id));
        Ok(())
    }

    /// Now, as a repository's figure goes. A measurement keeps what is taken after it.
    pub fn mark(&self, user: i64, repository: i64) -> Mark {
        let users = self.users();
        let figure = users.get(&user).and_then(|known| known.get(&repository));
        Mark(figure.map_or(0, |figure| figure.taken))
    }

    /// Measures a repository; gives its bytes. What was taken since the mark is added: it may be
    /// counted twice until the next time, and is never forgotten.
    pub fn measure(&self, user: i64, repository: i64, mark: Mark, path: &Path) -> Result<u64> {
        let bytes = disk_bytes(path)?;
        let mut users = self.users();
        let figure = users.entry(user).or_default().entry(repository).or_default();
        figure.used = bytes + (figure.taken - mark.0);
        Ok(figure.used)
    }

    /// Adds what a removal changed, which is less than nothing if it freed bytes, in a repository into
    /// which somebody is writing.
    pub fn adjust(&self, user: i64, repository: i64, by: i64) {
        let mut users = self.users();
        if let Some(known) = users.get_mut(&user).and_then(|known| known.get_mut(&repository)) {
            known.used = known.used.saturating_add_signed(by);
        }
    }

    /// Takes bytes for a repository, if they fit; else what is used.
    pub fn take(&self, user: i64, repository: i64, bytes: u64, quota: Option<u64>) -> std::result::Result<(), u64> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_while_it_is_measured_stays_taken() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::default();
        let gone = folder.path().join("gone");
        ledger.take(1, 7, 500, None).unwrap();
        let mark = ledger.mark(1, 7);
        // A push begins here and writes nothing yet.
        ledger.take(1, 7, 300, None).unwrap();
        assert_eq!(ledger.measure(1, 7, mark, &gone).unwrap(), 300);
        assert_eq!(ledger.used(1), Some(300));
    }

    #[test]
    fn a_repository_is_measured_once_and_forgotten_when_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::default();
        let seven = (7, folder.path().join("seven"));
        ledger.begin(1, || Ok(vec![seven.clone()])).unwrap();
        ledger.take(1, 7, 500, None).unwrap();
        ledger.begin(1, || Ok(vec![seven.clone()])).unwrap();
        assert_eq!(
            ledger.used(1),
            Some(500),
            "what a push has taken is not on the disk yet"
        );
        let eight = (8, folder.path().join("eight"));
        let made_meanwhile = || {
            ledger.begin(1, || Ok(vec![seven.clone(), eight.clone()])).unwrap();
            ledger.take(1, 8, 40, None).unwrap();
            Ok(vec![seven.clone()])
        };
        ledger.begin(1, made_meanwhile).unwrap();
        assert_eq!(ledger.used(1), Some(540));
        ledger.begin(1, || Ok(vec![eight])).unwrap();
        assert_eq!(ledger.used(1), Some(40));
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
