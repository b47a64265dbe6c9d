//! Node ids: what the kernel calls our files by.
//!
//! A node id is packed from row ids of the catalog, which are never reused, so
//! an id means the same thing for as long as the mount lives and after it. The
//! kernel caches pages by node: a file that did not change between two snapshots
//! is one entry, one node, and read once.
//!
//! A mount of one repository has all the bits for it:
//!
//! ```text
//! bit 63 62 61          26 25       0
//!      0  0  0 ........ 0 0 ....... 1   the root: the list of snapshots
//!      0  0  1 |   snapshot id (61)  |  `latest`, while it points to that snapshot
//!      0  1 |      entry id (62)     |  a file or the like with one name
//!      1  0 | folder id (36) | snapshot id (26) |  a folder as of a snapshot
//!      1  1 | link id (36)   | snapshot id (26) |  a hard-link group as of a snapshot
//! ```
//!
//! A mount of many puts the number of the repository between the tag and the rest,
//! so that equal row ids of two repositories are two nodes. The same with 49 bits
//! for what is in a repository; number 0 stands for what is above them all:
//!
//! ```text
//! bit 63 62 61     49 48          21 20       0
//!     | tag | repository (13) | as above, with 28 bits for a folder or a group, and 21 for a snapshot
//!      0  0 |  0 .. 0  0  0 ............... 1   the root: the list of users
//!      0  0 |  0 .. 0  1 |   user number (48)  |  a user's folder: the list of his repositories
//! ```
//!
//! So a server may come to 8,191 repositories, each of them to 268 million folders
//! and 2 million snapshots: one each five minutes for twenty years. What outgrows
//! this is refused with EOVERFLOW, and never shows what is another's.

use fuser::INodeNo;
use yore_store::{Entry, EntryId, FolderId, SnapshotId};

const TAG_SHIFT: u32 = 62;
const TAG_ENTRY: u64 = 1;
const TAG_FOLDER: u64 = 2;
const TAG_LINK: u64 = 3;

/// What a node id stands for in its repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// The list of snapshots.
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
}

/// What a node id of a mount of many stands for above the repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Above {
    /// The mountpoint: the list of users.
    Root,
    /// A user's folder: the list of his repositories.
    User(u32),
}

impl Above {
    /// The place that an id stands for, if it is one above the repositories.
    pub(crate) fn unpack(id: INodeNo) -> Option<Self> {
        let user = |number: SnapshotId| u32::try_from(number.0).ok();
        match Numbering::above().unpack(id)? {
            Node::Root => Some(Above::Root),
            Node::Latest(number) => user(number).map(Above::User),
            _ => None,
        }
    }

    /// The id of the place.
    pub(crate) fn pack(self) -> INodeNo {
        let node = match self {
            Above::Root => Node::Root,
            Above::User(number) => Node::Latest(SnapshotId(number.into())),
        };
        Numbering::above().pack(node).expect("32 bits fit into 48")
    }
}

/// How the nodes of one repository become ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbering {
    /// The number of the repository, in so many bits.
    repository: u64,
    repository_bits: u32,
    group_bits: u32,
    snapshot_bits: u32,
}

impl Numbering {
    /// For the only repository of a mount.
    pub(crate) const ONLY: Numbering = Numbering {
        repository: 0,
        repository_bits: 0,
        group_bits: 36,
        snapshot_bits: 26,
    };

    /// For a repository of a mount of many; `None` if its number is 0 or too large.
    pub(crate) fn of(repository: u32) -> Option<Self> {
        let above = Self::above();
        let repository = fit(repository.into(), above.repository_bits).filter(|number| *number != 0)?;
        Some(Numbering { repository, ..above })
    }

    /// For what is above the repositories of a mount of many.
    const fn above() -> Self {
        Numbering {
            repository: 0,
            repository_bits: 13,
            group_bits: 28,
            snapshot_bits: 21,
        }
    }

    /// The number of the repository that an id of a mount of many is in; `None`
    /// above them.
    pub(crate) fn repository(id: INodeNo) -> Option<u32> {
        let above = Self::above();
        let number = id.0 >> above.payload_bits() & mask(above.repository_bits);
        u32::try_from(number).ok().filter(|number| *number != 0)
    }

    /// The node that an id stands for, if it is one of this repository.
    pub(crate) fn unpack(&self, id: INodeNo) -> Option<Node> {
        let payload = id.0 & mask(self.payload_bits());
        if id.0 >> self.payload_bits() & mask(self.repository_bits) != self.repository {
            return None;
        }
        let group = (payload >> self.snapshot_bits) as i64;
        let snapshot = SnapshotId((payload & mask(self.snapshot_bits)) as i64);
        match id.0 >> TAG_SHIFT {
            TAG_ENTRY => Some(Node::Entry(EntryId(payload as i64))),
            TAG_FOLDER => Some(Node::Folder {
                folder: FolderId(group),
                snapshot,
            }),
            TAG_LINK => Some(Node::Link { link: group, snapshot }),
            _ if payload & self.latest() != 0 => Some(Node::Latest(SnapshotId((payload & !self.latest()) as i64))),
            _ => (payload == INodeNo::ROOT.0).then_some(Node::Root),
        }
    }

    /// The id of a node; `None` if a row id is negative or outgrew its bits.
    pub(crate) fn pack(&self, node: Node) -> Option<INodeNo> {
        let grouped = |group, snapshot: SnapshotId| {
            Some(fit(group, self.group_bits)? << self.snapshot_bits | fit(snapshot.0, self.snapshot_bits)?)
        };
        let (tag, payload) = match node {
            Node::Root => (0, INodeNo::ROOT.0),
            Node::Latest(snapshot) => (0, self.latest() | fit(snapshot.0, self.payload_bits() - 1)?),
            Node::Entry(entry) => (TAG_ENTRY, fit(entry.0, self.payload_bits())?),
            Node::Folder { folder, snapshot } => (TAG_FOLDER, grouped(folder.0, snapshot)?),
            Node::Link { link, snapshot } => (TAG_LINK, grouped(link, snapshot)?),
        };
        Some(INodeNo(
            tag << TAG_SHIFT | self.repository << self.payload_bits() | payload,
        ))
    }

