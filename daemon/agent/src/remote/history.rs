//! A server's repository as a [`History`]: each call is a question.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, MutexGuard};

use yore_store::{
    BaseValues, ContentId, Entry, EntryId, Error, FolderId, Forgotten, GROUP, Hash, History, Kind, Listing,
    NextPassage, OpenContent, Repaired, Result, Snapshot, SnapshotId, Space, Stats, Swept, TellChange, TellFound,
    TellPassage, TellProgress, Verified, Version, Wanted, go_on,
};
use yore_wire::{Answer, MOST_NAMED, Question};

use super::content::RemoteContent;
use super::listings::Listings;
use super::passages::Reading;
use super::push::base_values;
use super::{Remote, unexpected, unpack};

impl Remote {
    fn listings(&self) -> MutexGuard<'_, Listings> {
        self.listings.lock().expect("no panic while held")
    }

    /// Asks what has one answer.
    fn one<T>(&self, question: Question, pick: impl Fn(Answer) -> Option<T>) -> Result<T> {
        self.asked(|connection| {
            let answer = connection.ask_one(question.clone())?;
            answer.and_then(&pick).ok_or_else(|| unexpected(connection.place()))
        })
    }

    /// Asks what has many answers, gathered.
    fn all<T>(&self, question: Question, pick: impl Fn(Answer) -> Option<T>) -> Result<Vec<T>> {
        self.asked(|connection| {
            connection
                .ask(question.clone())?
                .map(|answer| pick(answer?).ok_or_else(|| unexpected(connection.place())))
                .collect()
        })
    }

    /// Asks what has many answers, each told as it comes. Not asked again once one was told.
    fn each(&self, question: Question, tell: &mut dyn FnMut(Answer) -> Option<ControlFlow<()>>) -> Result<()> {
        let connection = self.connection()?;
        for answer in connection.ask(question)? {
            if tell(answer?).ok_or_else(|| unexpected(connection.place()))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn entries(&self, question: Question) -> Result<Vec<Entry>> {
        self.all(question, |answer| match answer {
            Answer::Entry(entry) => Some(entry),
            _ => None,
        })
    }

    /// Reads a small content, and those that come after it in its folder.
    fn read_small(&self, content: ContentId) -> Result<()> {
        let contents = self.listings().from(content);
        self.asked(|connection| {
            for answer in connection.ask(Question::ReadSmall {
                contents: contents.clone(),
            })? {
                let kept = unpack::small(answer?, &mut |content, bytes| {
                    self.contents.put(content, 0, bytes);
                    ControlFlow::Continue(())
                });
                if kept.is_none() {
                    return Err(unexpected(connection.place()));
                }
            }
            Ok(())
        })
    }
}

/// A listing as the rest of the program counts on it; a server may say anything.
fn check_listing(folder: FolderId, entries: &[Entry], place: &str) -> Result<()> {
    let is_name =
        |name: &[u8]| !name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0);
    let fits = |entry: &Entry| is_name(&entry.name) && entry.folder == folder && is_whole(entry);
    let sorted = entries.windows(2).all(|pair| pair[0].name < pair[1].name);
    match sorted && entries.iter().all(fits) {
        true => Ok(()),
        false => Err(Error::Damaged(format!(
            "{place}: a listing of what a folder cannot hold"
        ))),
    }
}

/// The entry of `/` as the rest of the program counts on it.
fn check_root(root: &Entry, place: &str) -> Result<()> {
    match root.name.is_empty() && root.meta.kind == Kind::Folder && is_whole(root) {
        true => Ok(()),
        false => Err(Error::Damaged(format!("{place}: a snapshot whose root is no folder"))),
    }
}

/// Whether it has what is in it if it is a folder, and only then.
fn is_whole(entry: &Entry) -> bool {
    entry.child.is_some() == (entry.meta.kind == Kind::Folder)
}

/// What commands and the mount hold of a repository on a server.
#[derive(Clone)]
pub struct RemoteHistory(pub Arc<Remote>);

