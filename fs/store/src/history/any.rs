//! What can be asked of a repository, wherever it is: here, or at the other end of a connection.
//!
//! Commands, the mount and restores are written against [`History`] and do not know which of
//! the two they have.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::{NextPassage, TellPassage, read_passages};
use crate::error::IoContext;
use crate::tree::{Listed, find_name};
use crate::{
    BaseValues, Change, ContentId, ContentReader, Entry, EntryId, Error, FolderId, Forgotten, Found, Hash, HeldFile,
    Listing, Repaired, Repository, Result, Snapshot, SnapshotId, Stats, Swept, Verified, Version,
};

/// A content open for reading. Every byte given was verified where it is kept.
pub trait OpenContent: Send + Sync {
    /// Its length in bytes.
    fn size(&self) -> u64;

    /// Reads bytes from `offset`; fewer than asked for only at the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize>;

    /// The file on this machine that is byte for byte this content, where there is one; it stays so as long as it is held.
    fn raw_file(&self) -> Result<Option<HeldFile>> {
        Ok(None)
    }
}

impl OpenContent for ContentReader {
    fn size(&self) -> u64 {
        ContentReader::size(self)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.read_going_on(offset, buffer)
    }
    fn raw_file(&self) -> Result<Option<HeldFile>> {
        ContentReader::raw_file(self)
    }
}

/// Room on the disk that a repository lies on, as `statvfs` counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes in a block.
    pub block: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Blocks that are free.
    pub free: u64,
    /// Blocks that others than root may use.
    pub available: u64,
    /// Files that there can be.
    pub files: u64,
    /// Of these, how many more.
    pub files_free: u64,
}

/// A name or a path that is looked for.
pub struct Wanted<'a> {
    /// The pattern as the user wrote it, in gitignore's syntax: what a server is asked.
    pub pattern: &'a [u8],
    /// Whether a name and an absolute path may fit; what is told may still not, as the kind is
    /// known only of what was found.
    pub may_fit: &'a dyn Fn(&[u8], &[u8]) -> bool,
}

/// Is told what was found; says whether to go on.
pub type TellFound<'a> = dyn FnMut(Found) -> ControlFlow<()> + 'a;

/// Is told a path that differs, and how; says whether to go on.
pub type TellChange<'a> = dyn FnMut(&[u8], Change) -> ControlFlow<()> + 'a;

/// Is told of bytes read and to be read; an error ends the reading.
pub type TellProgress<'a> = dyn FnMut(u64, u64) -> Result<()> + 'a;

