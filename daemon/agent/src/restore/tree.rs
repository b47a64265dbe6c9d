//! The walk over a snapshot's subtree, and the folders that it makes.
//!
//! Levels stand for the snapshot's folders on the current path, the chain for
//! those of them that exist below the destination already. With include
//! patterns a folder is made only when something in it is: then the chain is
//! shorter than the levels until [`Restorer::make_folders`] catches up.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::Scope;

use rustix::fs::{AtFlags, Mode, fchmod, mkdirat, unlinkat};
use rustix::io::Errno;
use yore_store::{Entry, Kind, Listing};

use super::ahead::Ahead;
use super::destination::open_or_make;
use super::flush::Flusher;
use super::links::Links;
use super::own::{as_own, is_device};
use super::place::{Placed, Placer};
use super::remove::remove;
use super::trail::Trail;
use super::{Applied, Entered, Overwrite, Progress, Report, RestoreOptions, Source, apply_meta, held};
use crate::folder::{Chain, How, names, open_folder};
use crate::metadata::Stat;

/// One of the snapshot's folders on the current path.
struct Level {
    entry: Entry,
    listing: Arc<Listing>,
    /// What the listings of this and of those above take, in bytes.
    held: usize,
    next: usize,
    /// Only on the way to what is restored.
    parent: bool,
    /// At or below a root of the snapshot, and listed: what is not in
    /// `listing` was not there.
    complete: bool,
    /// Whether all that is in it is asked for.
    included: bool,
    /// Whether its folder was there before; set when it is made.
    existed: bool,
    /// Length of its path, without a slash at the end.
    path_len: usize,
}

pub(super) struct Restorer<'a> {
    placer: Placer<'a>,
    trail: Trail,
    chain: Chain,
    levels: Vec<Level>,
    entered: Entered,
    links: Links,
    path: Vec<u8>,
    report: Report,
    /// Bytes of the errors in it.
    said: usize,
}

/// Bytes of errors after which a restore gives up: half a million of them or so.
const MOST_SAID: usize = 64 << 20;

impl<'a> Restorer<'a> {
    /// Makes or opens the destination.
    pub fn new(
        threads: &'a Scope<'a, '_>,
        source: &'a dyn Source,
        options: &'a RestoreOptions,
        progress: &'a dyn Progress,
        trail: Trail,
        ahead: Ahead,
        dest: &Path,
    ) -> io::Result<Self> {
        let (base, existed) = open_or_make(dest)?;
        let placer = Placer {
            source,
            options,
            progress,
            ahead,
            flusher: Flusher::begin(threads, base.try_clone()?)?,
        };
        let (chain, links) = (Chain::new(base)?, Links::default());
        let mut restorer = Restorer {
            placer,
            trail,
            chain,
            levels: vec![],
            entered: Entered::default(),
            links,
            path: vec![],
            report: Report::default(),
            said: 0,
        };
        restorer.open_destination(existed);
        Ok(restorer)
    }

    /// The level of the destination: stands for the entry that is left when
    /// the stripped ones are gone.
    fn open_destination(&mut self, existed: bool) {
        let (mut included, mut complete) = (self.placer.options.include.is_none(), self.is_root());
        for depth in 1..=self.trail.strip {
            self.path.push(b'/');
            self.path.extend_from_slice(&self.trail.entries[depth].name);
            included = self.is_included(true, included);
            complete |= self.is_root();
        }
        let entry = self.as_asked(self.trail.entries[self.trail.strip].clone());
        self.open_level(entry, included, complete);
        self.levels[0].existed = existed;
    }

    pub fn run(mut self) -> Report {
        while self.said <= MOST_SAID
            && let Some(level) = self.levels.last_mut()
        {
            match level.listing.get(level.next).cloned() {
                Some(entry) => {
                    level.next += 1;
                    let entry = self.as_asked(entry);
                    self.visit(entry);
                }
                None => self.leave(),
            }
        }
        if self.said > MOST_SAID {
            self.path.clear();
            self.fail("so much could not be restored that this is the end; what follows was not tried");
        }
        // Only what is on the disk is restored: late write errors show here.
        if let Err(error) = self.placer.flusher.finish() {
            self.report
                .errors
                .push((b"/".to_vec(), format!("writing to the disk: {error}")));
        }
        self.report
    }

    fn visit(&mut self, entry: Entry) {
        let level = self.levels.last().expect("visiting happens in a level");
        let (included, complete) = (level.included, level.complete);
        self.path.truncate(level.path_len);
        self.path.push(b'/');
        self.path.extend_from_slice(&entry.name);
        self.placer.progress.path(&self.path);
        if !is_name(&entry.name) {
            return self.fail("not a name that a file can have; the catalog is damaged");
        }
        let folder = entry.meta.kind == Kind::Folder;
        let included = self.is_included(folder, included);
        if folder {
            let complete = complete || self.is_root();
            self.open_level(entry, included, complete);
            if included && let Err(error) = self.make_folders() {
                // Without the folder there is no use in going on in it.
                self.levels.pop();
                self.fail(error);
            }
        } else if included && self.placer.options.own && is_device(&entry.meta) {
            self.fail("a device, which --own leaves out");
        } else if included {
            self.item(&entry);
        }
    }

    fn as_asked(&self, entry: Entry) -> Entry {
        match self.placer.options.own {
            true => as_own(entry),
            false => entry,
        }
    }

    fn is_root(&self) -> bool {
        let path = if self.path.is_empty() {
            b"/"
        } else {
            self.path.as_slice()
        };
        self.placer.source.roots().iter().any(|root| root == path)
    }

    fn is_included(&self, folder: bool, above: bool) -> bool {
        self.placer.options.includes(&self.path, folder, above)
    }

