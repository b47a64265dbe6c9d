//! Repair: what a damaged repository can be made of again.
//!
//! | damaged | made of |
//! |---|---|
//! | `yore.toml` | anew, with another identity: machines look at all their files once |
//! | the catalog, pages or rows | what can be read of it, and its copies ([`rebuild`]) |
//! | a content | another sound one of the same name; else the next push of a machine that has it (`ingest::heal`) |
//!
//! After a catalog was made again the repository has another identity too, so that every machine looks at all its files at
//! its next push, and what is missing from the newest snapshot comes again.
//!
//! What is damaged for good stays as it is, is named, and reads as an error. Nothing is removed.

mod rebuild;
mod rows;
mod salvage;
mod snapshots;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use crate::error::IoContext;
use crate::ingest::heal;
use crate::layout::{self, FORMAT};
use crate::repository::{renew_config, renew_id};
use crate::stops::Stop;
use crate::{Damage, Error, Repository, Result, TellProgress, catalog, lock};

/// What a repair found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Whether `yore.toml` could not be read and was written anew.
    pub config: bool,
    /// The catalog, if it was damaged.
    pub catalog: Option<Rebuilt>,
    /// Contents that are whole again.
    pub healed: u64,
    /// What is still damaged. After a catalog that would have been rebuilt in a dry run, nothing.
    pub damages: Vec<Damage>,
}

/// A catalog that was made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Stretches of rows that were unreadable, or not what they were.
    pub unreadable: u64,
    /// Rows that came from copies of the catalog.
    pub from_copies: u64,
    /// Stretches that no copy had.
    pub lost: u64,
    /// Snapshots of which only the entries were left, or all but `/`, and that are tagged `recovered` now.
    pub revived: u64,
    /// Entries of which nobody knows how long they were there, and that end with what a copy knew.
    pub ended: u64,
}

impl Repository {
    /// Repairs a repository that need not be one that can be opened; nobody else in this process has it open. In a dry
    /// run nothing is changed, and only said what would be.
    ///
    /// # Errors
    /// [`Error::Busy`] while a push is running; [`Error::Damaged`] if nothing of the catalog can be had.
    pub fn repair(path: &Path, dry_run: bool, progress: &mut TellProgress<'_>) -> Result<Repaired> {
        let path = path
            .canonicalize()
            .map_err(|_| Error::NotARepository(path.to_owned()))?;
        let parts = [layout::catalog(&path), layout::config(&path), path.join("catalog.old")];
        if !parts.iter().any(|part| part.exists()) {
            return Err(Error::NotARepository(path));
        }
        let locks = layout::locks(&path);
        std::fs::create_dir_all(&locks).at(&locks)?;
        let _maintenance = lock::maintenance(&path)?;
        nobody_pushes(&path)?;
        let says = catalog::says_format(&path);
        let mut repaired = Repaired {
            config: renew_config(&path, says, dry_run)?,
            ..Repaired::default()
        };
        // Its version is what `yore.toml` says as well, or it is damaged.
        if says.is_some_and(|says| says != FORMAT) || !is_catalog_sound(&path) {
            repaired.catalog = Some(rebuild_catalog(&path, dry_run)?);
            // Machines remember what the newest snapshot has, and would not send what is missing from it now.
            if !dry_run && !repaired.config {
                renew_id(&path)?;
            }
        }
        if dry_run && (repaired.config || repaired.catalog.is_some()) {
            return Ok(repaired);
        }
        let repository = Arc::new(Repository::open(&path)?);
        let contents = repository.repair_contents(dry_run, progress)?;
        Ok(Repaired {
            healed: contents.healed,
            damages: contents.damages,
            ..repaired
        })
    }

    /// Repairs the contents of a repository whose catalog is sound: those of which there is another one.
    ///
    /// # Errors
    /// As for [`verify`](Self::verify).
    pub fn repair_contents(self: &Arc<Self>, dry_run: bool, progress: &mut TellProgress<'_>) -> Result<Repaired> {
        if !dry_run {
            self.writable()?;
        }
        let verified = self.look(dry_run, progress)?;
        let mut repaired = Repaired {
            damages: verified,
            ..Repaired::default()
        };
        if dry_run || repaired.damages.is_empty() {
            return Ok(repaired);
        }
        let healed = self.in_transaction(Stop::Healed, |transaction| {
            let (healed, freed) = heal(transaction, None)?;
            crate::ingest::drop_runs(transaction, &freed, None)?;
            Ok(healed)
        })?;
        self.unlink_dead()?;
        if !healed.is_empty() {
            repaired.healed = healed.len() as u64 + self.read_again(&healed)?;
            repaired.damages = self.look(false, &mut |_, _| Ok(()))?;
        }
        Ok(repaired)
    }

