//! Answers to questions about the repository that a session has opened.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use yore_agent::filter::Filter;
use yore_store::delta::{BlockSum, block_len_for};
use yore_store::{
    Compression, ContentId, Error, FolderId, Frame, GROUP, Hash, History, Kind, Listing, Repository, Result, Slice,
    Small, Snapshot, SnapshotId, TINY, TellChange, Wanted, go_on,
};
use yore_wire::{Answer, ListedStep, MOST_NAMED, MOST_READ, MOST_SMALL, Question};

use super::push::first_half;
use super::verification::{repair, verify};
use super::{Open, Session};
use crate::failure::Failed;
use crate::outbox::Reply;
use crate::turns::One;

/// Seconds from one failure of a repository to the next report that is kept.
const BETWEEN_REPORTS: i64 = 60;

/// The longest pattern that is looked for, in bytes.
const MOST_PATTERN: usize = 4096;

/// Values and sums in one piece of an answer.
const PIECES: usize = 1024;

/// Entries after which no further folder is listed for reading ahead.
const BELOW: usize = 2000;

/// Entries of a folder of which a user has one listed at a time: a listing stays in memory until the agent has read it.
const LARGE: usize = 10_000;

/// Answers one question.
pub(super) fn answer(session: &Session, open: &Open, question: Question, reply: &mut Reply) -> Result<()> {
    let repository: &Arc<Repository> = &open.repository;
    let user = session.caller.user.id;
    // What may take long is done one after another for each user; the others' processors are not theirs.
    match &question {
        Question::Find { .. } | Question::Diff { .. } | Question::Rows { .. } | Question::Stats => {
            reply.takes(session.server.searching.wait(user));
        }
        Question::Verify { .. } | Question::Repair { .. } => {
            reply.takes(session.server.verifying.try_take(user).ok_or_else(|| {
                let user = &session.caller.user.name;
                Error::Busy(format!(
                    "a verification for {user} is running here; try again when it is done"
                ))
            })?)
        }
        _ => {}
    }
    match question {
        Question::Version => reply.push(Answer::Number(repository.data_version()?)),
        Question::Snapshots => each(repository.snapshots()?, reply, Answer::Snapshot),
        Question::Root { snapshot } => reply.push(Answer::Entry(repository.root(snapshot)?)),
        Question::Folder { snapshot, folder } => {
            let folder = Repository::folder(repository, snapshot, folder)?;
            each(folder, reply, Answer::Entry)
        }
        Question::Entry { id } => each(Repository::entry(repository, id)?, reply, Answer::Entry),
        Question::Links { snapshot, link } => each(repository.links(snapshot, link)?, reply, Answer::Entry),
        Question::List { snapshot, folder } => {
            let mut lister = Lister::new(session, repository);
            let listing = lister.list(snapshot, folder)?;
            each(listing.iter().cloned(), reply, Answer::Entry)
        }
        Question::ListBelow { snapshot, folder } => {
            list_below(&mut Lister::new(session, repository), snapshot, folder, reply)
        }
        Question::Read {
            content,
            offset,
            length,
        } => read(repository, content, offset, length, reply),
        Question::ReadSmall { contents } => read_small(repository, &contents, reply),
        Question::Space => reply.push(Answer::Space(repository.space()?)),
        Question::Versions { path } => each(Repository::versions(repository, &path)?, reply, Answer::Version),
        Question::Find { pattern } => find(repository, &pattern, reply),
        Question::Diff { a, b } => diff(repository, a, b, reply),
        Question::Rows { a, b } => rows(repository, a, b, reply),
        Question::Hashes { contents } => {
            check_number(contents.len(), MOST_NAMED)?;
            reply.push(Answer::Hashes(repository.content_hashes(&contents)?))
        }
        Question::Has { names } => has(repository, &names, reply),
        Question::Stats => reply.push(Answer::Stats(Repository::stats(repository)?)),
        Question::Verify { read_data } => verify(session, repository, read_data, reply),
        Question::Repair { dry_run } => repair(session, repository, dry_run, reply),
        Question::Forget { snapshots } => forget(session, open, &snapshots, reply),
        Question::Sweep => Err(Error::Refused("the server sweeps by itself".into())),
        Question::Listing => list_base(session, repository, reply),
        Question::BaseValues { hash } => base_values(repository, &hash, reply),
        Question::Signature {
            hash,
            block_len,
            ranges,
        } => signature(repository, &hash, block_len, &ranges, reply),
        Question::Report { failure } => report(session, open, &failure),
        Question::Open { .. }
        | Question::Enrol(_)
        | Question::Made { .. }
        | Question::Push(_)
        | Question::Commit { .. }
        | Question::Abort { .. } => Err(Error::Refused("that is answered elsewhere".into())),
    }
}

