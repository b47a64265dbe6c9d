//! Copies of the catalog: what a repair goes by when the catalog itself is damaged.
//!
//! ```text
//! REPO/catalog.old/2026-11-20_03-14-59.zst     a catalog as `VACUUM INTO` writes it, compressed, with zstd's checksum
//!                  2026-11-18_…, 2026-11-09_…   the oldest of the last week, the newest before that
//! REPO/catalog.old/new                          being written, under a lock; what a dead process left of it goes with a sweep
//! ```
//!
//! SQLite reads every row for a copy, so a catalog with pages that it cannot read is not copied, and pushes out none that
//! was. A flipped bit in a row goes into the copies too, until a verification finds it: that is why older ones stay.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::IoContext;
use crate::stops::Stop;
use crate::time::snapshot_name;
use crate::{Error, Repository, Result, lock};

/// Seconds after which there is another copy.
const EVERY: i64 = 24 * 60 * 60;

/// Seconds of which the oldest copy stays; of those before only the newest does.
const LAST: i64 = 7 * EVERY;

/// The level of zstd: a copy is seldom read, and made while somebody may wait.
const LEVEL: i32 = 3;

/// What a copy is made in: what becomes it, and what goes when it is made.
const BEING_WRITTEN: [&str; 3] = ["new.part", "new", "new-journal"];

fn folder(repository: &Path) -> PathBuf {
    repository.join("catalog.old")
}

/// The copies of a repository's catalog, newest first.
pub(crate) fn copies(repository: &Path) -> Result<Vec<PathBuf>> {
    let folder = folder(repository);
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at(&folder)?,
    };
    let mut copies = Vec::new();
    for entry in entries {
        let path = entry.at(&folder)?.path();
        if path.extension().is_some_and(|extension| extension == "zst") {
            copies.push(path);
        }
    }
    copies.sort_unstable_by(|a, b| b.cmp(a));
    Ok(copies)
}

/// Decompresses a copy; `to` is not there yet.
///
/// # Errors
/// If it is not what was written.
pub(crate) fn unpack(copy: &Path, to: &Path) -> Result<()> {
    let mut decoder = zstd::stream::Decoder::new(File::open(copy).at(copy)?).at(copy)?;
    let mut file = File::create_new(to).at(to)?;
    io::copy(&mut decoder, &mut file).map(drop).at(copy)
}

impl Repository {
    /// Copies the catalog, if the newest copy is of a day ago or there is none, and nobody else is copying it; says whether
    /// it did.
    ///
    /// # Errors
    /// If it cannot be read, or not be written: then the copies are those that there were.
    pub fn copy_catalog(&self) -> Result<bool> {
        let now = self.now();
        let is_due = copies(self.path())?
            .first()
            .is_none_or(|newest| name_of(newest) <= snapshot_name(now - EVERY));
        if self.is_read_only() || !is_due {
            return Ok(false);
        }
        let Some(_copying) = lock::copy(self.path())? else {
            return Ok(false);
        };
        let folder = folder(self.path());
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error).at(&folder),
            _ => {}
        }
        remove(&folder, &BEING_WRITTEN);
        let (plain, packed) = (folder.join("new"), folder.join("new.part"));
        let written = self.write_copy(&plain, &packed);
        let done_with = if written.is_ok() {
            &BEING_WRITTEN[1..]
        } else {
            &BEING_WRITTEN
        };
        remove(&folder, done_with);
        written?;
        let copy = folder.join(snapshot_name(now)).with_extension("zst");
        Stop::CopyRenamed.around(|| std::fs::rename(&packed, &copy)).at(&copy)?;
        for folder in [&folder, self.path()] {
            Stop::CopyFolderSynced
                .around(|| File::open(folder).and_then(|folder| folder.sync_all()))
                .at(folder)?;
        }
        self.thin(now)?;
        Ok(true)
    }

    /// Removes what a dead process left of a copy.
    pub(crate) fn sweep_copy(&self) -> Result<()> {
        let folder = folder(self.path());
        let is_left = BEING_WRITTEN.iter().any(|name| folder.join(name).exists());
        if is_left && let Some(_copying) = lock::copy(self.path())? {
            remove(&folder, &BEING_WRITTEN);
        }
        Ok(())
    }

    fn write_copy(&self, plain: &Path, packed: &Path) -> Result<()> {
        let path = plain
            .to_str()
            .ok_or_else(|| Error::Refused(format!("{}: no UTF-8", plain.display())))?;
        let connection = self.connection()?;
        Stop::CopyMade.around(|| connection.execute("VACUUM INTO ?1", [path]))?;
        let mut file = File::create(packed).at(packed)?;
        let mut encoder = zstd::stream::Encoder::new(&mut file, LEVEL).at(packed)?;
        encoder.include_checksum(true).at(packed)?;
        io::copy(&mut File::open(plain).at(plain)?, &mut encoder).at(packed)?;
        encoder.finish().at(packed)?;
        Stop::CopySynced.around(|| file.sync_all()).at(packed)
    }

    /// Removes copies that others stand for: the newest stays, the oldest of the last week, the newest before that.
    fn thin(&self, now: i64) -> Result<()> {
        let week = snapshot_name(now - LAST);
        let all = copies(self.path())?;
        let (recent, before): (Vec<_>, Vec<_>) = all.iter().partition(|copy| name_of(copy) > week);
        let stay = [recent.first(), recent.last(), before.first()];
        let stays = |copy: &PathBuf| stay.iter().flatten().any(|one| **one == copy);
        for copy in all.iter().filter(|copy| !stays(copy)) {
            Stop::CopyThinned.around(|| std::fs::remove_file(copy)).at(copy)?;
        }
        Ok(())
    }
}

