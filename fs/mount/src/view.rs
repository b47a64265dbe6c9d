//! What a mount shows. Finds who answers for a node, and asks there.

use std::sync::Arc;

use fuser::{Errno, INodeNo, Notifier};
use yore_store::{Entry, Space};

use crate::fault::Fault;
use crate::tree::{Child, Seen, Tree};

/// What a mount shows.
pub(crate) enum View {
    /// One repository: its snapshots are in the mountpoint.
    One(Arc<Tree>),
}

impl View {
    /// Who answers for a node.
    pub(crate) fn place(&self, _id: INodeNo) -> Result<Place, Fault> {
        match self {
            View::One(tree) => Ok(Place::Tree(tree.clone())),
        }
    }

    /// Whether a node is a folder whose listing changes while the mount lives.
    pub(crate) fn is_alive(&self, id: INodeNo) -> bool {
        match self {
            View::One(_) => id == INodeNo::ROOT,
        }
    }

    /// Whether the kernel is to read any file past us.
    pub(crate) fn wants_passthrough(&self) -> bool {
        match self {
            View::One(tree) => tree.passthrough,
        }
    }

    /// A node's path below the mountpoint, for a message.
    pub(crate) fn describe(&self, id: INodeNo) -> String {
        match self {
            View::One(tree) => tree.describe(id),
        }
    }

    /// Tells the kernel what came and went since the last time.
    pub(crate) fn tell(&self, kernel: &Notifier) {
        match self {
            View::One(tree) => tree.tell(kernel),
        }
    }
}

/// Who answers for a node.
pub(crate) enum Place {
    /// A repository.
    Tree(Arc<Tree>),
}

impl Place {
    /// What a name in a folder is.
    pub(crate) fn lookup(&self, parent: INodeNo, name: &[u8]) -> Result<Seen, Fault> {
        match self {
            Place::Tree(tree) => tree.lookup(parent, name),
        }
    }

    /// What a node's attributes are.
    pub(crate) fn attributes(&self, id: INodeNo) -> Result<Seen, Fault> {
        match self {
            Place::Tree(tree) => tree.attributes(id),
        }
    }

    /// Hands the children of a folder that come after a cookie to `full`, until
    /// there are no more or it says that it is.
    pub(crate) fn list(&self, id: INodeNo, after: u64, full: impl FnMut(Child<'_>) -> bool) -> Result<(), Fault> {
        match self {
            Place::Tree(tree) => tree.list(id, after, full),
        }
    }

    /// The entry behind a node; folders of ours and `latest` have none.
    pub(crate) fn entry(&self, id: INodeNo) -> Result<Option<Entry>, Fault> {
        match self {
            Place::Tree(tree) => tree.entry(id),
        }
    }

    /// The repository that a file, a symlink, or whatever was in one, is of.
    pub(crate) fn tree(&self) -> Result<&Arc<Tree>, Errno> {
        match self {
            Place::Tree(tree) => Ok(tree),
        }
    }

    /// Room on the disk below.
    pub(crate) fn space(&self) -> Result<Space, Fault> {
        match self {
            Place::Tree(tree) => Ok(tree.repository.space()?),
        }
    }
}
