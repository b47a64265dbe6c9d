//! The disk as the kernel sees it: translates requests, and decides nothing.
//!
//! The kernel is the only one that changes anything, so what it caches stays right. It writes through, but for memory that
//! is mapped and written to: SQLite's `-shm`, of which nothing need survive. Locks are the kernel's own.

use std::ffi::OsStr;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::disk::{Disk, Node, ROOT, Result};
use super::file::File;
use super::folder::{Folder, Number};

const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// `fallocate` is asked for a hole: FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE.
const HOLE: i32 = 0x02 | 0x01;

/// The size of a block and how many there are: more than anybody fills.
const BLOCK: u32 = 4096;
const BLOCKS: u64 = 1 << 24;

/// A disk, mounted.
pub(super) struct PowerFilesystem(pub Arc<Mutex<Disk>>);

impl PowerFilesystem {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().expect("no panic while held")
    }

    /// A new node, as the kernel is told of it.
    fn create_node(&self, folder: INodeNo, name: &OsStr, node: Node) -> Result<FileAttr> {
        let mut disk = self.disk();
        let number = disk.create(folder.0, name, node)?;
        attributes(&disk, number)
    }

    fn find(&self, folder: INodeNo, name: &OsStr) -> Result<FileAttr> {
        let disk = self.disk();
        attributes(&disk, disk.lookup(folder.0, name)?)
    }

    /// Writes at a place.
    fn write_at(&self, file: INodeNo, at: usize, bytes: &[u8]) -> Result<()> {
        let mut disk = self.disk();
        disk.operate()?;
        let end = disk.file(file.0)?.length().max(at + bytes.len());
        disk.will_be_long(file.0, end)?;
        disk.file_mut(file.0)?.write(at, bytes);
        Ok(())
    }

    /// Makes a file as long as is made of its length.
    fn set_length(&self, file: INodeNo, length: impl FnOnce(usize) -> usize) -> Result<()> {
        let mut disk = self.disk();
        disk.operate()?;
        let length = length(disk.file(file.0)?.length());
        disk.will_be_long(file.0, length)?;
        disk.file_mut(file.0)?.set_length(length);
        Ok(())
    }

    fn make_hole(&self, file: INodeNo, from: usize, to: usize) -> Result<()> {
        let length = self.disk().file(file.0)?.length();
        let zeros = vec![0; to.min(length).saturating_sub(from)];
        self.write_at(file, from.min(length), &zeros)
    }

    fn fsync_file(&self, file: INodeNo) -> Result<()> {
        let mut disk = self.disk();
        disk.operate()?;
        disk.file_mut(file.0)?.fsync();
        Ok(())
    }

    fn count_opened(&self, file: INodeNo, by: i32) -> Result<()> {
        let mut disk = self.disk();
        let file = disk.file_mut(file.0)?;
        file.opened = file.opened.saturating_add_signed(by);
        Ok(())
    }

    /// What is written from mapped memory comes whenever the kernel likes, and is no operation of a program.
    fn write_bytes(&self, file: INodeNo, at: u64, bytes: &[u8], is_mapped: bool) -> Result<()> {
        if !is_mapped {
            return self.write_at(file, at as usize, bytes);
        }
        let mut disk = self.disk();
        disk.alive()?;
        disk.file_mut(file.0)?.write(at as usize, bytes);
        Ok(())
    }
}

fn attributes(disk: &Disk, number: Number) -> Result<FileAttr> {
    let (kind, size, links) = match disk.node(number)? {
        Node::File(file) => (FileType::RegularFile, file.length() as u64, file.links),
        Node::Folder(_) => (FileType::Directory, 0, 2),
    };
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: SystemTime::UNIX_EPOCH,
        mtime: SystemTime::UNIX_EPOCH,
        ctime: SystemTime::UNIX_EPOCH,
        crtime: SystemTime::UNIX_EPOCH,
        kind,
        perm: if kind == FileType::Directory { 0o755 } else { 0o644 },
        nlink: links,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    })
}

