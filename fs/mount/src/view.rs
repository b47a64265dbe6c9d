//! What a mount shows. Finds who answers for a node, and asks there.

use std::sync::Arc;

use fuser::{Errno, INodeNo, Notifier};
use yore_store::{Listed, Space};

use crate::fault::Fault;
use crate::many::Many;
use crate::tree::{Child, Seen, Tree};

/// What a mount shows.
pub(crate) enum View {
    /// One repository: its snapshots are in the mountpoint.
    One(Arc<Tree>),
    /// Many, by user.
    Many(Arc<Many>),
}

impl View {
    /// Whether a repository need not be opened first to answer for a node.
    pub(crate) fn is_ready(&self, id: INodeNo) -> bool {
        match self {
            View::One(_) => true,
            View::Many(many) => many.is_ready(id),
        }
    }

    /// Who answers for a node.
    pub(crate) fn place(&self, id: INodeNo) -> Result<Place, Fault> {
        match self {
            View::One(tree) => Ok(Place::Tree(tree.clone())),
            View::Many(many) => many.place(id),
        }
    }

    /// What a name in a folder is.
    pub(crate) fn lookup(&self, parent: INodeNo, name: &[u8]) -> Result<Seen, Fault> {
        match (self, self.place(parent)?) {
            (View::Many(many), _) if name == b".." && Many::is_root(parent) => many.above(parent),
            (_, Place::Tree(tree)) => tree.lookup(parent, name),
            (_, Place::Above(many)) => many.lookup(parent, name),
        }
    }

    /// Whether a node is a folder whose listing changes while the mount lives.
    pub(crate) fn is_alive(&self, id: INodeNo) -> bool {
        match self {
            View::One(_) => id == INodeNo::ROOT,
            View::Many(_) => Many::is_alive(id),
        }
    }

    /// Whether it is one of many repositories.
    pub(crate) fn is_of_many(&self) -> bool {
        matches!(self, View::Many(_))
    }

    /// Whether the kernel is to read any file past us.
    pub(crate) fn wants_passthrough(&self) -> bool {
        match self {
            View::One(tree) => tree.passthrough,
            // Each says so when it is opened.
            View::Many(_) => true,
        }
    }

    /// A node's path below the mountpoint, for a message.
    pub(crate) fn describe(&self, id: INodeNo) -> String {
        match self {
            View::One(tree) => tree.describe(id),
            View::Many(many) => many.describe(id),
        }
    }

    /// Tells the kernel what came and went since the last time.
    pub(crate) fn tell(&self, kernel: &Notifier) {
        match self {
            View::One(tree) => tree.tell(kernel),
            View::Many(many) => many.tell(kernel),
        }
    }
}

/// Who answers for a node.
pub(crate) enum Place {
    /// A repository.
    Tree(Arc<Tree>),
    /// The shelf, for what is above them.
    Above(Arc<Many>),
}

impl Place {
    /// What a node's attributes are.
    pub(crate) fn attributes(&self, id: INodeNo) -> Result<Seen, Fault> {
        match self {
            Place::Tree(tree) => tree.attributes(id),
            Place::Above(many) => many.attributes(id),
        }
    }

    /// Hands the children of a folder that come after a cookie to `full`, until
    /// there are no more or it says that it is.
    pub(crate) fn list(&self, id: INodeNo, after: u64, full: impl FnMut(Child<'_>) -> bool) -> Result<(), Fault> {
        match self {
            Place::Tree(tree) => tree.list(id, after, full),
            Place::Above(many) => many.list(id, after, full),
        }
    }

    /// The entry behind a node; folders of ours and `latest` have none.
    pub(crate) fn entry(&self, id: INodeNo) -> Result<Option<Listed>, Fault> {
        match self {
            Place::Tree(tree) => tree.entry(id),
            Place::Above(_) => Ok(None),
        }
    }

    /// The repository that a file, a symlink, or whatever was in one, is of.
    pub(crate) fn tree(&self) -> Result<&Arc<Tree>, Errno> {
        match self {
            Place::Tree(tree) => Ok(tree),
            Place::Above(_) => Err(Errno::EINVAL),
        }
    }

    /// Room on the disk below.
    pub(crate) fn space(&self) -> Result<Space, Fault> {
        match self {
            Place::Tree(tree) => Ok(tree.repository.space()?),
            Place::Above(many) => many.space(),
        }
    }
}
