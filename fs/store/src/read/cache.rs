//! Bounded memory of what was read lately: decoded frames, folder listings, runs and
//! open files. Everything here can be dropped at any time; keys are row numbers,
//! which are never reused.

use std::fs::File;
use std::hash::Hash;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use lru::LruCache;

use super::listings::Listings;
use crate::catalog::{Content, Run};
use crate::tree::{Listed, Listing};
use crate::{ContentId, EntryId, FileId, FolderId, RunId, SnapshotId};

/// Bytes that the caches of a repository keep, together, if nobody says otherwise.
pub(crate) const CACHE_BYTES: usize = 64 << 20;
const OPEN_FILES: usize = 128;
/// About what a content takes in a cache.
const CONTENT_BYTES: usize = 2 * size_of::<Content>() + 64;

/// A cache that forgets what was used longest ago when its weights pass a bound.
struct Weighted<K: Hash + Eq, V> {
    items: LruCache<K, (V, usize)>,
    weight: usize,
    bound: usize,
}

impl<K: Hash + Eq, V: Clone> Weighted<K, V> {
    fn new(bound: usize) -> Mutex<Self> {
        Mutex::new(Weighted {
            items: LruCache::unbounded(),
            weight: 0,
            bound,
        })
    }

    fn get(&mut self, key: &K) -> Option<V> {
        self.items.get(key).map(|(value, _)| value.clone())
    }

    fn put(&mut self, key: K, value: V, weight: usize) {
        self.weight += weight;
        if let Some((_, (_, old))) = self.items.push(key, (value, weight)) {
            self.weight -= old;
        }
        while self.weight > self.bound && self.items.len() > 1 {
            let Some((_, (_, old))) = self.items.pop_lru() else {
                break;
            };
            self.weight -= old;
        }
    }

    fn clear(&mut self) {
        self.items.clear();
        self.weight = 0;
    }
}

type FrameKey = (RunId, u32);

/// The caches of one open repository.
pub(crate) struct Caches {
    frames: Mutex<Weighted<FrameKey, Arc<Vec<u8>>>>,
    listings: Mutex<Listings>,
    runs: Mutex<Weighted<RunId, Arc<Run>>>,
    /// Small contents that lie in frames which were decoded ahead.
    contents: Mutex<Weighted<ContentId, Content>>,
    files: Mutex<Weighted<FileId, Arc<File>>>,
    /// What the file of a frozen catalog looked like last.
    pub frozen_stamp: AtomicI64,
    bytes_read: AtomicI64,
}

impl Caches {
    /// Caches that keep so many bytes together.
    pub fn new(bytes: usize) -> Self {
        Caches {
            frames: Weighted::new(bytes / 32 * 15),
            listings: Mutex::new(Listings::new(bytes / 8 * 3)),
            runs: Weighted::new(bytes / 8),
            contents: Weighted::new(bytes / 32),
            files: Weighted::new(OPEN_FILES),
            frozen_stamp: AtomicI64::new(0),
            bytes_read: AtomicI64::new(0),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no panic while a cache is held")
}

impl Caches {
    pub fn frame(&self, run: RunId, frame: u32) -> Option<Arc<Vec<u8>>> {
        locked(&self.frames).get(&(run, frame))
    }

    pub fn has_frame(&self, run: RunId, frame: u32) -> bool {
        locked(&self.frames).items.contains(&(run, frame))
    }

    pub fn keep_frame(&self, run: RunId, frame: u32, bytes: &Arc<Vec<u8>>) {
        locked(&self.frames).put((run, frame), bytes.clone(), bytes.len() + 64);
    }

    pub fn listing(&self, snapshot: SnapshotId, folder: FolderId) -> Option<Arc<Listing>> {
        locked(&self.listings).get(snapshot, folder)
    }

    pub fn keep_listing(&self, snapshot: SnapshotId, folder: FolderId, listing: &Arc<Listing>) {
        locked(&self.listings).keep(snapshot, folder, listing);
    }

    /// An entry that was listed lately; its `last` may have changed since.
    pub fn entry(&self, id: EntryId) -> Option<Listed> {
        locked(&self.listings).entry(id)
    }

    /// The entry of a folder that was listed lately.
    pub fn folder(&self, snapshot: SnapshotId, folder: FolderId) -> Option<Listed> {
        locked(&self.listings).folder(snapshot, folder)
    }

    /// A content as it was when it was read last: it may lie elsewhere by now.
    pub fn content(&self, id: ContentId) -> Option<Content> {
        locked(&self.contents).get(&id)
    }

    pub fn keep_contents(&self, contents: Vec<Content>) {
        let mut kept = locked(&self.contents);
        for content in contents {
            kept.put(content.id, content, CONTENT_BYTES);
        }
    }

    pub fn run(&self, id: RunId) -> Option<Arc<Run>> {
        locked(&self.runs).get(&id)
    }

    pub fn keep_run(&self, run: &Arc<Run>) {
        locked(&self.runs).put(run.id, run.clone(), run.frames.len() * 64 + 128);
    }

    /// Forgets where runs lie: one was moved.
    pub fn drop_runs(&self) {
        locked(&self.runs).clear();
    }

    pub fn file(&self, id: FileId) -> Option<Arc<File>> {
        locked(&self.files).get(&id)
    }

    pub fn keep_file(&self, id: FileId, file: &Arc<File>) {
        locked(&self.files).put(id, file.clone(), 1);
    }

    pub fn count_read(&self, bytes: usize) {
        self.bytes_read.fetch_add(bytes as i64, Ordering::Relaxed);
    }

    /// Bytes read from stored files so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed) as u64
    }
}
