//! Large contents: told piece by piece, in order, against the content that the path had.
//!
//! ```text
//! base   |  group 0  |  group 1  |  group 2  |  group 3  |
//! pieces | Same 1    | Frame     | Copy, Literal …       | Zeros
//! new    |  group 0  |  group 1  |  group 2  |  group 3  |  group 4  |
//! ```
//!
//! Unchanged groups are copied as they are stored, whole unchanged segments are shared,
//! whole new groups are stored as they came; only groups put together from pieces are
//! compressed here, two segments while the next one is put together; those three are in memory.
//! What is shared with the base is remembered: it makes the reverse delta without another scan.

mod group;
mod kept;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use group::{Group, Settling};

use crate::catalog::{Content, Part, Run, parts};
use crate::delta::{ReadAt, Shared};
use crate::frame::Frame;
use crate::ingest::Ingest;
use crate::ingest::contents::{beginning, mismatch, received};
use crate::ingest::rows::NewRow;
use crate::layout::{GROUP, LARGEST, SEGMENT, SEGMENT_GROUPS};
use crate::read::{ContentReader, stored_frame};
use crate::tree_hash::{self, Value, group_value, segment_value};
use crate::{ContentId, Error, Hash, Result, RunId};

/// Matches with their bases that a whole push remembers.
const MOST_MATCHES: usize = 2 << 20;

/// Bytes of memory for the old bytes that a whole push has replaced.
const MOST_LITERALS: usize = 32 << 20;

/// Segments that are settled while another is put together: one alone leaves a processor idle where its last groups
/// take long.
const MOST_SETTLING: usize = 2;

/// The next piece of a large content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LargeOp {
    /// New bytes: one frame.
    Frame(Frame),
    /// This many groups, from the place reached, are as they are at the same place of the base.
    Same {
        /// Whole groups, the last group of the base counted as one.
        groups: u64,
    },
    /// Bytes of the base from another place.
    Copy {
        /// Where they begin in the base, in bytes.
        from: u64,
        /// How many there are.
        length: u64,
    },
    /// This many zero bytes.
    Zeros {
        /// How many.
        length: u64,
    },
    /// This many groups, from the place reached, are those that an earlier push sent before it died.
    Kept {
        /// Whole groups, and the last one of the content.
        groups: u64,
    },
}

/// The content that a large one is told against.
struct Base {
    content: Content,
    reader: ContentReader,
    parts: Vec<Part>,
}

/// A large content that is being received.
pub(super) struct LargeContent {
    id: ContentId,
    /// What the sender calls it.
    key: [u8; 16],
    /// Groups that an earlier push sent: the run, and the number of the frame in it.
    kept: BTreeMap<u64, (Arc<Run>, usize)>,
    base: Option<Base>,
    /// Bytes of groups that are complete.
    size: u64,
    /// Bytes of the group that is being put together from pieces.
    partial: Vec<u8>,
    groups: Vec<Group>,
    /// The segments before, in order, whose groups are being hashed and compressed.
    settling: VecDeque<Settling>,
    /// The segments before those.
    parts: Vec<Part>,
    /// Values of the first segment's groups: of a content that ends with it, its name is made of them.
    first_values: Vec<Value>,
    shared: Shared,
}

impl Ingest {
    /// Drops a content that was begun and not ended: its sender could not read it to its end.
    pub(super) fn give_up_large(&mut self) {
        if let Some(large) = self.large.take() {
            self.unused_runs.extend(large.parts.iter().filter_map(|part| part.run));
        }
    }

    /// Begins a content of more than one group, told against `base`, the content of
    /// the newest snapshot that is most like it. By `key` a later push finds what had arrived,
    /// should this one die.
    ///
    /// # Errors
    /// [`Error::Refused`] if the base is not there.
    pub fn large_begin(&mut self, base: Option<Hash>, key: [u8; 16]) -> Result<()> {
        self.give_up_large();
        let base = base.map(|hash| self.large_base(hash)).transpose()?;
        let id = self.next_content()?;
        let kept = self.kept_of(&key)?;
        self.large = Some(LargeContent {
            id,
            key,
            kept,
            base,
            size: 0,
            partial: Vec::new(),
            groups: Vec::new(),
            settling: VecDeque::new(),
            parts: Vec::new(),
            first_values: Vec::new(),
            shared: Shared::default(),
        });
        Ok(())
    }

