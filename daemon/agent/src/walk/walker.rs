//! The machinery of a walk: an explicit stack of levels over a chain of folders.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::vec;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use yore_store::Kind;

use super::extent::Extent;
use super::kernel::is_kernels;
use super::{Plan, SkipReason, Visited, Visitor, WalkError, WalkOptions, Walked};
use crate::folder::{Chain, How, names, open_file, open_folder};
use crate::marks::Marks;
use crate::metadata::Stat;

/// The file that marks a folder as a cache, and how it begins (bford.info/cachedir).
const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// The longest name that a repository takes.
const LONGEST_NAME: usize = 255;

/// A folder on the current path.
struct Level<'a> {
    /// What is still to be visited in it.
    names: vec::IntoIter<Vec<u8>>,
    /// Set where it is only a parent of roots.
    plan: Option<&'a Plan>,
    /// How far the walk goes in it.
    extent: Extent<'a>,
    /// Whether more may be in it than is visited.
    partial: bool,
    /// The device of the root that it belongs to.
    device: u64,
    /// Length of its path, without a slash at the end.
    path_len: usize,
}

/// What was found under a name.
enum Found<'a> {
    Item(Stat),
    Folder(Stat, Extent<'a>, Listed),
    Left(SkipReason),
    Gone(io::Error),
    Unreadable(io::Error),
}

/// A folder's descriptor and names, or why there are none.
enum Listed {
    Open(Folder),
    /// On another file system, which is not asked for, or is the kernel's.
    Foreign(SkipReason),
    /// Nothing in it is marked.
    Unmarked,
    /// It cannot be opened or listed.
    Sealed(io::Error),
}

struct Folder {
    fd: OwnedFd,
    how: How,
    names: Vec<Vec<u8>>,
    cache: bool,
    /// Whether these are the marked names only.
    partial: bool,
}

/// A name to visit, with what its level says about it.
#[derive(Clone, Copy)]
struct Place<'a, 'n> {
    name: &'n [u8],
    /// Set for roots and their parents.
    plan: Option<&'a Plan>,
    /// How far the walk goes in it, if it is a folder and known.
    extent: Extent<'a>,
    /// The device of the root that it is below.
    device: u64,
}

impl Place<'_, '_> {
    /// A root or one of its parents: it has to be there.
    fn is_named(&self) -> bool {
        self.plan.is_some()
    }

    /// Visited only for the sake of a root below it.
    fn is_parent(&self) -> bool {
        self.plan.is_some_and(|plan| !plan.root)
    }
}

pub(super) struct Walker<'a, V> {
    options: &'a WalkOptions,
    visitor: &'a mut V,
    chain: Chain,
    levels: Vec<Level<'a>>,
    path: Vec<u8>,
    walked: Walked,
}

