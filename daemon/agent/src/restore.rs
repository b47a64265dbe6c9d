//! Putting a snapshot's subtree back below a folder.
//!
//! ```text
//! restore /home/ann to DEST:   DEST/home        a parent: made if it is not there
//!                              DEST/home/ann    restored, with all that is in it
//! ```
//!
//! Nothing is ever written outside DEST: every step goes by descriptor from a
//! folder to a name in it, never through a symlink, and a name with a slash in
//! a damaged catalog is refused. A file appears under its name only when its
//! bytes and metadata are complete; a restore that is cut leaves `.yore-…`
//! files at worst. A folder gets its metadata when all that is in it is there,
//! so that read-only folders can be filled and times hold.
//!
//! One path that fails does not stop the others: it is in [`Report::errors`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use yore_store::{ContentId, Entry, FolderId, History, Listing, NextPassage, OpenContent, Snapshot, TellPassage};

use crate::filter::Filter;
use crate::folder::raise_file_limit;

mod ahead;
mod apply;
mod contents;
mod destination;
mod entered;
mod flush;
mod links;
mod own;
mod place;
mod remove;
mod trail;
mod tree;

use ahead::Ahead;
pub use apply::{Applied, apply_meta};
pub use entered::{Entered, held};

/// What happens to things that are already where something is restored to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// They are replaced, in one step each.
    #[default]
    Always,
    /// They are replaced if the snapshot's modification time is later.
    IfNewer,
    /// They stay.
    Never,
}

/// How to restore.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// What to do where something is already.
    pub overwrite: Overwrite,
    /// How many leading components of the paths are dropped below the
    /// destination; at most as many as leave each restored file a name.
    pub strip: usize,
    /// Whether what is in a restored folder but not in the snapshot is removed.
    /// Folders that were only parents of the snapshot's roots are left alone.
    pub delete: bool,
    /// Only what fits these patterns is restored, with all that is in it and
    /// the folders that lead there; everything if `None`.
    pub include: Option<Filter>,
    /// Whether everything becomes the own of whoever restores: without the owners, set-id bits, ACLs and attributes
    /// other than a user's that were recorded, and without devices.
    pub own: bool,
}

impl RestoreOptions {
    /// Whether a path of the snapshot is asked for, if what it lies in is or is not.
    fn includes(&self, path: &[u8], folder: bool, above: bool) -> bool {
        let verdict = self
            .include
            .as_ref()
            .and_then(|patterns| patterns.verdict(path, folder));
        verdict.unwrap_or(above)
    }
}

/// What a restore did.
#[derive(Debug, Default)]
pub struct Report {
    /// Regular files that were put in place, hard links included.
    pub files: u64,
    /// Folders that were made or found, and filled.
    pub folders: u64,
    /// Symlinks, pipes, sockets and devices that were put in place.
    pub others: u64,
    /// Bytes of content written; holes and hard links do not count.
    pub bytes: u64,
    /// Things left as they were because of [`RestoreOptions::overwrite`].
    pub skipped: u64,
    /// Things removed because of [`RestoreOptions::delete`].
    pub deleted: u64,
    /// Attributes that this user may not set or this file system cannot hold.
    pub xattrs_lost: u64,
    /// Things that could not get their owner or group because this user may not set it.
    pub owners_lost: u64,
    /// Paths in the snapshot that could not be restored (or, with `delete`,
    /// removed), and why.
    pub errors: Vec<(Vec<u8>, String)>,
}

