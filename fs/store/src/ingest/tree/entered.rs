//! The folders that a push is in: `/`, a folder in it, a folder in that.

use std::sync::Arc;

use crate::tree::{LONGEST_PATH, Listing, MOST_ATTRIBUTES, attributes};
use crate::{Error, FolderId, Meta, Result};

/// A folder that has been entered and not left.
pub(super) struct Level {
    pub folder: FolderId,
    /// What the newest snapshot has in it.
    pub base: Arc<Listing>,
    /// The last name that was told; names come in order, each once.
    pub last: Option<Vec<u8>>,
    /// Bytes of its path, with a slash behind each name.
    path: usize,
    /// Memory that the attributes in it take once the push is a snapshot.
    attributes: usize,
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

    /// Says whether a folder of this name may be entered from the one that is told of.
    ///
    /// # Errors
    /// [`Error::Refused`] if its path is longer than [`LONGEST_PATH`].
    pub(super) fn check(&self, name: &[u8]) -> Result<()> {
        match self.path(name) <= LONGEST_PATH {
            true => Ok(()),
            false => Err(Error::Refused(format!(
                "a folder whose path is longer than {LONGEST_PATH} bytes"
            ))),
        }
    }

    fn path(&self, name: &[u8]) -> usize {
        self.levels.last().map_or(0, |level| level.path + name.len() + 1)
    }

    pub(super) fn enter(&mut self, name: &[u8], folder: FolderId, base: Arc<Listing>) {
        self.levels.push(Level {
            path: self.path(name),
            folder,
            attributes: base.iter().map(|entry| attributes(&entry.meta)).sum(),
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

    /// An entry comes into the folder that is told of.
    ///
    /// # Errors
    /// [`Error::Refused`] if it could not be listed any more.
    pub(super) fn add(&mut self, meta: &Meta) -> Result<()> {
        let Ok(level) = self.last() else { return Ok(()) };
        level.attributes += attributes(meta);
        match level.attributes <= MOST_ATTRIBUTES {
            true => Ok(()),
            false => Err(Error::Refused(
                "more attributes than a folder's entries may have".into(),
            )),
        }
    }

    /// An entry of that folder goes.
    pub(super) fn take_off(&mut self, meta: &Meta) {
        if let Ok(level) = self.last() {
            level.attributes = level.attributes.saturating_sub(attributes(meta));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn a_folder_is_refused_more_attributes_than_a_listing_may_have() {
        let mut heavy = Meta::plain(Kind::File, 0o644);
        heavy.data = Some(vec![(0, 1); 128 << 10]);
        let fit = MOST_ATTRIBUTES / attributes(&heavy);
        let mut entered = Entered::default();
        entered.add(&heavy).expect("`/` itself lies in no folder");
        entered.enter(b"", FolderId(1), Arc::default());
        (0..fit).for_each(|_| entered.add(&heavy).unwrap());
        entered.take_off(&heavy);
        entered.add(&heavy).unwrap();
        // Of another folder, and then of the first again.
        entered.enter(b"a", FolderId(2), Arc::default());
        entered.add(&heavy).unwrap();
        entered.leave().unwrap();
        let plain = Meta::plain(Kind::Fifo, 0o644);
        entered.add(&plain).unwrap();
        assert!(matches!(entered.add(&heavy), Err(Error::Refused(_))));
    }

    #[test]
    fn what_a_folder_has_already_counts() {
        let mut meta = Meta::plain(Kind::File, 0o644);
        meta.data = Some(vec![(0, 1); MOST_ATTRIBUTES / 32]);
        let entry = crate::Entry {
            id: crate::EntryId(1),
            folder: FolderId(1),
            name: b"a".to_vec(),
            first: crate::SnapshotId(1),
            last: crate::SnapshotId(1),
            meta: meta.clone(),
            size: 0,
            content: None,
            child: None,
            link: None,
        };
        let mut entered = Entered::default();
        entered.enter(b"", FolderId(1), Arc::new(vec![entry]));
        entered.add(&meta).unwrap();
        let refused = entered.add(&meta);
        assert!(matches!(refused, Err(Error::Refused(_))));
    }
}
