//! The calls that would change something: all refused, with nothing asked first.
//!
//! The mount is read-only, so the kernel refuses most of them before we see
//! them; these are for what slips through, and for a remount.

/// Every modifying method of [`fuser::Filesystem`], answering EROFS; and those
/// that would carry changes to the disk, of which the kernel learns once that
/// it need not ask (ENOSYS).
macro_rules! refuse_changes {
    () => {
        fn setattr(
            &self,
            _req: &Request,
            _ino: INodeNo,
            _mode: Option<u32>,
            _uid: Option<u32>,
            _gid: Option<u32>,
            _size: Option<u64>,
            _atime: Option<fuser::TimeOrNow>,
            _mtime: Option<fuser::TimeOrNow>,
            _ctime: Option<std::time::SystemTime>,
            _fh: Option<FileHandle>,
            _crtime: Option<std::time::SystemTime>,
            _chgtime: Option<std::time::SystemTime>,
            _bkuptime: Option<std::time::SystemTime>,
            _flags: Option<fuser::BsdFileFlags>,
            reply: ReplyAttr,
        ) {
            reply.error(Errno::EROFS);
        }

        fn mknod(
            &self,
            _req: &Request,
            _parent: INodeNo,
            _name: &OsStr,
            _mode: u32,
            _umask: u32,
            _rdev: u32,
            reply: ReplyEntry,
        ) {
            reply.error(Errno::EROFS);
        }

        fn mkdir(&self, _req: &Request, _parent: INodeNo, _name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
            reply.error(Errno::EROFS);
        }

        fn unlink(&self, _req: &Request, _parent: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
            reply.error(Errno::EROFS);
        }

        fn rmdir(&self, _req: &Request, _parent: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
            reply.error(Errno::EROFS);
        }

        fn symlink(
            &self,
            _req: &Request,
            _parent: INodeNo,
            _name: &OsStr,
            _target: &std::path::Path,
            reply: ReplyEntry,
        ) {
            reply.error(Errno::EROFS);
        }

        fn rename(
            &self,
            _req: &Request,
            _parent: INodeNo,
            _name: &OsStr,
            _newparent: INodeNo,
            _newname: &OsStr,
            _flags: fuser::RenameFlags,
            reply: ReplyEmpty,
        ) {
            reply.error(Errno::EROFS);
        }

        fn link(&self, _req: &Request, _ino: INodeNo, _newparent: INodeNo, _newname: &OsStr, reply: ReplyEntry) {
            reply.error(Errno::EROFS);
        }

        fn create(
            &self,
            _req: &Request,
            _parent: INodeNo,
            _name: &OsStr,
            _mode: u32,
            _umask: u32,
            _flags: i32,
            reply: fuser::ReplyCreate,
        ) {
            reply.error(Errno::EROFS);
        }

        fn write(
            &self,
            _req: &Request,
            _ino: INodeNo,
            _fh: FileHandle,
            _offset: u64,
            _data: &[u8],
            _write_flags: fuser::WriteFlags,
            _flags: OpenFlags,
            _lock_owner: Option<LockOwner>,
            reply: fuser::ReplyWrite,
        ) {
            reply.error(Errno::EROFS);
        }

        fn copy_file_range(
            &self,
            _req: &Request,
            _ino_in: INodeNo,
            _fh_in: FileHandle,
            _offset_in: u64,
            _ino_out: INodeNo,
            _fh_out: FileHandle,
            _offset_out: u64,
            _len: u64,
            _flags: fuser::CopyFileRangeFlags,
            reply: fuser::ReplyWrite,
        ) {
            reply.error(Errno::EROFS);
        }

        fn fallocate(
            &self,
            _req: &Request,
            _ino: INodeNo,
            _fh: FileHandle,
            _offset: u64,
            _length: u64,
            _mode: i32,
            reply: ReplyEmpty,
        ) {
            reply.error(Errno::EROFS);
        }

        fn setxattr(
            &self,
            _req: &Request,
            _ino: INodeNo,
            _name: &OsStr,
            _value: &[u8],
            _flags: i32,
            _position: u32,
            reply: ReplyEmpty,
        ) {
            reply.error(Errno::EROFS);
        }

        fn removexattr(&self, _req: &Request, _ino: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
            reply.error(Errno::EROFS);
        }

        fn flush(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
            reply.error(Errno::ENOSYS);
        }

        fn fsync(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
            reply.error(Errno::ENOSYS);
        }

        fn fsyncdir(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
            reply.error(Errno::ENOSYS);
        }
    };
}

pub(crate) use refuse_changes;
