//! What the sender of a large content asks of the one that it tells it against.

use std::sync::Arc;

use crate::catalog::{Content, parts};
use crate::delta::{BlockSum, LARGEST_BLOCK, ReadAt, SMALLEST_BLOCK};
use crate::layout::{GROUP, SEGMENT_GROUPS};
use crate::parallel::by_shares;
use crate::tree_hash::Value;
use crate::{ContentReader, Error, Hash, Repository, Result};

/// Stretches of at most 1 MiB, or a block, that are read before their sums are told.
const STRETCHES: usize = 32;

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

    /// Tells the sums of the whole blocks in ranges (offset, length) of a content, ascending and apart, with
    /// where each block begins.
    ///
    /// # Errors
    /// [`Error::Refused`] if the content is not here, or the ranges do not follow each other in it.
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
        check_ranges(ranges, reader.size())?;
        let mut stretches = stretches(ranges, step);
        loop {
            let some: Vec<_> = stretches.by_ref().take(STRETCHES).collect();
            if some.is_empty() {
                return Ok(());
            }
            // Decoding takes most of the time.
            let sums = by_shares(some.len(), 1, |share| {
                let sums = some[share].iter().map(|stretch| sums(&reader, *stretch, block_len));
                sums.collect::<Result<Vec<_>>>()
            });
            for (at, sums) in sums.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten() {
                for (index, sum) in sums.into_iter().enumerate() {
                    tell(at + index as u64 * step, sum)?;
                }
            }
        }
    }
}

/// Refuses ranges that are not in a content of `size` bytes, one after the other: who repeats them would have
/// much read for a few bytes.
fn check_ranges(ranges: &[(u64, u64)], size: u64) -> Result<()> {
    let mut reached = 0;
    for &(start, length) in ranges {
        let end = start.checked_add(length).filter(|end| *end <= size);
        reached = match end {
            Some(end) if start >= reached => end,
            _ => {
                return Err(Error::Refused(
                    "a signature of what a content does not have, or twice".into(),
                ));
            }
        };
    }
    Ok(())
}

/// The whole blocks of `step` bytes in ranges, in stretches (offset, length) of at most 1 MiB or a block. Made as they
/// are wanted: of a large content they are many.
fn stretches(ranges: &[(u64, u64)], step: u64) -> impl Iterator<Item = (u64, u64)> {
    let longest = ((1 << 20) / step).max(1) * step;
    ranges.iter().flat_map(move |&(start, length)| {
        let end = start + length / step * step;
        (start..end)
            .step_by(longest as usize)
            .map(move |at| (at, longest.min(end - at)))
    })
}

/// The sums of the blocks of a stretch of a content, and where it begins.
fn sums(reader: &ContentReader, (at, length): (u64, u64), block_len: u32) -> Result<(u64, Vec<BlockSum>)> {
    let mut bytes = vec![0; length as usize];
    reader.read_exact_at(at, &mut bytes)?;
    Ok((at, bytes.chunks(block_len as usize).map(BlockSum::of).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, file, noise};

    #[test]
    fn a_signature_is_of_ranges_that_follow_each_other() {
        let bench = Bench::new();
        let bytes = noise(1, 3 << 20);
        bench.push("host", |push| file(push, "file", &bytes));
        let block = SMALLEST_BLOCK as u32;
        let sums = |ranges: &[(u64, u64)]| {
            let mut told = Vec::new();
            let result = bench
                .repository
                .block_sums(&Hash::of(&bytes), ranges, block, &mut |at, sum| {
                    told.push((at, sum));
                    Ok(())
                });
            result.map(|()| told)
        };
        let step = SMALLEST_BLOCK;
        let told = sums(&[(0, step + 1), (step + 1, 2 << 20), (3 << 20, 0)]).unwrap();
        let starts = (0..1 << 10).map(|block| step + 1 + block * step);
        let expected = std::iter::once(0).chain(starts).map(|at| {
            let at = at as usize;
            (at as u64, BlockSum::of(&bytes[at..at + step as usize]))
        });
        assert!(told.into_iter().eq(expected));
        let refused: [&[(u64, u64)]; 6] = [
            &[(0, step), (0, step)],
            &[(0, 2 * step), (step, step)],
            &[(step, step), (0, step)],
            &[(0, (3 << 20) + 1)],
            &[(3 << 20, 1)],
            &[(1, u64::MAX)],
        ];
        for ranges in refused {
            assert!(matches!(sums(ranges), Err(Error::Refused(_))), "{ranges:?}");
        }
    }

    #[test]
    fn stretches_are_made_as_they_are_wanted() {
        // A list of them all would take more memory than there is.
        let some: Vec<_> = stretches(&[(7, 5000), (1 << 30, 1 << 62)], 2048).take(3).collect();
        assert_eq!(some, [(7, 4096), (1 << 30, 1 << 20), ((1 << 30) + (1 << 20), 1 << 20)]);
    }
}
