//! Large contents in whose midst a push dies: what of them is kept, and how the next push goes on.
//!
//! Complete segments are runs of their own anyway; when a push ends early, so are the complete
//! groups of the segment that was under way. `partials` names all of them by what the sender calls the
//! content. The next push tells such groups as [`LargeOp::Kept`](super::LargeOp::Kept): whole segments
//! are named again, other groups copied as they are stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::LargeContent;
use super::group::{Group, Settling, encode_segment};
use crate::catalog::{Part, Run};
use crate::ingest::Ingest;
use crate::ingest::rows::NewRow;
use crate::layout::{GROUP, SEGMENT, SEGMENT_GROUPS};
use crate::read::stored_frame;
use crate::tree_hash::{Value, segment_value};
use crate::{Error, Result, RunId};

impl Ingest {
    /// Stores the complete groups of a segment in whose midst the push ends.
    pub(in crate::ingest) fn end_partial_segment(&mut self) -> Result<()> {
        let Some(mut large) = self.large.take() else {
            return Ok(());
        };
        self.end_settling(&mut large)?;
        let first = large.parts.len() as u64 * SEGMENT_GROUPS;
        let groups = std::mem::take(&mut large.groups);
        let length = large.size - first * GROUP;
        let groups = Settling::begin(groups, first, length, self.repository.compression()).end();
        if groups.iter().all(|group| matches!(group, Group::Zeros(..))) {
            return Ok(());
        }
        self.write_segment(large.key, groups, first, large.last_run()).map(drop)
    }

    /// Writes groups as a segment, of which the first is that of this number; a push that dies leaves it
    /// for the next one. `follows` is the segment before it.
    pub(super) fn write_segment(
        &mut self,
        key: [u8; 16],
        groups: Vec<Group>,
        first: u64,
        follows: Option<RunId>,
    ) -> Result<RunId> {
        let (encoding, stored) = encode_segment(groups, self.repository.compression());
        let run = self.writer.write_head(&stored, encoding, first, follows)?;
        let id = run.id;
        self.add_row(NewRow::Run(run))?;
        self.add_row(NewRow::Partial { key, run: id })?;
        Ok(id)
    }

    /// The groups that an earlier push sent of the content that the sender calls so.
    pub(super) fn kept_of(&self, key: &[u8; 16]) -> Result<BTreeMap<u64, (Arc<Run>, usize)>> {
        let mut kept = BTreeMap::new();
        for id in self.kept.partials.get(key).into_iter().flatten() {
            let run = self.repository.run(*id).map_err(|error| error.into_error())?;
            let first = run.position.unwrap_or(0);
            for index in 0..run.frames.len() {
                kept.entry(first + index as u64).or_insert((run.clone(), index));
            }
        }
        Ok(kept)
    }

    pub(super) fn large_kept(&mut self, large: &mut LargeContent, groups: u64) -> Result<()> {
        let refused = || Error::Refused("groups that no earlier push has sent".into());
        if !large.partial.is_empty() || !large.size.is_multiple_of(GROUP) {
            return Err(refused());
        }
        let end = large.group().checked_add(groups).ok_or_else(refused)?;
        while large.group() < end && large.size.is_multiple_of(GROUP) {
            let (run, index) = large.kept.get(&large.group()).cloned().ok_or_else(refused)?;
            self.check_kept_run(run.id)?;
            if end - large.group() >= SEGMENT_GROUPS && self.share_kept(large, &run)? {
                continue;
            }
            let stored = stored_frame(&self.repository, &run, index).map_err(|error| error.into_error())?;
            let row = run.frames[index];
            self.add_group(large, Group::Stored(run.encoding, stored, row), row.length.into())?;
        }
        match large.group() == end || !large.size.is_multiple_of(GROUP) {
            true => Ok(()),
            false => Err(refused()),
        }
    }

    /// Names a kept run where it is the whole segment that comes next.
    fn share_kept(&mut self, large: &mut LargeContent, run: &Run) -> Result<bool> {
        let at_segment = large.groups.is_empty() && large.size.is_multiple_of(SEGMENT);
        let is_whole = run.position == Some(large.group()) && run.length() == SEGMENT;
        if !at_segment || !is_whole || run.frames.len() as u64 != SEGMENT_GROUPS {
            return Ok(false);
        }
        self.end_settling(large)?;
        let values: Vec<Value> = run.frames.iter().map(|frame| frame.value).collect();
        large.parts.push(Part {
            run: Some(run.id),
            value: segment_value(SEGMENT, &values),
        });
        if large.size == 0 {
            large.first_values = values;
        }
        large.size += SEGMENT;
        Ok(true)
    }
}
