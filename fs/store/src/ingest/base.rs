//! What the sender of a large content asks of the one that it tells it against.

use std::sync::Arc;

use crate::catalog::{Content, parts};
use crate::delta::{BlockSum, LARGEST_BLOCK, ReadAt, SMALLEST_BLOCK};
use crate::layout::{GROUP, SEGMENT_GROUPS};
use crate::parallel::by_shares;
use crate::tree_hash::Value;
use crate::{ContentReader, Error, Hash, Repository, Result};

/// Parts of at most 1 MiB, or a block, that are read before their sums are told.
const PARTS: usize = 32;

/// What an agent needs to know of a content to tell a changed one against it.
#[derive(Clone, Debug)]
pub struct BaseValues {
    /// Its length in bytes.
    pub size: u64,
    /// For each of its groups the chaining value; `None` where it is not kept and must be
    /// taken as different.
    pub groups: Vec<Option<Value>>,
    /// For each of its segments that is all zeros, the chaining value of the segment.
    pub zero_segments: Vec<Option<Value>>,
}

impl Repository {
    /// The chaining values of a content's groups; `None` if it is not here.
    pub fn base_values(&self, hash: &Hash) -> Result<Option<BaseValues>> {
        let connection = self.connection()?;
        // One that cannot be read is nothing to tell another against.
        let damaged = super::heal::damaged(&connection)?;
        let found = Content::find(&connection, hash, None)?;
        let Some(content) = found.filter(|found| !damaged.contains_key(&(*hash, found.size))) else {
            return Ok(None);
        };
        let parts = match (content.base, content.run) {
            (None, None) => parts(&connection, &content)?,
            _ => Vec::new(),
        };
        drop(connection);
        let count = content.size.div_ceil(GROUP) as usize;
        let mut groups = Vec::with_capacity(count);
        let mut zero_segments = Vec::with_capacity(parts.len());
        if let (None, Some(run)) = (content.base, content.run) {
            let run = self.run(run).map_err(|error| error.into_error())?;
            if run.position.is_some() {
                groups.extend(run.frames.iter().map(|frame| Some(frame.value)));
            }
        }
        for part in parts {
            let left = (count - groups.len()).min(SEGMENT_GROUPS as usize);
            match part.run {
                Some(run) => {
                    let run = self.run(run).map_err(|error| error.into_error())?;
                    groups.extend(run.frames.iter().map(|frame| Some(frame.value)));
                    zero_segments.push(None);
                }
                None => {
                    groups.extend(std::iter::repeat_n(None, left));
                    zero_segments.push((left == SEGMENT_GROUPS as usize).then_some(part.value));
                }
            }
        }
        groups.resize(count, None);
        Ok(Some(BaseValues {
            size: content.size,
            groups,
            zero_segments,
        }))
    }

    /// Tells the sums of the whole blocks in ranges (offset, length) of a content, with where
    /// each block begins.
    ///
    /// # Errors
    /// [`Error::Refused`] if the content is not here, or a range is not in it.
    pub fn block_sums(
        self: &Arc<Self>,
        hash: &Hash,
        ranges: &[(u64, u64)],
        block_len: u32,
        tell: &mut dyn FnMut(u64, BlockSum) -> Result<()>,
    ) -> Result<()> {
        let reader = self.open_hash(hash)?;
        let step = u64::from(block_len);
        if !(SMALLEST_BLOCK..=LARGEST_BLOCK).contains(&step) {
            return Err(Error::Refused(format!("blocks of {block_len} bytes")));
        }
        let mut parts = Vec::new();
        for &(start, length) in ranges {
            let end = start.checked_add(length / step * step);
            let end = end.filter(|end| *end <= reader.size());
            let end = end.ok_or_else(|| Error::Refused("a signature of what a content does not have".into()))?;
            let part = ((1 << 20) / step).max(1) * step;
            parts.extend((start..end).step_by(part as usize).map(|at| (at, part.min(end - at))));
        }
        // Decoding takes most of the time.
        for parts in parts.chunks(PARTS) {
            let sums = by_shares(parts.len(), 1, |share| {
                let sums = parts[share].iter().map(|part| sums(&reader, *part, block_len));
                sums.collect::<Result<Vec<_>>>()
            });
            for (at, sums) in sums.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten() {
                for (index, sum) in sums.into_iter().enumerate() {
                    tell(at + index as u64 * step, sum)?;
                }
            }
        }
        Ok(())
    }
}

/// The sums of the blocks of a stretch of a content, and where it begins.
fn sums(reader: &ContentReader, (at, length): (u64, u64), block_len: u32) -> Result<(u64, Vec<BlockSum>)> {
    let mut bytes = vec![0; length as usize];
    reader.read_exact_at(at, &mut bytes)?;
    Ok((at, bytes.chunks(block_len as usize).map(BlockSum::of).collect()))
}
