//! What a server has said of folders and what is in them, kept for a while.
//!
//! What was listed is known ([`yore_store::Listings`]), so it costs no round trip.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use yore_store::{ContentId, Entry, FolderId, GROUP, Listing, SnapshotId};

use super::most::Weigh;

/// Bytes of listings that are kept: a hundred thousand entries or so.
const KEPT: usize = 48 << 20;

/// Roots of snapshots, and hard-link groups, that are kept.
const KEPT_GROUPS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// What one of them may take.
const KEPT_BYTES: usize = 16 << 10;

/// Listings in which what comes next is looked for.
const RECENT: usize = 8;

/// Bytes of small contents that are asked for at once.
const AHEAD: u64 = 512 << 10;

/// Contents that are.
const MOST_AHEAD: usize = 128;

/// Listings that were asked for lately.
pub(super) struct Listings {
    pub kept: yore_store::Listings,
    /// The last ones, and where in them contents stand: who reads one file reads the next.
    recent: VecDeque<(Arc<Listing>, HashMap<ContentId, usize>)>,
    roots: LruCache<SnapshotId, Entry>,
    links: LruCache<(SnapshotId, i64), Vec<Entry>>,
}

impl Default for Listings {
    fn default() -> Self {
        Listings {
            kept: yore_store::Listings::new(KEPT),
            recent: VecDeque::new(),
            roots: LruCache::new(KEPT_GROUPS),
            links: LruCache::new(KEPT_GROUPS),
        }
    }
}

impl Listings {
    /// The entry of `/`, if it is kept.
    pub fn root(&mut self, snapshot: SnapshotId) -> Option<Entry> {
        self.roots.get(&snapshot).cloned()
    }

    /// Keeps the entry of `/`, unless it is very large.
    pub fn keep_root(&mut self, snapshot: SnapshotId, root: &Entry) {
        if root.weight() <= KEPT_BYTES {
            self.roots.put(snapshot, root.clone());
        }
    }

    /// A hard-link group, if it is kept.
    pub fn links(&mut self, key: (SnapshotId, i64)) -> Option<Vec<Entry>> {
        self.links.get(&key).cloned()
    }

    /// Keeps a hard-link group, unless it has very many names, or large attributes.
    pub fn keep_links(&mut self, key: (SnapshotId, i64), entries: &[Entry]) {
        if entries.iter().map(Weigh::weight).sum::<usize>() <= KEPT_BYTES {
            self.links.put(key, entries.to_vec());
        }
    }

    /// Keeps the listing of a folder, in the place of those that were asked for longest ago.
    pub fn keep(&mut self, snapshot: SnapshotId, folder: FolderId, listing: &Arc<Listing>) {
        self.kept.keep(snapshot, folder, listing);
        let places = listing
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| Some((entry.content?, index)));
        self.recent.push_front((listing.clone(), places.collect()));
        self.recent.truncate(RECENT);
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
            if contents.len() == MOST_AHEAD || bytes > AHEAD && !contents.is_empty() {
                break;
            }
            contents.push(next);
        }
        contents
    }
}

#[cfg(test)]
mod tests {
    use yore_store::{EntryId, Kind, Meta};

    use super::*;

    #[test]
    fn what_is_large_is_asked_for_again() {
        let mut root = Entry {
            id: EntryId(1),
            folder: FolderId(0),
            name: vec![],
            first: SnapshotId(1),
            last: SnapshotId(1),
            meta: Meta::plain(Kind::Folder, 0o755),
            size: 0,
            content: None,
            child: Some(FolderId(1)),
            link: None,
        };
        let mut listings = Listings::default();
        listings.keep_root(SnapshotId(1), &root);
        listings.keep_links((SnapshotId(1), 1), &vec![root.clone(); 16]);
        assert!(listings.root(SnapshotId(1)).is_some() && listings.links((SnapshotId(1), 1)).is_some());
        root.meta.xattrs = vec![(b"user.a".to_vec(), vec![0; KEPT_BYTES])];
        listings.keep_root(SnapshotId(2), &root);
        listings.keep_links((SnapshotId(2), 1), &[root]);
        assert!(listings.root(SnapshotId(2)).is_none() && listings.links((SnapshotId(2), 1)).is_none());
    }
}
