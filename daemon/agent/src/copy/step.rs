//! What a snapshot is told in, before it is known what of it has to be sent.

use yore_store::{Entry, Meta};

use crate::snapshot::AgentError;

/// A step through a snapshot, folders before what is in them, names in bytewise order.
pub(super) enum Step {
    /// Into a folder; `meta` where it is new or may have changed.
    Enter {
        /// Its name; empty for `/`.
        name: Vec<u8>,
        /// What it has become.
        meta: Option<Meta>,
    },
    /// Out of the folder entered last.
    Leave,
    /// Anything but a folder, that may be new or changed.
    Put(Box<Put>),
    /// A name that is gone.
    Remove {
        /// It.
        name: Vec<u8>,
    },
}

/// What a name stands for.
pub(super) struct Put {
    /// Its path, for messages.
    pub path: Vec<u8>,
    /// What had its name in the snapshot that this one is told against.
    pub old: Option<Entry>,
    /// What has it now.
    pub new: Entry,
}

impl Step {
    /// That a name stands for this now.
    pub fn put(path: &[u8], old: Option<Entry>, new: Entry) -> Self {
        let path = path.to_vec();
        Step::Put(Box::new(Put { path, old, new }))
    }

    /// What it puts, if it does.
    pub fn as_put(&self) -> Option<&Put> {
        match self {
            Step::Put(put) => Some(put),
            _ => None,
        }
    }
}

/// Is told the next step.
pub(super) type TellStep<'a> = dyn FnMut(Step) -> Result<(), AgentError> + 'a;

/// What a folder has become, if it is not what it was.
pub(super) fn changed_folder(old: Option<&Entry>, new: &Entry) -> Option<Meta> {
    let is_same = old.is_some_and(|old| old.child.is_some() && old.meta == new.meta);
    (!is_same).then(|| new.meta.clone())
}
