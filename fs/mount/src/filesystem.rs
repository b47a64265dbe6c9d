//! fuser's calls, answered: the thin layer between the kernel's questions and
//! the [`View`]. All our use of fuser's replies is in this file and `readonly`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use fuser::{
    AccessFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig, LockOwner,
    OpenAccMode, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use yore_store::Kind;

use crate::complain;
use crate::fault::Fault;
use crate::handle::{Handle, Handles};
use crate::passthrough::Passthrough;
use crate::seek::seek;
use crate::view::View;

/// Row ids are never reused, so neither are node ids: one generation is enough.
const GENERATION: Generation = Generation(0);

/// A mounted view.
pub(crate) struct SnapshotFilesystem {
    view: Arc<View>,
    /// Whether the kernel judges by ACLs; not where everything is shown as one's own.
    acls: bool,
    handles: Handles,
    passthrough: Passthrough,
    /// Something may be read past us; whether the kernel can, `init` learns.
    want_passthrough: bool,
    /// Dropped with us at the end of the mount, which ends the watch of the list.
    _mounted: Sender<()>,
}

impl SnapshotFilesystem {
    /// A file system over a view. `mounted` is dropped when it is unmounted.
    pub(crate) fn new(view: Arc<View>, acls: bool, mounted: Sender<()>) -> Self {
        SnapshotFilesystem {
            want_passthrough: view.wants_passthrough(),
            view,
            acls,
            handles: Handles::default(),
            passthrough: Passthrough::default(),
            _mounted: mounted,
        }
    }

    /// Asks, and makes an error number of whatever goes wrong. A panic is caught
    /// here: it would end a thread of the mount, and with the last one the mount.
    fn answer<T>(&self, call: &str, node: INodeNo, ask: impl FnOnce() -> Result<T, Fault>) -> Result<T, Errno> {
        let errno = |fault: Fault| {
            if let Some(error) = fault.worth_a_line() {
                complain(format_args!("{call} {}: {error}", self.view.describe(node)));
            }
            fault.errno()
        };
        catch_unwind(AssertUnwindSafe(|| ask().map_err(errno))).unwrap_or_else(|_| {
            complain(format_args!(
                "{call} of node {:#x}: a bug, see the panic above; answered EIO",
                node.0
            ));
            Err(Errno::EIO)
        })
    }

    fn open_file(&self, node: INodeNo, flags: OpenFlags, reply: &ReplyOpen) -> Result<Arc<Handle>, Fault> {
        let truncate = flags.0 & rustix::fs::OFlags::TRUNC.bits() as i32 != 0;
        if truncate || flags.acc_mode() != OpenAccMode::O_RDONLY {
            return Err(Errno::EROFS.into());
        }
        let place = self.view.place(node)?;
        let entry = place.entry(node)?.filter(|entry| entry.meta.kind == Kind::File);
        let (tree, entry) = (place.tree()?, entry.ok_or(Errno::EINVAL)?);
        let reader = entry
            .content
            .map(|content| tree.repository.open(content, entry.size))
            .transpose()?;
        let backing = reader
            .as_ref()
            .and_then(|reader| self.passthrough.open(node, &**reader, tree.passthrough, reply));
        Ok(Arc::new(Handle::new(tree.clone(), reader, backing)))
    }

    fn xattr_names(&self, node: INodeNo) -> Result<Vec<u8>, Fault> {
        let place = self.view.place(node)?;
        let Some(entry) = place.entry(node)? else {
            return Ok(Vec::new());
        };
        let look = place.tree()?.hook.look;
        Ok(look
            .xattrs(&entry.meta)
            .flat_map(|(name, _)| [name, b"\0"].concat())
            .collect())
    }

    fn xattr_value(&self, node: INodeNo, wanted: &[u8]) -> Result<Vec<u8>, Fault> {
        let place = self.view.place(node)?;
        let entry = place.entry(node)?.ok_or(Errno::ENODATA)?;
        let look = place.tree()?.hook.look;
        let found = look.xattrs(&entry.meta).find(|(name, _)| *name == wanted);
        Ok(found.ok_or(Errno::ENODATA)?.1.to_vec())
    }