    /// Receives the next piece.
    ///
    /// # Errors
    /// [`Error::Refused`] if it does not fit the base or the place reached.
    pub fn large_op(&mut self, op: LargeOp) -> Result<()> {
        let mut large = self
            .large
            .take()
            .ok_or_else(|| Error::Refused("a piece of no large content".into()))?;
        let result = match op {
            LargeOp::Frame(frame) => self.large_frame(&mut large, frame),
            LargeOp::Same { groups } => self.large_same(&mut large, groups),
            LargeOp::Copy { from, length } => self.large_copy(&mut large, from, length),
            LargeOp::Zeros { length } => self.large_zeros(&mut large, length),
            LargeOp::Kept { groups } => self.large_kept(&mut large, groups),
        };
        self.large = Some(large);
        result
    }

    /// Ends the content.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is not what its name says.
    pub fn large_end(&mut self, hash: Hash, size: u64) -> Result<()> {
        let mut large = self
            .large
            .take()
            .ok_or_else(|| Error::Refused("the end of no large content".into()))?;
        self.end_partial(&mut large)?;
        if !large.groups.is_empty() {
            self.end_segment(&mut large)?;
        }
        self.end_settling(&mut large)?;
        if large.size != size || size <= GROUP {
            return Err(mismatch(&hash));
        }
        let values: Vec<Value> = match size <= SEGMENT {
            true => std::mem::take(&mut large.first_values),
            false => large.parts.iter().map(|part| part.value).collect(),
        };
        if tree_hash::root(size, &values)? != hash {
            return Err(mismatch(&hash));
        }
        self.keep_large(large, hash)
    }

    /// Writes the rows of a complete large content, unless it is known whole already.
    fn keep_large(&mut self, large: LargeContent, hash: Hash) -> Result<()> {
        let known = match self.recent.get(&hash) {
            Some(id) => Some(*id),
            None => {
                let connection = self.repository.connection()?;
                let found = Content::find(&connection, &hash, Some(self.writer.push))?;
                drop(connection);
                let found = found.filter(|found| found.base.is_none() && !self.is_damaged(hash, large.size));
                found.iter().try_for_each(|found| self.check_kept(found))?;
                found.map(|found| found.id)
            }
        };
        let id = known.unwrap_or(large.id);
        if known.is_some() {
            self.were_here.insert(beginning(&hash));
        } else {
            self.add_row(NewRow::Content(Content::whole(id, hash, large.size, None, 0)))?;
            for (segment, part) in large.parts.iter().enumerate() {
                self.add_row(NewRow::Part {
                    content: id,
                    segment: segment as u64,
                    part: part.clone(),
                })?;
            }
        }
        self.recent.insert(hash, id);
        // Of the runs in pieces the complete content names those that it needs.
        self.add_row(NewRow::Complete { key: large.key })?;
        self.unused_runs
            .extend(self.kept.partials.get(&large.key).into_iter().flatten());
        if known.is_some() {
            self.unused_runs.extend(large.parts.iter().filter_map(|part| part.run));
        }
        if let Some(base) = large.base.filter(|base| base.content.id != id) {
            self.keep_shared(base.content.id, id, large.shared);
        }
        Ok(())
    }

    /// Keeps what a content shares with its base for the commit, as far as there is room.
    fn keep_shared(&mut self, base: ContentId, content: ContentId, shared: Shared) {
        if self.matches_kept + shared.matches() > MOST_MATCHES {
            return;
        }
        let shared = match self.literals_kept + shared.literals_cost() <= MOST_LITERALS {
            true => shared,
            false => shared.without_literals(),
        };
        self.matches_kept += shared.matches();
        self.literals_kept += shared.literals_cost();
        self.shared.insert(base, (content, shared));
    }

    fn large_base(&self, hash: Hash) -> Result<Base> {
        let connection = self.repository.connection()?;
        let content = Content::find(&connection, &hash, None)?
            .ok_or_else(|| Error::Refused(format!("no content {hash} to tell another against")))?;
        let parts = match content.base {
            None if content.run.is_none() => parts(&connection, &content)?,
            _ => Vec::new(),
        };
        drop(connection);
        let reader = self.repository.open_content(content.id)?;
        Ok(Base { content, reader, parts })
    }

    fn large_frame(&mut self, large: &mut LargeContent, frame: Frame) -> Result<()> {
        let bytes = received(&frame)?;
        if large.base.is_some() {
            large.shared.told(&bytes);
        }
        if large.partial.is_empty() && bytes.len() as u64 == GROUP {
            let value = group_value(large.group(), &bytes);
            return self.add_group(large, Group::New(frame, value), GROUP);
        }
        self.add_bytes(large, &bytes)
    }

