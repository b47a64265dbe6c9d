//! Opening a repository, and making one that a machine pushes into for the first time.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use yore_store::{Compression, Error, Repository, Result};
use yore_wire::Opened;

use super::{Open, Session};
use crate::accounts::{RepositoryName, RepositoryRow};
use crate::failure::Failed;

/// Bytes that the caches of a session's repository keep.
const CACHE: usize = 12 << 20;

/// What an empty repository takes, in bytes: ballast and catalog.
pub(super) const NEW: u64 = 2 << 20;

/// How data in new repositories is compressed.
const COMPRESSION: Compression = Compression::Zstd(3);

impl Session {
    /// Makes a repository beside its place and moves it there whole: one that was half made in its
    /// place could be neither opened nor made.
    fn make(&self, row: &RepositoryRow, path: &Path) -> Result<()> {
        let at = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let number = self.number.load(Ordering::Relaxed);
        let beside = path.with_file_name(format!(".new-{}-{number}", row.id));
        let made = Repository::init(&beside, COMPRESSION).map(drop);
        let moved = made.and_then(|()| match std::fs::rename(&beside, path) {
            // Another session of the machine was faster.
            Err(_) if path.join("yore.toml").exists() => Ok(()),
            // Its name too, before anything is committed into it.
            moved => moved
                .and_then(|()| std::fs::File::open(path.with_file_name("."))?.sync_all())
                .map_err(at),
        });
        let _ = std::fs::remove_dir_all(&beside);
        moved
    }

    /// Opens a repository of the user; to push into it, it is made if it is not there.
    pub(super) fn open(&self, name: &str, to_push: bool) -> Result<Opened> {
        let key = self.caller.key.as_ref();
        let key = key.ok_or_else(|| Error::Denied("a password only enrols a machine; `yore link` does".into()))?;
        // One at a time, before anything is made: each session has one repository.
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if self.opened.get().is_some() {
            return Err(Error::Refused("a repository is open already".into()));
        }
        let accounts = &self.server.accounts;
        let denied = |error: crate::accounts::Error| Error::Denied(error.to_string());
        let name: RepositoryName = name.parse().map_err(denied)?;
        let user = &self.caller.user;
        let unknown = || Error::Denied(format!("{} has no repository {name}", user.name));
        // Until a new one is made and measured.
        let mut _room = None;
        let (row, path) = match accounts.repository(user.id, &name).map_err(denied)? {
            Some(row) => (row, accounts.repository_path(&user.name, &name)),
            None if !to_push => return Err(unknown()),
            None => {
                _room = Some(self.server.room_for(user, NEW)?);
                let row = accounts
                    .add_repository(user.id, &name, Some(key.id), Some(&key.comment), &self.caller.from)
                    .map_err(denied)?;
                (row, accounts.repository_path(&user.name, &name))
            }
        };
        let repository = match Repository::open_with_cache(&path, CACHE) {
            Err(Error::NotARepository(_)) if to_push => {
                self.make(&row, &path)?;
                self.server.measured_at_rest(&row);
                Repository::open_with_cache(&path, CACHE)
            }
            Err(Error::NotARepository(_)) => return Err(unknown()),
            opened => opened,
        };
        let repository = repository.inspect_err(|error| {
            self.tell_damage_of(&row, error);
            if to_push {
                self.server.push_failed(&row, &self.caller, Failed::from(error));
            }
        })?;
        let opened = Opened {
            id: repository.id().to_owned(),
            compression: repository.compression(),
            may_prune: user.may_prune,
        };
        let open = Open {
            repository: Arc::new(repository),
            row,
        };
        let _ = accounts.session_opens(self.number.load(Ordering::Relaxed), &name);
        match self.opened.set(open) {
            Ok(()) => Ok(opened),
            Err(_) => Err(Error::Refused("a repository is open already".into())),
        }
    }
}
