//! What a server has said of folders and what is in them, kept for a while.
//!
//! A mount names things by their numbers: for each file that is opened it asks what the entry of
//! that number is, several times. What was listed is known, so it costs no round trip. Rows never change, and
//! numbers are not given again, so nothing in here goes stale; of what was forgotten since, the contents
//! are not to be had.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use yore_store::{ContentId, Entry, EntryId, FolderId, GROUP, Listing, SnapshotId};
use yore_wire::MOST_SMALL;

/// Entries that are kept of listings.
const KEPT_ENTRIES: usize = 100_000;

/// Roots of snapshots, and hard-link groups, that are kept.
const KEPT_GROUPS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// Listings in which what comes next is looked for.
const RECENT: usize = 8;

/// Bytes of small contents that are asked for at once.
const AHEAD: u64 = 512 << 10;

/// A folder in a snapshot.
type Key = (SnapshotId, FolderId);

/// A listing, and a line in it.
type Line = (Arc<Listing>, u32);

/// Listings that were asked for lately.
pub(super) struct Listings {
    kept: LruCache<Key, Arc<Listing>>,
    entries: usize,
    /// The lines of these by the number of their entry, and of folders by folder and snapshot.
    by_id: HashMap<EntryId, Line>,
    by_folder: HashMap<Key, Line>,
    /// The last ones, and where in them contents stand: who reads one file reads the next.
    recent: VecDeque<(Arc<Listing>, HashMap<ContentId, usize>)>,
    roots: LruCache<SnapshotId, Entry>,
    links: LruCache<(SnapshotId, i64), Vec<Entry>>,
}

impl Default for Listings {
    fn default() -> Self {
        Listings {
            kept: LruCache::unbounded(),
            entries: 0,
            by_id: HashMap::new(),
            by_folder: HashMap::new(),
            recent: VecDeque::new(),
            roots: LruCache::new(KEPT_GROUPS),
            links: LruCache::new(KEPT_GROUPS),
        }
    }
}

impl Listings {
    /// The listing of a folder, if it is kept.
    pub fn get(&mut self, key: Key) -> Option<Arc<Listing>> {
        self.kept.get(&key).cloned()
    }

    /// An entry, if a listing with it is kept.
    pub fn entry(&self, id: EntryId) -> Option<Entry> {
        self.by_id.get(&id).map(at)
    }

    /// The entry of a folder in a snapshot, if a listing with it is kept.
    pub fn folder(&self, key: Key) -> Option<Entry> {
        self.by_folder.get(&key).map(at)
    }

    /// The entry of `/`, if it is kept.
    pub fn root(&mut self, snapshot: SnapshotId) -> Option<Entry> {
        self.roots.get(&snapshot).cloned()
    }

    /// Keeps the entry of `/`.
    pub fn keep_root(&mut self, snapshot: SnapshotId, root: &Entry) {
        self.roots.put(snapshot, root.clone());
    }

    /// A hard-link group, if it is kept.
    pub fn links(&mut self, key: (SnapshotId, i64)) -> Option<Vec<Entry>> {
        self.links.get(&key).cloned()
    }

    /// Keeps a hard-link group, unless it has very many names.
    pub fn keep_links(&mut self, key: (SnapshotId, i64), entries: &[Entry]) {
        if entries.len() <= 16 {
            self.links.put(key, entries.to_vec());
        }
    }

    /// Keeps the listing of a folder, in the place of those that were asked for longest ago.
    pub fn keep(&mut self, key: Key, listing: &Arc<Listing>) {
        if let Some((key, old)) = self.kept.push(key, listing.clone()) {
            self.dropped(key, &old);
        }
        self.entries += listing.len() + 1;
        for (line, entry) in listing.iter().enumerate() {
            let line = (listing.clone(), line as u32);
            if let Some(folder) = entry.child {
                self.by_folder.insert((key.0, folder), line.clone());
            }
            self.by_id.insert(entry.id, line);
        }
        while self.entries > KEPT_ENTRIES && self.kept.len() > 1 {
            let Some((key, old)) = self.kept.pop_lru() else { break };
            self.dropped(key, &old);
        }
        let places = listing
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| Some((entry.content?, index)));
        self.recent.push_front((listing.clone(), places.collect()));
        self.recent.truncate(RECENT);
    }

    fn dropped(&mut self, (snapshot, _): Key, old: &Arc<Listing>) {
        self.entries -= old.len() + 1;
        // An entry may be in the listings of several snapshots.
        let is_of = |line: &Line| Arc::ptr_eq(&line.0, old);
        for entry in old.iter() {
            if self.by_id.get(&entry.id).is_some_and(is_of) {
                self.by_id.remove(&entry.id);
            }
            let folder = entry.child.map(|folder| (snapshot, folder));
            if let Some(folder) = folder.filter(|key| self.by_folder.get(key).is_some_and(is_of)) {
                self.by_folder.remove(&folder);
            }
        }
    }

    /// A content and the small ones that come after it in its folder.
    pub fn from(&self, content: ContentId) -> Vec<ContentId> {
        let found = self
            .recent
            .iter()
            .find_map(|(listing, places)| Some((listing, *places.get(&content)?)));
        let Some((listing, index)) = found else {
            return vec![content];
        };
        let (mut contents, mut bytes) = (Vec::new(), 0);
        for entry in &listing[index..] {
            let Some(next) = entry.content.filter(|_| entry.size <= GROUP) else {
                continue;
            };
            bytes += entry.size;
            if contents.len() == MOST_SMALL / 2 || bytes > AHEAD && !contents.is_empty() {
                break;
            }
            contents.push(next);
        }
        contents
    }
}

fn at((listing, line): &Line) -> Entry {
    listing[*line as usize].clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use yore_store::{Kind, Meta};

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
        let mut listings = Listings::default();
        let (one, two) = (SnapshotId(1), SnapshotId(2));
        listings.keep((one, FolderId(7)), &listing(7, 0..10));
        listings.keep((two, FolderId(7)), &listing(7, 5..15));
        assert_eq!(listings.entry(EntryId(3)).unwrap().name, b"3");
        assert_eq!(listings.folder((one, FolderId(1003))).unwrap().id, EntryId(3));
        assert!(listings.folder((two, FolderId(1003))).is_none());
        // Enough others, and the first two make room.
        let many = KEPT_ENTRIES as i64;
        listings.keep((one, FolderId(8)), &listing(8, many..2 * many - 20));
        assert!(listings.entry(EntryId(3)).is_none() && listings.folder((one, FolderId(1003))).is_none());
        assert_eq!(listings.entry(EntryId(7)).unwrap().name, b"7", "of the second snapshot");
        listings.keep((one, FolderId(9)), &listing(9, 0..20));
        assert!(listings.get((two, FolderId(7))).is_none());
        assert_eq!(
            listings.by_id.len(),
            listings.kept.iter().map(|(_, listing)| listing.len()).sum::<usize>()
        );
        assert_eq!(listings.by_id.len(), listings.by_folder.len());
        assert_eq!(listings.entries, listings.by_id.len() + listings.kept.len());
    }
}
