//! What a repository shows: every path of every snapshot, read to its end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use yore_store::{ContentId, Damage, Entry, FolderId, Hash, Repository, Snapshot};

/// A snapshot's name, and a path in it.
pub type Place = (String, Vec<u8>);

/// What is shown at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// An entry; of a file that is not empty the BLAKE3 of what was read.
    Entry {
        /// The digest of its metadata, if that is known.
        digest: Option<[u8; 16]>,
        content: Option<Hash>,
        is_folder: bool,
    },
    /// It is there, but it, or what is in it, cannot be read.
    Error(String),
}

impl Shown {
    fn is_folder(&self) -> bool {
        matches!(self, Shown::Entry { is_folder: true, .. })
    }
}

/// What is shown, by place.
#[derive(Clone, Debug, Default)]
pub struct Survey(pub BTreeMap<Place, Shown>);

/// Reads everything.
pub fn survey(repository: &Arc<Repository>) -> Survey {
    let mut surveyor = Surveyor {
        repository,
        survey: Survey::default(),
        read: HashMap::new(),
    };
    // What cannot be listed at all is as if nothing were there.
    for snapshot in repository.snapshots().unwrap_or_default() {
        surveyor.snapshot(&snapshot);
    }
    surveyor.survey
}

struct Surveyor<'a> {
    repository: &'a Arc<Repository>,
    survey: Survey,
    /// Each content is read once, with the length that an entry says.
    read: HashMap<(ContentId, u64), Result<Hash, String>>,
}

impl Surveyor<'_> {
    fn snapshot(&mut self, snapshot: &Snapshot) {
        let name = match snapshot.tags.iter().any(|tag| tag == "recovered") {
            true => format!("recovered {}", snapshot.name),
            false => snapshot.name.clone(),
        };
        match self.repository.root(snapshot.id) {
            Ok(root) => self.entry(snapshot, (name, b"/".to_vec()), &root),
            Err(error) => self.put((name, b"/".to_vec()), Shown::Error(error.to_string())),
        }
    }

    fn put(&mut self, place: Place, shown: Shown) {
        self.survey.0.insert(place, shown);
    }

    fn entry(&mut self, snapshot: &Snapshot, place: Place, entry: &Entry) {
        let content = entry.content.map(|id| self.content(id, entry.size)).transpose();
        let digest = Some(entry.meta.digest());
        let shown = content.map_or_else(Shown::Error, |content| Shown::Entry {
            digest,
            content,
            is_folder: entry.child.is_some(),
        });
        self.put(place.clone(), shown);
        if let Some(child) = entry.child {
            self.folder(snapshot, place, child);
        }
    }

    fn folder(&mut self, snapshot: &Snapshot, (name, path): Place, folder: FolderId) {
        // A damaged catalog may have folders in circles.
        if path.len() > 4096 {
            return;
        }
        match self.repository.list(snapshot.id, folder) {
            Ok(listing) => listing
                .iter()
                .for_each(|entry| self.entry(snapshot, (name.clone(), join(&path, &entry.name)), entry)),
            Err(error) => self.put((name, path), Shown::Error(error.to_string())),
        }
    }

    fn content(&mut self, id: ContentId, size: u64) -> Result<Hash, String> {
        let repository = self.repository;
        let read = || read(repository, id, size).map_err(|error| error.to_string());
        self.read.entry((id, size)).or_insert_with(read).clone()
    }
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match folder {
        b"/" => [b"/", name].concat(),
        folder => [folder, b"/", name].concat(),
    }
}

/// Reads the bytes of a content.
fn read(repository: &Arc<Repository>, id: ContentId, size: u64) -> yore_store::Result<Hash> {
    let mut bytes = vec![0; size as usize];
    let length = repository.open_content(id)?.read_at(0, &mut bytes)?;
    Ok(Hash::of(&bytes[..length]))
}

impl Survey {
    /// The places that cannot be read.
    pub fn unreadable(&self) -> BTreeSet<Place> {
        let errors = self.0.iter().filter(|(_, shown)| matches!(shown, Shown::Error(_)));
        errors.map(|(place, _)| place.clone()).collect()
    }

    /// Places of this snapshot that cannot be read.
    pub fn unreadable_in(&self, snapshot: &str) -> Vec<Place> {
        let all = self.unreadable().into_iter();
        all.filter(|(name, _)| name == snapshot).collect()
    }
}

/// How what is shown differs from what should be.
#[derive(Debug, Default)]
pub struct Difference {
    /// Other bytes or metadata than were pushed.
    pub other: Vec<String>,
    /// Folders with other metadata than theirs then.
    pub other_folders: Vec<Place>,
    /// Places that never were.
    pub extra: Vec<Place>,
    /// Places that are not there, though nothing above them is an error.
    pub missing: Vec<Place>,
}

impl Difference {
    /// Whether what can be read is right.
    pub fn is_none(&self) -> bool {
        self.other.is_empty() && self.other_folders.is_empty() && self.extra.is_empty() && self.missing.is_empty()
    }
}

/// Compares them. What cannot be read is no difference.
pub fn difference(truth: &Survey, shown: &Survey) -> Difference {
    let mut difference = Difference::default();
    for (place, there) in &shown.0 {
        match truth.0.get(place) {
            Some(wanted) if fits(wanted, there) => {}
            Some(wanted) if wanted.is_folder() && there.is_folder() => difference.other_folders.push(place.clone()),
            Some(_) => difference.other.push(describe(place)),
            None if was_once(truth, place, there) => {}
            None => difference.extra.push(place.clone()),
        }
    }
    let gone = truth.0.keys().filter(|place| !shown.0.contains_key(*place));
    difference.missing = gone.filter(|place| !is_below_error(shown, place)).cloned().collect();
    difference
}

/// Whether a snapshot that got its row again, under another name perhaps, shows there what one of them had.
fn was_once(truth: &Survey, (name, path): &Place, there: &Shown) -> bool {
    let same = |((_, other), wanted): (&Place, &Shown)| other == path && fits(wanted, there);
    name.starts_with("recovered ") && truth.0.iter().any(same)
}

fn fits(wanted: &Shown, there: &Shown) -> bool {
    match (wanted, there) {
        (_, Shown::Error(_)) => true,
        (
            Shown::Entry {
                digest: None, content, ..
            },
            Shown::Entry { content: other, .. },
        ) => content == other,
        _ => wanted == there,
    }
}

fn is_below_error(shown: &Survey, (name, path): &Place) -> bool {
    let above = (0..path.len()).rev().filter(|&at| path[at] == b'/');
    above.map(|at| &path[..at.max(1)]).any(|folder| {
        let place = (name.clone(), folder.to_vec());
        matches!(shown.0.get(&place), Some(Shown::Error(_)))
    })
}

/// The places that a verification names.
pub fn named(damages: &[Damage]) -> BTreeSet<Place> {
    let paths = damages.iter().flat_map(|damage| &damage.paths);
    paths.map(|(path, snapshot)| (snapshot.clone(), path.clone())).collect()
}

/// A place, for people.
pub fn describe((snapshot, path): &Place) -> String {
    format!("{snapshot}:{}", String::from_utf8_lossy(path))
}
