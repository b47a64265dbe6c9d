//! The folders that a walk through a snapshot has entered.

use std::collections::HashSet;

use yore_store::{Error, FolderId, Result};

/// The folders that a walk through a snapshot has entered. A folder has one place in a snapshot; one that lies in
/// itself, or in many places, would be walked without end, and whoever serves a repository may say anything.
#[derive(Debug, Default)]
pub struct Entered(HashSet<FolderId>);

impl Entered {
    /// Notes that a folder is entered.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it was before.
    pub fn enter(&mut self, folder: FolderId) -> Result<()> {
        match self.0.insert(folder) {
            true => Ok(()),
            false => Err(Error::Damaged(format!(
                "folder {folder} is in several places of a snapshot"
            ))),
        }
    }
}
