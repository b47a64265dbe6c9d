//! Snapshots as trees: finding them, listing their folders, walking their paths.

use std::ops::Deref;
use std::sync::Arc;

use crate::catalog::{ALIVE, ENTRY, Entry, Snapshot};
use crate::{Error, FolderId, Meta, Repository, Result, SnapshotId};

/// The longest path of a folder, in bytes: its names, each with a slash. Linux opens no path of more than 4 KiB at
/// once; trees that are made step by step may be deeper, and whoever goes through them has to hold a path.
pub const LONGEST_PATH: usize = 64 << 10;

/// Memory that the attributes of a folder's entries may take: a listing is in memory as a whole. Pushes that
/// would need more are refused; it is more than fragmented images in their thousands take.
pub(crate) const MOST_ATTRIBUTES: usize = 512 << 20;

/// Memory for the attributes of one entry that is not counted: most have labels and lists of rights, and a
/// folder may have millions of those.
const USUAL_ATTRIBUTES: usize = 1 << 10;

/// The entries of one folder in one snapshot, sorted by name, bytewise.
pub type Listing = Vec<Entry>;

/// A line of a listing, which it keeps in memory: an entry that need not be copied.
#[derive(Clone, Debug)]
pub struct Listed {
    listing: Arc<Listing>,
    line: usize,
}

impl Listed {
    /// The line of this number; panics where the listing has fewer.
    pub fn at(listing: Arc<Listing>, line: usize) -> Self {
        assert!(
            line < listing.len(),
            "a listing of {} has no line {line}",
            listing.len()
        );
        Listed { listing, line }
    }
}

impl From<Entry> for Listed {
    fn from(entry: Entry) -> Self {
        Listed::at(Arc::new(vec![entry]), 0)
    }
}

impl Deref for Listed {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.listing[self.line]
    }
}

/// Finds a name in a listing.
pub fn find_name<'a>(listing: &'a Listing, name: &[u8]) -> Option<&'a Entry> {
    listing
        .binary_search_by(|entry| entry.name.as_slice().cmp(name))
        .ok()
        .map(|at| &listing[at])
}

fn no_such(snapshot: SnapshotId) -> Error {
    Error::NoSuchSnapshot(format!("number {snapshot}"))
}

/// What an entry counts towards [`MOST_ATTRIBUTES`].
pub(crate) fn attributes(meta: &Meta) -> usize {
    meta.memory().saturating_sub(USUAL_ATTRIBUTES)
}