/// Goes on after a success; an error is kept, and breaks off. For callbacks whose errors are no [`Error`].
pub fn go_on<E>(kept: &mut std::result::Result<(), E>, result: std::result::Result<(), E>) -> ControlFlow<()> {
    *kept = result;
    match kept {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

/// A repository that is read and looked after.
pub trait History: Send + Sync {
    /// Where it is, for messages: a folder or a URL.
    fn place(&self) -> String;
    /// The folder of the repository, if it is on this machine.
    fn folder_here(&self) -> Option<&Path>;
    /// A number that changes whenever something was committed.
    fn version(&self) -> Result<i64>;
    /// All snapshots, oldest first.
    fn snapshots(&self) -> Result<Vec<Snapshot>>;
    /// The entry of `/` in a snapshot.
    fn root(&self, snapshot: SnapshotId) -> Result<Entry>;
    /// The entry of a folder as it was in a snapshot; `None` if it was not.
    fn folder(&self, snapshot: SnapshotId, folder: FolderId) -> Result<Option<Listed>>;
    /// One entry by its number; when its life ends (`last`) may not be the latest word.
    fn entry(&self, id: EntryId) -> Result<Option<Listed>>;
    /// Whether an entry has not been forgotten since it was seen: asked of the catalog, past what is remembered.
    fn still_has(&self, id: EntryId) -> Result<bool> {
        Ok(self.entry(id)?.is_some())
    }
    /// The entries of one hard-link group in a snapshot, as many as `st_nlink` says.
    fn links(&self, snapshot: SnapshotId, link: i64) -> Result<Vec<Entry>>;
    /// The entries of a folder in a snapshot, sorted by name.
    fn list(&self, snapshot: SnapshotId, folder: FolderId) -> Result<Arc<Listing>>;
    /// The same, by somebody who goes on to list what is below it.
    fn list_below(&self, snapshot: SnapshotId, folder: FolderId) -> Result<Arc<Listing>> {
        self.list(snapshot, folder)
    }
    /// Opens a content for reading; `size` is what an entry that names it says.
    fn open(&self, content: ContentId, size: u64) -> Result<Box<dyn OpenContent>>;
    /// Reads many passages, one after the other, until there is no next one or it is told to break off.
    fn read(&self, next: &mut NextPassage<'_>, tell: &mut TellPassage<'_>) {
        read_passages(&|content, size| self.open(content, size), next, tell);
    }
    /// Room on its disk.
    fn space(&self) -> Result<Space>;
    /// The versions of an absolute path through all snapshots, oldest first.
    fn versions(&self, path: &[u8]) -> Result<Vec<Version>>;
    /// Tells every entry of every snapshot that may fit, until it is told to break off.
    fn find(&self, wanted: &Wanted<'_>, found: &mut TellFound<'_>) -> Result<()>;
    /// Tells what differs from snapshot `a` to snapshot `b`, until it is told to break off.
    fn diff(&self, a: &Snapshot, b: &Snapshot, change: &mut TellChange<'_>) -> Result<()>;
    /// Tells which rows are others in snapshot `b` than in `a` of the same line; see [`Repository::rows`].
    fn rows(&self, a: &Snapshot, b: &Snapshot, change: &mut TellChange<'_>) -> Result<()>;
    /// The names of contents; `None` where one is no longer known.
    fn hashes(&self, contents: &[ContentId]) -> Result<Vec<Option<Hash>>>;
    /// The chaining values of a content's groups; `None` if it is not here.
    fn base_values(&self, hash: &Hash) -> Result<Option<BaseValues>>;
    /// Where the bytes are.
    fn stats(&self) -> Result<Stats>;
    /// Looks for damage. `progress` hears of bytes read and to be read; an error of it is the result.
    fn verify(&self, read_data: bool, progress: &mut TellProgress<'_>) -> Result<Verified>;
    /// Mends contents of which there is another one that is sound; in a dry run only says what is damaged.
    fn repair_contents(&self, dry_run: bool, progress: &mut TellProgress<'_>) -> Result<Repaired>;
    /// Forgets snapshots, then collects and repacks.
    fn forget(&self, snapshots: &[SnapshotId]) -> Result<Forgotten>;
    /// Sweeps what dead pushes left and no push of their line has claimed.
    fn sweep(&self) -> Result<Swept>;

    /// The snapshot that `spec` means: a name, `latest`, `latest~N` (N before the latest),
    /// or the beginning of exactly one name.
    fn snapshot(&self, spec: &str) -> Result<Snapshot> {
        find_snapshot(self.snapshots()?, spec)
    }

    /// Walks an absolute path; `""` and `/` are the root.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`] if the snapshot does not have it.
    fn lookup(&self, snapshot: &Snapshot, path: &[u8]) -> Result<Entry> {
        let mut entry = self.root(snapshot.id)?;
        for name in path
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty() && *name != b".")
        {
            let found = match entry.child {
                Some(folder) => find_name(&*self.list(snapshot.id, folder)?, name).cloned(),
                None => None,
            };
            entry = found.ok_or_else(|| Error::NoSuchPath {
                path: String::from_utf8_lossy(path).into_owned(),
                snapshot: snapshot.name.clone(),
            })?;
        }
        Ok(entry)
    }
}

/// The snapshot that `spec` means among these, oldest first; see [`History::snapshot`].
pub(crate) fn find_snapshot(mut snapshots: Vec<Snapshot>, spec: &str) -> Result<Snapshot> {
    let unknown = || Error::NoSuchSnapshot(spec.to_owned());
    if let Some(back) = spec.strip_prefix("latest") {
        let back: usize = match back.strip_prefix('~') {
            Some(number) => number.parse().map_err(|_| unknown())?,
            None if back.is_empty() => 0,
            None => return Err(unknown()),
        };
        return snapshots.into_iter().rev().nth(back).ok_or_else(unknown);
    }
    if let Some(exact) = snapshots.iter().position(|snapshot| snapshot.name == spec) {
        return Ok(snapshots.swap_remove(exact));
    }
    snapshots.retain(|snapshot| !spec.is_empty() && snapshot.name.starts_with(spec));
    match snapshots.len() {
        0 => Err(unknown()),
        1 => Ok(snapshots.remove(0)),
        _ => Err(Error::AmbiguousSnapshot {
            prefix: spec.to_owned(),
            names: snapshots.into_iter().take(5).map(|snapshot| snapshot.name).collect(),
        }),
    }
}

/// Room on the disk that a folder is on.
///
/// # Errors
/// What the system says.
pub fn space_of(folder: &Path) -> Result<Space> {
    let disk = rustix::fs::statvfs(folder).at(folder)?;
    Ok(Space {
        block: disk.f_frsize,
        blocks: disk.f_blocks,
        free: disk.f_bfree,
        available: disk.f_bavail,
        files: disk.f_files,
        files_free: disk.f_ffree,
    })
}

impl History for Arc<Repository> {
    fn place(&self) -> String {
        self.path().display().to_string()
    }
    fn folder_here(&self) -> Option<&Path> {
        Some(self.path())
    }
    fn version(&self) -> Result<i64> {
        self.data_version()
    }
    fn snapshots(&self) -> Result<Vec<Snapshot>> {
        Repository::snapshots(self)
    }
    fn root(&self, snapshot: SnapshotId) -> Result<Entry> {
        Repository::root(self, snapshot)
    }
    fn folder(&self, snapshot: SnapshotId, folder: FolderId) -> Result<Option<Listed>> {
        match self.caches.folder(snapshot, folder) {
            Some(entry) => Ok(Some(entry)),
            None => Ok(Repository::folder(self, snapshot, folder)?.map(Listed::from)),
        }
    }
    fn entry(&self, id: EntryId) -> Result<Option<Listed>> {
        match self.caches.entry(id) {
            Some(entry) => Ok(Some(entry)),
            None => Ok(Repository::entry(self, id)?.map(Listed::from)),
        }
    }
    fn still_has(&self, id: EntryId) -> Result<bool> {
        Ok(Repository::entry(self, id)?.is_some())
    }
    fn links(&self, snapshot: SnapshotId, link: i64) -> Result<Vec<Entry>> {
        Repository::links(self, snapshot, link)
    }
    fn list(&self, snapshot: SnapshotId, folder: FolderId) -> Result<Arc<Listing>> {
        Repository::list(self, snapshot, folder)
    }
    fn open(&self, content: ContentId, _size: u64) -> Result<Box<dyn OpenContent>> {
        Ok(Box::new(self.open_content(content)?))
    }
    fn space(&self) -> Result<Space> {
        space_of(self.path())
    }
    fn versions(&self, path: &[u8]) -> Result<Vec<Version>> {
        Repository::versions(self, path)
    }
    fn find(&self, wanted: &Wanted<'_>, found: &mut TellFound<'_>) -> Result<()> {
        Repository::find(self, wanted.may_fit, found)
    }
    fn diff(&self, a: &Snapshot, b: &Snapshot, change: &mut TellChange<'_>) -> Result<()> {
        Repository::diff(self, a, b, change)
    }
    fn rows(&self, a: &Snapshot, b: &Snapshot, change: &mut TellChange<'_>) -> Result<()> {
        Repository::rows(self, a, b, change)
    }
    fn hashes(&self, contents: &[ContentId]) -> Result<Vec<Option<Hash>>> {
        self.content_hashes(contents)
    }
    fn base_values(&self, hash: &Hash) -> Result<Option<BaseValues>> {
        Repository::base_values(self, hash)
    }
    fn stats(&self) -> Result<Stats> {
        Repository::stats(self)
    }
    fn verify(&self, read_data: bool, progress: &mut TellProgress<'_>) -> Result<Verified> {
        Repository::verify(self, read_data, progress)
    }
    fn repair_contents(&self, dry_run: bool, progress: &mut TellProgress<'_>) -> Result<Repaired> {
        Repository::repair_contents(self, dry_run, progress)
    }
    fn forget(&self, snapshots: &[SnapshotId]) -> Result<Forgotten> {
        Repository::forget(self, snapshots)
    }
    fn sweep(&self) -> Result<Swept> {
        Repository::sweep(self)
    }
}
