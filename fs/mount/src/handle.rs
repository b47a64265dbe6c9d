//! Open files. This is the only table here that grows with use, and it shrinks
//! with every close.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fuser::{BackingId, Errno, FileHandle};
use yore_store::{EntryId, OpenContent};

use crate::fault::Fault;
use crate::lock;
use crate::tree::Tree;

thread_local! {
    /// A buffer a thread for the bytes between the store and the kernel: the
    /// kernel asks for up to 1 MiB at a time, too much to clear for each call.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One open file.
pub(crate) struct Handle {
    /// Keeps its repository open, which may go out of use otherwise.
    tree: Arc<Tree>,
    entry: EntryId,
    /// Its bytes; `None` for an empty file.
    reader: Option<Box<dyn OpenContent>>,
    /// What the kernel reads past us; alive as long as the file is open.
    pub(crate) backing: Option<Arc<BackingId>>,
}

impl Handle {
    /// A handle of an empty file (no reader), of one that we read, or of one that
    /// the kernel reads itself.
    pub(crate) fn new(
        tree: Arc<Tree>,
        entry: EntryId,
        reader: Option<Box<dyn OpenContent>>,
        backing: Option<Arc<BackingId>>,
    ) -> Self {
        Handle {
            tree,
            entry,
            reader,
            backing,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