/// Each costs an fsync, a line in the log and a letter perhaps: one a session, and of the same ones of a minute one.
fn report(session: &Session, open: &Open, failure: &str) -> Result<()> {
    let (server, row) = (&session.server, session.server.repository_row(open.row.id)?);
    let failed = Failed::reported(failure);
    let is_told = |(when, why): &(i64, String)| {
        !row.last_push_lost && server.now() - when < BETWEEN_REPORTS && *why == failed.why
    };
    if !session.reported.swap(true, Ordering::Relaxed) && !row.last_failure.as_ref().is_some_and(is_told) {
        server.push_failed(&row, &session.caller, failed);
    }
    Ok(())
}

fn check_number<T: PartialOrd>(asked: T, most: T) -> Result<()> {
    match asked > most {
        false => Ok(()),
        true => Err(Error::Refused(
            "more is asked for at once than the protocol allows".into(),
        )),
    }
}

fn each<T>(values: impl IntoIterator<Item = T>, reply: &mut Reply, answer: impl Fn(T) -> Answer) -> Result<()> {
    values.into_iter().try_for_each(|value| reply.push(answer(value)))
}

/// Lists folders for one answer; from the first large one on, no other answer of the user lists such.
struct Lister<'a> {
    session: &'a Session,
    repository: &'a Arc<Repository>,
    alone: Option<One>,
}

impl<'a> Lister<'a> {
    fn new(session: &'a Session, repository: &'a Arc<Repository>) -> Self {
        Lister {
            session,
            repository,
            alone: None,
        }
    }

    fn list(&mut self, snapshot: SnapshotId, folder: FolderId) -> Result<Arc<Listing>> {
        if self.alone.is_none() && self.repository.has_more_entries(folder, LARGE)? {
            self.alone = Some(self.session.server.listing.wait(self.session.caller.user.id));
        }
        self.repository.list(snapshot, folder)
    }
}

/// Lists a folder and what is below it, as far as it goes.
fn list_below(lister: &mut Lister<'_>, snapshot: SnapshotId, folder: FolderId, reply: &mut Reply) -> Result<()> {
    let (mut folders, mut told) = (vec![folder], 0);
    while let Some(folder) = folders.pop().filter(|_| told < BELOW) {
        let listing = lister.list(snapshot, folder)?;
        reply.push(Answer::Listing(folder))?;
        each(listing.iter().cloned(), reply, Answer::Entry)?;
        folders.extend(listing.iter().rev().filter_map(|entry| entry.child));
        // Empty ones cost something too.
        told += listing.len() + 1;
    }
    Ok(())
}

fn read(repository: &Arc<Repository>, content: ContentId, offset: u64, length: u64, reply: &mut Reply) -> Result<()> {
    check_number(length, MOST_READ)?;
    let reader = repository.open_content(content)?;
    let end = reader.size().min(offset.saturating_add(length));
    let mut at = offset;
    while at < end {
        if let Some(frame) = reader.stored_frame(at, end - at)? {
            at += u64::from(frame.length);
            reply.push(Answer::Frame(frame))?;
            continue;
        }
        // Up to the next group, where frames begin.
        let mut bytes = vec![0; (end - at).min(GROUP - at % GROUP) as usize];
        let got = reader.read_at(at, &mut bytes)?;
        bytes.truncate(got);
        at += got as u64;
        reply.push(Answer::Bytes(bytes))?;
    }
    Ok(())
}

fn read_small(repository: &Arc<Repository>, contents: &[ContentId], reply: &mut Reply) -> Result<()> {
    check_number(contents.len(), MOST_SMALL)?;
    repository.read_small(contents, &mut |small| {
        reply.push(match small {
            Small::Shared { frame, slices } => Answer::Shared { frame, slices },
            Small::Alone { content, bytes } if bytes.len() as u64 > TINY => alone(content, &bytes),
            Small::Alone { content, bytes } => Answer::Small { content, bytes },
        })
    })
}