impl History for RemoteHistory {
    fn place(&self) -> String {
        self.0.place.clone()
    }
    fn folder_here(&self) -> Option<&Path> {
        None
    }
    fn version(&self) -> Result<i64> {
        self.0.asked(|connection| match connection.ask_one(Question::Version)? {
            // The server counts from the beginning of each connection.
            Some(Answer::Number(number)) => Ok(number ^ connection.number << 32),
            _ => Err(unexpected(connection.place())),
        })
    }
    fn snapshots(&self) -> Result<Vec<Snapshot>> {
        self.0.all(Question::Snapshots, |answer| match answer {
            Answer::Snapshot(snapshot) => Some(snapshot),
            _ => None,
        })
    }
    fn root(&self, snapshot: SnapshotId) -> Result<Entry> {
        if let Some(root) = self.0.listings().root(snapshot) {
            return Ok(root);
        }
        let root = self.0.one(Question::Root { snapshot }, |answer| match answer {
            Answer::Entry(entry) => Some(entry),
            _ => None,
        })?;
        check_root(&root, &self.0.place)?;
        self.0.listings().keep_root(snapshot, &root);
        Ok(root)
    }
    fn folder(&self, snapshot: SnapshotId, folder: FolderId) -> Result<Option<Entry>> {
        if let Some(entry) = self.0.listings().kept.folder(snapshot, folder) {
            return Ok(Some(entry));
        }
        Ok(self.0.entries(Question::Folder { snapshot, folder })?.pop())
    }
    fn entry(&self, id: EntryId) -> Result<Option<Entry>> {
        if let Some(entry) = self.0.listings().kept.entry(id) {
            return Ok(Some(entry));
        }
        Ok(self.0.entries(Question::Entry { id })?.pop())
    }
    fn still_has(&self, id: EntryId) -> Result<bool> {
        Ok(!self.0.entries(Question::Entry { id })?.is_empty())
    }
    fn links(&self, snapshot: SnapshotId, link: i64) -> Result<Vec<Entry>> {
        if let Some(entries) = self.0.listings().links((snapshot, link)) {
            return Ok(entries);
        }
        let entries = self.0.entries(Question::Links { snapshot, link })?;
        self.0.listings().keep_links((snapshot, link), &entries);
        Ok(entries)
    }
    fn list(&self, snapshot: SnapshotId, folder: FolderId) -> Result<Arc<Listing>> {
        if let Some(listing) = self.0.listings().kept.get(snapshot, folder) {
            return Ok(listing);
        }
        let entries = self.0.entries(Question::List { snapshot, folder })?;
        check_listing(folder, &entries, &self.0.place)?;
        let listing = Arc::new(entries);
        self.0.listings().keep(snapshot, folder, &listing);
        Ok(listing)
    }
    fn list_below(&self, snapshot: SnapshotId, folder: FolderId) -> Result<Arc<Listing>> {
        if let Some(listing) = self.0.listings().kept.get(snapshot, folder) {
            return Ok(listing);
        }
        let question = Question::ListBelow { snapshot, folder };
        let mut below: Vec<(FolderId, Listing)> = Vec::new();
        for answer in self.0.all(question, Some)? {
            match (answer, below.last_mut()) {
                (Answer::Listing(folder), _) => below.push((folder, Listing::new())),
                (Answer::Entry(entry), Some((_, listing))) => listing.push(entry),
                _ => return Err(unexpected(&self.0.place)),
            }
        }
        for (folder, entries) in below.into_iter().rev() {
            check_listing(folder, &entries, &self.0.place)?;
            self.0.listings().keep(snapshot, folder, &Arc::new(entries));
        }
        self.list(snapshot, folder)
    }
    fn open(&self, content: ContentId, size: u64) -> Result<Box<dyn OpenContent>> {
        if size <= GROUP && self.0.contents.get(content, 0).is_none() {
            self.0.read_small(content)?;
        }
        Ok(Box::new(RemoteContent::new(self.0.clone(), content, size)))
    }
    fn read(&self, next: &mut NextPassage<'_>, tell: &mut TellPassage<'_>) {
        // Without a connection nothing is told, and who reads by himself hears why.
        if let Ok(connection) = self.0.connection() {
            Reading::new(&connection).run(next, tell);
        }
    }
    fn space(&self) -> Result<Space> {
        self.0.one(Question::Space, |answer| match answer {
            Answer::Space(space) => Some(space),
            _ => None,
        })
    }
    fn versions(&self, path: &[u8]) -> Result<Vec<Version>> {
        let path = path.to_vec();
        self.0.all(Question::Versions { path }, |answer| match answer {
            Answer::Version(version) => Some(version),
            _ => None,
        })
    }
    fn find(&self, wanted: &Wanted<'_>, found: &mut TellFound<'_>) -> Result<()> {
        let pattern = wanted.pattern.to_vec();
        self.0.each(Question::Find { pattern }, &mut |answer| match answer {
            Answer::Found(one) => Some(found(one)),
            _ => None,
        })
    }
    fn diff(&self, a: &Snapshot, b: &Snapshot, change: &mut TellChange<'_>) -> Result<()> {
        let (a, b) = (a.id, b.id);
        self.0.each(Question::Diff { a, b }, &mut |answer| match answer {
            Answer::Changed { path, change: how } => Some(change(&path, how)),
            _ => None,
        })
    }
    fn rows(&self, a: &Snapshot, b: &Snapshot, change: &mut TellChange<'_>) -> Result<()> {
        let (a, b) = (a.id, b.id);
        self.0.each(Question::Rows { a, b }, &mut |answer| match answer {
            Answer::Changed { path, change: how } => Some(change(&path, how)),
            _ => None,
        })
    }
    fn hashes(&self, contents: &[ContentId]) -> Result<Vec<Option<Hash>>> {
        let mut names = Vec::with_capacity(contents.len());
        for contents in contents.chunks(MOST_NAMED) {
            let contents = contents.to_vec();
            let more = self.0.all(Question::Hashes { contents }, |answer| match answer {
                Answer::Hashes(names) => Some(names),
                _ => None,
            })?;
            names.extend(more.into_iter().flatten());
        }
        match names.len() == contents.len() {
            true => Ok(names),
            false => Err(unexpected(&self.0.place)),
        }
    }
    fn base_values(&self, hash: &Hash) -> Result<Option<BaseValues>> {
        self.0.asked(|connection| base_values(connection, hash))
    }
    fn stats(&self) -> Result<Stats> {
        self.0.one(Question::Stats, |answer| match answer {
            Answer::Stats(stats) => Some(stats),
            _ => None,
        })
    }
    fn verify(&self, read_data: bool, progress: &mut TellProgress<'_>) -> Result<Verified> {
        let (mut verified, mut told) = (None, Ok(()));
        self.0
            .each(Question::Verify { read_data }, &mut |answer| match answer {
                Answer::Progress { done, all } => Some(go_on(&mut told, progress(done, all))),
                Answer::Verified(piece) => {
                    verified.get_or_insert_with(Verified::default).append(piece);
                    Some(ControlFlow::Continue(()))
                }
                _ => None,
            })?;
        told?;
        verified.ok_or_else(|| unexpected(&self.0.place))
    }
    fn repair_contents(&self, dry_run: bool, progress: &mut TellProgress<'_>) -> Result<Repaired> {
        let (mut repaired, mut verified, mut told) = (Repaired::default(), None, Ok(()));
        self.0.each(Question::Repair { dry_run }, &mut |answer| match answer {
            Answer::Progress { done, all } => Some(go_on(&mut told, progress(done, all))),
            Answer::Healed(contents) => {
                repaired.healed = contents;
                Some(ControlFlow::Continue(()))
            }
            Answer::Verified(piece) => {
                verified.get_or_insert_with(Verified::default).append(piece);
                Some(ControlFlow::Continue(()))
            }
            _ => None,
        })?;
        told?;
        repaired.damages = verified.ok_or_else(|| unexpected(&self.0.place))?.damages;
        Ok(repaired)
    }
    fn forget(&self, snapshots: &[SnapshotId]) -> Result<Forgotten> {
        let mut forgotten = None;
        let snapshots = snapshots.to_vec();
        self.0
            .each(Question::Forget { snapshots }, &mut |answer| match answer {
                Answer::Forgotten(result) => {
                    forgotten = Some(result);
                    Some(ControlFlow::Continue(()))
                }
                _ => None,
            })?;
        forgotten.ok_or_else(|| unexpected(&self.0.place))
    }
    fn sweep(&self) -> Result<Swept> {
        // A server sweeps by itself.
        Ok(Swept::default())
    }
}

