//! fuser's calls, answered: the thin layer between the kernel's questions and
//! the [`Server`]. All our use of fuser's replies is in this file and `readonly`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use fuser::{
    AccessFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen,
    ReplyStatfs, ReplyXattr, Request,
};

use crate::complain;
use crate::seek::seek;
use crate::server::Server;
use crate::tree::Child;

/// Row ids are never reused, so neither are node ids: one generation is enough.
const GENERATION: Generation = Generation(0);

/// A mounted view.
pub(crate) struct SnapshotFilesystem {
    server: Arc<Server>,
    /// Whether the kernel judges by ACLs; not where everything is shown as one's own.
    acls: bool,
    /// Whether files are opened before they are read.
    opens: bool,
    /// Whether folders are opened before they are listed.
    opens_folders: bool,
    /// Dropped with us at the end of the mount, which ends the watch of what lives.
    _mounted: Sender<()>,
}

impl SnapshotFilesystem {
    /// A file system of a server. `mounted` is dropped when it is unmounted.
    pub(crate) fn new(server: Arc<Server>, acls: bool, mounted: Sender<()>) -> Self {
        SnapshotFilesystem {
            server,
            acls,
            opens: true,
            opens_folders: true,
            _mounted: mounted,
        }
    }

    /// Has a request about a node answered: here, or, if its repository must be opened
    /// first, by a thread of its own. Ours are few, and the other repositories' too.
    fn serve(&self, node: INodeNo, answer: impl FnOnce(&Server) + Send + 'static) {
        if self.server.view.is_ready(node) {
            return answer(&self.server);
        }
        let server = self.server.clone();
        let thread = std::thread::Builder::new().name("yore-open".into());
        // Without a thread the reply is dropped with `answer`, which makes it an EIO.
        if let Err(error) = thread.spawn(move || answer(&server)) {
            complain(format_args!("no thread to open a repository: {error}"));
        }
    }

    /// Has a part of a listing answered: `add` puts a line into the reply and says whether that is full, `end` sends it.
    fn list<R: Send + 'static>(
        &self,
        folder: INodeNo,
        offset: u64,
        mut reply: R,
        add: fn(&mut R, Child<'_>) -> bool,
        end: fn(R, Result<(), Errno>),
    ) {
        let keeps_all = !self.opens_folders;
        self.serve(folder, move |server| {
            let mut is_end = true;
            let listed = server.answer("list", folder, || {
                server.view.place(folder)?.list(folder, offset, |child| {
                    is_end = false;
                    add(&mut reply, child)
                })
            });
            if is_end && keeps_all && server.view.is_alive(folder) {
                server.forget_listing(folder);
            }
            end(reply, listed);
        });
    }
}

/// The protocol of both xattr calls: size 0 asks for the size.
fn reply_sized(reply: ReplyXattr, size: u32, answer: Result<Vec<u8>, Errno>) {
    match answer {
        Err(errno) => reply.error(errno),
        Ok(bytes) if size == 0 => reply.size(bytes.len() as u32),
        Ok(bytes) if bytes.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(bytes) => reply.data(&bytes),
    }
}