    fn large_same(&mut self, large: &mut LargeContent, groups: u64) -> Result<()> {
        let refused = || Error::Refused("unchanged groups that the base does not have".into());
        let base_size = large.base.as_ref().map_or(0, |base| base.content.size);
        let end = (large.size.checked_add(groups.checked_mul(GROUP).ok_or_else(refused)?)).ok_or_else(refused)?;
        if !large.partial.is_empty() || groups == 0 || end - GROUP >= base_size || !large.size.is_multiple_of(GROUP) {
            return Err(refused());
        }
        let end = end.min(base_size);
        large.matched(large.size, large.size, end - large.size)?;
        while large.size < end {
            if !self.share_segment(large, end)? {
                self.copy_group(large)?;
            }
        }
        Ok(())
    }

    /// Names the base's segment where all of it is unchanged.
    fn share_segment(&mut self, large: &mut LargeContent, end: u64) -> Result<bool> {
        let base = large.base.as_ref().expect("checked by the caller");
        let segment = large.size / SEGMENT;
        let segment_end = (large.size + SEGMENT).min(base.content.size);
        // The last segment of the base may be followed by more now; its groups are copied then.
        let is_whole = segment_end - large.size == SEGMENT && end >= segment_end;
        let is_wanted = large.groups.is_empty() && large.size.is_multiple_of(SEGMENT) && is_whole;
        let Some(part) = base.parts.get(segment as usize).filter(|_| is_wanted).cloned() else {
            return Ok(false);
        };
        self.end_settling(large)?;
        if segment == 0 {
            let Some(run) = part.run else { return Ok(false) };
            let run = self.repository.run(run).map_err(|error| error.into_error())?;
            large.first_values = run.frames.iter().map(|frame| frame.value).collect();
        }
        large.size = segment_end;
        large.parts.push(part);
        Ok(true)
    }

    /// Copies one group of the base as it is stored.
    fn copy_group(&mut self, large: &mut LargeContent) -> Result<()> {
        let base = large.base.as_ref().expect("checked by the caller");
        let length = GROUP.min(base.content.size - large.size);
        let index = (large.size % SEGMENT / GROUP) as usize;
        let run = match base.parts.get((large.size / SEGMENT) as usize) {
            Some(Part { run: Some(run), .. }) => Some(self.repository.run(*run).map_err(|error| error.into_error())?),
            _ => None,
        };
        let group = match run {
            Some(run) => {
                let stored = stored_frame(&self.repository, &run, index).map_err(|error| error.into_error())?;
                Group::Stored(run.encoding, stored, run.frames[index])
            }
            // A base in a pack, or one that is a delta itself, or zeros.
            None => {
                let mut bytes = vec![0; length as usize];
                base.reader.read_exact_at(large.size, &mut bytes)?;
                Group::Put(bytes)
            }
        };
        self.add_group(large, group, length)
    }

    fn large_copy(&mut self, large: &mut LargeContent, from: u64, length: u64) -> Result<()> {
        let base_size = large.base.as_ref().map_or(0, |base| base.content.size);
        let end = from.checked_add(length).filter(|end| *end <= base_size && length > 0);
        let end = end.ok_or_else(|| Error::Refused("a copy of what the base does not have".into()))?;
        large.matched(large.reached(), from, length)?;
        let mut from = from;
        let mut block = vec![0; GROUP as usize];
        while from < end {
            // Up to the end of the group, so that reads stay aligned where the copy is.
            let take = (GROUP - large.partial.len() as u64).min(end - from) as usize;
            let base = large.base.as_ref().expect("it has a size");
            base.reader.read_exact_at(from, &mut block[..take])?;
            self.add_bytes(large, &block[..take])?;
            from += take as u64;
        }
        Ok(())
    }

    fn large_zeros(&mut self, large: &mut LargeContent, length: u64) -> Result<()> {
        static ZEROS: [u8; GROUP as usize] = [0; GROUP as usize];
        if large.reached().checked_add(length).is_none_or(|end| end > LARGEST) {
            return Err(too_large());
        }
        let mut left = length;
        while left > 0 {
            if left >= SEGMENT && self.share_zeros(large)? {
                left -= SEGMENT;
                continue;
            }
            let take = left.min(GROUP - large.partial.len() as u64);
            self.add_bytes(large, &ZEROS[..take as usize])?;
            left -= take;
        }
        Ok(())
    }

