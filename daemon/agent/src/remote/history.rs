//! A server's repository as a [`History`]: each call is a question.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, MutexGuard};

use yore_store::{
    BaseValues, ContentId, Entry, EntryId, Error, FolderId, Forgotten, GROUP, Hash, History, Kind, LARGEST, Listed,
    Listing, NextPassage, OpenContent, Repaired, Result, Snapshot, SnapshotId, Space, Stats, Swept, TellChange,
    TellFound, TellPassage, TellProgress, Verified, Version, Wanted, go_on,
};
use yore_wire::{Answer, MOST_NAMED, Question};

use super::connection::elsewhere;
use super::content::RemoteContent;
use super::listings::Listings;
use super::most::{self, Most, TooMuch, Weigh, is_entry, is_name};
use super::passages::Reading;
use super::push::base_values;
use super::said::plain;
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

    /// Asks what has many answers, gathered; `pick` is told what came before, too.
    fn all<T: Weigh>(
        &self,
        question: Question,
        most: Most,
        pick: impl Fn(Answer, Option<&T>) -> Option<Result<T>>,
    ) -> Result<Vec<T>> {
        self.asked(|connection| {
            let (mut all, mut left) = (Vec::new(), most);
            for answer in connection.ask(question.clone())? {
                let next = pick(answer?, all.last()).ok_or_else(|| unexpected(connection.place()))??;
                left.take(next.weight()).map_err(|TooMuch| connection.too_much(&most))?;
                all.push(next);
            }
            Ok(all)
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

    /// Takes what has come off what may still come.
    fn within(&self, left: &mut Most, most: &Most, piece: &impl Weigh) -> Result<()> {
        left.take(piece.weight())
            .map_err(|TooMuch| elsewhere(&self.place, most.error(), false))
    }

    /// The names of a hard-linked file.
    fn names(&self, snapshot: SnapshotId, link: i64) -> Result<Vec<Entry>> {
        let is_name_of = |entry: &Entry| entry.link == Some(link) && entry.child.is_none() && is_name(&entry.name);
        self.all(
            Question::Links { snapshot, link },
            most::ENTRIES,
            |answer, _| match answer {
                Answer::Entry(entry) if is_name_of(&entry) && is_entry(&entry) => Some(Ok(entry)),
                Answer::Entry(entry) => Some(Err(damaged(&entry, &self.place))),
                _ => None,
            },
        )
    }

    /// An entry, or none.
    fn entry(&self, question: Question, is_it: impl Fn(&Entry) -> bool) -> Result<Option<Entry>> {
        let found = self.asked(|connection| match connection.ask_one(question.clone())? {
            None => Ok(None),
            Some(Answer::Entry(entry)) => Ok(Some(entry)),
            Some(_) => Err(unexpected(connection.place())),
        })?;
        match found {
            Some(entry) if is_entry(&entry) && is_it(&entry) && (entry.name.is_empty() || is_name(&entry.name)) => {
                Ok(Some(entry))
            }
            Some(entry) => Err(damaged(&entry, &self.place)),
            None => Ok(None),
        }
    }

    /// What is in a folder.
    fn listing(&self, snapshot: SnapshotId, folder: FolderId) -> Result<Listing> {
        self.all(Question::List { snapshot, folder }, most::ENTRIES, |answer, before| {
            let Answer::Entry(entry) = answer else { return None };
            Some(next_of(folder, before, entry, &self.place))
        })
    }

    /// What is in a folder, and in some below it.
    fn listings_below(&self, snapshot: SnapshotId, folder: FolderId) -> Result<Vec<(FolderId, Listing)>> {
        let question = Question::ListBelow { snapshot, folder };
        let answers = self.all(question, most::ENTRIES, |answer, before| match (answer, before) {
            (Answer::Listing(folder), _) => Some(Ok(Answer::Listing(folder))),
            (Answer::Entry(entry), Some(Answer::Listing(folder))) => {
                Some(next_of(*folder, None, entry, &self.place).map(Answer::Entry))
            }
            (Answer::Entry(entry), Some(Answer::Entry(before))) => {
                Some(next_of(before.folder, Some(before), entry, &self.place).map(Answer::Entry))
            }
            _ => None,
        })?;
        let mut below: Vec<(FolderId, Listing)> = Vec::new();
        for answer in answers {
            match (answer, below.last_mut()) {
                (Answer::Listing(folder), _) => below.push((folder, Listing::new())),
                (Answer::Entry(entry), Some((_, listing))) => listing.push(entry),
                _ => {}
            }
        }
        Ok(below)
    }

    /// Reads a small content, and those that come after it in its folder.
    fn read_small(&self, content: ContentId) -> Result<()> {
        let contents = self.listings().from(content);
        let most = contents.len() as u64 * GROUP;
        self.asked(|connection| {
            let mut left = contents.len();
            let question = Question::ReadSmall {
                contents: contents.clone(),
            };
            for answer in connection.ask_for(question, most)? {
                let kept = unpack::small(answer?, &mut |content, bytes| match left.checked_sub(1) {
                    None => ControlFlow::Break(()),
                    Some(fewer) => {
                        left = fewer;
                        self.contents.put(content, 0, bytes);
                        ControlFlow::Continue(())
                    }
                });
                let kept = kept.filter(ControlFlow::is_continue);
                if kept.is_none() {
                    return Err(unexpected(connection.place()));
                }
            }
            Ok(())
        })
    }
}

/// The next entry of a folder's listing as the rest of the program counts on it; a server may say anything.
fn next_of(folder: FolderId, before: Option<&Entry>, entry: Entry, place: &str) -> Result<Entry> {
    let is_next = before.is_none_or(|before| before.name < entry.name);
    match is_next && entry.folder == folder && is_name(&entry.name) && is_entry(&entry) {
        true => Ok(entry),
        false => Err(damaged(&entry, place)),
    }
}

fn damaged(entry: &Entry, place: &str) -> Error {
    let name: String = String::from_utf8_lossy(&entry.name).chars().take(100).collect();
    let (name, folder) = (plain(&name), entry.folder);
    Error::Damaged(format!("{place}: it lists what folder {folder} cannot hold, `{name}`"))
}

/// Each snapshot has a number and a name of its own: they become folders beside each other.
fn check_snapshots(snapshots: &[Snapshot], place: &str) -> Result<()> {
    let (mut numbers, mut names) = (HashSet::new(), HashSet::new());
    let twice = snapshots
        .iter()
        .find(|snapshot| !(numbers.insert(snapshot.id) && names.insert(snapshot.name.as_str())));
    match twice {
        None => Ok(()),
        Some(snapshot) => Err(Error::Damaged(format!(
            "{place}: two snapshots are called {}",
            snapshot.name
        ))),
    }
}

/// The entry of `/` as the rest of the program counts on it.
fn check_root(root: &Entry, place: &str) -> Result<()> {
    match root.name.is_empty() && root.meta.kind == Kind::Folder && is_entry(root) {
        true => Ok(()),
        false => Err(Error::Damaged(format!("{place}: a snapshot whose root is no folder"))),
    }
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
        let snapshots = self
            .0
            .all(Question::Snapshots, most::SNAPSHOTS, |answer, _| match answer {
                Answer::Snapshot(snapshot) => Some(Ok(snapshot)),
                _ => None,
            })?;
        check_snapshots(&snapshots, &self.0.place)?;
        Ok(snapshots)
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
    fn folder(&self, snapshot: SnapshotId, folder: FolderId) -> Result<Option<Listed>> {
        if let Some(entry) = self.0.listings().kept.folder(snapshot, folder) {
            return Ok(Some(entry));
        }
        let found = self.0.entry(Question::Folder { snapshot, folder }, |entry| {
            entry.child == Some(folder)
        })?;
        Ok(found.map(Listed::from))
    }
    fn entry(&self, id: EntryId) -> Result<Option<Listed>> {
        if let Some(entry) = self.0.listings().kept.entry(id) {
            return Ok(Some(entry));
        }
        let found = self.0.entry(Question::Entry { id }, |entry| entry.id == id)?;
        Ok(found.map(Listed::from))
    }
    fn still_has(&self, id: EntryId) -> Result<bool> {
        Ok(self.0.entry(Question::Entry { id }, |entry| entry.id == id)?.is_some())
    }
    fn links(&self, snapshot: SnapshotId, link: i64) -> Result<Vec<Entry>> {
        if let Some(entries) = self.0.listings().links((snapshot, link)) {
            return Ok(entries);
        }
        let entries = self.0.names(snapshot, link)?;
        self.0.listings().keep_links((snapshot, link), &entries);
        Ok(entries)
    }
    fn list(&self, snapshot: SnapshotId, folder: FolderId) -> Result<Arc<Listing>> {
        if let Some(listing) = self.0.listings().kept.get(snapshot, folder) {
            return Ok(listing);
        }
        let listing = Arc::new(self.0.listing(snapshot, folder)?);
        self.0.listings().keep(snapshot, folder, &listing);
        Ok(listing)
    }
    fn list_below(&self, snapshot: SnapshotId, folder: FolderId) -> Result<Arc<Listing>> {
        if let Some(listing) = self.0.listings().kept.get(snapshot, folder) {
            return Ok(listing);
        }
        for (folder, entries) in self.0.listings_below(snapshot, folder)?.into_iter().rev() {
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
        self.0
            .all(Question::Versions { path }, most::VERSIONS, |answer, _| match answer {
                Answer::Version(version) => Some(Ok(version)),
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
            let question = Question::Hashes { contents };
            let more = self.0.all(question, most::NAMES, |answer, _| match answer {
                Answer::Hashes(names) => Some(Ok(names)),
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
        self.0.asked(|connection| base_values(connection, hash, LARGEST))
    }
    fn stats(&self) -> Result<Stats> {
        self.0.one(Question::Stats, |answer| match answer {
            Answer::Stats(stats) => Some(stats),
            _ => None,
        })
    }
    fn verify(&self, read_data: bool, progress: &mut TellProgress<'_>) -> Result<Verified> {
        let (mut verified, mut told, mut left) = (None, Ok(()), most::DAMAGES);
        self.0
            .each(Question::Verify { read_data }, &mut |answer| match answer {
                Answer::Progress { done, all } => Some(go_on(&mut told, progress(done, all))),
                Answer::Verified(piece) => {
                    let within = self.0.within(&mut left, &most::DAMAGES, &piece);
                    verified.get_or_insert_with(Verified::default).append(piece);
                    Some(go_on(&mut told, within))
                }
                _ => None,
            })?;
        told?;
        verified.ok_or_else(|| unexpected(&self.0.place))
    }
    fn repair_contents(&self, dry_run: bool, progress: &mut TellProgress<'_>) -> Result<Repaired> {
        let (mut repaired, mut verified) = (Repaired::default(), None);
        let (mut told, mut left) = (Ok(()), most::DAMAGES);
        self.0.each(Question::Repair { dry_run }, &mut |answer| match answer {
            Answer::Progress { done, all } => Some(go_on(&mut told, progress(done, all))),
            Answer::Healed(contents) => {
                repaired.healed = contents;
                Some(ControlFlow::Continue(()))
            }
            Answer::Verified(piece) => {
                let within = self.0.within(&mut left, &most::DAMAGES, &piece);
                verified.get_or_insert_with(Verified::default).append(piece);
                Some(go_on(&mut told, within))
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
        let check = |entries: &[Entry]| {
            let mut before = None;
            entries.iter().all(|entry| {
                let next = next_of(FolderId(5), before, entry.clone(), "nas").is_ok();
                before = Some(entry);
                next
            })
        };
        assert!(check(&[entry(b"a", Kind::Folder, 5), entry(b"b", Kind::File, 5)]));
        assert!(!check(&[entry(b"b", Kind::File, 5), entry(b"a", Kind::File, 5)]));
        assert!(!check(&[entry(b"a", Kind::File, 5), entry(b"a", Kind::File, 5)]));
        assert!(!check(&[entry(b"a", Kind::File, 6)]), "of another folder");
        assert!(!check(&[entry(b"a/b", Kind::File, 5)]));
    }
}
