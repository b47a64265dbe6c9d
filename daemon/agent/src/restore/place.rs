//! Putting one thing that is not a folder in its place.
//!
//! 1. It is made under a temporary name in the same folder: nothing is lost if
//!    this is cut, a `.yore-…` file stays at worst.
//! 2. It gets its metadata there.
//! 3. It is renamed over what was there: one or the other is always whole.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, mknodat, openat, renameat, symlinkat, unlinkat};
use rustix::io::Errno;
use yore_store::{Entry, Kind, Meta};

use super::ahead::Ahead;
use super::apply::apply_to_file;
use super::flush::Flusher;
use super::links::Links;
use super::{Applied, Overwrite, Progress, RestoreOptions, Source, apply_meta, contents, remove::remove};
use crate::folder::Chain;
use crate::metadata::Stat;

/// What has been done about a thing.
pub(super) enum Placed {
    /// It is there.
    Made { bytes: u64, applied: Applied, deleted: u64 },
    /// What was there stayed.
    Skipped,
}

/// A thing that was made.
struct Made {
    bytes: u64,
    applied: Applied,
    /// Device and inode: of the file as it was written, not of what has its name by now, which may be another's.
    identity: (u64, u64),
}

impl Made {
    fn new(bytes: u64, applied: Applied, stat: &Stat) -> Self {
        Made {
            bytes,
            applied,
            identity: (stat.dev, stat.ino),
        }
    }
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

pub(super) struct Placer<'a> {
    pub source: &'a dyn Source,
    pub options: &'a RestoreOptions,
    pub progress: &'a dyn Progress,
    pub ahead: Ahead,
    pub flusher: Flusher<'a>,
}

impl Placer<'_> {
    /// Puts `entry` into the chain's current folder; `existed` says whether that was there before, with
    /// things in it perhaps.
    pub fn put(&mut self, chain: &mut Chain, links: &mut Links, entry: &Entry, existed: bool) -> Outcome<Placed> {
        let name = entry.name.as_slice();
        let existing = match existed {
            true => stat_if_there(chain.top()?, name)?,
            false => None,
        };
        if existing.is_some_and(|stat| self.stays(&stat, &entry.meta)) {
            return Ok(Placed::Skipped);
        }
        let temporary = temporary_name();
        let made = self.make_and_rename(chain, links, entry, &temporary, existing);
        if made.is_err() {
            // The error that counts is the one that we have.
            let _ = unlinkat(chain.top()?, temporary.as_slice(), AtFlags::empty());
        }
        made
    }

    fn stays(&self, existing: &Stat, meta: &Meta) -> bool {
        match self.options.overwrite {
            Overwrite::Always => false,
            Overwrite::IfNewer => (meta.mtime, meta.mtime_ns) <= (existing.mtime, existing.mtime_ns),
            Overwrite::Never => true,
        }
    }

    fn make_and_rename(
        &mut self,
        chain: &mut Chain,
        links: &mut Links,
        entry: &Entry,
        temporary: &[u8],
        existing: Option<Stat>,
    ) -> Outcome<Placed> {
        let linked = links.link(chain, entry, temporary);
        let dir = chain.top()?;
        let made = match linked {
            true => None,
            false => Some(self.make(dir, temporary, entry)?),
        };
        let mut deleted = 0;
        if existing.is_some_and(|stat| stat.kind() == Some(Kind::Folder)) {
            self.clear_folder(dir, &entry.name, &mut deleted)?;
        }
        renameat(dir, temporary, dir, entry.name.as_slice())?;
        let Some(made) = made else {
            // Renaming one name of a thing over another does nothing at all.
            let _ = unlinkat(dir, temporary, AtFlags::empty());
            return Ok(Placed::Made {
                bytes: 0,
                applied: Applied::default(),
                deleted,
            });
        };
        links.remember(chain, entry, made.identity);
        Ok(Placed::Made {
            bytes: made.bytes,
            applied: made.applied,
            deleted,
        })
    }

    /// A folder is in the way: an empty one goes; one with things in it goes
    /// only if removing was asked for.
    fn clear_folder(&self, dir: BorrowedFd, name: &[u8], deleted: &mut u64) -> Outcome<()> {
        match unlinkat(dir, name, AtFlags::REMOVEDIR) {
            Ok(()) => Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) if self.options.delete => Ok(remove(dir, name, deleted)?),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Err("a folder with things in it is in its place".into()),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Writes a file's bytes; returns how many.
    fn write(&mut self, entry: &Entry, file: &File) -> Outcome<u64> {
        let (flusher, progress) = (&mut self.flusher, self.progress);
        contents::write(self.source, &mut self.ahead, entry, file, &mut |more| {
            flusher.bytes(more);
            progress.bytes(more);
        })
    }

    /// Makes a thing with its metadata.
    fn make(&mut self, dir: BorrowedFd, name: &[u8], entry: &Entry) -> Outcome<Made> {
        let node = |kind, device| Ok(mknodat(dir, name, kind, Mode::RUSR | Mode::WUSR, device)?);
        let made: io::Result<()> = match entry.meta.kind {
            Kind::File => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = File::from(openat(dir, name, flags, Mode::RUSR | Mode::WUSR).map_err(io::Error::from)?);
                let bytes = self.write(entry, &file)?;
                self.flusher.thing();
                let applied = apply_to_file(&file, &entry.meta)?;
                return Ok(Made::new(bytes, applied, &Stat::of(file.as_fd())?));
            }
            Kind::Folder => Err(io::Error::other("a folder where none was expected")),
            Kind::Symlink => symlinkat(entry.meta.target.as_slice(), dir, name).map_err(Into::into),
            Kind::Fifo => node(FileType::Fifo, 0),
            Kind::Socket => node(FileType::Socket, 0),
            Kind::CharDevice => node(FileType::CharacterDevice, entry.meta.rdev),
            Kind::BlockDevice => node(FileType::BlockDevice, entry.meta.rdev),
        };
        made?;
        let applied = apply_meta(dir, name, &entry.meta)?;
        Ok(Made::new(0, applied, &Stat::at(dir, name)?))
    }
}

/// What has a name, if anything does.
fn stat_if_there(dir: BorrowedFd, name: &[u8]) -> io::Result<Option<Stat>> {
    match Stat::at(dir, name) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A name that nothing else has; if something does, making it fails.
fn temporary_name() -> Vec<u8> {
    format!(".yore-{:016x}", RandomState::new().hash_one(std::process::id())).into_bytes()
}
