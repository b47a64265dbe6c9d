//! A repository for tests: a list of snapshots, and files of zeros by any number.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use yore_store::{
    BaseValues, ContentId, Entry, EntryId, FolderId, Forgotten, Hash, History, Kind, LineId, Listed, Listing, Meta,
    OpenContent, Repaired, Result, Snapshot, SnapshotId, Space, Stats, Swept, TellChange, TellFound, TellProgress,
    Verified, Version, Wanted,
};

/// A snapshot with this number and name.
pub(crate) fn snapshot(id: i64, name: &str) -> Snapshot {
    Snapshot {
        id: SnapshotId(id),
        line: LineId(1),
        name: name.into(),
        time: id,
        host: String::new(),
        tags: vec![],
        roots: vec![],
        root: FolderId(1),
        files: 0,
        folders: 0,
        others: 0,
        bytes: 0,
        new_bytes: 0,
        unread: 0,
        check: 0,
    }
}

/// Bytes in each file.
pub(crate) const FILE_BYTES: u64 = 3 << 20;

/// A content of zeros.
struct Zeros(u64);

impl OpenContent for Zeros {
    fn size(&self) -> u64 {
        self.0
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let length = self.0.saturating_sub(offset).min(buffer.len() as u64) as usize;
        buffer[..length].fill(0);
        Ok(length)
    }
}

/// A repository with as many snapshots as its version says, named by their numbers.
pub(crate) struct Counted {
    /// Whether it is on this machine.
    pub(crate) is_here: bool,
    /// How many snapshots it has.
    pub(crate) version: AtomicI64,
    /// How often it was asked for its version.
    pub(crate) asked: AtomicUsize,
    /// How often a content was opened.
    pub(crate) opened: AtomicUsize,
    /// What happens while it answers with its snapshots.
    pub(crate) meanwhile: Box<dyn Fn() + Send + Sync>,
}

impl Counted {
    /// One with a snapshot.
    pub(crate) fn new(is_here: bool) -> Self {
        Counted {
            is_here,
            version: AtomicI64::new(1),
            asked: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            meanwhile: Box::new(|| ()),
        }
    }
}

impl History for Counted {
    fn place(&self) -> String {
        "a test".into()
    }
    fn folder_here(&self) -> Option<&Path> {
        self.is_here.then_some(Path::new("/"))
    }
    fn version(&self) -> Result<i64> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(self.version.load(Ordering::Relaxed))
    }
    fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let count = self.version.load(Ordering::Relaxed);
        (self.meanwhile)();
        Ok((1..=count).map(|id| snapshot(id, &id.to_string())).collect())
    }
    fn root(&self, _: SnapshotId) -> Result<Entry> {
        unreachable!()
    }
    fn folder(&self, _: SnapshotId, _: FolderId) -> Result<Option<Listed>> {
        unreachable!()
    }
    fn entry(&self, id: EntryId) -> Result<Option<Listed>> {
        let entry = Entry {
            id,
            folder: FolderId(1),
            name: id.to_string().into_bytes(),
            first: SnapshotId(1),
            last: SnapshotId(1),
            meta: Meta::plain(Kind::File, 0o644),
            size: FILE_BYTES,
            content: Some(ContentId(id.0)),
            child: None,
            link: None,
        };
        Ok(Some(entry.into()))
    }
    fn links(&self, _: SnapshotId, _: i64) -> Result<Vec<Entry>> {
        unreachable!()
    }
    fn list(&self, _: SnapshotId, _: FolderId) -> Result<Arc<Listing>> {
        unreachable!()
    }
    fn open(&self, _: ContentId, size: u64) -> Result<Box<dyn OpenContent>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Zeros(size)))
    }
    fn space(&self) -> Result<Space> {
        unreachable!()
    }
    fn versions(&self, _: &[u8]) -> Result<Vec<Version>> {
        unreachable!()
    }
    fn find(&self, _: &Wanted<'_>, _: &mut TellFound<'_>) -> Result<()> {
        unreachable!()
    }
    fn diff(&self, _: &Snapshot, _: &Snapshot, _: &mut TellChange<'_>) -> Result<()> {
        unreachable!()
    }
    fn rows(&self, _: &Snapshot, _: &Snapshot, _: &mut TellChange<'_>) -> Result<()> {
        unreachable!()
    }
    fn hashes(&self, _: &[ContentId]) -> Result<Vec<Option<Hash>>> {
        unreachable!()
    }
    fn base_values(&self, _: &Hash) -> Result<Option<BaseValues>> {
        unreachable!()
    }
    fn stats(&self) -> Result<Stats> {
        unreachable!()
    }
    fn verify(&self, _: bool, _: &mut TellProgress<'_>) -> Result<Verified> {
        unreachable!()
    }
    fn forget(&self, _: &[SnapshotId]) -> Result<Forgotten> {
        unreachable!()
    }
    fn repair_contents(&self, _: bool, _: &mut TellProgress<'_>) -> Result<Repaired> {
        unreachable!()
    }
    fn sweep(&self) -> Result<Swept> {
        unreachable!()
    }
}
