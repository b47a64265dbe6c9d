//! The signature of a base: for each of its full blocks a weak hash, a strong one, and where it
//! lies.
//!
//! ```text
//!   filter  ▒░░▒░░░░▒…   a bit for each upper part of a weak hash: no for nearly every window
//!   starts  0 2 2 3 …    for a shorter upper part, where its blocks begin in the tables
//!   weak    ┐
//!   strong  ├ tables, sorted by (weak, strong, offset): equal blocks stand together, in order
//!   offset  ┘
//! ```
//!
//! It is made and used in memory. With [`block_len_for`] a content of up to 2 TiB has at most
//! 128 Ki blocks, and its signature takes 5.5 MiB; beyond, 36 to 40 bytes for each block.

use std::ops::Range;

use super::rolling;

/// The shortest block that is used, in bytes.
pub const SMALLEST_BLOCK: u64 = 2 << 10;
/// The longest.
pub const LARGEST_BLOCK: u64 = 16 << 20;
/// Blocks up to which a block length is chosen.
const MANY_BLOCKS: u64 = 128 << 10;

/// Filter bits for each block, so that about one window in 64 passes by chance.
const FILTER_BITS_PER_BLOCK: usize = 64;
/// 1 MiB: more would fall out of the processor's second-level cache.
const MAX_FILTER_BITS: usize = 8 << 20;

/// Strong hashes are BLAKE3, cut to this many bytes.
const STRONG_LEN: usize = 16;

/// A hash that decides.
pub type Strong = [u8; STRONG_LEN];

/// The block length, in bytes, that fits a base of which `bytes_unmatched` bytes are to be looked
/// for: a power of two, 2 KiB up to 64 MiB, then growing with the square root up to 1 GiB, then so
/// that there are at most 128 Ki blocks, and never over 16 MiB.
pub fn block_len_for(bytes_unmatched: u64) -> u32 {
    let square_root = (bytes_unmatched / 16).isqrt();
    let wanted = square_root.max(bytes_unmatched.div_ceil(MANY_BLOCKS));
    wanted.clamp(SMALLEST_BLOCK, LARGEST_BLOCK).next_power_of_two() as u32
}

/// What is kept, or sent, of one block of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSum {
    /// The rolling hash, which finds candidates.
    pub weak: u64,
    /// The hash that decides.
    pub strong: Strong,
}

impl BlockSum {
    /// The sums of a whole block.
    pub fn of(block: &[u8]) -> Self {
        BlockSum {
            weak: rolling::hash(block),
            strong: strong(block),
        }
    }
}

/// Collects the blocks of a base for a [`Signature`].
pub struct SignatureBuilder {
    block_len: u32,
    blocks: Vec<(u64, Strong, u64)>,
}

impl SignatureBuilder {
    /// For blocks of `block_len` bytes, at least 1.
    pub fn new(block_len: u32) -> Self {
        assert!(block_len > 0, "a block has at least one byte");
        Self {
            block_len,
            blocks: Vec::new(),
        }
    }

    /// Adds a block that lies at `base_offset`, which need not be a multiple of the block length.
    /// Blocks of another length, such as the last one of a content, are left out.
    pub fn block(&mut self, base_offset: u64, bytes: &[u8]) {
        if bytes.len() == self.block_len as usize {
            self.sum(base_offset, BlockSum::of(bytes));
        }
    }

    /// Adds a whole block by its sums.
    pub fn sum(&mut self, base_offset: u64, sum: BlockSum) {
        self.blocks.push((sum.weak, sum.strong, base_offset));
    }

    /// Sorts the tables.
    pub fn finish(mut self) -> Signature {
        self.blocks.sort_unstable();
        let weak: Vec<u64> = self.blocks.iter().map(|block| block.0).collect();
        Signature {
            block_len: self.block_len,
            filter: Filter::of(&weak),
            starts: Starts::of(&weak),
            weak,
            strong: self.blocks.iter().map(|block| block.1).collect(),
            base_offset: self.blocks.iter().map(|block| block.2).collect(),
        }
    }
}

/// What a [`Scanner`](super::Scanner) knows of a base. See the module's text.
pub struct Signature {
    block_len: u32,
    weak: Vec<u64>,
    strong: Vec<Strong>,
    base_offset: Vec<u64>,
    filter: Filter,
    starts: Starts,
}

impl Signature {
    /// Bytes of a block.
    pub fn block_len(&self) -> u32 {
        self.block_len
    }

    /// How many blocks it has.
    pub fn blocks(&self) -> usize {
        self.weak.len()
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        let tables = self.blocks() * (size_of::<u64>() * 2 + STRONG_LEN);
        size_of::<Self>() + tables + self.filter.words.len() * 8 + self.starts.first.len() * 4
    }

    /// As if the weak hashes had been made to collide with other bytes.
    #[cfg(test)]
    pub(super) fn with_forged_strong(mut self) -> Self {
        self.strong.iter_mut().for_each(|strong| strong[0] ^= 1);
        self
    }

    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The rows of the tables with this weak hash.
    pub(super) fn rows(&self, weak: u64) -> Range<usize> {
        let near = self.starts.rows(weak);
        let first = near.start + self.weak[near.clone()].partition_point(|&other| other < weak);
        let len = self.weak[first..near.end].partition_point(|&other| other == weak);
        first..first + len
    }

