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
/// Forgotten frames whose memory is kept.
const SPARE: usize = 4;
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
        self.put_for(key, value, weight, drop);
    }

    /// The same; what is forgotten for it is given to `forget`.
    fn put_for(&mut self, key: K, value: V, weight: usize, mut forget: impl FnMut(V)) {
        self.weight += weight;
        if let Some((_, (value, old))) = self.items.push(key, (value, weight)) {
            self.weight -= old;
            forget(value);
        }
        while self.weight > self.bound && self.items.len() > 1 {
            let Some((_, (value, old))) = self.items.pop_lru() else {
                break;
            };
            self.weight -= old;
            forget(value);
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
    /// Memory of forgotten frames, for the next ones: new memory is cleared first, and its pages come one by one.
    spare: Mutex<Vec<Vec<u8>>>,
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
            spare: Mutex::default(),
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
        let mut forgotten = None;
        let weight = bytes.capacity() + 64;
        locked(&self.frames).put_for((run, frame), bytes.clone(), weight, |bytes| forgotten = Some(bytes));
        // One that is still being read goes when that ends.
        if let Some(bytes) = forgotten.and_then(Arc::into_inner) {
            let mut spare = locked(&self.spare);
            if spare.len() < SPARE {
                spare.push(bytes);
            }
        }
    }

    /// Memory for a frame of this length, with anything in it.
    pub fn memory_for(&self, length: usize) -> Vec<u8> {
        let mut spare = locked(&self.spare);
        // A much longer one would be wasted on it.
        let fits = |bytes: &Vec<u8>| (length..=length + length / 8).contains(&bytes.capacity());
        let Some(found) = spare.iter().position(fits) else {
            spare.clear();
            return vec![0; length];
        };
        let mut bytes = spare.swap_remove(found);
        bytes.resize(length, 0);
        bytes
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_forgotten_frames_is_used_again_but_never_that_of_one_being_read() {
        let caches = Caches::new(3 << 10);
        let keep = |number: u32| {
            let bytes = Arc::new(vec![number as u8; 1000]);
            caches.keep_frame(RunId(1), number, &bytes);
            bytes
        };
        let being_read = keep(1);
        drop(keep(2));
        (3..9).for_each(|number| drop(keep(number)));
        assert!(caches.frame(RunId(1), 1).is_none() && caches.frame(RunId(1), 8).is_some());
        let of_before: Vec<Vec<u8>> = (0..SPARE).map(|_| caches.memory_for(1000)).collect();
        assert!(
            of_before
                .iter()
                .all(|bytes| bytes.len() == 1000 && (2..9).contains(&bytes[999]))
        );
        assert_eq!(caches.memory_for(1000), [0; 1000], "no more than those are kept");
        assert_eq!(*being_read, [1; 1000]);
    }

    #[test]
    fn memory_of_a_frame_is_not_wasted_on_a_short_one() {
        let caches = Caches::new(1 << 10);
        (0..3).for_each(|number| caches.keep_frame(RunId(1), number, &Arc::new(vec![7; 1000])));
        assert!(caches.memory_for(100).capacity() < 1000);
        (3..6).for_each(|number| caches.keep_frame(RunId(1), number, &Arc::new(vec![7; 1000])));
        assert_eq!(caches.memory_for(900), [7; 900]);
    }
}