impl<'a, V: Visitor> Walker<'a, V> {
    pub fn new(
        plan: &'a Plan,
        options: &'a WalkOptions,
        marks: Option<&'a Marks>,
        visitor: &'a mut V,
    ) -> Result<Self, WalkError<V::Error>> {
        let slash = openat(
            CWD,
            "/",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(io::Error::from)
        .and_then(Chain::new)
        .map_err(|source| WalkError::Root {
            path: "/".into(),
            source,
        })?;
        // A level above `/`, so that `/` is visited like any other folder.
        let above = Level {
            names: plan.names().into_iter(),
            plan: Some(plan),
            extent: Extent::new(marks),
            partial: false,
            device: 0,
            path_len: 0,
        };
        let (path, walked) = (Vec::new(), Walked::default());
        Ok(Walker {
            options,
            visitor,
            chain: slash,
            levels: vec![above],
            path,
            walked,
        })
    }

    pub fn walked(&self) -> Walked {
        self.walked
    }

    pub fn run(&mut self) -> Result<(), WalkError<V::Error>> {
        while let Some(level) = self.levels.last_mut() {
            match level.names.next() {
                Some(name) => self.visit(&name)?,
                None => self.leave()?,
            }
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), WalkError<V::Error>> {
        self.levels.pop();
        self.chain.pop();
        // The level above `/` was never entered.
        if !self.levels.is_empty() {
            self.visitor.leave()?;
        }
        Ok(())
    }

    fn visit(&mut self, name: &[u8]) -> Result<(), WalkError<V::Error>> {
        let level = self.levels.last().expect("visiting happens in a level");
        let place = Place {
            name,
            plan: level.plan.map(|plan| &plan.children[name]),
            extent: level.extent.child(name),
            device: level.device,
        };
        let partial = level.partial;
        self.path.truncate(level.path_len);
        self.path.push(b'/');
        self.path.extend_from_slice(name);
        match self.look(place)? {
            Found::Gone(error) if place.is_named() => Err(self.root_error(error)),
            Found::Gone(_) if partial => Ok(self.visitor.gone(name)?),
            Found::Gone(_) => {
                self.walked.vanished += 1;
                Ok(())
            }
            Found::Unreadable(error) if place.is_parent() => Err(self.root_error(error)),
            Found::Unreadable(error) => Ok(self.visitor.unreadable(&self.path, error)?),
            Found::Item(_) if place.is_parent() => Err(self.root_error(Errno::NOTDIR.into())),
            Found::Item(stat) => self.item(place, stat),
            Found::Left(reason) => Ok(self.visitor.skipped(&self.path, reason)?),
            Found::Folder(stat, extent, listed) => self.folder(Place { extent, ..place }, stat, listed),
        }
    }

    fn root_error(&self, source: io::Error) -> WalkError<V::Error> {
        WalkError::Root {
            path: OsStr::from_bytes(&self.path).into(),
            source,
        }
    }

    /// Looks at a name, again if it turns into something else meanwhile.
    fn look(&mut self, place: Place<'a, '_>) -> Result<Found<'a>, V::Error> {
        let mut found = self.look_once(place)?;
        for _ in 0..2 {
            match &found {
                Found::Folder(_, _, Listed::Sealed(error)) if is_no_folder(error) => found = self.look_once(place)?,
                _ => break,
            }
        }
        Ok(found)
    }

    fn look_once(&mut self, place: Place<'a, '_>) -> Result<Found<'a>, V::Error> {
        let stat = match self.chain.top().and_then(|parent| Stat::at(parent, place.name)) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Gone(error)),
            Err(error) => return Ok(Found::Unreadable(error)),
        };
        let folder = stat.kind() == Some(Kind::Folder);
        if !place.is_named() && self.options.filter.matches(&self.path, folder) {
            return Ok(Found::Left(SkipReason::Excluded));
        }
        if let Err(error) = check_name(place.name) {
            return Ok(Found::Unreadable(error));
        }
        if !folder {
            return Ok(Found::Item(stat));
        }
        if self.options.skip.contains(&(stat.dev, stat.ino)) {
            return Ok(Found::Left(SkipReason::Asked));
        }
        let extent = match place.extent {
            Extent::All => Extent::All,
            marked => match self.visitor.knows(place.name, &stat)? {
                true => marked,
                false => Extent::All,
            },
        };
        Ok(self.look_into(Place { extent, ..place }, stat))
    }

    /// Opens a folder, as far as it is to be looked into.
    fn look_into(&mut self, place: Place<'a, '_>, stat: Stat) -> Found<'a> {
        let is_other = !place.is_named() && stat.dev != place.device;
        if is_other && self.options.one_file_system {
            return Found::Folder(stat, place.extent, Listed::Foreign(SkipReason::OtherFileSystem));
        }
        if matches!(place.extent, Extent::Nothing) && !place.is_parent() {
            return Found::Folder(stat, place.extent, Listed::Unmarked);
        }
        let parent = match self.chain.top() {
            Ok(parent) => parent,
            Err(error) => return Found::Unreadable(error),
        };
        if is_other && open_folder(parent, place.name, How::Search).is_ok_and(is_kernels) {
            return Found::Folder(stat, place.extent, Listed::Foreign(SkipReason::Kernels));
        }
        match list(parent, place, self.options.exclude_caches) {
            // From the descriptor: what is told is then what is listed.
            Ok(listed) => match Stat::of(listed.fd.as_fd()) {
                Ok(stat) => Found::Folder(stat, place.extent, Listed::Open(listed)),
                Err(error) => Found::Unreadable(error),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Gone(error),
            Err(error) => Found::Folder(stat, place.extent, Listed::Sealed(error)),
        }
    }

    fn item(&mut self, place: Place, stat: Stat) -> Result<(), WalkError<V::Error>> {
        match self.chain.top() {
            Ok(parent) => {
                let (name, path) = (place.name, self.path.as_slice());
                self.visitor.item(&Visited {
                    parent,
                    name,
                    path,
                    stat,
                    open: None,
                    readable: true,
                    complete: true,
                })?;
            }
            Err(error) => self.visitor.unreadable(&self.path, error)?,
        }
        Ok(())
    }

    fn folder(&mut self, place: Place<'a, '_>, stat: Stat, listed: Listed) -> Result<(), WalkError<V::Error>> {
        let unmarked = matches!(listed, Listed::Unmarked);
        let (folder, readable) = match listed {
            Listed::Open(folder) => (Some(folder), true),
            Listed::Unmarked => (None, true),
            Listed::Foreign(reason) => {
                self.visitor.skipped(&self.path, reason)?;
                (None, true)
            }
            // Without its children a parent is of no use: the root is out of reach.
            Listed::Sealed(error) if place.is_parent() => return Err(self.root_error(error)),
            Listed::Sealed(error) => {
                self.visitor.unreadable(&self.path, error)?;
                (None, false)
            }
        };
        let parent = match self.chain.top() {
            Ok(parent) => parent,
            Err(error) => return Ok(self.visitor.unreadable(&self.path, error)?),
        };
        // A descriptor opened with O_PATH reads no attributes.
        let open = folder
            .as_ref()
            .filter(|folder| folder.how == How::Read)
            .map(|folder| folder.fd.as_fd());
        let visited = Visited {
            parent,
            name: place.name,
            path: &self.path,
            stat,
            open,
            readable,
            complete: readable && !unmarked && folder.as_ref().is_none_or(|folder| !folder.partial),
        };
        let descend = self.visitor.enter(&visited)?;
        match folder {
            Some(folder) if descend => self.descend(place, stat, folder),
            _ => Ok(self.visitor.leave()?),
        }
    }

    fn descend(&mut self, place: Place<'a, '_>, stat: Stat, folder: Folder) -> Result<(), WalkError<V::Error>> {
        self.walked.listed += u64::from(folder.how == How::Read);
        if folder.cache {
            self.visitor.skipped(&self.path, SkipReason::Cache)?;
        }
        if let Err(error) = self.chain.push(place.name, folder.how, folder.fd) {
            self.visitor.unreadable(&self.path, error)?;
            return Ok(self.visitor.leave()?);
        }
        self.levels.push(Level {
            names: folder.names.into_iter(),
            plan: place.plan.filter(|plan| !plan.root),
            extent: place.extent,
            partial: folder.partial,
            device: if place.is_named() { stat.dev } else { place.device },
            path_len: if place.name.is_empty() { 0 } else { self.path.len() },
        });
        Ok(())
    }
}