    /// The bits for what is in the repository.
    const fn payload_bits(&self) -> u32 {
        self.group_bits + self.snapshot_bits
    }

    /// The bit that tells `latest` from the root.
    const fn latest(&self) -> u64 {
        1 << (self.payload_bits() - 1)
    }
}

/// A row id as an unsigned number of so many bits, if it is one.
fn fit(id: i64, bits: u32) -> Option<u64> {
    u64::try_from(id).ok().filter(|id| id >> bits == 0)
}

/// So many low bits; fewer than 64.
const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn samples(numbering: &Numbering) -> Vec<Node> {
        let mut nodes = vec![Node::Root];
        for id in [0, 1, 2, (1 << numbering.group_bits) - 1] {
            for snapshot in [1, (1 << numbering.snapshot_bits) - 1].map(SnapshotId) {
                nodes.push(Node::Folder {
                    folder: FolderId(id),
                    snapshot,
                });
                nodes.push(Node::Link { link: id, snapshot });
            }
            nodes.push(Node::Latest(SnapshotId(id)));
            nodes.push(Node::Entry(EntryId(id)));
        }
        nodes.push(Node::Latest(SnapshotId((1 << (numbering.payload_bits() - 1)) - 1)));
        nodes.push(Node::Entry(EntryId((1 << numbering.payload_bits()) - 1)));
        nodes
    }

    fn numberings() -> Vec<Numbering> {
        let of = |number| Numbering::of(number).expect("fits");
        vec![Numbering::ONLY, of(1), of(2), of(8191)]
    }

    #[test]
    fn nodes_come_back_as_packed() {
        for numbering in numberings() {
            for node in samples(&numbering) {
                let id = numbering.pack(node).expect("fits");
                assert_ne!(id.0, 0, "{node:?}: 0 means `no such file` to the kernel");
                assert_eq!(numbering.unpack(id), Some(node), "{id:?}");
            }
        }
    }

    #[test]
    fn a_mount_of_one_numbers_its_nodes_as_ever() {
        let id = |node| Numbering::ONLY.pack(node).unwrap().0;
        let (folder, snapshot) = (FolderId(5), SnapshotId(3));
        assert_eq!(id(Node::Root), 1);
        assert_eq!(id(Node::Latest(SnapshotId(7))), 1 << 61 | 7);
        assert_eq!(id(Node::Entry(EntryId(9))), 1 << 62 | 9);
        assert_eq!(id(Node::Folder { folder, snapshot }), 2 << 62 | 5 << 26 | 3);
        assert_eq!(id(Node::Link { link: 5, snapshot }), 3 << 62 | 5 << 26 | 3);
    }

    #[test]
    fn no_two_nodes_of_a_mount_of_many_share_an_id() {
        let places = [Above::Root, Above::User(0), Above::User(1), Above::User(u32::MAX)];
        let above = places.map(|place| place.pack().0);
        let below = numberings().into_iter().skip(1).flat_map(|numbering| {
            let nodes = samples(&numbering).into_iter();
            nodes.map(move |node| numbering.pack(node).unwrap().0)
        });
        let ids: Vec<u64> = above.into_iter().chain(below).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    }

    #[test]
    fn an_id_tells_its_repository() {
        for number in [1, 2, 8191] {
            let numbering = Numbering::of(number).unwrap();
            for node in samples(&numbering) {
                let id = numbering.pack(node).unwrap();
                assert_eq!(Numbering::repository(id), Some(number), "{node:?}");
                assert_eq!(Above::unpack(id), None, "{node:?}");
                let other = Numbering::of(number % 8191 + 1).unwrap();
                assert_eq!(other.unpack(id), None, "{node:?} is not another's");
            }
        }
        for place in [Above::Root, Above::User(0), Above::User(u32::MAX)] {
            assert_eq!(Above::unpack(place.pack()), Some(place));
            assert_eq!(Numbering::repository(place.pack()), None);
        }
        assert_eq!(Above::Root.pack(), INodeNo::ROOT);
    }

    #[test]
    fn ids_that_outgrew_their_bits_are_refused() {
        for numbering in numberings() {
            let refused = |node| assert_eq!(numbering.pack(node), None, "{node:?}");
            let snapshot = SnapshotId(1);
            refused(Node::Folder {
                folder: FolderId(1 << numbering.group_bits),
                snapshot,
            });
            refused(Node::Folder {
                folder: FolderId(1),
                snapshot: SnapshotId(1 << numbering.snapshot_bits),
            });
            refused(Node::Link { link: -1, snapshot });
            refused(Node::Entry(EntryId(1 << numbering.payload_bits())));
            refused(Node::Latest(SnapshotId(1 << (numbering.payload_bits() - 1))));
        }
        assert_eq!(Numbering::of(0), None, "the place above the repositories");
        assert_eq!(Numbering::of(8192), None);
    }

    #[test]
    fn strange_ids_are_nobody() {
        for id in [0, 2].map(INodeNo) {
            assert_eq!(Numbering::ONLY.unpack(id), None);
            assert_eq!(Above::unpack(id), None);
        }
        // A user's number has 32 bits; an entry above the repositories is nothing.
        assert_eq!(Above::unpack(INodeNo(1 << 48 | 1 << 40)), None);
        assert_eq!(Above::unpack(INodeNo(1 << 62 | 1)), None);
    }
}
