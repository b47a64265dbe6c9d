//! Node ids: what the kernel calls our files by.
//!
//! A node id is packed from row ids of the catalog, which are never reused, so
//! an id means the same thing for as long as the mount lives and after it. The
//! kernel caches pages by node: a file that did not change between two snapshots
//! is one entry, one node, and read once.
//!
//! ```text
//! bit 63 62 61          26 25       0
//!      0  0  0 ........ 0 0 ....... 1   the root
//!      0  0  1 |   snapshot id (61)  |  `latest`, while it points to that snapshot
//!      0  1 |      entry id (62)     |  a file or the like with one name
//!      1  0 | folder id (36) | snapshot id (26) |  a folder as of a snapshot
//!      1  1 | link id (36)   | snapshot id (26) |  a hard-link group as of a snapshot
//! ```

use fuser::INodeNo;
use yore_store::{Entry, EntryId, FolderId, SnapshotId};

const TAG_SHIFT: u32 = 62;
const TAG_ENTRY: u64 = 1;
const TAG_FOLDER: u64 = 2;
const TAG_LINK: u64 = 3;
const LATEST: u64 = 1 << 61;
/// 67 million snapshots.
const SNAPSHOT_BITS: u32 = 26;
/// 68 thousand million folders.
const GROUP_BITS: u32 = 36;

/// What a node id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// The mountpoint: the list of snapshots.
    Root,
    /// The symlink `latest`. Its text is cached with its node, so it is another
    /// node for each snapshot that it points to.
    Latest(SnapshotId),
    /// Whatever is neither a folder nor hard-linked; shared by all its snapshots.
    Entry(EntryId),
    /// A folder; what is in it depends on the snapshot.
    Folder {
        /// The folder's identity.
        folder: FolderId,
        /// The snapshot through which it is seen.
        snapshot: SnapshotId,
    },
    /// A file with several names; how many depends on the snapshot.
    Link {
        /// The group that the names share.
        link: i64,
        /// The snapshot through which it is seen.
        snapshot: SnapshotId,
    },
}

impl Node {
    /// The node of an entry seen through a snapshot.
    pub(crate) fn of(entry: &Entry, snapshot: SnapshotId) -> Self {
        match (entry.child, entry.link) {
            (Some(folder), _) => Node::Folder { folder, snapshot },
            (None, Some(link)) => Node::Link { link, snapshot },
            (None, None) => Node::Entry(entry.id),
        }
    }

    /// The node that an id stands for, if it is one of ours.
    pub(crate) fn unpack(id: INodeNo) -> Option<Self> {
        let payload = id.0 & ((1 << TAG_SHIFT) - 1);
        let group = (payload >> SNAPSHOT_BITS) as i64;
        let snapshot = SnapshotId((payload & ((1 << SNAPSHOT_BITS) - 1)) as i64);
        match id.0 >> TAG_SHIFT {
            TAG_ENTRY => Some(Node::Entry(EntryId(payload as i64))),
            TAG_FOLDER => Some(Node::Folder {
                folder: FolderId(group),
                snapshot,
            }),
            TAG_LINK => Some(Node::Link { link: group, snapshot }),
            _ if payload & LATEST != 0 => Some(Node::Latest(SnapshotId((payload & !LATEST) as i64))),
            _ => (id == INodeNo::ROOT).then_some(Node::Root),
        }
    }

    /// The id of the node; `None` if a row id is negative or outgrew its bits.
    pub(crate) fn pack(self) -> Option<INodeNo> {
        let grouped = |tag, group, snapshot: SnapshotId| {
            Some(tag << TAG_SHIFT | fit(group, GROUP_BITS)? << SNAPSHOT_BITS | fit(snapshot.0, SNAPSHOT_BITS)?)
        };
        let id = match self {
            Node::Root => Some(INodeNo::ROOT.0),
            Node::Latest(snapshot) => Some(LATEST | fit(snapshot.0, 61)?),
            Node::Entry(entry) => Some(TAG_ENTRY << TAG_SHIFT | fit(entry.0, TAG_SHIFT)?),
            Node::Folder { folder, snapshot } => grouped(TAG_FOLDER, folder.0, snapshot),
            Node::Link { link, snapshot } => grouped(TAG_LINK, link, snapshot),
        };
        id.map(INodeNo)
    }
}

/// A row id as an unsigned number of so many bits, if it is one.
fn fit(id: i64, bits: u32) -> Option<u64> {
    u64::try_from(id).ok().filter(|id| id >> bits == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST_SNAPSHOT: SnapshotId = SnapshotId((1 << 26) - 1);

    fn samples() -> Vec<Node> {
        let mut nodes = vec![Node::Root];
        for id in [0, 1, 2, (1 << 36) - 1] {
            for snapshot in [SnapshotId(1), LARGEST_SNAPSHOT] {
                nodes.push(Node::Folder {
                    folder: FolderId(id),
                    snapshot,
                });
                nodes.push(Node::Link { link: id, snapshot });
            }
            nodes.push(Node::Latest(SnapshotId(id)));
            nodes.push(Node::Entry(EntryId(id)));
        }
        nodes.push(Node::Latest(SnapshotId((1 << 61) - 1)));
        nodes.push(Node::Entry(EntryId((1 << 62) - 1)));
        nodes
    }

    #[test]
    fn nodes_come_back_as_packed() {
        for node in samples() {
            let id = node.pack().expect("fits");
            assert_ne!(id.0, 0, "{node:?}: 0 means `no such file` to the kernel");
            assert_eq!(Node::unpack(id), Some(node), "{id:?}");
        }
    }

    #[test]
    fn no_two_nodes_share_an_id() {
        let ids: std::collections::BTreeSet<u64> = samples().into_iter().map(|node| node.pack().unwrap().0).collect();
        assert_eq!(ids.len(), samples().len());
    }

    #[test]
    fn ids_that_outgrew_their_bits_are_refused() {
        let snapshot = SnapshotId(1);
        assert_eq!(
            Node::Folder {
                folder: FolderId(1 << 36),
                snapshot
            }
            .pack(),
            None
        );
        assert_eq!(
            Node::Folder {
                folder: FolderId(1),
                snapshot: SnapshotId(1 << 26)
            }
            .pack(),
            None
        );
        assert_eq!(Node::Link { link: -1, snapshot }.pack(), None);
        assert_eq!(Node::Entry(EntryId(1 << 62)).pack(), None);
    }

    #[test]
    fn strange_ids_are_nobody() {
        assert_eq!(Node::unpack(INodeNo(0)), None);
        assert_eq!(Node::unpack(INodeNo(2)), None);
    }
}
