//! A budget that looks at the disk: nothing is written that it did not grant before.

use std::path::{Path, PathBuf};

use yore_store::{Budget, Limit, Result};

/// A limit for one push into a repository in which nothing else happens meanwhile.
pub struct Strict {
    limit: Limit,
    repository: PathBuf,
    /// What was there when the push began, in bytes.
    before: u64,
}

impl Strict {
    /// At most so many bytes more.
    pub fn new(repository: &Path, limit: u64) -> Self {
        Strict {
            limit: Limit { limit, used: 0 },
            repository: repository.to_owned(),
            before: stored(repository),
        }
    }
}

impl Budget for Strict {
    fn reserve(&mut self, bytes: u64) -> Result<()> {
        let written = stored(&self.repository).saturating_sub(self.before);
        let granted = self.limit.used;
        assert!(
            written <= granted,
            "{written} bytes were written, and {granted} granted"
        );
        self.limit.reserve(bytes)
    }
}

/// The bytes of all stored files.
fn stored(repository: &Path) -> u64 {
    let folders = ["packs", "heads", "deltas"].map(|kind| repository.join(kind));
    let below = |folder: &PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = folders.iter().flat_map(below).flat_map(|folder| below(&folder.path()));
    // One that goes while it is looked at has no bytes.
    files.map(|file| file.metadata().map_or(0, |status| status.len())).sum()
}
