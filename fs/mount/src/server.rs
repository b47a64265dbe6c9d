//! What a mount has besides its view, the open files, and what its requests are
//! answered with. Shared by the threads that answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use fuser::{AccessFlags, Errno, INodeNo, Notifier, OpenAccMode, OpenFlags, ReplyOpen};
use yore_store::Kind;

use crate::complain;
use crate::fault::Fault;
use crate::handle::{AtHand, Handle, Handles};
use crate::passthrough::Passthrough;
use crate::view::View;

/// A view with its open files.
pub(crate) struct Server {
    /// What is shown.
    pub(crate) view: View,
    /// The open files.
    pub(crate) handles: Handles,
    /// Of those that are not opened, the ones that were read last.
    at_hand: AtHand,
    /// Who reads them.
    pub(crate) passthrough: Passthrough,
    /// By whom the kernel is told to forget something; from when it is mounted on.
    pub(crate) kernel: OnceLock<Notifier>,
}

impl Server {
    /// A server of a view of which nothing is open.
    pub(crate) fn new(view: View) -> Self {
        Server {
            view,
            handles: Handles::default(),
            at_hand: AtHand::default(),
            passthrough: Passthrough::default(),
            kernel: OnceLock::new(),
        }
    }

    /// Asks, and makes an error number of whatever goes wrong. A panic is caught
    /// here: it would end a thread of the mount, and with the last one the mount.
    pub(crate) fn answer<T>(
        &self,
        call: &str,
        node: INodeNo,
        ask: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<T, Errno> {
        let errno = |fault: Fault| {
            if let Some(error) = fault.worth_a_line() {
                complain(format_args!("{call} {}: {error}", self.view.describe(node)));
            }
            fault.errno()
        };
        catch_unwind(AssertUnwindSafe(|| ask().map_err(errno))).unwrap_or_else(|_| {
            complain(format_args!(
                "{call} of node {:#x}: a bug, see the panic above; answered EIO",
                node.0
            ));
            Err(Errno::EIO)
        })
    }

    /// Has the kernel forget what it has kept of a folder that lives, where it need not open folders. To be called before
    /// the end of a listing is told: then the kernel counts the listing as complete, and finds, the next time somebody
    /// lists the folder, that its pages are gone.
    pub(crate) fn forget_listing(&self, node: INodeNo) {
        if let Some(kernel) = self.kernel.get() {
            // It fails with the mount gone.
            let _ = kernel.inval_inode(node, 0, 0);
        }
    }

    /// Opens a file for reading.
    pub(crate) fn open_file(&self, node: INodeNo, flags: OpenFlags, reply: &ReplyOpen) -> Result<Arc<Handle>, Fault> {
        let truncate = flags.0 & rustix::fs::OFlags::TRUNC.bits() as i32 != 0;
        if truncate || flags.acc_mode() != OpenAccMode::O_RDONLY {
            return Err(Errno::EROFS.into());
        }
        let mut handle = self.handle(node)?;
        handle.back(|reader, trusted| self.passthrough.open(node, reader, trusted, reply));
        Ok(Arc::new(handle))
    }

    /// A file that the kernel reads without opening it, up to `end` by now. As long as there is more of it, it is kept
    /// at hand.
    pub(crate) fn unopened(&self, node: INodeNo, end: u64) -> Result<Arc<Handle>, Fault> {
        if let Some(handle) = self.at_hand.get(node) {
            if handle.size() <= end {
                // How to read an old version may take megabytes of memory.
                self.at_hand.forget(node);
            }
            return Ok(handle);
        }
        let handle = Arc::new(self.handle(node)?);
        if handle.size() > end {
            self.at_hand.keep(node, &handle);
        }
        Ok(handle)
    }

    fn handle(&self, node: INodeNo) -> Result<Handle, Fault> {
        let place = self.view.place(node)?;
        let entry = place.entry(node)?.filter(|entry| entry.meta.kind == Kind::File);
        let (tree, entry) = (place.tree()?, entry.ok_or(Errno::EINVAL)?);
        let reader = tree.open(&entry)?;
        Ok(Handle::new(tree.clone(), entry.id, reader))
    }

    /// The names of a node's xattrs, each with a NUL behind it.
    pub(crate) fn xattr_names(&self, node: INodeNo) -> Result<Vec<u8>, Fault> {
        let place = self.view.place(node)?;
        let Some(entry) = place.entry(node)? else {
            return Ok(Vec::new());
        };
        let look = place.tree()?.hook.look;
        Ok(look
            .xattrs(&entry.meta)
            .flat_map(|(name, _)| [name, b"\0"].concat())
            .collect())
    }

    /// The value of one of them.
    pub(crate) fn xattr_value(&self, node: INodeNo, wanted: &[u8]) -> Result<Vec<u8>, Fault> {
        let place = self.view.place(node)?;
        let entry = place.entry(node)?.ok_or(Errno::ENODATA)?;
        let look = place.tree()?.hook.look;
        let found = look.xattrs(&entry.meta).find(|(name, _)| *name == wanted);
        Ok(found.ok_or(Errno::ENODATA)?.1.to_vec())
    }

    /// access(2) where the kernel does not check modes itself: only the mounting
    /// user gets here, and everything is shown as their own.
    pub(crate) fn check_access(&self, node: INodeNo, mask: AccessFlags) -> Result<(), Fault> {
        if mask.contains(AccessFlags::W_OK) {
            return Err(Errno::EROFS.into());
        }
        let attr = self.view.place(node)?.attributes(node)?.attr;
        if mask.contains(AccessFlags::X_OK) && attr.perm & 0o111 == 0 {
            return Err(Errno::EACCES.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use yore_store::EntryId;

    use super::*;
    use crate::attr::Look;
    use crate::node::{Node, Numbering};
    use crate::testing::{Counted, FILE_BYTES};
    use crate::tree::{FOREVER, Hook, Tree};

    #[test]
    fn a_file_that_is_not_opened_is_at_hand_until_it_is_read_to_its_end() {
        let counted = Arc::new(Counted::new(true));
        let hook = Hook {
            numbering: Numbering::ONLY,
            above: INodeNo::ROOT,
            path: String::new(),
            look: Look {
                uid: 0,
                gid: 0,
                own: false,
            },
            names: FOREVER,
            trust_disk: false,
        };
        let server = Server::new(View::One(Arc::new(Tree::new(counted.clone(), hook).unwrap())));
        let read = |file, end| {
            let node = Numbering::ONLY.pack(Node::Entry(EntryId(file))).unwrap();
            assert_eq!(server.unopened(node, end).unwrap().size(), FILE_BYTES);
            counted.opened.load(Ordering::Relaxed)
        };
        let piece = 1 << 20;
        let to_the_end = [1, 2, 3].map(|pieces| read(1, pieces * piece));
        assert_eq!(to_the_end, [1, 1, 1]);
        assert_eq!(read(1, piece), 2, "it begins anew");
        assert_eq!([read(2, FILE_BYTES), read(2, FILE_BYTES)], [3, 4], "all of it at once");
    }
}
