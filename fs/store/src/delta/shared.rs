//! What a new content shares with the one that it is told against, noted while it is told.
//!
//! ```text
//!   old   ├──copy──┤▒▒▒▒▒▒▒▒▒▒▒▒├──copy──┤
//!   new   ├──copy──┤─▓───▓▓─────├──copy──┤     told: copy, bytes, copy of the same displacement
//!   noted ├──────────┤▒├─┤▒▒├────────────┤     what is equal; what is not (▒), as the old content has it
//! ```
//!
//! Where the bytes between two copies took the place of as many others, both are at hand at that
//! moment: they are compared, and the old ones that differ are kept. The reverse delta is then
//! made without reading either content again.

use std::collections::BTreeMap;
use std::ops::Range;

use super::compare::{ReadAt, equal_in_place};
use super::extend::MIN_RUN;
use super::invert::{Match, Piece, invert};
use crate::{Error, Result};

/// Matches of one content that are remembered. A sender that copies byte by byte must not fill
/// the memory; an honest one copies blocks.
const MOST_MATCHES: usize = 1 << 20;

/// The longest stretch of told bytes that is compared when its end is known.
const LONGEST_GAP: usize = 128 << 10;

/// Bytes of memory that the old bytes of one content may take.
const MOST_LITERALS: usize = 16 << 20;

/// What a stretch of old bytes costs beside its bytes.
const STRETCH_COST: usize = 64;

/// What two contents share.
#[derive(Default)]
pub struct Shared {
    matches: Vec<Match>,
    literals: Literals,
    /// Bytes told since the last match, up to the longest gap.
    gap: Vec<u8>,
}

