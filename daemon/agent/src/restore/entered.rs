//! The folders that a walk through a snapshot has entered.

use std::collections::HashSet;

use yore_store::{Entry, Error, FolderId, LONGEST_PATH, Result};

/// Folders of a snapshot; remembering which were entered takes 300 MiB then.
const MOST_FOLDERS: usize = 7 << 22;

/// What the listings of the folders that a walk is in may take in memory together, in bytes.
const MOST_HELD: usize = 2 << 30;

/// The folders that a walk through a snapshot has entered. A folder has one place in a snapshot; one that lies in
/// itself, or in many places, would be walked without end, and whoever serves a repository may say anything.
#[derive(Debug, Default)]
pub struct Entered(HashSet<FolderId>);

impl Entered {
    /// Notes that a folder is entered, whose path has so many bytes.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it was before, or if the path is longer than any.
    pub fn enter(&mut self, folder: FolderId, path: usize) -> Result<()> {
        if path > LONGEST_PATH {
            return Err(Error::Damaged(format!(
                "folder {folder} has a path that no snapshot has"
            )));
        }
        match self.0.insert(folder) {
            true if self.0.len() > MOST_FOLDERS => Err(Error::Damaged(format!(
                "a snapshot of more than {MOST_FOLDERS} folders"
            ))),
            true => Ok(()),
            false => Err(Error::Damaged(format!(
                "folder {folder} is in several places of a snapshot"
            ))),
        }
    }
}

/// Bytes that the listings of the folders take that a walk is in, with one more of them.
///
/// # Errors
/// [`Error::Damaged`] if that is more than a snapshot of ours makes of it.
pub fn held(above: usize, listing: &[Entry]) -> Result<usize> {
    let weight = |entry: &Entry| size_of::<Entry>() + entry.name.len() + entry.meta.memory();
    let held = above + listing.iter().map(weight).sum::<usize>();
    match held <= MOST_HELD {
        true => Ok(held),
        false => Err(Error::Damaged(format!(
            "folders in each other with more in them than {} GiB of memory hold",
            MOST_HELD >> 30
        ))),
    }
}
