//! The folders that a push is in: `/`, a folder in it, a folder in that.

use std::sync::Arc;

use crate::tree::Listing;
use crate::{Error, FolderId, Result};

/// A folder that has been entered and not left.
pub(super) struct Level {
    pub folder: FolderId,
    /// What the newest snapshot has in it.
    pub base: Arc<Listing>,
    /// The last name that was told; names come in order, each once.
    pub last: Option<Vec<u8>>,
}

/// Folders entered and not left, `/` first.
#[derive(Default)]
pub(in crate::ingest) struct Entered {
    levels: Vec<Level>,
    /// `/` was left: all is told. Entered again, its names could come again.
    is_over: bool,
}

impl Entered {
    /// Whether `/` is to be entered, or was left.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Whether `/` was left.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn enter(&mut self, folder: FolderId, base: Arc<Listing>) {
        self.levels.push(Level {
            folder,
            base,
            last: None,
        });
    }

    pub(super) fn leave(&mut self) -> Result<()> {
        let left = self.levels.pop();
        left.ok_or_else(|| Error::Refused("left more folders than were entered".into()))?;
        self.is_over = self.levels.is_empty();
        Ok(())
    }

    /// The folder that is told of.
    pub(super) fn last(&mut self) -> Result<&mut Level> {
        let last = self.levels.last_mut();
        last.ok_or_else(|| Error::Refused("a name outside of any folder".into()))
    }

    /// The folder that the next one is entered from; none for `/`.
    pub(super) fn parent(&self) -> Option<FolderId> {
        self.levels.last().map(|level| level.folder)
    }
}
