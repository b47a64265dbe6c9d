//! The disk that loses power: nodes by number, a count of operations, and the cut.
//!
//! Knows nothing of a kernel. An operation is whatever changes something or promises that it is durable; each is counted,
//! and the one with the number of the cut, and everything after it, fails with EIO: nobody can be told that something
//! succeeded once the power is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use rustix::io::Errno;

use super::file::File;
use super::folder::{Folder, Names, Number};
use crate::model::random::Random;

/// The folder that is mounted.
pub(super) const ROOT: Number = 1;

pub(super) type Result<T> = std::result::Result<T, Errno>;

/// What a number stands for.
pub(super) enum Node {
    File(File),
    Folder(Folder),
}

/// A moment in the life of a disk, counted from its beginning.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Operation(u64),
    FolderSync(u64),
}

/// What happens at some moment.
struct Alarm {
    at: Moment,
    is_cut: bool,
    ring: Box<dyn FnOnce() + Send>,
}

/// What a name and what it stands for take, in bytes.
const NAME: u64 = 256;

/// A disk without room, and what was freed since.
struct Full {
    /// What programs are told.
    errno: Errno,
    /// Bytes that were freed.
    free: u64,
}

/// A disk, and what of it programs see.
pub(super) struct Disk {
    nodes: BTreeMap<Number, Node>,
    next: Number,
    operations: u64,
    folder_syncs: u64,
    alarm: Option<Alarm>,
    is_dead: bool,
    /// When it is to be full, and what programs are told then.
    fills: Option<(u64, Errno)>,
    full: Option<Full>,
}

impl Disk {
    /// An empty one.
    pub fn new() -> Self {
        Disk {
            nodes: BTreeMap::from([(ROOT, Node::Folder(Folder::default()))]),
            next: ROOT + 1,
            operations: 0,
            folder_syncs: 0,
            alarm: None,
            is_dead: false,
            fills: None,
            full: None,
        }
    }

    /// Has the disk be full from an operation on.
    pub fn fill_at(&mut self, operation: u64, errno: Errno) {
        self.fills = Some((operation, errno));
    }

    /// There is as much room as one likes; gives whether it was full.
    pub fn has_room(&mut self) -> bool {
        self.fills = None;
        self.full.take().is_some()
    }

    /// Bytes that are free, unless it is not full.
    pub fn free(&self) -> Option<u64> {
        self.full.as_ref().map(|full| full.free)
    }

    /// Takes room, or says that there is none.
    pub fn take_room(&mut self, bytes: u64) -> Result<()> {
        if let Some(full) = &mut self.full {
            full.free = full.free.checked_sub(bytes).ok_or(full.errno)?;
        }
        Ok(())
    }

    fn give_room(&mut self, bytes: u64) {
        if let Some(full) = &mut self.full {
            full.free += bytes;
        }
    }

    /// Takes or gives the room by which a file becomes longer or shorter.
    pub fn will_be_long(&mut self, file: Number, length: usize) -> Result<()> {
        let now = self.file(file)?.length();
        self.give_room(now.saturating_sub(length) as u64);
        self.take_room(length.saturating_sub(now) as u64)
    }

    /// Has somebody called at a moment; with `is_cut` the power goes then.
    pub fn call_at(&mut self, at: Moment, is_cut: bool, ring: impl FnOnce() + Send + 'static) {
        let ring = Box::new(ring);
        self.alarm = Some(Alarm { at, is_cut, ring });
    }

    /// Nobody is called any more.
    pub fn be_quiet(&mut self) {
        self.alarm = None;
    }

    /// Cuts the power now, if it is not gone yet.
    pub fn cut(&mut self) {
        self.is_dead = true;
        self.alarm = None;
    }

    /// Whether the power is gone.
    pub fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// Operations so far, over all mounts.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// How many of them were fsyncs of folders.
    pub fn folder_syncs(&self) -> u64 {
        self.folder_syncs
    }

    /// Counts an operation.
    pub fn operate(&mut self) -> Result<()> {
        self.alive()?;
        self.operations += 1;
        if let Some((_, errno)) = self.fills.take_if(|(at, _)| *at == self.operations) {
            self.full = Some(Full { errno, free: 0 });
        }
        self.come_to(Moment::Operation(self.operations))
    }

    fn come_to(&mut self, now: Moment) -> Result<()> {
        if let Some(alarm) = self.alarm.take_if(|alarm| alarm.at == now) {
            self.is_dead = alarm.is_cut;
            (alarm.ring)();
        }
        self.alive()
    }

    /// Fails once the power is gone.
    pub fn alive(&self) -> Result<()> {
        if self.is_dead { Err(Errno::IO) } else { Ok(()) }
    }

    pub fn node(&self, number: Number) -> Result<&Node> {
        self.nodes.get(&number).ok_or(Errno::STALE)
    }

    pub fn folder(&self, number: Number) -> Result<&Folder> {
        match self.node(number)? {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(Errno::NOTDIR),
        }
    }