/// A content without the others of its frame, compressed by itself: on a slow line that counts.
fn alone(content: ContentId, bytes: &[u8]) -> Answer {
    let (frame, size) = (Frame::encode(bytes, Compression::Zstd(1)), bytes.len() as u32);
    let slices = vec![Slice { content, skip: 0, size }];
    Answer::Shared { frame, slices }
}

fn find(repository: &Arc<Repository>, pattern: &[u8], reply: &mut Reply) -> Result<()> {
    if pattern.len() > MOST_PATTERN {
        return Err(Error::Refused(format!("a pattern of more than {MOST_PATTERN} bytes")));
    }
    let pattern = [OsStr::from_bytes(pattern)];
    let filter =
        Filter::new::<_, &Path>("PATTERN", &pattern, &[]).map_err(|error| Error::Refused(error.to_string()))?;
    let wanted = Wanted {
        pattern: pattern[0].as_bytes(),
        may_fit: &|_, path| filter.matches(path, true),
    };
    let mut sent = Ok(());
    History::find(repository, &wanted, &mut |found| match filter
        .matches(&found.path, found.entry.meta.kind == Kind::Folder)
    {
        true => go_on(&mut sent, reply.push(Answer::Found(found))),
        false => ControlFlow::Continue(()),
    })?;
    sent
}

fn snapshot(repository: &Repository, id: SnapshotId) -> Result<Snapshot> {
    let found = repository.snapshots()?.into_iter().find(|snapshot| snapshot.id == id);
    found.ok_or_else(|| Error::NoSuchSnapshot(format!("number {id}")))
}

fn diff(repository: &Arc<Repository>, a: SnapshotId, b: SnapshotId, reply: &mut Reply) -> Result<()> {
    let (a, b) = (snapshot(repository, a)?, snapshot(repository, b)?);
    changes(reply, |tell| Repository::diff(repository, &a, &b, tell))
}

fn rows(repository: &Arc<Repository>, a: SnapshotId, b: SnapshotId, reply: &mut Reply) -> Result<()> {
    let (a, b) = (snapshot(repository, a)?, snapshot(repository, b)?);
    changes(reply, |tell| Repository::rows(repository, &a, &b, tell))
}