    /// access(2) where the kernel does not check modes itself: only the mounting
    /// user gets here, and everything is shown as their own.
    fn check_access(&self, node: INodeNo, mask: AccessFlags) -> Result<(), Fault> {
        if mask.contains(AccessFlags::W_OK) {
            return Err(Errno::EROFS.into());
        }
        let attr = self.view.place(node)?.attributes(node)?.attr;
        if mask.contains(AccessFlags::X_OK) && attr.perm & 0o111 == 0 {
            return Err(Errno::EACCES.into());
        }
        Ok(())
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
        if self.want_passthrough
            && config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_ok()
            && config.set_max_stack_depth(1).is_ok()
        {
            self.passthrough.enable();
        }
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.answer("lookup in", parent, || {
            self.view.place(parent)?.lookup(parent, name.as_bytes())
        }) {
            Ok(seen) => reply.entry(&seen.ttl, &seen.attr, GENERATION),
            Err(errno) => reply.error(errno),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.answer("stat", ino, || self.view.place(ino)?.attributes(ino)) {
            Ok(seen) => reply.attr(&seen.ttl, &seen.attr),
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        match self.answer("readlink", ino, || self.view.place(ino)?.tree()?.target(ino)) {
            Ok(target) => reply.data(&target),
            Err(errno) => reply.error(errno),
        }
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        // Listings are found by node again, so there is no handle. Those that
        // live are not kept: a new snapshot must be in the next one.
        let keep = match self.view.is_alive(ino) {
            true => FopenFlags::empty(),
            false => FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE,
        };
        reply.opened(FileHandle(0), keep);
    }

    fn readdirplus(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let listed = self.answer("list", ino, || {
            self.view.place(ino)?.list(ino, offset, |child| {
                let (name, seen) = (OsStr::from_bytes(child.name), &child.seen);
                reply.add(seen.attr.ino, child.cookie, name, &seen.ttl, &seen.attr, GENERATION)
            })
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.answer("list", ino, || {
            self.view.place(ino)?.list(ino, offset, |child| {
                let attr = &child.seen.attr;
                reply.add(attr.ino, child.cookie, attr.kind, OsStr::from_bytes(child.name))
            })
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, _req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let handle = match self.answer("open", ino, || self.open_file(ino, flags, &reply)) {
            Ok(handle) => handle,
            Err(errno) => return reply.error(errno),
        };
        let number = self.handles.insert(handle.clone());
        // There is nothing to flush. With passthrough there are no pages of ours
        // to keep, and the kernel refuses the flag.
        match &handle.backing {
            Some(backing) => reply.opened_passthrough(number, FopenFlags::FOPEN_NOFLUSH, backing),
            None => reply.opened(number, FopenFlags::FOPEN_NOFLUSH | FopenFlags::FOPEN_KEEP_CACHE),
        }
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
        let mut reply = Some(reply);
        let read = self.answer("read", ino, || {
            let handle = self.handles.get(fh)?;
            Ok(handle.read(offset, size, |bytes| reply.take().map(|reply| reply.data(bytes)))?)
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
        if self.handles.remove(fh).is_some_and(|handle| handle.has_bytes()) {
            self.passthrough.close(ino);
        }
        reply.ok();
    }

    fn lseek(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let found = self.answer("lseek", ino, || {
            let entry = self.view.place(ino)?.entry(ino)?.ok_or(Errno::EINVAL)?;
            Ok(seek(entry.meta.data.as_deref(), entry.size, offset, whence)?)
        });
        match found {
            Ok(offset) => reply.offset(offset),
            Err(errno) => reply.error(errno),
        }
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        reply_sized(
            reply,
            size,
            self.answer("getxattr", ino, || self.xattr_value(ino, name.as_bytes())),
        );
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        reply_sized(reply, size, self.answer("listxattr", ino, || self.xattr_names(ino)));
    }

    fn access(&self, _req: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        match self.answer("access", ino, || self.check_access(ino, mask)) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    /// What `df` shows is the disk that the repository lies on.
    fn statfs(&self, _req: &Request, ino: INodeNo, reply: ReplyStatfs) {
        match self.answer("statfs", ino, || self.view.place(ino)?.space()) {
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
    }

    crate::readonly::refuse_changes!();
}
