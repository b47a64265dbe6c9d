//! Comparing stretches of two contents byte by byte, in blocks, so that memory stays bounded
//! however long they are.

use std::ops::Range;

use crate::{Error, Result};

/// The most that is read of each content at once, in bytes.
const BLOCK: u64 = 64 << 10;
/// The first read where a difference is expected soon.
const FIRST: u64 = 4 << 10;

/// A content that can be read anywhere.
pub trait ReadAt {
    /// Bytes in all.
    fn size(&self) -> u64;

    /// Fills `buf` with the bytes from `offset`. Fails with [`Error::Damaged`] where the content
    /// ends before that.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.get(offset..)?.get(..buf.len()));
        let found = found.ok_or_else(|| {
            let (wanted, size) = (buf.len(), self.len());
            Error::Damaged(format!(
                "{wanted} bytes at {offset} wanted of a content of {size} bytes"
            ))
        })?;
        buf.copy_from_slice(found);
        Ok(())
    }
}

impl ReadAt for &[u8] {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        (**self).read_exact_at(offset, buf)
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.as_slice().read_exact_at(offset, buf)
    }
}

/// Compares an old and a new content. Where two offsets are given, the first is in the old one.
pub(super) struct Comparer<'a> {
    old: &'a dyn ReadAt,
    new: &'a dyn ReadAt,
    old_block: Vec<u8>,
    new_block: Vec<u8>,
}

impl<'a> Comparer<'a> {
    pub(super) fn new(old: &'a dyn ReadAt, new: &'a dyn ReadAt) -> Self {
        Self {
            old,
            new,
            old_block: Vec::new(),
            new_block: Vec::new(),
        }
    }

    /// How many of the next `limit` bytes are equal before the first that is not.
    pub(super) fn common_prefix(&mut self, old: u64, new: u64, limit: u64) -> Result<u64> {
        let (mut equal, mut block) = (0, FIRST);
        while equal < limit {
            let len = block.min(limit - equal);
            let (a, b) = self.blocks(old + equal, new + equal, len)?;
            let here = prefix(a, b) as u64;
            equal += here;
            if here < len {
                break;
            }
            block = (block * 4).min(BLOCK);
        }
        Ok(equal)
    }

    /// How many of the `limit` bytes that end at these offsets are equal, from the last one back.
    pub(super) fn common_suffix(&mut self, old_end: u64, new_end: u64, limit: u64) -> Result<u64> {
        let (mut equal, mut block) = (0, FIRST);
        while equal < limit {
            let len = block.min(limit - equal);
            let (a, b) = self.blocks(old_end - equal - len, new_end - equal - len, len)?;
            let here = suffix(a, b) as u64;
            equal += here;
            if here < len {
                break;
            }
            block = (block * 4).min(BLOCK);
        }
        Ok(equal)
    }

    /// The runs of at least `min` equal bytes in the next `len` bytes: (bytes from the start,
    /// bytes), in order.
    pub(super) fn equal_runs(&mut self, old: u64, new: u64, len: u64, min: u64) -> Result<Vec<(u64, u64)>> {
        let mut runs = Runs {
            found: Vec::new(),
            min,
            current: 0,
        };
        for done in (0..len).step_by(BLOCK as usize) {
            let (a, b) = self.blocks(old + done, new + done, BLOCK.min(len - done))?;
            runs.compare(done, a, b);
        }
        runs.end_at(len);
        Ok(runs.found)
    }

    fn blocks(&mut self, old: u64, new: u64, len: u64) -> Result<(&[u8], &[u8])> {
        self.old_block.resize(len as usize, 0);
        self.new_block.resize(len as usize, 0);
        self.old.read_exact_at(old, &mut self.old_block)?;
        self.new.read_exact_at(new, &mut self.new_block)?;
        Ok((&self.old_block, &self.new_block))
    }
}