impl Shared {
    /// Bytes were told that are not known to be the old content's.
    pub fn told(&mut self, bytes: &[u8]) {
        // One byte more than is compared: then the gap is not as long as it ought to be.
        let room = LONGEST_GAP + 1 - self.gap.len();
        if !self.matches.is_empty() {
            self.gap.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// `len` bytes from `new` of the new content are those from `from` of `old`.
    ///
    /// # Errors
    /// Those of reading `old`, but for damage: what is damaged is not compared.
    pub fn matched(&mut self, new: u64, from: u64, len: u64, old: &dyn ReadAt) -> Result<()> {
        let gap = std::mem::take(&mut self.gap);
        let length = gap.len() as u64;
        let is_in_place = matches!(self.matches.last(), Some(last)
            if last.new + last.len + length == new && last.old + last.len + length == from);
        if is_in_place && (1..=LONGEST_GAP).contains(&gap.len()) {
            match self.compare(&gap, new - length, from - length, old) {
                // The new content does without it: it is not to suffer for it.
                Err(Error::Damaged(_)) => {}
                compared => compared?,
            }
        }
        self.remember(new, from, len);
        // Its room serves again.
        self.gap = gap;
        self.gap.clear();
        Ok(())
    }

    /// Notes what the bytes from `new`, which took the place of those from `from` of `old`, share with them.
    fn compare(&mut self, told: &[u8], new: u64, from: u64, old: &dyn ReadAt) -> Result<()> {
        let mut replaced = vec![0; told.len()];
        old.read_exact_at(from, &mut replaced)?;
        let mut done = 0;
        for run in equal_in_place(&replaced, told, MIN_RUN as usize) {
            self.literals.keep(from + done as u64, &replaced[done..run.start]);
            self.remember(new + run.start as u64, from + run.start as u64, run.len() as u64);
            done = run.end;
        }
        self.literals.keep(from + done as u64, &replaced[done..]);
        Ok(())
    }

    fn remember(&mut self, new: u64, old: u64, len: u64) {
        let count = self.matches.len();
        match self.matches.last_mut() {
            Some(last) if last.new + last.len == new && last.old + last.len == old => last.len += len,
            // What is not remembered is a literal of the reverse delta.
            _ if count < MOST_MATCHES => self.matches.push(Match { new, old, len }),
            _ => {}
        }
    }

    /// How many matches are remembered.
    pub fn matches(&self) -> usize {
        self.matches.len()
    }

    /// Bytes of memory that the old bytes take.
    pub fn literals_cost(&self) -> usize {
        self.literals.cost()
    }

    /// Forgets the old bytes: they can be read again.
    pub fn without_literals(self) -> Self {
        Shared {
            literals: Literals::default(),
            ..self
        }
    }

    /// The pieces that make the old content, of `size` bytes, from the new one, and what is known of its literals.
    pub fn into_pieces(self, size: u64) -> (Vec<Piece>, Literals) {
        (invert(&self.matches, size), self.literals)
    }
}

/// Stretches of an old content that no newer one has, and that need no further look.
#[derive(Default)]
pub struct Literals {
    /// Where a stretch begins in the content, and where its bytes are in `bytes`.
    stretches: BTreeMap<u64, Range<usize>>,
    bytes: Vec<u8>,
}

impl Literals {
    fn keep(&mut self, from: u64, bytes: &[u8]) {
        if !bytes.is_empty() && self.cost() + bytes.len() + STRETCH_COST <= MOST_LITERALS {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            self.stretches.insert(from, start..self.bytes.len());
        }
    }

    fn cost(&self) -> usize {
        self.bytes.len() + self.stretches.len() * STRETCH_COST
    }

    /// The bytes from `from`, if one stretch has them all.
    pub(super) fn get(&self, from: u64, len: u64) -> Option<&[u8]> {
        let (start, range) = self.stretches.range(..=from).next_back()?;
        let (skip, len) = (usize::try_from(from - start).ok()?, usize::try_from(len).ok()?);
        self.bytes[range.clone()].get(skip..)?.get(..len)
    }

    /// The content, of which these stretches are not read from `reader`.
    pub fn over<'a>(&'a self, reader: &'a dyn ReadAt) -> impl ReadAt + 'a {
        Over { literals: self, reader }
    }
}

struct Over<'a> {
    literals: &'a Literals,
    reader: &'a dyn ReadAt,
}

impl ReadAt for Over<'_> {
    fn size(&self) -> u64 {
        self.reader.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        match self.literals.get(offset, buf.len() as u64) {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => self.reader.read_exact_at(offset, buf),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ContentId;
    use crate::delta::testing::{Random, rdiff_patch};
    use crate::delta::{extend, write};

    /// A content that must not be read.
    struct Unreadable(u64);

    impl ReadAt for Unreadable {
        fn size(&self) -> u64 {
            self.0
        }

        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            panic!("{} bytes at {offset} are read", buf.len())
        }
    }

    const BLOCK: usize = 4096;

    /// Tells `new` against `old`: copies of equal blocks in place, and else bytes.
    fn told(old: &[u8], new: &[u8]) -> Shared {
        let mut shared = Shared::default();
        for (index, block) in new.chunks(BLOCK).enumerate() {
            let at = index * BLOCK;
            match old.get(at..at + block.len()) == Some(block) {
                true => shared.matched(at as u64, at as u64, block.len() as u64, &old).unwrap(),
                false => shared.told(block),
            }
        }
        shared
    }

    #[test]
    fn what_changed_in_place_needs_no_further_look() {
        let old = Random::new(1).bytes(40 * BLOCK);
        let mut new = old.clone();
        // Within a block; at the start and the end of one; from one into the next; a whole one.
        [9_000, 9_100, 5 * BLOCK, 7 * BLOCK - 1]
            .iter()
            .for_each(|&at| new[at] ^= 0x55);
        new[10 * BLOCK - 100..10 * BLOCK + 100].fill(7);
        new[20 * BLOCK..21 * BLOCK].copy_from_slice(&Random::new(2).bytes(BLOCK));
        let (pieces, literals) = told(&old, &new).into_pieces(old.len() as u64);
        let nothing = Unreadable(old.len() as u64);
        let pieces = extend(pieces, &literals, &nothing, &nothing).unwrap();
        let mut stream = Vec::new();
        write(&pieces, &literals.over(&nothing), ContentId(1), &mut stream).unwrap();
        assert!(rdiff_patch(&new, &stream) == old);
        assert!(stream.len() < BLOCK + 500, "{} bytes", stream.len());
    }

    #[test]
    fn what_is_not_in_place_or_too_long_is_left() {
        let old = Random::new(3).bytes(100 * BLOCK);
        // Longer than a gap that is compared.
        let mut new = old.clone();
        new[BLOCK..BLOCK + LONGEST_GAP + BLOCK].fill(1);
        assert!(told(&old, &new).literals.stretches.is_empty());
        new[BLOCK..].copy_from_slice(&old[BLOCK..]);
        new[BLOCK..BLOCK + LONGEST_GAP].fill(1);
        assert_eq!(told(&old, &new).literals.bytes.len(), LONGEST_GAP);
        // Inserted, and before the first match.
        let mut shared = Shared::default();
        shared.told(b"first");
        shared.matched(5, 0, 100, &old).unwrap();
        shared.told(b"inserted");
        shared.matched(113, 100, 100, &old).unwrap();
        assert!(shared.literals.stretches.is_empty());
        assert_eq!(shared.matches(), 2);
    }

    #[test]
    fn what_is_damaged_is_not_compared() {
        let short: &[u8] = &[0; 10];
        let mut shared = Shared::default();
        shared.matched(0, 0, 10, &short).unwrap();
        shared.told(b"new");
        shared.matched(13, 13, 10, &short).unwrap();
        assert_eq!((shared.matches(), shared.literals_cost()), (2, 0));
    }

    #[test]
    fn old_bytes_are_kept_up_to_a_bound() {
        let mut literals = Literals::default();
        let stretch = vec![1; 1 << 20];
        (0..100).for_each(|nth| literals.keep(nth << 20, &stretch));
        assert!(literals.cost() <= MOST_LITERALS && literals.cost() > MOST_LITERALS - (2 << 20));
        assert_eq!(literals.get(5, 100), Some(&stretch[..100]));
        assert_eq!(literals.get(99 << 20, 1), None);
        assert_eq!(literals.get((1 << 20) - 1, 2), None);
    }
}