    /// Takes over a segment of zeros, with its value, from the same place of the base.
    fn share_zeros(&mut self, large: &mut LargeContent) -> Result<bool> {
        self.end_settling(large)?;
        let Some(base) = &large.base else { return Ok(false) };
        let at_segment = large.partial.is_empty() && large.groups.is_empty() && large.size.is_multiple_of(SEGMENT);
        let segment = large.size / SEGMENT;
        let is_whole = large.size + SEGMENT <= base.content.size && segment > 0;
        match base
            .parts
            .get(segment as usize)
            .filter(|part| at_segment && is_whole && part.run.is_none())
        {
            None => Ok(false),
            Some(part) => {
                large.parts.push(part.clone());
                large.matched(large.size, large.size, SEGMENT)?;
                large.size += SEGMENT;
                Ok(true)
            }
        }
    }

    /// Adds bytes to the group that is being put together.
    fn add_bytes(&mut self, large: &mut LargeContent, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let take = (GROUP as usize - large.partial.len()).min(bytes.len());
            large.partial.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if large.partial.len() as u64 == GROUP {
                self.end_partial(large)?;
            }
        }
        Ok(())
    }

    fn end_partial(&mut self, large: &mut LargeContent) -> Result<()> {
        if large.partial.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::replace(&mut large.partial, Vec::with_capacity(GROUP as usize));
        let length = bytes.len() as u64;
        self.add_group(large, Group::Put(bytes), length)
    }

    fn add_group(&mut self, large: &mut LargeContent, group: Group, length: u64) -> Result<()> {
        if !large.size.is_multiple_of(GROUP) {
            return Err(Error::Refused("more after the last group".into()));
        }
        if large.size + length > LARGEST {
            return Err(too_large());
        }
        large.size += length;
        large.groups.push(group);
        if large.groups.len() as u64 == SEGMENT_GROUPS {
            self.end_segment(large)?;
        }
        Ok(())
    }

    /// Has the segment that is complete settled, while the next one is put together; stores those that are.
    fn end_segment(&mut self, large: &mut LargeContent) -> Result<()> {
        while large.settling.len() >= MOST_SETTLING {
            self.end_first_settling(large)?;
        }
        let groups = std::mem::take(&mut large.groups);
        let segment = (large.parts.len() + large.settling.len()) as u64;
        let length = large.size - segment * SEGMENT;
        let settling = Settling::begin(groups, segment * SEGMENT_GROUPS, length, self.repository.compression());
        large.settling.push_back(settling);
        // What is ready waits in memory for nothing.
        while large.settling.front().is_some_and(Settling::is_ready) {
            self.end_first_settling(large)?;
        }
        Ok(())
    }

    /// Stores the segments that are being settled.
    fn end_settling(&mut self, large: &mut LargeContent) -> Result<()> {
        while !large.settling.is_empty() {
            self.end_first_settling(large)?;
        }
        Ok(())
    }

    /// Stores the first segment that is being settled, if there is one.
    fn end_first_settling(&mut self, large: &mut LargeContent) -> Result<()> {
        let Some(settling) = large.settling.pop_front() else {
            return Ok(());
        };
        let (first, length) = (settling.first, settling.length);
        let groups = settling.end();
        let values: Vec<Value> = groups.iter().map(Group::value).collect();
        if first == 0 {
            large.first_values.clone_from(&values);
        }
        let value = segment_value(length, &values);
        let run = match groups.iter().all(|group| matches!(group, Group::Zeros(..))) {
            true => None,
            false => Some(self.write_segment(large.key, groups, first, large.last_run())?),
        };
        large.parts.push(Part { run, value });
        Ok(())
    }
}

impl LargeContent {
    /// The number of the group that comes next.
    fn group(&self) -> u64 {
        self.size / GROUP
    }

    /// Whether something of it has arrived that is in no file yet.
    pub(super) fn is_waiting(&self) -> bool {
        !self.settling.is_empty() || self.groups.iter().any(|group| !matches!(group, Group::Zeros(..)))
    }

    /// Where the segment before the one that comes next lies.
    fn last_run(&self) -> Option<RunId> {
        self.parts.last()?.run
    }

    /// Bytes told so far.
    fn reached(&self) -> u64 {
        self.size + self.partial.len() as u64
    }

    /// Remembers that `length` bytes from `new` are those of the base from `old`.
    fn matched(&mut self, new: u64, old: u64, length: u64) -> Result<()> {
        let base = self.base.as_ref().expect("what is matched has a base");
        self.shared.matched(new, old, length, &base.reader)
    }
}

fn too_large() -> Error {
    Error::Refused(format!("a content of more than {} TiB", LARGEST >> 40))
}
