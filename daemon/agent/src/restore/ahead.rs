//! Reading ahead of a restore: a thread goes through the snapshot in the order in which it is restored and has
//! the contents read, so that the disk here, the network and the repository work at the same time.
//!
//! It is a guess that costs time where it is wrong and nothing else: what does not come when it is wanted is
//! read by whoever wants it.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use yore_store::{ContentId, Entry, Kind, Listing, PIECE, Passage};

use super::trail::Trail;
use super::{Entered, RestoreOptions, Source, held};

/// Bundles that may wait.
const WAITING: usize = 8;

/// Pieces and bytes that are handed over together, at least.
const BUNDLE: usize = 256;
const BUNDLE_BYTES: usize = PIECE as usize / 2;

/// Folders below each other after which nothing is read ahead: a server that lies could tell them for ever.
const DEEPEST: usize = 4096;

/// Bytes of a content: which, where they begin, and they, if they could be read.
type Piece = (ContentId, u64, Option<Vec<u8>>);

/// What was read ahead.
pub(super) struct Ahead {
    bundles: Option<Receiver<Vec<Piece>>>,
    pieces: std::vec::IntoIter<Piece>,
}

impl Ahead {
    /// Nothing.
    pub fn none() -> Self {
        Ahead {
            bundles: None,
            pieces: Vec::new().into_iter(),
        }
    }

    /// Begins to read what a restore of `trail` will want.
    pub fn begin<'scope>(
        threads: &'scope Scope<'scope, '_>,
        source: &'scope dyn Source,
        trail: Trail,
        options: &'scope RestoreOptions,
    ) -> Self {
        let (send, bundles) = sync_channel(WAITING);
        let planner = Planner::new(source, trail, options);
        let thread = std::thread::Builder::new().name("yore-ahead".into());
        match thread.spawn_scoped(threads, move || read(source, planner, &send)) {
            Ok(_) => Ahead {
                bundles: Some(bundles),
                pieces: Vec::new().into_iter(),
            },
            Err(_) => Ahead::none(),
        }
    }

    /// The next piece, if it is of this content and begins there.
    pub fn take(&mut self, content: ContentId, offset: u64) -> Option<Vec<u8>> {
        loop {
            if let Some((of, at, bytes)) = self.pieces.next() {
                if (of, at) == (content, offset) {
                    return bytes;
                }
                // What was planned and what is wanted are no longer the same: each for itself from here on.
                *self = Ahead::none();
                return None;
            }
            self.pieces = self.bundles.as_ref()?.recv().ok()?.into_iter();
        }
    }
}