    pub fn folder_mut(&mut self, number: Number) -> Result<&mut Folder> {
        match self.nodes.get_mut(&number).ok_or(Errno::STALE)? {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(Errno::NOTDIR),
        }
    }

    pub fn file(&self, number: Number) -> Result<&File> {
        match self.node(number)? {
            Node::File(file) => Ok(file),
            Node::Folder(_) => Err(Errno::ISDIR),
        }
    }

    pub fn file_mut(&mut self, number: Number) -> Result<&mut File> {
        match self.nodes.get_mut(&number).ok_or(Errno::STALE)? {
            Node::File(file) => Ok(file),
            Node::Folder(_) => Err(Errno::ISDIR),
        }
    }

    pub fn lookup(&self, folder: Number, name: &OsStr) -> Result<Number> {
        self.alive()?;
        self.folder(folder)?.get(name).ok_or(Errno::NOENT)
    }

    /// Makes a node under a new name.
    pub fn create(&mut self, folder: Number, name: &OsStr, node: Node) -> Result<Number> {
        self.operate()?;
        self.take_room(NAME)?;
        let number = self.next;
        self.add_name(folder, name, number)?;
        self.nodes.insert(number, node);
        self.next += 1;
        self.count_links(number, 1);
        Ok(number)
    }

    /// Gives a file another name.
    pub fn link(&mut self, file: Number, folder: Number, name: &OsStr) -> Result<()> {
        self.operate()?;
        self.file(file)?;
        self.add_name(folder, name, file)?;
        self.count_links(file, 1);
        Ok(())
    }

    fn add_name(&mut self, folder: Number, name: &OsStr, number: Number) -> Result<()> {
        let names = self.folder_mut(folder)?;
        if names.get(name).is_some() {
            return Err(Errno::EXIST);
        }
        names.link(name, number);
        Ok(())
    }

    pub fn unlink(&mut self, folder: Number, name: &OsStr) -> Result<()> {
        self.operate()?;
        let number = self.lookup(folder, name)?;
        self.file(number)?;
        self.folder_mut(folder)?.unlink(name);
        self.count_links(number, -1);
        self.give_room(NAME);
        Ok(())
    }

    pub fn rmdir(&mut self, folder: Number, name: &OsStr) -> Result<()> {
        self.operate()?;
        let number = self.lookup(folder, name)?;
        if !self.folder(number)?.names().is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        self.folder_mut(folder)?.unlink(name);
        Ok(())
    }

    /// Renames within one folder. Between two it is refused, as between two file systems: nothing here does that, and
    /// what a cut leaves of it differs from one file system to the next.
    pub fn rename(&mut self, folder: Number, from: &OsStr, new_folder: Number, to: &OsStr) -> Result<()> {
        self.operate()?;
        if folder != new_folder {
            return Err(Errno::XDEV);
        }
        let number = self.lookup(folder, from)?;
        let replaced = self.folder(folder)?.get(to);
        match replaced {
            Some(same) if same == number => return Ok(()),
            Some(other) => self.may_replace(number, other)?,
            None => {}
        }
        self.folder_mut(folder)?.rename(from, to);
        replaced.into_iter().for_each(|other| self.count_links(other, -1));
        Ok(())
    }

    fn may_replace(&self, number: Number, other: Number) -> Result<()> {
        match (self.node(number)?, self.node(other)?) {
            (Node::File(_), Node::File(_)) => Ok(()),
            (Node::File(_), Node::Folder(_)) => Err(Errno::ISDIR),
            (Node::Folder(_), Node::File(_)) => Err(Errno::NOTDIR),
            (Node::Folder(_), Node::Folder(folder)) if folder.names().is_empty() => Ok(()),
            (Node::Folder(_), Node::Folder(_)) => Err(Errno::NOTEMPTY),
        }
    }

    fn count_links(&mut self, number: Number, by: i32) {
        if let Ok(file) = self.file_mut(number) {
            file.links = file.links.saturating_add_signed(by);
            let freed = if file.links == 0 { file.length() } else { 0 };
            self.give_room(freed as u64);
        }
    }

    /// Makes the names in a folder durable. What no name reaches any more, nor can after a cut, goes.
    pub fn fsync_folder(&mut self, number: Number) -> Result<()> {
        self.operate()?;
        self.folder_syncs += 1;
        self.come_to(Moment::FolderSync(self.folder_syncs))?;
        self.folder_mut(number)?.fsync();
        let folders = self.nodes.values().filter_map(|node| match node {
            Node::Folder(folder) => Some(folder),
            Node::File(_) => None,
        });
        let reached: BTreeSet<Number> = folders.flat_map(Folder::reached).collect();
        self.nodes.retain(|number, node| match node {
            Node::File(file) => file.opened > 0 || reached.contains(number),
            Node::Folder(_) => true,
        });
        Ok(())
    }

    /// The disk as it is found when the power is back.
    pub fn survivor(&self, random: &mut Random) -> Disk {
        let mut disk = Disk {
            next: self.next,
            operations: self.operations,
            folder_syncs: self.folder_syncs,
            ..Disk::new()
        };
        let mut found = vec![ROOT];
        while let Some(number) = found.pop() {
            match &self.nodes[&number] {
                Node::Folder(folder) => {
                    let names = folder.survivor(random);
                    found.extend(disk.adopt(number, names));
                }
                Node::File(file) => disk.adopt_file(number, file, random),
            }
        }
        disk
    }

