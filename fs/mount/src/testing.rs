//! A repository for tests: a list of snapshots and nothing in them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use yore_store::{
    BaseValues, ContentId, Entry, EntryId, FolderId, Forgotten, Hash, History, LineId, Listed, Listing, OpenContent,
    Repaired, Result, Snapshot, SnapshotId, Space, Stats, Swept, TellChange, TellFound, TellProgress, Verified,
    Version, Wanted,
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

/// A repository with as many snapshots as its version says, named by their numbers.
pub(crate) struct Counted {
    /// Whether it is on this machine.
    pub(crate) is_here: bool,
    /// How many snapshots it has.
    pub(crate) version: AtomicI64,
    /// How often it was asked for its version.
    pub(crate) asked: AtomicUsize,
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
    fn entry(&self, _: EntryId) -> Result<Option<Listed>> {
        unreachable!()
    }
    fn links(&self, _: SnapshotId, _: i64) -> Result<Vec<Entry>> {
        unreachable!()
    }
    fn list(&self, _: SnapshotId, _: FolderId) -> Result<Arc<Listing>> {
        unreachable!()
    }
    fn open(&self, _: ContentId, _: u64) -> Result<Box<dyn OpenContent>> {
        unreachable!()
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
