//! What `stat` shows: from an entry's metadata to the kernel's attributes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};
use yore_store::{Entry, Kind, Meta, Snapshot};

/// Whose the files appear to be, and what that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// User and group shown for what nobody recorded: the mounting process's, or
    /// those of the user whose repository it is.
    pub(crate) uid: u32,
    /// See `uid`.
    pub(crate) gid: u32,
    /// Show everything as theirs and readable.
    pub(crate) own: bool,
}

impl Look {
    /// The attributes of an entry. `links` is its number of names in the snapshot;
    /// folders say 1, which tells `find` that it cannot count subfolders by it.
    pub(crate) fn entry(&self, node: INodeNo, entry: &Entry, links: u32) -> FileAttr {
        let meta = &entry.meta;
        let modified = time(meta.mtime, meta.mtime_ns);
        let (size, blocks) = match meta.kind {
            Kind::File => (entry.size, blocks(meta, entry.size)),
            Kind::Symlink => (meta.target.len() as u64, 0),
            _ => (0, 0),
        };
        FileAttr {
            size,
            blocks,
            nlink: links,
            perm: self.permissions(meta),
            uid: if self.own { self.uid } else { meta.owner.uid },
            gid: if self.own { self.gid } else { meta.owner.gid },
            // The kernel's 32-bit form is the low half of `st_rdev`, as far as
            // Linux has device numbers (12 bits major, 20 bits minor).
            rdev: meta.rdev as u32,
            ..self.plain(node, file_type(meta.kind), modified)
        }
    }

    /// The attributes of a folder of ours: the list of snapshots, with the time of
    /// the newest, or one above it.
    pub(crate) fn folder(&self, node: INodeNo, newest: Option<&Snapshot>) -> FileAttr {
        let modified = time(newest.map_or(0, |snapshot| snapshot.time), 0);
        FileAttr {
            perm: 0o555,
            ..self.plain(node, FileType::Directory, modified)
        }
    }

    /// The attributes of `latest`, pointing to a snapshot.
    pub(crate) fn latest(&self, node: INodeNo, target: &Snapshot) -> FileAttr {
        FileAttr {
            size: target.name.len() as u64,
            perm: 0o777,
            ..self.plain(node, FileType::Symlink, time(target.time, 0))
        }
    }

    /// Node 0: the answer that nothing has this name, which the kernel may keep.
    pub(crate) fn absent(&self) -> FileAttr {
        self.plain(INodeNo(0), FileType::RegularFile, UNIX_EPOCH)
    }

    fn plain(&self, ino: INodeNo, kind: FileType, modified: SystemTime) -> FileAttr {
        FileAttr {
            ino,
            size: 0,
            blocks: 0,
            atime: modified,
            mtime: modified,
            ctime: modified,
            crtime: modified,
            kind,
            perm: 0,
            nlink: 1,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    /// As recorded; or, shown as one's own, `u+rwX` so that copies can be used, and
    /// without set-id bits: `cp -p` would make a program that runs as the copier.
    fn permissions(&self, meta: &Meta) -> u16 {
        let mode = (meta.mode & 0o7777) as u16;
        if !self.own {
            return mode;
        }
        let enter = if meta.kind == Kind::Folder || mode & 0o111 != 0 {
            0o100
        } else {
            0
        };
        mode & 0o1777 | 0o600 | enter
    }

    /// The xattrs to show: an ACL names the users that `own` is there to forget.
    pub(crate) fn xattrs<'a>(&self, meta: &'a Meta) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let own = self.own;
        let shown = move |name: &[u8]| !(own && name.starts_with(b"system.posix_acl_"));
        meta.xattrs
            .iter()
            .map(|(name, value)| (&name[..], &value[..]))
            .filter(move |(name, _)| shown(name))
    }
}

/// The fuser name of a kind.
pub(crate) fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::File => FileType::RegularFile,
        Kind::Folder => FileType::Directory,
        Kind::Symlink => FileType::Symlink,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
        Kind::CharDevice => FileType::CharDevice,
        Kind::BlockDevice => FileType::BlockDevice,
    }
}

/// Blocks of 512 bytes: what the file took where it came from, holes left out.
fn blocks(meta: &Meta, size: u64) -> u64 {
    match &meta.data {
        None => size.div_ceil(512),
        // Whoever serves a repository may say anything of them.
        Some(extents) => extents.iter().fold(0, |blocks: u64, (_, length)| {
            blocks.saturating_add(length.div_ceil(512))
        }),
    }
}

