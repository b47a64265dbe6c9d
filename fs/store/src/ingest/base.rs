//! What the sender of a large content asks of the one that it tells it against.

mod values;

pub use values::BaseValues;

use std::sync::Arc;

use crate::catalog::Content;
use crate::delta::{BlockSum, LARGEST_BLOCK, ReadAt, SMALLEST_BLOCK};
use crate::ingest::heal::damaged;
use crate::parallel::by_shares;
use crate::{ContentReader, Error, Hash, Repository, Result};

/// Stretches of at most 1 MiB, or a block, that are read before their sums are told.
const STRETCHES: usize = 32;

impl Repository {
    /// Which contents are here whole and, as far as is known, sound: a push may name those without sending them.
    pub fn has_whole(&self, names: &[Hash]) -> Result<Vec<bool>> {
        let connection = self.connection()?;
        let damaged = damaged(&connection)?;
        let is_here = |name: &Hash| {
            let found = Content::find(&connection, name, None)?;
            Ok(found.is_some_and(|found| found.base.is_none() && !damaged.contains_key(&(*name, found.size))))
        };
        names.iter().map(is_here).collect()
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