fn changes(reply: &mut Reply, find: impl FnOnce(&mut TellChange<'_>) -> Result<()>) -> Result<()> {
    let mut sent = Ok(());
    find(&mut |path, change| {
        let path = path.to_vec();
        go_on(&mut sent, reply.push(Answer::Changed { path, change }))
    })?;
    sent
}

/// Which contents are here, by the first halves of their names.
fn has(repository: &Repository, names: &[Hash], reply: &mut Reply) -> Result<()> {
    check_number(names.len(), MOST_NAMED)?;
    let here = repository.has_whole(names)?;
    let here = names.iter().zip(here).filter(|(_, is_here)| *is_here);
    reply.push(Answer::Kept(here.map(|(name, _)| first_half(name)).collect()))
}

/// Forgetting wants the right, and the minimum age holds against everybody.
fn forget(session: &Session, open: &Open, ids: &[SnapshotId], reply: &mut Reply) -> Result<()> {
    let (server, user) = (&session.server, &session.caller.user);
    let is_allowed = server
        .accounts
        .user_by_id(user.id)
        .ok()
        .flatten()
        .is_some_and(|now| now.may_prune);
    if !is_allowed {
        return Err(Error::Denied(format!(
            "{} may not forget or prune; `yored user set {} --may-prune` on the server allows it",
            user.name, user.name
        )));
    }
    server.look_for_losses(open.row.id, &open.repository)?;
    let row = server.repository_row(open.row.id)?;
    let at_least = row.keep_at_least.unwrap_or(server.config().keep_at_least).0;
    let snapshots = open.repository.snapshots()?;
    let ids: HashSet<SnapshotId> = ids.iter().copied().collect();
    let chosen: Vec<&Snapshot> = snapshots.iter().filter(|snapshot| ids.contains(&snapshot.id)).collect();
    if let Some((_, why)) = &row.pruning_suspended {
        return Err(Error::Denied(format!(
            "pruning is suspended here ({why}); `yored repo set {} --resume-pruning` on the server ends that",
            row.full_name()
        )));
    }
    if let Some(young) = chosen.iter().find(|snapshot| server.now() - snapshot.time < at_least) {
        return Err(Error::Denied(format!(
            "{} is younger than {}, the least that this server keeps; its administrator may remove it there: `yored repo forget`",
            young.name,
            crate::units::Seconds(at_least)
        )));
    }
    let names: Vec<&str> = chosen.iter().map(|snapshot| snapshot.name.as_str()).collect();
    let what = format!("forget {}", row.full_name());
    let _ = server
        .accounts
        .audit(user.name.as_str(), &what, &session.caller.from, &names.join(" "), "");
    // Only those that were looked at: numbers of snapshots to come can be guessed.
    let ids: Vec<SnapshotId> = chosen.iter().map(|snapshot| snapshot.id).collect();
    session.changes();
    let forgotten = Repository::forget(&open.repository, &ids)?;
    if !server.measured_at_rest(&row) {
        server.ledger.adjust(row.user, row.id, -forgotten.bytes);
    }
    reply.push(Answer::Forgotten(forgotten))
}

fn list_base(session: &Session, repository: &Arc<Repository>, reply: &mut Reply) -> Result<()> {
    let base = session.base.lock().expect("no panic while held").clone();
    let Some(base) = base else { return Ok(()) };
    let mut lister = Lister::new(session, repository);
    // Not by recursion: a tree may be deeper than a stack.
    let mut stack = vec![(list_root(repository, base.id)?, 0)];
    reply.push(Answer::Listed(ListedStep::Enter(repository.root(base.id)?)))?;
    while let Some((listing, next)) = stack.last_mut() {
        let Some(entry) = listing.get(*next).cloned() else {
            stack.pop();
            reply.push(Answer::Listed(ListedStep::Leave))?;
            continue;
        };
        *next += 1;
        match entry.child {
            Some(folder) => {
                let inside = lister.list(base.id, folder)?;
                reply.push(Answer::Listed(ListedStep::Enter(entry)))?;
                stack.push((inside, 0));
            }
            None => {
                let hash = repository.name_to_compare(&entry)?;
                reply.push(Answer::Listed(ListedStep::Item { entry, hash }))?;
            }
        }
    }
    Ok(())
}

fn base_values(repository: &Repository, hash: &Hash, reply: &mut Reply) -> Result<()> {
    repository.tell_base_values(hash, &mut |values| {
        reply.push(Answer::Values {
            size: values.size,
            groups: values.groups,
            zero_segments: values.zero_segments,
        })
    })
}

fn signature(
    repository: &Arc<Repository>,
    hash: &Hash,
    block_len: u32,
    ranges: &[(u64, u64)],
    reply: &mut Reply,
) -> Result<()> {
    // Blocks may be longer than is usual, but not so short that there are very many of them.
    let unmatched = ranges.iter().fold(0u64, |sum, (_, length)| sum.saturating_add(*length));
    if block_len < block_len_for(unmatched) {
        return Err(Error::Refused(format!(
            "a signature of {unmatched} bytes in blocks of {block_len}"
        )));
    }
    let mut sums: Vec<BlockSum> = Vec::new();
    repository.block_sums(hash, ranges, block_len, &mut |_, sum| {
        sums.push(sum);
        match sums.len() {
            PIECES => reply.push(Answer::Sums(std::mem::take(&mut sums))),
            _ => Ok(()),
        }
    })?;
    reply.push(Answer::Sums(sums))
}

/// What is in `/` of a snapshot.
fn list_root(repository: &Repository, snapshot: SnapshotId) -> Result<Arc<Listing>> {
    match repository.root(snapshot)?.child {
        Some(folder) => repository.list(snapshot, folder),
        None => Ok(Arc::default()),
    }
}

#[cfg(test)]
mod tests {
    use yore_store::GROUP;

    use super::*;

    #[test]
    fn a_content_without_the_others_of_its_frame_travels_compressed() {
        let bytes = b"one of many lines\n".repeat(5000);
        let Answer::Shared { frame, slices } = alone(ContentId(7), &bytes) else {
            panic!("it has a frame");
        };
        assert!(bytes.len() as u64 <= GROUP && frame.bytes.len() < bytes.len() / 10);
        let decoded = frame.decode().unwrap();
        let told: Vec<_> = slices.iter().map(|slice| (slice.content, slice.of(&decoded))).collect();
        assert_eq!(told, [(ContentId(7), Some(&bytes[..]))]);
    }
}
