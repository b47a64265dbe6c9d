//! The removal of folders that rows name.
//!
//! ```text
//! in a transaction   the row is deleted, the folder renamed to .deleted-N (N is the row's number)
//! commit
//! afterwards         .deleted-N is emptied
//! ```
//!
//! The rename is one step: whoever opens a path in the folder before it finds everything, and nothing
//! afterwards. A transaction that fails puts the folder back. After a crash the row decides: if it is
//! still there nothing was removed, and [`Accounts::sweep_deleted`] puts the folder back; if not, it
//! removes what is left.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::IoContext;
use super::{Accounts, RepositoryRow, Result, User, folders};

const PREFIX: &str = ".deleted-";

fn aside(folder: &Path, number: i64) -> PathBuf {
    folder.with_file_name(format!("{PREFIX}{number}"))
}

/// A folder on its way out.
pub struct Aside {
    folder: PathBuf,
    aside: Option<PathBuf>,
}

impl Aside {
    /// Of this folder; nothing happens to it yet.
    pub fn of(folder: PathBuf) -> Self {
        Aside { folder, aside: None }
    }

    /// Puts it aside, inside the transaction. If it is not there, nothing is wrong: nobody has pushed
    /// yet, or an earlier deletion was cut off.
    pub fn put(&mut self, number: i64) -> Result<()> {
        let aside = aside(&self.folder, number);
        match std::fs::rename(&self.folder, &aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).at(&self.folder),
            _ => self.aside = aside.exists().then_some(aside),
        }
        Ok(())
    }

    /// Removes it, after the commit.
    pub fn remove(mut self) -> Result<()> {
        self.aside.take().map_or(Ok(()), |aside| remove(&aside))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(aside) = self.aside.take() {
            // If this fails too, the next start does it.
            let _ = std::fs::rename(aside, &self.folder);
        }
    }
}

fn remove(aside: &Path) -> Result<()> {
    match std::fs::remove_dir_all(aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).at(aside),
        _ => Ok(()),
    }
}

/// What was set aside in a folder, and the numbers of the rows.
fn left_over(folder: &Path) -> Vec<(PathBuf, i64)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let numbered = entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        let number = name.to_str()?.strip_prefix(PREFIX)?.parse().ok()?;
        Some((entry.path(), number))
    });
    numbered.collect()
}

impl Accounts {
    /// Ends what deletions that were cut off have begun. Opens files: for the start of the daemon.
    pub fn sweep_deleted(&self) -> Result<()> {
        // A transaction that writes: no deletion is between its rename and its commit meanwhile.
        let dead = self.change(|transaction| {
            let users = super::users::all(transaction)?;
            let rows = super::repositories::all(transaction)?;
            self.put_back(&users, &rows)
        })?;
        dead.iter().try_for_each(|aside| remove(aside))
    }

    /// Puts back what rows still name; gives what none does.
    fn put_back(&self, users: &[User], rows: &[RepositoryRow]) -> Result<Vec<PathBuf>> {
        let mut dead = Vec::new();
        for (aside, number) in left_over(&folders::users(self.data())) {
            match users.iter().find(|user| user.id == number) {
                Some(user) => rename(&aside, &self.user_path(&user.name))?,
                None => dead.push(aside),
            }
        }
        for user in users {
            for (aside, number) in left_over(&self.user_path(&user.name)) {
                match rows.iter().find(|row| row.id == number) {
                    Some(row) => rename(&aside, &self.repository_path(&user.name, &row.name))?,
                    None => dead.push(aside),
                }
            }
        }
        Ok(dead)
    }
}

/// Gives a folder its name again, unless there is another by now: then both stay, for a person to see.
fn rename(aside: &Path, folder: &Path) -> Result<()> {
    match folder.exists() {
        true => Ok(()),
        false => std::fs::rename(aside, folder).at(folder),
    }
}
