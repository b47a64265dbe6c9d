//! Open files. Their table is the only one here that grows with use, and it shrinks
//! with every close. Where the kernel does not say what is open, there is none.

use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fuser::{Errno, FileHandle, INodeNo};
use lru::LruCache;
use yore_store::{EntryId, OpenContent};

use crate::fault::Fault;
use crate::lock;
use crate::passthrough::Backing;
use crate::tree::Tree;

/// So many files that are not opened are kept at hand: more than are read at a time.
const MOST_AT_HAND: NonZero<usize> = NonZero::new(16).unwrap();

thread_local! {
    /// A buffer a thread for the bytes between the store and the kernel: the
    /// kernel asks for up to 1 MiB at a time, too much to clear for each call.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One open file.
pub(crate) struct Handle {
    /// Keeps its repository open, which may go out of use otherwise.
    tree: Arc<Tree>,
    /// Whose bytes they are.
    entry: EntryId,
    /// Its bytes; `None` for an empty file.
    reader: Option<Box<dyn OpenContent>>,
    /// What the kernel reads past us; alive as long as the file is open.
    pub(crate) backing: Option<Arc<Backing>>,
}

impl Handle {
    /// A handle of an empty file (no reader), or of one that we read.
    pub(crate) fn new(tree: Arc<Tree>, entry: EntryId, reader: Option<Box<dyn OpenContent>>) -> Self {
        Handle {
            tree,
            entry,
            reader,
            backing: None,
        }
    }

    /// Has the kernel read it itself, if `open` says by what; that is told whether the files of its repository are
    /// trusted.
    pub(crate) fn back(&mut self, open: impl FnOnce(&dyn OpenContent, bool) -> Option<Arc<Backing>>) {
        if let Some(reader) = &self.reader {
            self.backing = open(&**reader, self.tree.passthrough);
        }
    }

    /// Its length in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.reader.as_ref().map_or(0, |reader| reader.size())
    }

    /// Whether there are bytes behind it.
    pub(crate) fn has_bytes(&self) -> bool {
        self.reader.is_some()
    }

    /// Reads up to `size` bytes, short only at the end of the file, and hands
    /// them to `give`.
    pub(crate) fn read<T>(&self, offset: u64, size: u32, give: impl FnOnce(&[u8]) -> T) -> Result<T, Fault> {
        let Some(reader) = &self.reader else {
            return Ok(give(&[]));
        };
        let left = reader.size().saturating_sub(offset);
        let wanted = left.min(size.into()) as usize;
        BUFFER.with_borrow_mut(|buffer| {
            if buffer.len() < wanted {
                buffer.resize(wanted, 0);
            }
            let read = reader.read_at(offset, &mut buffer[..wanted]);
            let length = read.map_err(|error| self.tree.not_read(self.entry, error))?;
            Ok(give(&buffer[..length]))
        })
    }
}

/// The open files by number.
pub(crate) struct Handles<T = Handle> {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<T>>>,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Handles {
            next: AtomicU64::new(1),
            open: Mutex::default(),
        }
    }
}

impl<T> Handles<T> {
    /// Numbers an open file; numbers are not used twice.
    pub(crate) fn insert(&self, handle: Arc<T>) -> FileHandle {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.open).insert(number, handle);
        FileHandle(number)
    }

    /// The file open under a number.
    pub(crate) fn get(&self, handle: FileHandle) -> Result<Arc<T>, Errno> {
        lock(&self.open).get(&handle.0).cloned().ok_or(Errno::EBADF)
    }

    /// Forgets a number; a read still running keeps its file to its end.
    pub(crate) fn remove(&self, handle: FileHandle) -> Option<Arc<T>> {
        lock(&self.open).remove(&handle.0)
    }
}

/// Files that are read without being opened, by node: those that were read last.
pub(crate) struct AtHand<T = Handle>(Mutex<LruCache<INodeNo, Arc<T>>>);

impl<T> Default for AtHand<T> {
    fn default() -> Self {
        AtHand(Mutex::new(LruCache::new(MOST_AT_HAND)))
    }
}

impl<T> AtHand<T> {
    /// The file of a node, if it is kept.
    pub(crate) fn get(&self, node: INodeNo) -> Option<Arc<T>> {
        lock(&self.0).get(&node).cloned()
    }

    /// Keeps one, in the place of that which was read longest ago.
    pub(crate) fn keep(&self, node: INodeNo, handle: &Arc<T>) {
        // What was in its place is dropped after the lock was given back.
        let _before = lock(&self.0).push(node, handle.clone());
    }

    /// Forgets one: it was read to its end.
    pub(crate) fn forget(&self, node: INodeNo) {
        let _gone = lock(&self.0).pop(&node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_longest_ago_goes_from_the_hand() {
        let at_hand = AtHand::<u64>::default();
        let most = MOST_AT_HAND.get() as u64;
        (1..=most).for_each(|node| at_hand.keep(INodeNo(node), &Arc::new(node)));
        assert_eq!(at_hand.get(INodeNo(1)).as_deref(), Some(&1));
        at_hand.keep(INodeNo(100), &Arc::new(100));
        assert!(at_hand.get(INodeNo(2)).is_none() && at_hand.get(INodeNo(1)).is_some());
        assert_eq!(at_hand.get(INodeNo(100)).as_deref(), Some(&100));
        at_hand.forget(INodeNo(100));
        assert!(at_hand.get(INodeNo(100)).is_none());
    }

    #[test]
    fn the_table_holds_what_is_open_and_no_more() {
        let handles = Handles::<&str>::default();
        let (a, b) = (handles.insert(Arc::new("a")), handles.insert(Arc::new("b")));
        assert_ne!(a, b);
        assert_eq!(handles.get(a).as_deref(), Ok(&"a"));
        assert_eq!(handles.remove(a).as_deref(), Some(&"a"));
        assert_eq!(handles.get(a), Err(Errno::EBADF));
        assert_eq!(lock(&handles.open).len(), 1);
        assert_ne!(handles.insert(Arc::new("c")), a);
    }
}