impl Repository {
    /// All snapshots, oldest first. One whose row is damaged is not shown: a verification names it.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        Ok(Snapshot::find(&*self.connection()?, "ORDER BY s.time, s.id", [])?.0)
    }

    /// The snapshot that `spec` means: a name, `latest`, `latest~N` (N before the latest),
    /// or the beginning of exactly one name.
    pub fn snapshot(&self, spec: &str) -> Result<Snapshot> {
        crate::history::find_snapshot(self.snapshots()?, spec)
    }

    /// The entry of `/` in a snapshot.
    pub fn root(&self, snapshot: SnapshotId) -> Result<Entry> {
        let found = Snapshot::one(&*self.connection()?, "WHERE s.id = ?1", [snapshot])?;
        let root = found.ok_or_else(|| no_such(snapshot))?.root;
        self.folder(snapshot, root)?
            .ok_or_else(|| Error::Damaged(format!("catalog: snapshot {snapshot} lacks its root")))
    }

    /// The entry of a folder as it was in a snapshot; `None` if it was not.
    pub fn folder(&self, snapshot: SnapshotId, folder: FolderId) -> Result<Option<Entry>> {
        let entry = self.one_entry("e.child = ?1 AND e.first <= ?2 AND e.last >= ?2", (folder, snapshot))?;
        self.still_there(snapshot).map(|()| entry)
    }

    /// One entry by its number.
    pub fn entry(&self, id: crate::EntryId) -> Result<Option<Entry>> {
        self.one_entry("e.id = ?1", (id,))
    }

    /// The entries of one hard-link group in a snapshot: they are as many as `st_nlink` says.
    pub fn links(&self, snapshot: SnapshotId, link: i64) -> Result<Vec<Entry>> {
        let of_group = "e.link = ?1 AND e.first <= ?2 AND e.last >= ?2 ORDER BY e.id";
        let links = self.entries(of_group, (link, snapshot))?;
        self.still_there(snapshot).map(|()| links)
    }

    /// The entries of a folder in a snapshot; kept in a cache of bounded size.
    pub fn list(&self, snapshot: SnapshotId, folder: FolderId) -> Result<Arc<Listing>> {
        if let Some(listing) = self.caches.listing(snapshot, folder) {
            return Ok(listing);
        }
        // Rows that ended before the snapshot, or rows that began after it, must be passed over.
        // Each index avoids one kind; near the newest snapshot the first are many and the second few.
        let index = match self.is_in_newer_half(snapshot)? {
            true => "entries_last",
            false => "entries_first",
        };
        let from = ENTRY.replacen("FROM entries e", &format!("FROM entries e INDEXED BY {index}"), 1);
        let mut listing = self.entries_from(
            &from,
            "e.folder = ?1 AND e.first <= ?2 AND e.last >= ?2",
            (folder, snapshot),
        )?;
        self.still_there(snapshot)?;
        listing.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        // It may be kept for long, and a list that grew has room for twice as many.
        listing.shrink_to_fit();
        let listing = Arc::new(listing);
        self.caches.keep_listing(snapshot, folder, &listing);
        Ok(listing)
    }

    /// Whether more than so many entries were ever in a folder, as far as they are kept.
    pub fn has_more_entries(&self, folder: FolderId, than: usize) -> Result<bool> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM entries INDEXED BY entries_last WHERE folder = ?1 LIMIT 1 OFFSET ?2)",
        )?;
        Ok(statement.query_row((folder, than as i64), |row| row.get(0))?)
    }

    /// Walks an absolute path; `""` and `/` are the root.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`] if the snapshot does not have it.
    pub fn lookup(self: &Arc<Self>, snapshot: &Snapshot, path: &[u8]) -> Result<Entry> {
        crate::history::History::lookup(self, snapshot, path)
    }

    /// Fails if a snapshot was forgotten: what was read of it just now may lack entries. Its row goes first, so if
    /// that is there after the entries were read, all of them were.
    fn still_there(&self, snapshot: SnapshotId) -> Result<()> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM snapshots WHERE id = ?1)")?;
        match statement.query_row([snapshot], |row| row.get(0))? {
            true => Ok(()),
            false => Err(no_such(snapshot)),
        }
    }

    fn is_in_newer_half(&self, snapshot: SnapshotId) -> Result<bool> {
        let connection = self.connection()?;
        let line = "SELECT line FROM snapshots WHERE id = ?1";
        let mut statement = connection.prepare_cached(&format!(
            "SELECT (SELECT count(*) FROM snapshots WHERE line = ({line}) AND id > ?1)
                 <= (SELECT count(*) FROM snapshots WHERE line = ({line}) AND id < ?1)"
        ))?;
        Ok(statement.query_row([snapshot], |row| row.get(0))?)
    }

    fn one_entry(&self, condition: &str, parameters: impl rusqlite::Params) -> Result<Option<Entry>> {
        Ok(self.entries(condition, parameters)?.into_iter().next())
    }

    pub(crate) fn entries(&self, condition: &str, parameters: impl rusqlite::Params) -> Result<Vec<Entry>> {
        self.entries_from(ENTRY, condition, parameters)
    }

    fn entries_from(&self, from: &str, condition: &str, parameters: impl rusqlite::Params) -> Result<Vec<Entry>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(&format!("SELECT {from} WHERE {condition}"))?;
        let mut rows = statement.query(parameters)?;
        let (mut entries, mut taken) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let entry = Entry::read(row)?;
            taken += attributes(&entry.meta);
            if taken > MOST_ATTRIBUTES {
                return Err(Error::Refused(
                    "entries with more attributes than are told at once".into(),
                ));
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

impl Entry {
    /// Whether the newest snapshot of its line has it.
    pub fn is_alive(&self) -> bool {
        self.last.0 == ALIVE
    }

    /// Where a file has bytes that are no hole: offset and length, within its size.
    pub fn data_extents(&self) -> impl Iterator<Item = (u64, u64)> {
        let (whole, size) = ([(0, self.size)], self.size);
        let extents = self.meta.data.as_deref().map_or(whole.to_vec(), <[_]>::to_vec);
        let within = move |(offset, length): (u64, u64)| (offset, length.min(size.saturating_sub(offset)));
        extents.into_iter().map(within).filter(|(_, length)| *length > 0)
    }
}