fn remove(folder: &Path, names: &[&str]) {
    for name in names {
        let _ = Stop::CopyTidied.around(|| std::fs::remove_file(folder.join(name)));
    }
}

fn name_of(copy: &Path) -> String {
    copy.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::{Bench, file};
    use crate::time::StepClock;

    fn at(bench: &Bench, day: i64) -> Repository {
        let clock = Arc::new(StepClock::new(1_700_000_000 + day * EVERY));
        Repository::open_with_clock(bench.repository.path(), clock).unwrap()
    }

    #[test]
    fn copies_are_of_a_day_each_and_the_older_ones_are_few() {
        let bench = Bench::new();
        bench.push("host", |push| file(push, "file", b"bytes"));
        for day in 1..40 {
            assert!(at(&bench, day).copy_catalog().unwrap(), "{day}");
            assert!(!at(&bench, day).copy_catalog().unwrap(), "{day}");
            let copies = copies(bench.repository.path()).unwrap();
            let name = |day: i64| snapshot_name(1_700_000_000 + day * EVERY)[..10].to_owned();
            assert_eq!(name_of(&copies[0])[..10], name(day));
            assert!(copies.len() <= 3, "{copies:?}");
            if day > 20 {
                assert_eq!(copies.len(), 3);
                assert!(name_of(&copies[2])[..10] < *name(day - 6), "{day}: {copies:?}");
            }
        }
    }

    #[test]
    fn what_a_dead_process_left_of_a_copy_is_swept_and_not_what_a_living_one_writes() {
        let bench = Bench::new();
        bench.push("host", |push| file(push, "file", b"bytes"));
        assert!(bench.repository.copy_catalog().unwrap());
        let folder = folder(bench.repository.path());
        let left = || std::fs::read_dir(&folder).unwrap().count() - 1;
        for name in BEING_WRITTEN {
            std::fs::write(folder.join(name), b"half").unwrap();
        }
        let living = lock::copy(bench.repository.path()).unwrap();
        bench.repository.sweep().unwrap();
        assert_eq!(left(), 3);
        assert!(!at(&bench, 3).copy_catalog().unwrap(), "somebody else does");
        drop(living);
        bench.repository.sweep().unwrap();
        assert_eq!(left(), 0);
        assert!(at(&bench, 3).copy_catalog().unwrap());
    }

    #[test]
    fn a_copy_is_a_catalog_and_one_that_has_changed_is_refused() {
        let bench = Bench::new();
        bench.push("host", |push| file(push, "file", b"bytes"));
        bench.repository.copy_catalog().unwrap();
        let copy = copies(bench.repository.path()).unwrap().remove(0);
        let to = bench.repository.path().join("unpacked");
        unpack(&copy, &to).unwrap();
        let count = |path: &Path| -> i64 {
            let connection = rusqlite::Connection::open(path).unwrap();
            connection
                .query_row("SELECT count(*) FROM entries", [], |row| row.get(0))
                .unwrap()
        };
        assert_eq!(count(&to), 2);
        std::fs::remove_file(&to).unwrap();
        let mut bytes = std::fs::read(&copy).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&copy, bytes).unwrap();
        assert!(unpack(&copy, &to).is_err());
    }

    #[test]
    fn a_catalog_that_cannot_be_read_is_not_copied_and_the_copies_stay() {
        let bench = Bench::new();
        (0..200).for_each(|at| drop(bench.push("host", |push| file(push, &format!("file-{at}"), b"bytes"))));
        at(&bench, 1).copy_catalog().unwrap();
        bench.repository.checkpoint().unwrap();
        let catalog = crate::layout::catalog(bench.repository.path());
        let mut bytes = std::fs::read(&catalog).unwrap();
        let page = bytes.len() / 4096 * 3 / 4 * 4096;
        bytes[page..page + 4096].fill(0);
        std::fs::write(&catalog, bytes).unwrap();
        assert!(at(&bench, 3).copy_catalog().is_err());
        let left: Vec<_> = std::fs::read_dir(folder(bench.repository.path())).unwrap().collect();
        assert_eq!(left.len(), 1);
    }
}
