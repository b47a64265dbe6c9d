//! Passthrough: the kernel reads a whole file of the repository by itself, as
//! fast as if it lay there natively, and so without our verifying what it reads.
//! Hence it is only for who says so, and where the file system below verifies.
//!
//! The kernel's rules (breaking one is an EIO for the reader):
//! - While a node is open at all, all its opens are of one mode, and those that
//!   pass through have one and the same backing file.
//! - The backing id must live until the last of them is released.
//!
//! So what the first open of a node decided holds until the last close, whatever
//! became of the stored file meanwhile: its descriptor keeps it readable, and a lock on it keeps holes out.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use fuser::{BackingId, INodeNo, ReplyOpen};
use yore_store::{HeldFile, OpenContent};

use crate::{complain, lock};

const BTRFS: u64 = 0x9123_683E;
const ZFS: u64 = 0x2FC1_2FC1;

/// Whether the file system below a path verifies by itself what it reads.
pub(crate) fn verifies_itself(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|fs| matches!(fs.f_type as u64, BTRFS | ZFS))
}

/// Decides open by open who reads a file: the kernel or we.
#[derive(Default)]
pub(crate) struct Passthrough {
    /// Wanted by the options and taken by the kernel.
    enabled: AtomicBool,
    /// The kernel said that we lack the privilege; it is no use to ask again.
    refused: AtomicBool,
    modes: Modes<Backing>,
}

/// A stored file that the kernel reads.
pub(crate) struct Backing {
    /// What the kernel calls it.
    pub(crate) id: BackingId,
    /// It reads unverified, so the file must stay what it is.
    _held: HeldFile,
}

impl Passthrough {
    /// The kernel has agreed to passthrough.
    pub(crate) fn enable(&self) {
        self.enabled.store(true, Ordering::Relaxed);
    }

    /// To be called at each open of a file that has bytes: the backing file to
    /// answer with, or `None` to serve the reads ourselves, as always where the
    /// file's repository is not `trusted`.
    pub(crate) fn open(
        &self,
        node: INodeNo,
        reader: &dyn OpenContent,
        trusted: bool,
        reply: &ReplyOpen,
    ) -> Option<Arc<Backing>> {
        if !self.enabled.load(Ordering::Relaxed) {
            return None;
        }
        // Asked before it is known whether it is needed, as below a lock is held.
        let file = if trusted {
            reader.raw_file().ok().flatten()
        } else {
            None
        };
        self.modes.open(node.0, || self.back(file?, reply))
    }

    /// To be called at each release of a file that has bytes.
    pub(crate) fn close(&self, node: INodeNo) {
        if self.enabled.load(Ordering::Relaxed) {
            self.modes.close(node.0);
        }
    }

    /// Registers the content's own file with the kernel. Every failure means only
    /// that we read: we are not root, or the file system below is itself stacked
    /// too high.
    fn back(&self, held: HeldFile, reply: &ReplyOpen) -> Option<Backing> {
        if self.refused.load(Ordering::Relaxed) {
            return None;
        }
        let id = reply.open_backing(held.file());
        let id = id.inspect_err(|error| self.note_refusal(error)).ok()?;
        Some(Backing { id, _held: held })
    }

    fn note_refusal(&self, error: &std::io::Error) {
        let lasting = error.kind() == std::io::ErrorKind::PermissionDenied;
        if lasting && !self.refused.swap(true, Ordering::Relaxed) {
            complain(format_args!("reading without passthrough, which is root's: {error}"));
        }
    }
}

/// The mode of each open node.
struct Modes<B>(Mutex<HashMap<u64, Mode<B>>>);

struct Mode<B> {
    /// The backing file of all opens, or `None`: all are served by us.
    backing: Option<Arc<B>>,
    opens: usize,
}

impl<B> Default for Modes<B> {
    fn default() -> Self {
        Modes(Mutex::default())
    }
}

impl<B> Modes<B> {
    /// Counts an open; the first one of a node decides by calling `back`. That
    /// runs under the lock: a second open must not decide meanwhile.
    fn open(&self, node: u64, back: impl FnOnce() -> Option<B>) -> Option<Arc<B>> {
        let mut modes = lock(&self.0);
        let mode = modes.entry(node).or_insert_with(|| Mode {
            backing: back().map(Arc::new),
            opens: 0,
        });
        mode.opens += 1;
        mode.backing.clone()
    }

    /// Counts a close; with the last one the node may be opened otherwise.
    fn close(&self, node: u64) {
        let mut modes = lock(&self.0);
        let Some(mode) = modes.get_mut(&node) else { return };
        mode.opens -= 1;
        if mode.opens == 0 {
            modes.remove(&node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_opens_of_a_node_share_what_the_first_decided() {
        let modes = Modes::default();
        assert_eq!(modes.open(1, || Some("head")).as_deref(), Some(&"head"));
        assert_eq!(modes.open(1, || panic!("decided already")).as_deref(), Some(&"head"));
        assert_eq!(modes.open(2, || None).as_deref(), None);
        assert_eq!(
            modes.open(2, || Some("too late")).as_deref(),
            None,
            "a plain open stays plain"
        );
    }

    #[test]
    fn the_last_close_lets_it_be_decided_anew() {
        let modes = Modes::default();
        modes.open(1, || Some("old"));
        modes.open(1, || None);
        modes.close(1);
        assert_eq!(modes.open(1, || Some("new")).as_deref(), Some(&"old"));
        modes.close(1);
        modes.close(1);
        assert_eq!(modes.open(1, || Some("new")).as_deref(), Some(&"new"));
        modes.close(1);
        assert!(lock(&modes.0).is_empty());
    }
}