    fn fail(&mut self, error: impl std::fmt::Display) {
        let path = if self.path.is_empty() {
            b"/".to_vec()
        } else {
            self.path.clone()
        };
        self.said += path.len() + size_of::<(Vec<u8>, String)>();
        self.report.errors.push((path, error.to_string()));
    }

    fn open_level(&mut self, entry: Entry, included: bool, complete: bool) {
        let below = self.trail.below(self.trail.strip + self.levels.len()).cloned();
        let parent = below.is_some();
        let listing = match (below, entry.child) {
            (Some(only), _) => Ok(Arc::new(vec![only])),
            (None, Some(folder)) => match self.entered.enter(folder, self.path.len()) {
                Ok(()) => self.placer.source.list(folder),
                Err(error) => Err(error),
            },
            (None, None) => Ok(Arc::default()),
        };
        let above = self.levels.last().map_or(0, |level| level.held);
        let listing = listing.and_then(|listing| Ok((held(above, &listing)?, listing)));
        let listed = listing.is_ok();
        let (held, listing) = listing.unwrap_or_else(|error| {
            self.fail(error);
            (above, Arc::default())
        });
        let (complete, path_len) = (complete && listed && !parent, self.path.len());
        self.levels.push(Level {
            entry,
            listing,
            held,
            next: 0,
            parent,
            complete,
            included,
            existed: false,
            path_len,
        });
    }

    fn item(&mut self, entry: &Entry) {
        let placed = match self.make_folders() {
            Ok(()) => {
                let existed = self.levels.last().is_none_or(|level| level.existed);
                self.placer.put(&mut self.chain, &mut self.links, entry, existed)
            }
            Err(error) => Err(error.into()),
        };
        match placed {
            Ok(Placed::Skipped) => self.report.skipped += 1,
            Ok(Placed::Made {
                bytes,
                applied,
                deleted,
            }) => {
                let file = entry.meta.kind == Kind::File;
                let count = if file {
                    &mut self.report.files
                } else {
                    &mut self.report.others
                };
                *count += 1;
                self.report.bytes += bytes;
                self.report.deleted += deleted;
                self.count(applied);
                self.placer.progress.item();
            }
            Err(error) => self.fail(error),
        }
    }

    fn count(&mut self, applied: Applied) {
        self.report.xattrs_lost += applied.xattrs_lost;
        self.report.owners_lost += applied.owner_lost as u64;
    }

    /// Makes the folders of all levels that have none yet.
    fn make_folders(&mut self) -> io::Result<()> {
        while self.chain.len() < self.levels.len() {
            let overwrite = self.placer.options.overwrite;
            let level = &mut self.levels[self.chain.len()];
            let dir = self.chain.top()?;
            let name = level.entry.name.as_slice();
            level.existed = make_folder(dir, name, overwrite)?;
            let folder = open_folder(dir, name, How::Read)?;
            if level.existed && level.complete && overwrite != Overwrite::Never {
                let mode = Stat::of(folder.as_fd())?.mode & 0o7777;
                if mode & 0o700 != 0o700 {
                    // It gets its permissions when it is filled; what fails
                    // without this says so itself.
                    let _ = fchmod(&folder, Mode::from_raw_mode(mode | 0o700));
                }
            }
            self.chain.push(name, How::Read, folder)?;
        }
        Ok(())
    }

    fn leave(&mut self) {
        let made = self.chain.len() == self.levels.len();
        let level = self.levels.pop().expect("leaving happens in a level");
        self.path.truncate(level.path_len);
        if !made {
            return;
        }
        if self.placer.options.delete && level.complete && level.included {
            self.delete_others(&level);
        }
        // What was there keeps its metadata if it is no more than the way to a root.
        let keeps = self.levels.is_empty() || !level.complete || self.placer.options.overwrite == Overwrite::Never;
        if !(level.existed && keeps) {
            match self
                .chain
                .top()
                .and_then(|folder| apply_meta(folder, b"", &level.entry.meta))
            {
                Ok(applied) => self.count(applied),
                Err(error) => self.fail(error),
            }
        }
        if !level.parent {
            self.report.folders += 1;
            self.placer.progress.item();
        }
        self.chain.pop();
    }

    /// Removes what is in the current folder but not in the snapshot.
    fn delete_others(&mut self, level: &Level) {
        // What is mounted here was perhaps not part of the backup.
        if self.chain.at_mount_point() && level.listing.is_empty() {
            return;
        }
        let there = match self.chain.top().and_then(names) {
            Ok(there) => there,
            Err(error) => return self.fail(error),
        };
        let known = |name: &Vec<u8>| level.listing.binary_search_by(|entry| entry.name.cmp(name)).is_ok();
        for name in there.iter().filter(|name| !known(name)) {
            let removed = self
                .chain
                .top()
                .and_then(|folder| remove(folder, name, &mut self.report.deleted));
            if let Err(error) = removed {
                self.path.push(b'/');
                self.path.extend_from_slice(name);
                self.fail(format!("cannot be removed: {error}"));
                self.path.truncate(level.path_len);
            }
        }
    }
}

/// Makes a folder that only we can use, or finds one; returns whether it was there.
fn make_folder(dir: std::os::fd::BorrowedFd, name: &[u8], overwrite: Overwrite) -> io::Result<bool> {
    match mkdirat(dir, name, Mode::RWXU) {
        Ok(()) => return Ok(false),
        Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    if Stat::at(dir, name)?.kind() == Some(Kind::Folder) {
        return Ok(true);
    }
    if overwrite != Overwrite::Always {
        return Err(io::Error::other("something that is not a folder is in its place"));
    }
    unlinkat(dir, name, AtFlags::empty())?;
    mkdirat(dir, name, Mode::RWXU)?;
    Ok(false)
}

/// Whether a name can only mean something directly in a folder.
fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}