    /// Takes in a folder; gives what is in it.
    fn adopt(&mut self, number: Number, names: Names) -> Vec<Number> {
        let found = names.values().copied().collect();
        self.nodes.insert(number, Node::Folder(Folder::durable(names)));
        found
    }

    /// Takes in a file, once for each of its names.
    fn adopt_file(&mut self, number: Number, file: &File, random: &mut Random) {
        let adopt = || Node::File(File::durable(file.survivor(random)));
        self.nodes.entry(number).or_insert_with(adopt);
        self.count_links(number, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> &OsStr {
        OsStr::new(name)
    }

    fn new_file(disk: &mut Disk, folder: Number, called: &str) -> Number {
        let file = disk.create(folder, name(called), Node::File(File::default())).unwrap();
        disk.file_mut(file).unwrap().write(0, b"bytes");
        file
    }

    /// Whether a file is there after each of many cuts, and has its bytes.
    fn fates(disk: &Disk, folder: &str, called: &str) -> BTreeSet<Option<bool>> {
        let fate = |seed| {
            let after = disk.survivor(&mut Random::new(seed));
            let folder = after.lookup(ROOT, name(folder)).ok()?;
            let file = after.lookup(folder, name(called)).ok()?;
            Some(after.file(file).unwrap().read(0, 10) == b"bytes")
        };
        (0..200).map(fate).collect()
    }

    #[test]
    fn a_file_is_durable_by_its_own_fsync_and_those_of_all_folders_above() {
        let mut disk = Disk::new();
        let folder = disk
            .create(ROOT, name("folder"), Node::Folder(Folder::default()))
            .unwrap();
        let file = new_file(&mut disk, folder, "file");
        let all = BTreeSet::from([None, Some(false), Some(true)]);
        assert_eq!(fates(&disk, "folder", "file"), all);
        disk.file_mut(file).unwrap().fsync();
        assert_eq!(fates(&disk, "folder", "file"), BTreeSet::from([None, Some(true)]));
        disk.fsync_folder(folder).unwrap();
        assert_eq!(fates(&disk, "folder", "file"), BTreeSet::from([None, Some(true)]));
        disk.fsync_folder(ROOT).unwrap();
        assert_eq!(fates(&disk, "folder", "file"), BTreeSet::from([Some(true)]));
    }

    #[test]
    fn what_was_unlinked_may_come_back_until_the_folder_is_fsynced() {
        let mut disk = Disk::new();
        let folder = disk
            .create(ROOT, name("folder"), Node::Folder(Folder::default()))
            .unwrap();
        let file = new_file(&mut disk, folder, "file");
        disk.file_mut(file).unwrap().fsync();
        for folder in [folder, ROOT] {
            disk.fsync_folder(folder).unwrap();
        }
        disk.unlink(folder, name("file")).unwrap();
        assert_eq!(fates(&disk, "folder", "file"), BTreeSet::from([None, Some(true)]));
        disk.fsync_folder(folder).unwrap();
        assert_eq!(fates(&disk, "folder", "file"), BTreeSet::from([None]));
        assert_eq!(disk.file(file).err(), Some(Errno::STALE), "nothing keeps its bytes");
    }

    #[test]
    fn nothing_succeeds_once_the_power_is_gone() {
        let mut disk = Disk::new();
        let (told, hears) = std::sync::mpsc::channel();
        disk.call_at(Moment::Operation(2), true, move || told.send(()).unwrap());
        let file = new_file(&mut disk, ROOT, "first");
        assert!(hears.try_recv().is_err());
        let second = disk.create(ROOT, name("second"), Node::File(File::default()));
        assert_eq!(second.err(), Some(Errno::IO));
        hears.try_recv().expect("whoever asked is told");
        assert_eq!(disk.lookup(ROOT, name("first")), Err(Errno::IO));
        assert_eq!(disk.fsync_folder(ROOT), Err(Errno::IO));
        assert_eq!(disk.operations(), 2);
        assert!(disk.is_dead() && disk.file(file).is_ok());
    }

    #[test]
    fn a_rename_replaces_and_a_hard_link_has_one_body() {
        let mut disk = Disk::new();
        let (old, new) = (new_file(&mut disk, ROOT, "old"), new_file(&mut disk, ROOT, "new"));
        disk.link(old, ROOT, name("too")).unwrap();
        disk.rename(ROOT, name("new"), ROOT, name("old")).unwrap();
        assert_eq!(disk.lookup(ROOT, name("old")), Ok(new));
        assert_eq!(disk.lookup(ROOT, name("new")), Err(Errno::NOENT));
        assert_eq!(disk.file(old).unwrap().links, 1);
        disk.fsync_folder(ROOT).unwrap();
        let after = disk.survivor(&mut Random::new(0));
        assert_eq!(after.file(old).unwrap().links, 1);
    }
}