/// What keeps a restore from beginning.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The path is not in the snapshot, or the repository cannot be read.
    #[error(transparent)]
    Store(#[from] yore_store::Error),
    /// The destination cannot be made or opened.
    #[error("{}: {source}", path.display())]
    Destination {
        /// The destination.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// More components are to be dropped than there are.
    #[error("cannot strip {strip} components: {path} leaves room for {most}")]
    Strip {
        /// The path, readable.
        path: String,
        /// What was asked for.
        strip: usize,
        /// The most that is possible.
        most: usize,
    },
}

/// Who watches a restore.
pub trait Progress: Sync {
    /// This path of the snapshot is next.
    fn path(&self, _path: &[u8]) {}
    /// So many more bytes of content were written.
    fn bytes(&self, _more: u64) {}
    /// One more thing is in place.
    fn item(&self) {}
    /// Whether a push is to end without a snapshot; asked at every name, and inside a
    /// large file at every group.
    fn is_stopped(&self) -> bool {
        false
    }
    /// A push waits before it goes on after this error.
    fn waits(&self, _error: &str, _time: std::time::Duration) {}
    /// A push goes on without its memory of the last one, for this reason: it reads every file.
    fn forgets(&self, _why: &str) {}
}

/// Nobody watches.
impl Progress for () {}

/// Where a snapshot's entries and contents come from.
pub trait Source: Sync {
    /// The snapshot's name, for messages.
    fn name(&self) -> &str;
    /// Absolute paths of the snapshot's roots: at and below them it is complete.
    fn roots(&self) -> &[Vec<u8>];
    /// The entry of the snapshot's `/`.
    fn root(&self) -> yore_store::Result<Entry>;
    /// What is in a folder, sorted bytewise by name.
    fn list(&self, folder: FolderId) -> yore_store::Result<Arc<Listing>>;
    /// The same, by somebody who goes on to list what is below it.
    fn list_below(&self, folder: FolderId) -> yore_store::Result<Arc<Listing>> {
        self.list(folder)
    }
    /// Opens a content for reading.
    fn open(&self, content: ContentId, size: u64) -> yore_store::Result<Box<dyn OpenContent>>;
    /// Reads many passages, one after the other.
    fn read(&self, next: &mut NextPassage<'_>, tell: &mut TellPassage<'_>);
}

struct InHistory<'a> {
    history: &'a dyn History,
    snapshot: &'a Snapshot,
}

impl Source for InHistory<'_> {
    fn name(&self) -> &str {
        &self.snapshot.name
    }
    fn roots(&self) -> &[Vec<u8>] {
        &self.snapshot.roots
    }
    fn root(&self) -> yore_store::Result<Entry> {
        self.history.root(self.snapshot.id)
    }
    fn list(&self, folder: FolderId) -> yore_store::Result<Arc<Listing>> {
        self.history.list(self.snapshot.id, folder)
    }
    fn list_below(&self, folder: FolderId) -> yore_store::Result<Arc<Listing>> {
        self.history.list_below(self.snapshot.id, folder)
    }
    fn open(&self, content: ContentId, size: u64) -> yore_store::Result<Box<dyn OpenContent>> {
        self.history.open(content, size)
    }
    fn read(&self, next: &mut NextPassage<'_>, tell: &mut TellPassage<'_>) {
        self.history.read(next, tell);
    }
}

/// Restores `path` of a snapshot (a folder with all that is in it, or one
/// thing; empty or `/` for everything) below `dest`, under its absolute path.
/// `dest` is made if need be; if it was there, it keeps its own metadata.
///
/// # Errors
/// [`RestoreError`] if nothing could be begun. What fails for single paths is
/// in the report, and the caller's exit status should tell.
pub fn restore(
    history: &dyn History,
    snapshot: &Snapshot,
    path: &[u8],
    dest: &Path,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<Report, RestoreError> {
    restore_from(&InHistory { history, snapshot }, path, dest, options, progress)
}

/// [`restore`] from any source.
///
/// # Errors
/// As [`restore`].
pub fn restore_from(
    source: &dyn Source,
    path: &[u8],
    dest: &Path,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<Report, RestoreError> {
    raise_file_limit();
    let trail = trail::Trail::find(source, path, options.strip)?;
    let destination = |source| RestoreError::Destination {
        path: dest.to_owned(),
        source,
    };
    std::thread::scope(|threads| {
        // What stays as it is would be read for nothing.
        let ahead = match options.overwrite == Overwrite::Always || trail.is_nothing_in_its_way(dest) {
            true => Ahead::begin(threads, source, trail.clone(), options),
            false => Ahead::none(),
        };
        let restorer =
            tree::Restorer::new(threads, source, options, progress, trail, ahead, dest).map_err(destination)?;
        Ok(restorer.run())
    })
}

#[cfg(test)]
mod tests;