    /// Where a block that is `window` lies, among `rows` of its weak hash. Of several equal ones it
    /// is the one at `expected` or the next after it, else the first: so runs of equal blocks are
    /// gone through in order.
    pub(super) fn find(&self, rows: Range<usize>, window: &[u8], expected: u64) -> Option<u64> {
        let wanted = strong(window);
        let first = rows.start + self.strong[rows.clone()].partition_point(|other| *other < wanted);
        let len = self.strong[first..rows.end].partition_point(|other| *other == wanted);
        let offsets = &self.base_offset[first..first + len];
        let next = offsets.partition_point(|&offset| offset < expected);
        offsets.get(next).or(offsets.first()).copied()
    }
}

fn strong(bytes: &[u8]) -> Strong {
    *blake3::hash(bytes)
        .as_bytes()
        .first_chunk()
        .expect("a hash of 32 bytes")
}

/// A bit for each upper part of a weak hash, set if some block has it.
pub(super) struct Filter {
    words: Vec<u64>,
    shift: u32,
}

impl Filter {
    fn of(weak: &[u64]) -> Self {
        let bits = (weak.len() * FILTER_BITS_PER_BLOCK)
            .next_power_of_two()
            .clamp(64, MAX_FILTER_BITS);
        let mut filter = Self {
            words: vec![0; bits / 64],
            shift: u64::BITS - bits.trailing_zeros(),
        };
        for hash in weak {
            let bit = hash >> filter.shift;
            filter.words[bit as usize / 64] |= 1 << (bit % 64);
        }
        filter
    }

    /// Whether a block may have this weak hash.
    #[inline(always)]
    pub(super) fn passes(&self, weak: u64) -> bool {
        let bit = weak >> self.shift;
        self.words[bit as usize / 64] >> (bit % 64) & 1 == 1
    }
}

/// Where the rows begin for each upper part of a weak hash, about one row each.
struct Starts {
    first: Vec<u32>,
    shift: u32,
}

impl Starts {
    fn of(weak: &[u64]) -> Self {
        // At least two parts: a shift by all 64 bits would overflow.
        let parts = weak.len().next_power_of_two().max(2);
        let shift = u64::BITS - parts.trailing_zeros();
        let mut first = vec![0; parts + 1];
        for hash in weak {
            first[(hash >> shift) as usize + 1] += 1;
        }
        let mut sum = 0u32;
        for count in &mut first {
            sum += *count;
            *count = sum;
        }
        Self { first, shift }
    }

    fn rows(&self, weak: u64) -> Range<usize> {
        let part = (weak >> self.shift) as usize;
        self.first[part] as usize..self.first[part + 1] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::testing::Random;

    #[test]
    fn block_lengths_grow_with_the_base() {
        let (mib, gib) = (1u64 << 20, 1u64 << 30);
        let cases = [
            (0, 2048),
            (64 * mib, 2048),
            (65 * mib, 4096),
            (gib, 8192),
            (4 * gib, 32 << 10),
        ];
        for (size, block_len) in cases {
            assert_eq!(block_len_for(size), block_len, "{size}");
        }
        assert_eq!(block_len_for(u64::MAX), 16 << 20);
        for size in (20..=41).map(|bits| (1u64 << bits) - 1) {
            assert!(size / u64::from(block_len_for(size)) <= 128 << 10);
        }
    }

    #[test]
    fn every_block_is_found_and_nothing_else() {
        let base = Random::new(1).bytes(64 * 1000 + 10);
        let mut builder = SignatureBuilder::new(64);
        base.chunks(64)
            .enumerate()
            .for_each(|(i, block)| builder.block(64 * i as u64, block));
        let signature = builder.finish();
        assert_eq!(signature.blocks(), 1000);
        let find = |window: &[u8]| {
            let weak = rolling::hash(window);
            assert!(signature.filter().passes(weak) || signature.rows(weak).is_empty());
            signature.find(signature.rows(weak), window, 0)
        };
        for (i, window) in base.windows(64).enumerate() {
            assert_eq!(find(window), (i % 64 == 0).then_some(i as u64));
        }
    }

    #[test]
    fn of_equal_blocks_the_expected_one_or_the_next_is_found() {
        let zeros = [0; 8];
        let mut builder = SignatureBuilder::new(8);
        [80, 8, 24].iter().for_each(|&at| builder.block(at, &zeros));
        let signature = builder.finish();
        let find = |expected| signature.find(signature.rows(rolling::hash(&zeros)), &zeros, expected);
        assert_eq!([0, 8, 9, 24, 80, 81].map(find), [8, 8, 24, 24, 80, 8].map(Some));
    }

    #[test]
    fn an_empty_signature_finds_nothing() {
        let mut builder = SignatureBuilder::new(8);
        builder.block(0, b"short");
        let signature = builder.finish();
        assert_eq!(signature.blocks(), 0);
        assert!(
            [0, 1, u64::MAX]
                .iter()
                .all(|&weak| !signature.filter().passes(weak) && signature.rows(weak).is_empty())
        );
    }
}
