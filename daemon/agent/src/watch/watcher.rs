//! What inotify says, as marks for the next push.
//!
//! Every folder that a push would go into has a watch; excluded ones have none. A watch is added
//! before its folder is listed, so what comes later is an event and what was there before is
//! listed: `mkdir -p a/b` gives one event, for `a`, and `b` is found by listing `a`.
//!
//! Each event marks the name that it is about; a folder that appears is marked as deep. What
//! inotify cannot say (its queue overflowed, a file system went, there are more folders than
//! watches) makes the next push look at everything.
//!
//! The folders that the roots are in are watched too, for the sake of the roots' own names.
//! Folders with very long paths are not; each push walks what is below the last one that is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;

use super::scan::{self, above, below_slash, is_at_or_below};
use crate::marks::Marks;
use crate::roots::Roots;
use crate::walk::{WalkOptions, is_cache, is_kernels};

/// Each watched folder is kept by its path: ten thousand folders in each other, which anybody
/// may make, would be gigabytes.
const LONGEST_PATH: usize = 1024;

/// The file that makes a folder a cache.
const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";

const EVENTS: WatchFlags = WatchFlags::ONLYDIR
    .union(WatchFlags::DONT_FOLLOW)
    .union(WatchFlags::EXCL_UNLINK)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

const CAME: ReadFlags = ReadFlags::CREATE.union(ReadFlags::MOVED_TO);
const WENT: ReadFlags = ReadFlags::DELETE.union(ReadFlags::MOVED_FROM);
const SELF: ReadFlags = ReadFlags::DELETE_SELF.union(ReadFlags::MOVE_SELF);

/// What to watch.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The roots of the push.
    pub roots: Roots,
    /// What the push leaves out.
    pub options: WalkOptions,
    /// Folders that the push itself writes into: they would mark themselves for ever.
    pub quiet: Vec<Vec<u8>>,
    /// Folders whose changes are told by name: the agent's configuration and state.
    pub told: Vec<Vec<u8>>,
}

/// What a look at the events brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Something was marked.
    pub changed: bool,
    /// Names in [`Scope::told`] that changed.
    pub told: BTreeSet<Vec<u8>>,
}

/// What the next push has to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Everything.
    Everything,
    /// What is marked.
    Marked(Marks),
}

/// An event, out of its buffer.
struct Event {
    wd: i32,
    what: ReadFlags,
    name: Vec<u8>,
}

/// The watches, and what they said since the last push.
#[derive(Debug)]
pub struct Watcher {
    inotify: OwnedFd,
    scope: Scope,
    /// Watched folders; `/` is the empty path.
    paths: BTreeMap<Vec<u8>, i32>,
    /// The other way round: a folder that is mounted twice has two paths.
    folders: HashMap<i32, Vec<Vec<u8>>>,
    /// Those of [`Scope::told`].
    told: BTreeSet<i32>,
    /// Watched folders of whose names only the tag counts.
    caches: BTreeSet<Vec<u8>>,
    /// Folders with some below them whose paths are too long to be watched.
    too_deep: BTreeSet<Vec<u8>>,
    marks: Marks,
    /// The next push looks at everything.
    everything: bool,
    /// The watches are not what they should be: begin anew before the next push.
    stale: bool,
    limit_reached: bool,
}

impl Watcher {
    /// Watches everything in scope. The first push looks at everything.
    ///
    /// # Errors
    /// If the system gives no inotify instance.
    pub fn new(scope: Scope) -> io::Result<Self> {
        let mut watcher = Watcher {
            inotify: new_inotify()?,
            scope,
            paths: BTreeMap::new(),
            folders: HashMap::new(),
            told: BTreeSet::new(),
            caches: BTreeSet::new(),
            too_deep: BTreeSet::new(),
            marks: Marks::default(),
            everything: true,
            stale: false,
            limit_reached: false,
        };
        watcher.watch_all();
        Ok(watcher)
    }

    /// How many folders are watched.
    pub fn watches(&self) -> usize {
        self.folders.len()
    }