    fn look(self: &Arc<Self>, dry_run: bool, progress: &mut TellProgress<'_>) -> Result<Vec<Damage>> {
        let verified = match dry_run {
            true => self.verify_unmarked(progress)?,
            false => self.verify(true, progress)?,
        };
        Ok(verified.damages)
    }
}

/// Whoever pushes holds a lock; what he has sent so far would be lost with the catalog that has it.
fn nobody_pushes(repository: &Path) -> Result<()> {
    match lock::held_pushes(repository)? {
        0 => Ok(()),
        _ => Err(Error::Busy("a push is running; repair when it is done".into())),
    }
}

/// Whether SQLite reads all of the catalog and would write to it, all rows are what they were, each snapshot has a `/`
/// and each entry is of a line.
fn is_catalog_sound(repository: &Path) -> bool {
    let look = || -> Result<bool> {
        let catalog = catalog::open(repository, catalog::Access::Read)?;
        let message: String = catalog.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        let mut is_sound = message == "ok" && catalog::may_be_written(repository);
        is_sound = is_sound && snapshots::have_roots(&catalog)? && rows::are_of_lines(&catalog)?;
        for table in salvage::TABLES {
            is_sound &= rows::damaged(repository, &catalog, table.name)?.is_empty();
        }
        Ok(is_sound)
    };
    look().unwrap_or(false)
}

fn rebuild_catalog(repository: &Path, dry_run: bool) -> Result<Rebuilt> {
    let folder = match dry_run {
        true => std::env::temp_dir().join(format!("yore-repair-{}", std::process::id())),
        false => repository.join("catalog.new"),
    };
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).at(&folder)?;
    let rebuilt = rebuild::rebuild(repository, &folder).and_then(|rebuilt| {
        if !dry_run {
            put_in_place(repository, &folder)?;
        }
        Ok(rebuilt)
    });
    let _ = std::fs::remove_dir_all(&folder);
    rebuilt
}

/// Puts the new catalog where the damaged one is, which stays beside it as `catalog.damaged`.
///
/// Through SQLite where that opens the damaged one, in one transaction: who reads meanwhile sees the old one or the
/// new one, and a crash leaves one of them. Else nobody can have it open, and it is renamed.
fn put_in_place(repository: &Path, folder: &Path) -> Result<()> {
    let (damaged, old) = (repository.join("catalog.damaged"), layout::catalog(repository));
    if old.exists() {
        std::fs::copy(&old, &damaged).at(&damaged)?;
    }
    let _writer = lock::writer(repository)?;
    if replace_through(&old, &layout::catalog(folder)).is_ok() {
        return Ok(());
    }
    for beside in ["sqlite3-wal", "sqlite3-shm"] {
        let _ = Stop::OldLogRemoved.around(|| std::fs::remove_file(old.with_extension(beside)));
    }
    let new = layout::catalog(folder);
    Stop::NewCatalogSynced
        .around(|| File::open(&new).and_then(|file| file.sync_all()))
        .at(&new)?;
    Stop::NewCatalogRenamed
        .around(|| std::fs::rename(&new, &old))
        .at(&old)?;
    Stop::NewCatalogFolderSynced
        .around(|| File::open(repository).and_then(|folder| folder.sync_all()))
        .at(repository)
}

fn replace_through(old: &PathBuf, new: &PathBuf) -> Result<()> {
    let source = Connection::open_with_flags(new, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut target = Connection::open_with_flags(old, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    target.busy_timeout(crate::catalog::BUSY)?;
    target.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let backup = Backup::new(&source, &mut target)?;
    Stop::CatalogReplaced.around(|| backup.run_to_completion(10_000, std::time::Duration::ZERO, None))?;
    drop(backup);
    target.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}
