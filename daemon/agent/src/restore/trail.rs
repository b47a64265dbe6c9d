//! The way from a snapshot's `/` down to what is restored.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use yore_store::{Entry, Error, Kind};

use super::{RestoreError, Source};

/// The entries from the snapshot's `/` down to what is restored.
#[derive(Clone)]
pub(super) struct Trail {
    pub entries: Vec<Entry>,
    /// How many of them are left out below the destination, which is entry `strip`.
    pub strip: usize,
}

impl Trail {
    /// Looks up `path`, a component at a time.
    ///
    /// # Errors
    /// If it is not there, or `strip` drops more than it has.
    pub fn find(source: &dyn Source, path: &[u8], strip: usize) -> Result<Self, RestoreError> {
        let mut entries = vec![source.root()?];
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            let above = entries.last().and_then(|entry| entry.child);
            let listing = above.map(|folder| source.list(folder)).transpose()?.unwrap_or_default();
            let at = listing.binary_search_by(|entry| entry.name.as_slice().cmp(name));
            entries.push(listing[at.map_err(|_| no_such_path(source, path))?].clone());
        }
        let last = entries.last().expect("at least the root");
        // A root that is no folder, as only who lies has it, has no name to drop either.
        let most = match last.meta.kind {
            Kind::Folder => entries.len() - 1,
            _ => entries.len().saturating_sub(2),
        };
        if strip > most {
            let path = String::from_utf8_lossy(path).into_owned();
            return Err(RestoreError::Strip { path, strip, most });
        }
        Ok(Trail { entries, strip })
    }

    /// Whether the destination has nothing yet of what is restored there.
    pub fn is_nothing_in_its_way(&self, dest: &Path) -> bool {
        match self.below(self.strip) {
            Some(first) => dest.join(OsStr::from_bytes(&first.name)).symlink_metadata().is_err(),
            None => dest.read_dir().map_or(true, |mut names| names.next().is_none()),
        }
    }

    /// The only child of the folder at `depth` that is restored, if it is just a parent.
    pub fn below(&self, depth: usize) -> Option<&Entry> {
        self.entries.get(depth + 1)
    }
}

fn no_such_path(source: &dyn Source, path: &[u8]) -> Error {
    Error::NoSuchPath {
        path: String::from_utf8_lossy(path).into_owned(),
        snapshot: source.name().to_owned(),
    }
}