fn errno(errno: rustix::io::Errno) -> Errno {
    Errno::from_i32(errno.raw_os_error())
}

fn done(result: Result<()>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(error)),
    }
}

fn told(result: Result<FileAttr>, reply: ReplyEntry) {
    match result {
        Ok(attributes) => reply.entry(&FOREVER, &attributes, Generation(0)),
        Err(error) => reply.error(errno(error)),
    }
}

impl Filesystem for PowerFilesystem {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        told(self.find(parent, name), reply);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match attributes(&self.disk(), ino.0) {
            Ok(attributes) => reply.attr(&FOREVER, &attributes),
            Err(error) => reply.error(errno(error)),
        }
    }

    /// Only the length means anything; modes, owners and times are taken politely.
    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = size.map(|size| self.set_length(ino, |_| size as usize));
        match set.unwrap_or(Ok(())) {
            Ok(()) => self.getattr(req, ino, fh, reply),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn mkdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        told(self.create_node(parent, name, Node::Folder(Folder::default())), reply);
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.disk().unlink(parent.0, name), reply);
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.disk().rmdir(parent.0, name), reply);
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        done(self.disk().rename(parent.0, name, newparent.0, newname), reply);
    }

    fn link(&self, _req: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let linked = self.disk().link(ino.0, newparent.0, newname);
        told(linked.and_then(|()| attributes(&self.disk(), ino.0)), reply);
    }

    fn create(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.create_node(parent, name, Node::File(File::created())) {
            Ok(attributes) => reply.created(
                &FOREVER,
                &attributes,
                Generation(0),
                FileHandle(0),
                FopenFlags::FOPEN_KEEP_CACHE,
            ),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn open(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let alive = self.disk().alive();
        match alive.and_then(|()| self.count_opened(ino, 1)) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let disk = self.disk();
        match disk.alive().and_then(|()| disk.file(ino.0)) {
            Ok(file) => reply.data(file.read(offset as usize, size as usize)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let is_mapped = write_flags.contains(WriteFlags::FUSE_WRITE_CACHE);
        match self.write_bytes(ino, offset, data, is_mapped) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn flush(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        done(self.count_opened(ino, -1), reply);
    }

    fn fsync(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        done(self.fsync_file(ino), reply);
    }

    fn fsyncdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        done(self.disk().fsync_folder(ino.0), reply);
    }

    /// Room is promised by making the file as long; a hole is zeros.
    fn fallocate(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let end = (offset + length) as usize;
        match mode {
            0 => done(self.set_length(ino, |length| length.max(end)), reply),
            HOLE => done(self.make_hole(ino, offset as usize, end), reply),
            _ => reply.error(Errno::EOPNOTSUPP),
        }
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let disk = self.disk();
        let folder = match disk.alive().and_then(|()| disk.folder(ino.0)) {
            Ok(folder) => folder,
            Err(error) => return reply.error(errno(error)),
        };
        // A name's place is its node's number: that stays while others come and go, as those of lines would not.
        let mut lines: Vec<(Number, &OsStr)> = folder
            .names()
            .iter()
            .map(|(name, node)| (*node, name.as_os_str()))
            .collect();
        lines.sort_unstable();
        for (node, name) in lines.into_iter().filter(|(node, _)| *node > offset) {
            let kind = match disk.node(node) {
                Ok(Node::Folder(_)) => FileType::Directory,
                _ => FileType::RegularFile,
            };
            if reply.add(INodeNo(node), node, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let free = self.disk().free().map_or(BLOCKS, |bytes| bytes / u64::from(BLOCK));
        reply.statfs(BLOCKS, free, free, BLOCKS, BLOCKS, BLOCK, 255, BLOCK);
    }

    fn access(&self, _req: &Request, _ino: INodeNo, _mask: fuser::AccessFlags, reply: ReplyEmpty) {
        reply.ok();
    }
}

const _: () = assert!(ROOT == 1, "the kernel's number of what is mounted");