/// Refuses names that no repository takes: vfat and NTFS let them have 255 units of UTF-16.
fn check_name(name: &[u8]) -> io::Result<()> {
    match name.len() > LONGEST_NAME {
        true => Err(io::Error::other(format!("its name has more than {LONGEST_NAME} bytes"))),
        false => Ok(()),
    }
}

/// Whether a folder could not be opened because it is none any more.
fn is_no_folder(error: &io::Error) -> bool {
    [Errno::NOTDIR, Errno::LOOP]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Opens a folder and finds out what is to be visited in it.
fn list(parent: BorrowedFd, place: Place, exclude_caches: bool) -> io::Result<Folder> {
    let searched = |names, partial| {
        Ok(Folder {
            fd: open_folder(parent, place.name, How::Search)?,
            how: How::Search,
            names,
            cache: false,
            partial,
        })
    };
    if let Some(plan) = place.plan.filter(|plan| !plan.root) {
        return searched(plan.names(), false);
    }
    let is_cache = |fd: BorrowedFd| exclude_caches && is_cache(fd);
    // A tag that comes or goes changes what all the other names are.
    let marked = place.extent.names();
    if let Some(names) = marked.filter(|names| !exclude_caches || !names.iter().any(|name| name == CACHE_TAG)) {
        let mut folder = searched(names, true)?;
        if is_cache(folder.fd.as_fd()) {
            folder.names.clear();
        }
        return Ok(folder);
    }
    let (fd, how) = (open_folder(parent, place.name, How::Read)?, How::Read);
    let mut names = names(fd.as_fd())?;
    let cache = names.iter().any(|name| name == CACHE_TAG) && is_cache(fd.as_fd());
    if cache {
        names.retain(|name| name == CACHE_TAG);
    }
    let partial = false;
    Ok(Folder {
        fd,
        how,
        names,
        cache,
        partial,
    })
}

/// Whether a folder has the tag of a cache. A tag that cannot be read is none: rather too much is backed up than too little.
pub(crate) fn is_cache(folder: BorrowedFd) -> bool {
    let mut start = [0; CACHE_SIGNATURE.len()];
    open_file(folder, CACHE_TAG).is_ok_and(|tag| std::fs::File::from(tag).read_exact(&mut start).is_ok())
        && start == CACHE_SIGNATURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_measured_in_bytes() {
        check_name("字".repeat(85).as_bytes()).unwrap();
        assert!(check_name("字".repeat(86).as_bytes()).is_err());
    }
}