/// The runs of equal bytes found so far, and the length of the one that may still go on.
struct Runs {
    found: Vec<(u64, u64)>,
    min: u64,
    current: u64,
}

impl Runs {
    fn compare(&mut self, start: u64, a: &[u8], b: &[u8]) {
        let mut i = 0;
        while i < a.len() {
            let equal = prefix(&a[i..], &b[i..]);
            self.current += equal as u64;
            i += equal;
            if i < a.len() {
                self.end_at(start + i as u64);
                let differ = a[i..].iter().zip(&b[i..]).take_while(|(a, b)| a != b).count();
                i += differ;
            }
        }
    }

    fn end_at(&mut self, end: u64) {
        if self.current >= self.min {
            self.found.push((end - self.current, self.current));
        }
        self.current = 0;
    }
}

/// Where two stretches of one length are equal: runs of at least `min` bytes, and of any length at their two ends; in
/// order and apart.
pub(super) fn equal_in_place(old: &[u8], new: &[u8], min: usize) -> Vec<Range<usize>> {
    let head = prefix(old, new);
    let tail = suffix(&old[head..], &new[head..]);
    let middle = head..old.len() - tail;
    let mut runs = Runs {
        found: Vec::new(),
        min: min as u64,
        current: 0,
    };
    runs.compare(0, &old[middle.clone()], &new[middle.clone()]);
    let inner = runs
        .found
        .into_iter()
        .map(|(start, len)| head + start as usize..head + (start + len) as usize);
    let ends = [0..head, middle.end..old.len()];
    let [head, tail] = ends.map(|end| Some(end).filter(|end| !end.is_empty()));
    head.into_iter().chain(inner).chain(tail).collect()
}

/// How many bytes at the end of both are equal.
fn suffix(a: &[u8], b: &[u8]) -> usize {
    a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

/// How many bytes at the start of both are equal.
fn prefix(a: &[u8], b: &[u8]) -> usize {
    /// Slices of this length are compared with vector instructions.
    const STEP: usize = 64;
    let whole = a
        .chunks_exact(STEP)
        .zip(b.chunks_exact(STEP))
        .take_while(|(a, b)| a == b)
        .count()
        * STEP;
    whole + a[whole..].iter().zip(&b[whole..]).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::testing::Random;

    #[test]
    fn prefix_and_suffix_stop_at_the_difference_over_block_bounds() {
        let old = Random::new(1).bytes(300_000);
        let comparer = |new: &Vec<u8>, from: u64| {
            let mut comparer = Comparer::new(&old, new);
            let limit = old.len() as u64 - from;
            (
                comparer.common_prefix(from, from, limit).unwrap(),
                comparer.common_suffix(300_000, 300_000, limit).unwrap(),
            )
        };
        assert_eq!(comparer(&old, 5), (299_995, 299_995));
        for at in [10, 4095, 4096, 70_000, 299_999] {
            let mut new = old.clone();
            new[at] ^= 1;
            assert_eq!(comparer(&new, 10), (at as u64 - 10, 299_999 - at as u64));
        }
    }

    #[test]
    fn runs_join_over_block_bounds_and_short_ones_are_left_out() {
        let old = Random::new(2).bytes(200_000);
        let mut new = old.clone();
        for at in [0, 31, 64, 150_000] {
            new[at] ^= 1;
        }
        let runs = Comparer::new(&old, &new).equal_runs(0, 0, 200_000, 32).unwrap();
        assert_eq!(runs, [(32, 32), (65, 149_935), (150_001, 49_999)]);
    }

    #[test]
    fn reading_past_the_end_is_damage() {
        let mut buf = [0; 4];
        assert!(b"12345"[..].read_exact_at(1, &mut buf).is_ok());
        for offset in [2, 6, u64::MAX] {
            assert!(matches!(
                b"12345"[..].read_exact_at(offset, &mut buf),
                Err(Error::Damaged(_))
            ));
        }
    }
}
