//! The least that a mount costs: a folder copied into memory and served read-only, with the settings of our mount and
//! nothing behind them. What `contrib/bench/compare` holds our mount against.
//!
//!     floor FOLDER MOUNTPOINT [BELOW]     serves until it is unmounted; says "mounted" first
//!
//! The folder is shown at the mountpoint, or at a path below it: a path is walked name by name, and who compares mounts
//! gives them paths of the same length.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyXattr, Request, Session,
};

const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

struct Node {
    attr: FileAttr,
    parent: INodeNo,
    /// Of a folder: what is in it, in the order of its listing.
    children: Vec<(OsString, INodeNo)>,
    by_name: HashMap<OsString, INodeNo>,
    /// Of a file its bytes, of a symlink its text.
    bytes: Vec<u8>,
}

/// Nodes by number, the first of which is 1.
struct InMemory(Vec<Node>);

impl InMemory {
    /// A folder, below as many others as `below` has names.
    fn copied(folder: &Path, below: &Path) -> io::Result<Self> {
        let mut all = InMemory(Vec::new());
        let mut parent = INodeNo::ROOT;
        for name in below {
            let number = all.add_empty(folder, parent)?;
            let child = INodeNo(number.0 + 1);
            all.put_into(number, name.to_owned(), child);
            parent = number;
        }
        all.add(folder, parent)?;
        Ok(all)
    }

    fn add(&mut self, path: &Path, parent: INodeNo) -> io::Result<INodeNo> {
        let number = self.add_empty(path, parent)?;
        if self.node(number).attr.kind == FileType::Directory {
            let mut names: Vec<PathBuf> = path.read_dir()?.map(|one| Ok(one?.path())).collect::<io::Result<_>>()?;
            names.sort();
            for below in names {
                let child = self.add(&below, number)?;
                let name = below.file_name().expect("it is in a folder").to_owned();
                self.put_into(number, name, child);
            }
        }
        Ok(number)
    }

    fn put_into(&mut self, folder: INodeNo, name: OsString, child: INodeNo) {
        let node = &mut self.0[folder.0 as usize - 1];
        node.children.push((name.clone(), child));
        node.by_name.insert(name, child);
    }

    /// Adds what is at a path, a folder without what is in it.
    fn add_empty(&mut self, path: &Path, parent: INodeNo) -> io::Result<INodeNo> {
        let found = path.symlink_metadata()?;
        let number = INodeNo(self.0.len() as u64 + 1);
        let kind = match found.file_type() {
            kind if kind.is_dir() => FileType::Directory,
            kind if kind.is_symlink() => FileType::Symlink,
            kind if kind.is_fifo() => FileType::NamedPipe,
            _ => FileType::RegularFile,
        };
        let modified = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        self.0.push(Node {
            attr: FileAttr {
                ino: number,
                size: found.size(),
                blocks: found.blocks(),
                atime: modified,
                mtime: modified,
                ctime: modified,
                crtime: modified,
                kind,
                perm: (found.mode() & 0o7777) as u16,
                nlink: 1,
                uid: found.uid(),
                gid: found.gid(),
                rdev: 0,
                blksize: 4096,
                flags: 0,
            },
            parent,
            children: Vec::new(),
            by_name: HashMap::new(),
            bytes: match kind {
                FileType::RegularFile => std::fs::read(path)?,
                FileType::Symlink => path.read_link()?.into_os_string().as_bytes().to_vec(),
                _ => Vec::new(),
            },
        });
        Ok(number)
    }

    fn node(&self, number: INodeNo) -> &Node {
        &self.0[number.0 as usize - 1]
    }

    /// What a listing of a folder says after `offset` lines.
    fn lines(&self, folder: INodeNo, offset: u64) -> impl Iterator<Item = (u64, &OsStr, &FileAttr)> {
        let node = self.node(folder);
        let dots = [(OsStr::new("."), folder), (OsStr::new(".."), node.parent)];
        let names = node.children.iter().map(|(name, number)| (name.as_os_str(), *number));
        let lines = dots.into_iter().chain(names).enumerate().skip(offset as usize);
        lines.map(|(line, (name, number))| (line as u64 + 1, name, &self.node(number).attr))
    }
}

impl Filesystem for InMemory {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for flag in [
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_POSIX_ACL,
        ] {
            let _ = config.add_capabilities(flag);
        }
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.node(parent).by_name.get(name) {
            Some(number) => reply.entry(&FOREVER, &self.node(*number).attr, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOREVER, &self.node(ino).attr);
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        reply.data(&self.node(ino).bytes);
    }

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        // The kernel keeps every listing then, and does not ask again.
        reply.error(Errno::ENOSYS);
    }

    fn readdirplus(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        for (next, name, attr) in self.lines(ino, offset) {
            if reply.add(attr.ino, next, name, &FOREVER, attr, Generation(0)) {
                break;
            }
        }
        reply.ok();
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        for (next, name, attr) in self.lines(ino, offset) {
            if reply.add(attr.ino, next, attr.kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_NOFLUSH | FopenFlags::FOPEN_KEEP_CACHE);
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
        let bytes = &self.node(ino).bytes;
        let from = bytes.len().min(offset as usize);
        reply.data(&bytes[from..bytes.len().min(from + size as usize)]);
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn getxattr(&self, _req: &Request, _ino: INodeNo, _name: &OsStr, _size: u32, reply: ReplyXattr) {
        reply.error(Errno::ENODATA);
    }

    fn listxattr(&self, _req: &Request, _ino: INodeNo, size: u32, reply: ReplyXattr) {
        match size {
            0 => reply.size(0),
            _ => reply.data(&[]),
        }
    }
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), Some(mountpoint)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: floor FOLDER MOUNTPOINT [BELOW]"));
    };
    let below = arguments.next().unwrap_or_default();
    let files = InMemory::copied(&folder, &below)?;
    let mut config = Config::default();
    config.mount_options = vec![MountOption::RO, MountOption::NoAtime, MountOption::DefaultPermissions];
    config.n_threads = Some(4);
    config.clone_fd = true;
    let serving = Session::new(files, &mountpoint, &config)?.spawn()?;
    // As our mount has it; root's to set.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let at = mountpoint.canonicalize()?;
    let line = mounts.lines().find(|line| line.split(' ').nth(4) == at.to_str());
    if let Some(device) = line.and_then(|line| line.split(' ').nth(2)) {
        let _ = std::fs::write(format!("/sys/class/bdi/{device}/read_ahead_kb"), "2048");
    }
    println!("mounted");
    serving.join()
}
