//! Folder listings that were asked for lately, and the entries in them by their numbers.
//!
//! A mount names things by numbers: for each file that is opened it asks what the entry of that number is,
//! several times. What was listed is known. Numbers are not given again and rows do not change (but for the end of
//! a life, which is not to be taken from here), so nothing in here goes stale; of what was forgotten since, the
//! contents are not to be had.

use std::collections::HashMap;
use std::sync::Arc;

use lru::LruCache;

use crate::catalog::Entry;
use crate::tree::{Listed, Listing};
use crate::{EntryId, FolderId, SnapshotId};

/// About what an entry of a listing takes besides its name and its metadata: itself, the least that an allocator
/// gives for a name, and its line in a table.
const ENTRY_BYTES: usize = size_of::<Entry>() + 32 + 2 * size_of::<(EntryId, Line)>();

/// A folder in a snapshot.
type Key = (SnapshotId, FolderId);

/// A listing, and a line in it.
type Line = (Arc<Listing>, u32);

/// Listings, bounded in bytes.
pub struct Listings {
    kept: LruCache<Key, (Arc<Listing>, usize)>,
    bytes: usize,
    bound: usize,
    by_id: HashMap<EntryId, Line>,
    by_folder: HashMap<Key, Line>,
}

impl Listings {
    /// Keeps listings of about so many bytes.
    pub fn new(bound: usize) -> Self {
        Listings {
            kept: LruCache::unbounded(),
            bytes: 0,
            bound,
            by_id: HashMap::new(),
            by_folder: HashMap::new(),
        }
    }

    /// The listing of a folder in a snapshot, if it is kept.
    pub fn get(&mut self, snapshot: SnapshotId, folder: FolderId) -> Option<Arc<Listing>> {
        self.kept.get(&(snapshot, folder)).map(|(listing, _)| listing.clone())
    }

    /// An entry, if a listing with it is kept; its `last` is as it was then.
    pub fn entry(&self, id: EntryId) -> Option<Listed> {
        self.by_id.get(&id).map(at)
    }

    /// The entry of a folder in a snapshot, if a listing with it is kept.
    pub fn folder(&self, snapshot: SnapshotId, folder: FolderId) -> Option<Listed> {
        self.by_folder.get(&(snapshot, folder)).map(at)
    }

    /// Keeps a listing, in the place of those that were asked for longest ago.
    pub fn keep(&mut self, snapshot: SnapshotId, folder: FolderId, listing: &Arc<Listing>) {
        let bytes = 64 + listing.iter().map(memory).sum::<usize>();
        self.bytes += bytes;
        if let Some((key, old)) = self.kept.push((snapshot, folder), (listing.clone(), bytes)) {
            self.dropped(key, &old);
        }
        for (line, entry) in listing.iter().enumerate() {
            let line = (listing.clone(), line as u32);
            if let Some(child) = entry.child {
                self.by_folder.insert((snapshot, child), line.clone());
            }
            self.by_id.insert(entry.id, line);
        }
        // The newest stays, however large: a folder of a million names is asked for piece by piece.
        while self.bytes > self.bound && self.kept.len() > 1 {
            let Some((key, old)) = self.kept.pop_lru() else { break };
            self.dropped(key, &old);
        }
    }

    fn dropped(&mut self, (snapshot, _): Key, (listing, bytes): &(Arc<Listing>, usize)) {
        self.bytes -= bytes;
        // An entry may be in the listings of several snapshots.
        let is_of = |line: &Line| Arc::ptr_eq(&line.0, listing);
        for entry in listing.iter() {
            if self.by_id.get(&entry.id).is_some_and(is_of) {
                self.by_id.remove(&entry.id);
            }
            let folder = entry.child.map(|folder| (snapshot, folder));
            if let Some(folder) = folder.filter(|key| self.by_folder.get(key).is_some_and(is_of)) {
                self.by_folder.remove(&folder);
            }
        }
    }
}

/// About what an entry takes, in bytes. Most of it may be its attributes.
fn memory(entry: &Entry) -> usize {
    ENTRY_BYTES + entry.name.len() + entry.meta.memory()
}

fn at((listing, line): &Line) -> Listed {
    Listed::at(listing.clone(), *line as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Meta};

    fn listing(folder: i64, ids: std::ops::Range<i64>) -> Arc<Listing> {
        let entries = ids.map(|id| Entry {
            id: EntryId(id),
            folder: FolderId(folder),
            name: id.to_string().into_bytes(),
            first: SnapshotId(1),
            last: SnapshotId(i64::MAX),
            meta: Meta::plain(Kind::Folder, 0o755),
            size: 0,
            content: None,
            child: Some(FolderId(1000 + id)),
            link: None,
        });
        Arc::new(entries.collect())
    }

    #[test]
    fn what_was_listed_is_known_until_its_listing_goes() {
        let mut listings = Listings::new(60 * ENTRY_BYTES);
        let (one, two) = (SnapshotId(1), SnapshotId(2));
        listings.keep(one, FolderId(7), &listing(7, 0..10));
        listings.keep(two, FolderId(7), &listing(7, 5..15));
        assert_eq!(listings.entry(EntryId(3)).unwrap().name, b"3");
        assert_eq!(listings.folder(one, FolderId(1003)).unwrap().id, EntryId(3));
        assert!(listings.folder(two, FolderId(1003)).is_none());
        // Enough others, and the first makes room.
        listings.keep(one, FolderId(8), &listing(8, 100..140));
        assert!(listings.entry(EntryId(3)).is_none() && listings.folder(one, FolderId(1003)).is_none());
        assert_eq!(listings.entry(EntryId(7)).unwrap().name, b"7", "of the second snapshot");
        listings.keep(one, FolderId(9), &listing(9, 200..400));
        assert!(listings.get(two, FolderId(7)).is_none());
        assert!(
            listings.get(one, FolderId(9)).is_some(),
            "alone, it stays however large"
        );
        let kept: usize = listings.kept.iter().map(|(_, (listing, _))| listing.len()).sum();
        assert_eq!((listings.by_id.len(), listings.by_folder.len()), (kept, kept));
        assert_eq!(
            listings.bytes,
            listings.kept.iter().map(|(_, (_, bytes))| bytes).sum::<usize>()
        );
    }

    #[test]
    fn attributes_count() {
        let mut listings = Listings::new(60 * ENTRY_BYTES);
        let heavy = |folder, ids| {
            let mut listing = Arc::unwrap_or_clone(listing(folder, ids));
            listing[0].meta.xattrs = vec![(b"user.a".to_vec(), vec![0; 40 * ENTRY_BYTES])];
            Arc::new(listing)
        };
        listings.keep(SnapshotId(1), FolderId(7), &heavy(7, 0..1));
        listings.keep(SnapshotId(1), FolderId(8), &heavy(8, 1..2));
        assert!(listings.get(SnapshotId(1), FolderId(7)).is_none());
        assert!(listings.get(SnapshotId(1), FolderId(8)).is_some());
    }
}