/// A time of the catalog: nanoseconds are always added, so half a second before
/// 1970 is (-1, 500_000_000). What no clock can say is shown as 1970.
fn time(seconds: i64, nanoseconds: u32) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let second = if seconds < 0 {
        UNIX_EPOCH.checked_sub(whole)
    } else {
        UNIX_EPOCH.checked_add(whole)
    };
    let exact = second.and_then(|second| second.checked_add(Duration::from_nanos(nanoseconds.into())));
    exact.unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use yore_store::{EntryId, FolderId, SnapshotId};

    const AS_WAS: Look = Look {
        uid: 1000,
        gid: 1001,
        own: false,
    };
    const OWN: Look = Look { own: true, ..AS_WAS };

    fn entry(meta: Meta, size: u64) -> Entry {
        Entry {
            id: EntryId(1),
            folder: FolderId(1),
            name: b"x".to_vec(),
            first: SnapshotId(1),
            last: SnapshotId(1),
            meta,
            size,
            content: None,
            child: None,
            link: None,
        }
    }

    #[test]
    fn times_before_1970_and_after_2106_are_exact() {
        assert_eq!(time(-1, 500_000_000), UNIX_EPOCH - Duration::from_millis(500));
        assert_eq!(time(-2, 0), UNIX_EPOCH - Duration::from_secs(2));
        assert_eq!(time(5_000_000_000, 1), UNIX_EPOCH + Duration::new(5_000_000_000, 1));
        assert_eq!(time(i64::MAX, 1_999_999_999), UNIX_EPOCH, "beyond every clock");
        let _ = time(i64::MIN, 0);
    }

    #[test]
    fn holes_take_no_blocks() {
        let mut meta = Meta::plain(Kind::File, 0o644);
        assert_eq!(AS_WAS.entry(INodeNo(9), &entry(meta.clone(), 513), 1).blocks, 2);
        meta.data = Some(vec![(0, 4096), (1 << 30, 1)]);
        let attr = AS_WAS.entry(INodeNo(9), &entry(meta.clone(), (1 << 30) + 1), 1);
        assert_eq!((attr.size, attr.blocks), ((1 << 30) + 1, 9));
        meta.data = Some(vec![(0, u64::MAX); 600]);
        assert_eq!(AS_WAS.entry(INodeNo(9), &entry(meta, 1), 1).blocks, u64::MAX);
    }

    #[test]
    fn a_symlink_is_as_long_as_its_text() {
        let mut meta = Meta::plain(Kind::Symlink, 0o777);
        meta.target = b"../elsewhere".to_vec();
        assert_eq!(AS_WAS.entry(INodeNo(9), &entry(meta, 0), 1).size, 12);
    }

    #[test]
    fn owners_and_modes_are_as_they_were() {
        let mut meta = Meta::plain(Kind::BlockDevice, 0o4020);
        meta.owner.uid = 7;
        meta.owner.gid = 8;
        meta.rdev = 0x0812_3405;
        let attr = AS_WAS.entry(INodeNo(9), &entry(meta, 0), 3);
        assert_eq!(
            (attr.perm, attr.uid, attr.gid, attr.nlink, attr.rdev),
            (0o4020, 7, 8, 3, 0x0812_3405)
        );
    }

    #[test]
    fn shown_as_own_all_is_mine_and_readable() {
        let perm = |kind, mode| OWN.entry(INodeNo(9), &entry(Meta::plain(kind, mode), 0), 1).perm;
        assert_eq!(perm(Kind::File, 0o004), 0o604);
        assert_eq!(perm(Kind::File, 0o4755), 0o755, "no program that runs as me");
        assert_eq!(perm(Kind::File, 0o010), 0o710);
        assert_eq!(perm(Kind::Folder, 0o1000), 0o1700);
        let attr = OWN.entry(INodeNo(9), &entry(Meta::plain(Kind::File, 0), 0), 1);
        assert_eq!((attr.uid, attr.gid), (1000, 1001));
    }

    #[test]
    fn shown_as_own_acls_are_hidden() {
        let mut meta = Meta::plain(Kind::File, 0o644);
        meta.xattrs = [&b"system.posix_acl_access"[..], b"user.note"]
            .map(|name| (name.to_vec(), vec![1]))
            .to_vec();
        assert_eq!(AS_WAS.xattrs(&meta).count(), 2);
        assert_eq!(
            OWN.xattrs(&meta).map(|(name, _)| name).collect::<Vec<_>>(),
            [b"user.note"]
        );
    }
}
