//! What a server has said of folders and what is in them, kept for a while.
//!
//! What was listed is known ([`yore_store::Listings`]), so it costs no round trip.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use yore_store::{ContentId, Entry, FolderId, GROUP, Listing, SnapshotId};
use yore_wire::MOST_SMALL;

/// Bytes of listings that are kept: a hundred thousand entries or so.
const KEPT: usize = 48 << 20;

/// Roots of snapshots, and hard-link groups, that are kept.
const KEPT_GROUPS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// Listings in which what comes next is looked for.
const RECENT: usize = 8;

/// Bytes of small contents that are asked for at once.
const AHEAD: u64 = 512 << 10;

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
            if contents.len() == MOST_SMALL / 2 || bytes > AHEAD && !contents.is_empty() {
                break;
            }
            contents.push(next);
        }
        contents
    }
}