    /// How many names and folders are marked.
    pub fn marked(&self) -> usize {
        self.marks.len()
    }

    /// Whether there are more folders than the system allows watches.
    pub fn limit_reached(&self) -> bool {
        self.limit_reached
    }

    /// Whether the next push looks at everything.
    pub fn is_blind(&self) -> bool {
        self.everything || self.limit_reached || self.stale
    }

    /// Something to wait for events with; good until the watcher begins anew.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.inotify.try_clone()
    }

    /// Looks at all events that there are, without waiting.
    pub fn look(&mut self) -> News {
        let mut news = News::default();
        loop {
            match self.read() {
                Ok(events) if events.is_empty() => break,
                Ok(events) => events.into_iter().for_each(|event| self.handle(event, &mut news)),
                Err(_) => {
                    self.stale = true;
                    break;
                }
            }
            if self.stale && self.everything {
                break;
            }
        }
        if self.stale && self.everything {
            self.begin_anew();
            news.changed = true;
        }
        news
    }

    /// What the push that begins now has to look at: everything that happened before this call.
    pub fn take(&mut self) -> Work {
        self.look();
        if self.stale || self.limit_reached {
            self.begin_anew();
        }
        let mut marks = std::mem::take(&mut self.marks);
        self.too_deep.iter().for_each(|folder| marks.deep(folder));
        match std::mem::take(&mut self.everything) || self.limit_reached {
            true => Work::Everything,
            false => Work::Marked(marks),
        }
    }

    /// The push did not become a snapshot: what it looked at is to be looked at again.
    pub fn put_back(&mut self, work: Work) {
        match work {
            Work::Everything => self.everything = true,
            Work::Marked(marks) => self.marks.merge(marks),
        }
    }

    /// Makes the next push look at everything.
    pub fn look_at_everything(&mut self) {
        self.everything = true;
    }

    /// Marks paths that could not be read, so that the next push tries again.
    pub fn try_again(&mut self, paths: impl Iterator<Item = Vec<u8>>) {
        paths.for_each(|path| self.marks.touch(&path));
    }

    /// Marks those of these files that a push would look at.
    pub fn mark_if_watched(&mut self, paths: impl Iterator<Item = Vec<u8>>) {
        for path in paths {
            let is_watched =
                above(&path).is_some_and(|folder| self.paths.contains_key(folder) && !self.caches.contains(folder));
            if is_watched && self.is_in_scope(&path) && !self.is_left_out(&path, false) {
                self.marks.touch(&path);
            }
        }
    }

    /// The next buffer of events; none if there are none.
    fn read(&self) -> io::Result<Vec<Event>> {
        let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
        let mut reader = Reader::new(self.inotify.as_fd(), &mut buffer);
        let mut events = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => events.push(Event {
                    wd: event.wd(),
                    what: event.events(),
                    name: event
                        .file_name()
                        .map(|name| name.to_bytes().to_vec())
                        .unwrap_or_default(),
                }),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => break,
                Err(error) => return Err(error.into()),
            }
            if reader.is_buffer_empty() {
                break;
            }
        }
        Ok(events)
    }

    fn handle(&mut self, event: Event, news: &mut News) {
        if event.what.contains(ReadFlags::QUEUE_OVERFLOW) {
            (self.everything, self.stale) = (true, true);
            return;
        }
        if event.what.contains(ReadFlags::UNMOUNT) {
            (self.everything, news.changed) = (true, true);
        }
        if self.told.contains(&event.wd) && !event.name.is_empty() {
            news.told.insert(event.name.clone());
        }
        if event.what.contains(ReadFlags::IGNORED) {
            return self.has_lost(event.wd);
        }
        for folder in self.folders.get(&event.wd).cloned().unwrap_or_default() {
            news.changed |= match event.name.is_empty() {
                true => self.folder_itself(&folder, event.what),
                false => self.name_in(&folder, &event),
            };
        }
    }

    /// The kernel has dropped a watch: its folder is no more.
    fn has_lost(&mut self, wd: i32) {
        for path in self.folders.remove(&wd).unwrap_or_default() {
            self.paths.remove(&path);
            self.caches.remove(&path);
            self.too_deep.remove(&path);
        }
        self.told.remove(&wd);
    }

    /// An event about a watched folder; says whether something was marked.
    fn folder_itself(&mut self, folder: &[u8], what: ReadFlags) -> bool {
        if !self.is_in_scope(folder) {
            // With it went the roots in it, or came back under another name.
            self.stale |= what.intersects(SELF);
            return false;
        }
        if what.contains(ReadFlags::ATTRIB) {
            self.marks.touch(folder);
        }
        what.contains(ReadFlags::ATTRIB)
    }

    /// An event about a name in a watched folder; says whether something was marked.
    fn name_in(&mut self, folder: &[u8], event: &Event) -> bool {
        let path = [folder, b"/", &event.name].concat();
        let is_folder = event.what.contains(ReadFlags::ISDIR);
        if !self.is_in_scope(&path) || self.is_left_out(&path, is_folder) {
            return false;
        }
        if self.scope.options.exclude_caches && event.name == CACHE_TAG {
            self.marks.dirty(folder);
            self.unwatch(folder);
            self.scan(folder, false);
            return true;
        }
        if self.caches.contains(folder) {
            return false;
        }
        match is_folder {
            true => self.subfolder(&path, event.what),
            false => self.file(folder, &path, event),
        }
        true
    }

    fn subfolder(&mut self, path: &[u8], what: ReadFlags) {
        if what.intersects(WENT) {
            self.unwatch(path);
            // Deep, so that what was in it is looked up: its files may have other names.
            self.marks.deep(path);
        } else if what.intersects(CAME) || !self.paths.contains_key(path) {
            // Also one that could not be opened before and perhaps can be now.
            self.unwatch(path);
            self.scan(path, true);
            self.marks.deep(path);
        } else {
            self.marks.touch(path);
        }
    }

    fn file(&mut self, folder: &[u8], path: &[u8], event: &Event) {
        self.marks.touch(path);
        if event.what.intersects(CAME) {
            let linked = scan::open(folder)
                .ok()
                .and_then(|open| scan::several_names(open.as_fd(), &event.name));
            linked.into_iter().for_each(|(dev, ino)| self.marks.linked(dev, ino));
        }
    }

    fn is_in_scope(&self, path: &[u8]) -> bool {
        self.scope
            .roots
            .to_bytes()
            .iter()
            .any(|root| is_at_or_below(path, below_slash(root)))
    }

    /// Whether a push leaves this out, or makes it itself.
    fn is_left_out(&self, path: &[u8], is_folder: bool) -> bool {
        let is_root = || self.scope.roots.to_bytes().iter().any(|root| below_slash(root) == path);
        let is_quiet = self.scope.quiet.iter().any(|quiet| is_at_or_below(path, quiet));
        is_quiet || (self.scope.options.filter.matches(path, is_folder) && !is_root())
    }

    /// Drops all watches and adds them again.
    fn begin_anew(&mut self) {
        match new_inotify() {
            Ok(inotify) => self.inotify = inotify,
            // It stays stale, and every push looks at everything.
            Err(_) => return,
        }
        self.paths.clear();
        self.folders.clear();
        self.caches.clear();
        self.too_deep.clear();
        self.told.clear();
        (self.everything, self.stale) = (true, false);
        self.watch_all();
    }

    fn watch_all(&mut self) {
        self.limit_reached = false;
        for folder in self.scope.told.clone() {
            let added = scan::open(&folder).and_then(|open| self.add(&open));
            self.told.extend(added);
        }
        for root in self.scope.roots.to_bytes() {
            let root = below_slash(&root);
            if let Some(parent) = above(root) {
                // Without it (it cannot be read) only the root's own coming and going is missed.
                let _ = scan::open(parent).and_then(|open| self.watch(parent, &open));
            }
            self.scan(root, false);
        }
    }

    /// Watches a folder and those below it. Of what is `new`, files with several names are noted.
    fn scan(&mut self, top: &[u8], new: bool) {
        let mut device = None;
        let mut left = vec![top.to_vec()];
        while let Some(path) = left.pop() {
            if path.len() > LONGEST_PATH {
                self.too_deep.extend(above(&path).map(<[u8]>::to_vec));
                continue;
            }
            // What is gone will be an event; what cannot be opened, the push will say.
            let Ok(open) = scan::open(&path) else { continue };
            let Ok(stat) = rustix::fs::fstat(&open) else { continue };
            let (dev, ino) = (stat.st_dev, stat.st_ino);
            let device = *device.get_or_insert(dev);
            let is_foreign = dev != device && (self.scope.options.one_file_system || is_kernels(&open));
            if is_foreign || self.scope.options.skip.contains(&(dev, ino)) {
                continue;
            }
            match self.watch(&path, &open) {
                Ok(()) => self.look_into(&path, &open, new, &mut left),
                Err(error) if error.raw_os_error() == Some(Errno::NOSPC.raw_os_error()) => {
                    self.limit_reached = true;
                    return;
                }
                Err(_) => {}
            }
        }
    }

    /// Lists a folder that is watched now.
    fn look_into(&mut self, path: &[u8], open: &OwnedFd, new: bool, left: &mut Vec<Vec<u8>>) {
        if self.scope.options.exclude_caches && is_cache(open.as_fd()) {
            self.caches.insert(path.to_vec());
            return;
        }
        for entry in scan::list(open.as_fd()).unwrap_or_default() {
            if entry.is_folder {
                let path = [path, b"/", &entry.name].concat();
                if !self.is_left_out(&path, true) {
                    left.push(path);
                }
            } else if new && let Some((dev, ino)) = scan::several_names(open.as_fd(), &entry.name) {
                self.marks.linked(dev, ino);
            }
        }
    }

    fn watch(&mut self, path: &[u8], open: &OwnedFd) -> io::Result<()> {
        let wd = self.add(open)?;
        if let Some(old) = self.paths.insert(path.to_vec(), wd).filter(|old| *old != wd) {
            self.drop_path(old, path);
        }
        let paths = self.folders.entry(wd).or_default();
        if !paths.iter().any(|other| other == path) {
            paths.push(path.to_vec());
        }
        Ok(())
    }

    fn add(&self, open: &OwnedFd) -> io::Result<i32> {
        #[cfg(test)]
        if self.folders.len() >= tests::MOST_WATCHES.get() {
            return Err(Errno::NOSPC.into());
        }
        Ok(add_watch(&self.inotify, scan::by_descriptor(open), EVENTS)?)
    }

    /// Drops the watches of a folder and of those below it.
    fn unwatch(&mut self, top: &[u8]) {
        // `0` comes after `/`: all that begins with the path and a slash.
        let (first, last) = ([top, b"/"].concat(), [top, b"0"].concat());
        let below = self.paths.range(first..last).map(|(path, wd)| (path.clone(), *wd));
        let mut going: Vec<_> = below.collect();
        going.extend(self.paths.get(top).map(|wd| (top.to_vec(), *wd)));
        for (path, wd) in going {
            self.paths.remove(&path);
            self.caches.remove(&path);
            self.too_deep.remove(&path);
            self.drop_path(wd, &path);
        }
    }

    fn drop_path(&mut self, wd: i32, path: &[u8]) {
        let Some(paths) = self.folders.get_mut(&wd) else { return };
        paths.retain(|other| other != path);
        if paths.is_empty() {
            self.folders.remove(&wd);
            if !self.told.contains(&wd) {
                // Of a folder that is gone the kernel has dropped it itself.
                let _ = remove_watch(&self.inotify, wd);
            }
        }
    }
}

fn new_inotify() -> io::Result<OwnedFd> {
    Ok(init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)
}

#[cfg(test)]
mod tests;