#[cfg(test)]
mod tests {
    use yore_store::Meta;

    use super::*;

    fn entry(name: &[u8], kind: Kind, folder: i64) -> Entry {
        Entry {
            id: EntryId(1),
            folder: FolderId(folder),
            name: name.to_vec(),
            first: SnapshotId(1),
            last: SnapshotId(1),
            meta: Meta::plain(kind, 0o755),
            size: 0,
            content: None,
            child: (kind == Kind::Folder).then_some(FolderId(9)),
            link: None,
        }
    }

    #[test]
    fn a_root_is_a_folder() {
        let check = |entry| check_root(&entry, "nas").is_ok();
        assert!(check(entry(b"", Kind::Folder, 0)));
        assert!(!check(entry(b"", Kind::File, 0)) && !check(entry(b"a", Kind::Folder, 0)));
    }

    #[test]
    fn a_listing_is_of_its_folder_and_in_order() {
        let check = |entries: &[Entry]| check_listing(FolderId(5), entries, "nas").is_ok();
        assert!(check(&[entry(b"a", Kind::Folder, 5), entry(b"b", Kind::File, 5)]));
        assert!(!check(&[entry(b"b", Kind::File, 5), entry(b"a", Kind::File, 5)]));
        assert!(!check(&[entry(b"a", Kind::File, 6)]), "of another folder");
        assert!(!check(&[entry(b"a/b", Kind::File, 5)]));
        let mut hollow = entry(b"a", Kind::Folder, 5);
        hollow.child = None;
        let mut filled = entry(b"a", Kind::File, 5);
        filled.child = Some(FolderId(9));
        assert!(!check(&[hollow]) && !check(&[filled]));
    }
}