impl Filesystem for SnapshotFilesystem {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let wanted = [
            // Without AUTO: attributes come with every listing, which makes a cold
            // `find` of a large folder some thirty times as fast.
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_EXPORT_SUPPORT,
        ];
        for flag in wanted {
            // An older kernel without one of them is slower, not wrong.
            let _ = config.add_capabilities(flag);
        }
        if self.acls {
            // The kernel then judges by ACLs too. Without it the group bits of a
            // file with an ACL, which are its mask, would let the group in.
            let _ = config.add_capabilities(InitFlags::FUSE_POSIX_ACL);
        }
        if self.server.view.wants_passthrough()
            && config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_ok()
            && config.set_max_stack_depth(1).is_ok()
        {
            self.server.passthrough.enable();
        }
        // Where the kernel never reads past us, it need not tell us what is open: two requests fewer of the six that
        // it makes for a file that is copied.
        let may_do_without = config.capabilities().contains(InitFlags::FUSE_NO_OPEN_SUPPORT);
        self.opens = self.server.view.wants_passthrough() || !may_do_without;
        // Nor which folders, where all that it may keep of them is right for ever, or taken back at once.
        let may_do_without = config.capabilities().contains(InitFlags::FUSE_NO_OPENDIR_SUPPORT);
        self.opens_folders = self.server.view.is_of_many() || !may_do_without;
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.as_bytes().to_vec();
        self.serve(parent, move |server| {
            match server.answer("lookup in", parent, || server.view.lookup(parent, &name)) {
                Ok(seen) => reply.entry(&seen.ttl, &seen.attr, GENERATION),
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.serve(ino, move |server| {
            match server.answer("stat", ino, || server.view.place(ino)?.attributes(ino)) {
                Ok(seen) => reply.attr(&seen.ttl, &seen.attr),
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        self.serve(ino, move |server| {
            match server.answer("readlink", ino, || server.view.place(ino)?.tree()?.target(ino)) {
                Ok(target) => reply.data(&target),
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if !self.opens_folders && self.server.kernel.get().is_some() {
            // Then it does not ask again, and keeps every listing.
            return reply.error(Errno::ENOSYS);
        }
        // Listings are found by node again, so there is no handle. Those that live
        // are not kept: a new snapshot must be in the next one.
        let keep = match self.server.view.is_alive(ino) {
            true => FopenFlags::empty(),
            false => FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE,
        };
        reply.opened(FileHandle(0), keep);
    }

    fn readdirplus(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, reply: ReplyDirectoryPlus) {
        let add = |reply: &mut ReplyDirectoryPlus, child: Child<'_>| {
            let (name, seen) = (OsStr::from_bytes(child.name), &child.seen);
            reply.add(seen.attr.ino, child.cookie, name, &seen.ttl, &seen.attr, GENERATION)
        };
        self.list(ino, offset, reply, add, |reply, listed| match listed {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        });
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, reply: ReplyDirectory) {
        let add = |reply: &mut ReplyDirectory, child: Child<'_>| {
            let attr = &child.seen.attr;
            reply.add(attr.ino, child.cookie, attr.kind, OsStr::from_bytes(child.name))
        };
        self.list(ino, offset, reply, add, |reply, listed| match listed {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        });
    }

    fn open(&self, _req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if !self.opens {
            // Then it does not ask again, and keeps the pages of what it has read.
            return reply.error(Errno::ENOSYS);
        }
        self.serve(ino, move |server| {
            let handle = match server.answer("open", ino, || server.open_file(ino, flags, &reply)) {
                Ok(handle) => handle,
                Err(errno) => return reply.error(errno),
            };
            let number = server.handles.insert(handle.clone());
            // There is nothing to flush. With passthrough there are no pages of ours
            // to keep, and the kernel refuses the flag.
            match &handle.backing {
                Some(backing) => reply.opened_passthrough(number, FopenFlags::FOPEN_NOFLUSH, &backing.id),
                None => reply.opened(number, FopenFlags::FOPEN_NOFLUSH | FopenFlags::FOPEN_KEEP_CACHE),
            }
        });
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        // An open file needs nothing but its handle.
        let mut reply = Some(reply);
        let read = self.server.answer("read", ino, || {
            let handle = match self.opens {
                true => self.server.handles.get(fh)?,
                false => self.server.unopened(ino, offset + u64::from(size))?,
            };
            handle.read(offset, size, |bytes| reply.take().map(|reply| reply.data(bytes)))
        });
        if let (Err(errno), Some(reply)) = (read, reply) {
            reply.error(errno);
        }
    }

    fn release(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        if self.server.handles.remove(fh).is_some_and(|handle| handle.has_bytes()) {
            self.server.passthrough.close(ino);
        }
        reply.ok();
    }

    fn lseek(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        self.serve(ino, move |server| {
            let found = server.answer("lseek", ino, || {
                let entry = server.view.place(ino)?.entry(ino)?.ok_or(Errno::EINVAL)?;
                Ok(seek(entry.meta.data.as_deref(), entry.size, offset, whence)?)
            });
            match found {
                Ok(offset) => reply.offset(offset),
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let name = name.as_bytes().to_vec();
        self.serve(ino, move |server| {
            let value = server.answer("getxattr", ino, || server.xattr_value(ino, &name));
            reply_sized(reply, size, value);
        });
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.serve(ino, move |server| {
            reply_sized(reply, size, server.answer("listxattr", ino, || server.xattr_names(ino)));
        });
    }

    fn access(&self, _req: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        self.serve(ino, move |server| {
            match server.answer("access", ino, || server.check_access(ino, mask)) {
                Ok(()) => reply.ok(),
                Err(errno) => reply.error(errno),
            }
        });
    }

    /// What `df` shows is the disk that the repository lies on.
    fn statfs(&self, _req: &Request, ino: INodeNo, reply: ReplyStatfs) {
        self.serve(ino, move |server| {
            match server.answer("statfs", ino, || server.view.place(ino)?.space()) {
                Ok(disk) => reply.statfs(
                    disk.blocks,
                    disk.free,
                    disk.available,
                    disk.files,
                    disk.files_free,
                    disk.block.max(4096) as u32,
                    255,
                    disk.block as u32,
                ),
                Err(errno) => reply.error(errno),
            }
        });
    }

    crate::readonly::refuse_changes!();
}