fn read(source: &dyn Source, mut planner: Planner<'_>, send: &SyncSender<Vec<Piece>>) {
    let (mut bundle, mut bytes_in_it) = (Vec::new(), 0);
    source.read(&mut || planner.next(), &mut |content, offset, bytes| {
        bytes_in_it += bytes.as_ref().map_or(0, Vec::len);
        bundle.push((content, offset, bytes));
        if bundle.len() < BUNDLE && bytes_in_it < BUNDLE_BYTES {
            return ControlFlow::Continue(());
        }
        bytes_in_it = 0;
        match send.send(std::mem::take(&mut bundle)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    let _ = send.send(bundle);
}

/// A folder on the current path.
struct Level {
    listing: Arc<Listing>,
    /// What the listings of this and of those above take, in bytes.
    held: usize,
    next: usize,
    included: bool,
    path_len: usize,
}

/// Goes through a snapshot as [`Restorer`](super::tree::Restorer) does.
struct Planner<'a> {
    source: &'a dyn Source,
    options: &'a RestoreOptions,
    trail: Trail,
    levels: Vec<Level>,
    entered: Entered,
    path: Vec<u8>,
    /// Hard-link groups of which one name came: the others are linked to it.
    linked: HashSet<i64>,
    passages: VecDeque<Passage>,
}

impl<'a> Planner<'a> {
    fn new(source: &'a dyn Source, trail: Trail, options: &'a RestoreOptions) -> Self {
        let mut planner = Planner {
            source,
            options,
            trail,
            levels: Vec::new(),
            entered: Entered::default(),
            path: Vec::new(),
            linked: HashSet::new(),
            passages: VecDeque::new(),
        };
        let mut included = options.include.is_none();
        for depth in 1..=planner.trail.strip {
            planner.path.push(b'/');
            planner.path.extend_from_slice(&planner.trail.entries[depth].name);
            included = planner.is_included(true, included);
        }
        let entry = planner.trail.entries[planner.trail.strip].clone();
        planner.open_level(&entry, included);
        planner
    }

    fn next(&mut self) -> Option<Passage> {
        loop {
            if let Some(passage) = self.passages.pop_front() {
                return Some(passage);
            }
            let level = self.levels.last_mut()?;
            self.path.truncate(level.path_len);
            match level.listing.get(level.next).cloned() {
                Some(entry) => {
                    level.next += 1;
                    let included = level.included;
                    self.visit(&entry, included);
                }
                None => drop(self.levels.pop()),
            }
        }
    }

    fn visit(&mut self, entry: &Entry, included: bool) {
        self.path.push(b'/');
        self.path.extend_from_slice(&entry.name);
        let folder = entry.meta.kind == Kind::Folder;
        let included = self.is_included(folder, included);
        match entry.content {
            _ if folder => self.open_level(entry, included),
            Some(content) if included && entry.link.is_none_or(|link| self.linked.insert(link)) => {
                let passage = |(offset, length)| Passage {
                    content,
                    size: entry.size,
                    offset,
                    length,
                };
                self.passages.extend(entry.data_extents().map(passage));
            }
            _ => {}
        }
    }

    fn is_included(&self, folder: bool, above: bool) -> bool {
        self.options.includes(&self.path, folder, above)
    }

    fn open_level(&mut self, entry: &Entry, included: bool) {
        if self.levels.len() == DEEPEST {
            return self.levels.clear();
        }
        let below = self.trail.below(self.trail.strip + self.levels.len()).cloned();
        let listing = match (below, entry.child) {
            (Some(only), _) => Arc::new(vec![only]),
            // The restore will say what is wrong with it.
            (None, Some(folder)) if self.entered.enter(folder, self.path.len()).is_err() => Arc::default(),
            (None, Some(folder)) => self.source.list_below(folder).unwrap_or_default(),
            (None, None) => Arc::default(),
        };
        let above = self.levels.last().map_or(0, |level| level.held);
        // The restore ends there too.
        let (held, listing) = held(above, &listing).map_or_else(|_| Default::default(), |held| (held, listing));
        self.levels.push(Level {
            listing,
            held,
            next: 0,
            included,
            path_len: self.path.len(),
        });
    }
}

#[cfg(test)]
mod tests {
    use yore_store::{EntryId, FolderId, Meta, NextPassage, OpenContent, SnapshotId, TellPassage};

    use super::*;

    /// Folders in each other without end, each beside a file.
    struct Endless;

    fn entry(name: &str, kind: Kind, child: i64) -> Entry {
        let is_folder = kind == Kind::Folder;
        Entry {
            id: EntryId(1),
            folder: FolderId(1),
            name: name.into(),
            first: SnapshotId(1),
            last: SnapshotId(1),
            meta: Meta::plain(kind, 0o755),
            size: 1,
            content: (!is_folder).then_some(ContentId(1)),
            child: is_folder.then_some(FolderId(child)),
            link: None,
        }
    }

    impl Source for Endless {
        fn name(&self) -> &str {
            "test"
        }
        fn roots(&self) -> &[Vec<u8>] {
            &[]
        }
        fn root(&self) -> yore_store::Result<Entry> {
            Ok(entry("", Kind::Folder, 1))
        }
        fn list(&self, folder: FolderId) -> yore_store::Result<Arc<Listing>> {
            Ok(Arc::new(vec![
                entry("a", Kind::File, 0),
                entry("b", Kind::Folder, folder.0 + 1),
            ]))
        }
        fn open(&self, content: ContentId, _: u64) -> yore_store::Result<Box<dyn OpenContent>> {
            Err(yore_store::Error::Refused(format!("content {content}")))
        }
        fn read(&self, _: &mut NextPassage<'_>, _: &mut TellPassage<'_>) {}
    }

    #[test]
    fn folders_in_folders_without_end_are_not_read_ahead_for_ever() {
        let options = RestoreOptions::default();
        let trail = Trail::find(&Endless, b"/", 0).unwrap();
        let mut planner = Planner::new(&Endless, trail, &options);
        let planned = std::iter::from_fn(|| planner.next()).take(2 * DEEPEST).count();
        assert_eq!(planned, DEEPEST);
    }
}
