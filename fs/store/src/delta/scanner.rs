//! The scanner: finds the blocks of a base anywhere in a stream of bytes.
//!
//! ```text
//!   buffer  ├─ literal ─┼── window ──┼─ not yet seen ─┤
//!           start       at           at + block        len
//! ```
//!
//! The window moves byte by byte; its weak hash is asked of the filter, which nearly always says
//! no. A window that is a block becomes a copy, and the next one begins after it. Time is linear
//! in the stream whatever its bytes are: equal blocks are searched by halving, and weak hashes
//! that were made to collide run into a budget. Memory is bounded: about 640 KiB, or a good two
//! blocks where these are large.

use super::rolling::{self, Rolling};
use super::signature::{Filter, Signature};
use crate::Result;

/// The longest [`Op::Literal`], in bytes.
pub const MAX_LITERAL_OP: usize = 128 << 10;

/// The least room for bytes not yet seen when the buffer is moved to its front.
const ROOM: usize = 256 << 10;

/// Windows whose weak hash is found and whose strong one is not, beyond which they must be rare:
/// one for each block length of the stream. By chance it hardly happens once in a lifetime.
const FREE_MISSES: u64 = 1024;

/// The next bytes of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// These bytes, at most [`MAX_LITERAL_OP`]; never none.
    Literal(&'a [u8]),
    /// Bytes that the base has. Copies that go on from one another come as one.
    Copy {
        /// Offset in the base.
        from: u64,
        /// Bytes; never 0.
        len: u64,
    },
}

/// Scans a stream of unknown length, pushed to it in parts of any size, against a [`Signature`].
/// What it finds goes to a function as a sequence of [`Op`]s; the error of that function ends the
/// scan and comes back from the call, after which the scanner is of no more use.
pub struct Scanner<'a, F> {
    signature: &'a Signature,
    rolling: Rolling,
    emit: F,
    buffer: Vec<u8>,
    /// Where the literal that was not emitted begins in `buffer`.
    start: usize,
    /// Where the window begins in `buffer`.
    at: usize,
    /// The weak hash of the window, once that has been looked up.
    weak: Option<u64>,
    /// The copy that may still go on: offset in the base, bytes. It comes before the literal.
    copy: Option<(u64, u64)>,
    /// Where the base would go on at `start` if the stream had been changed in place.
    base: u64,
    /// Bytes of the stream before `buffer`.
    gone: u64,
    misses: u64,
}

impl<'a, F: FnMut(Op<'_>) -> Result<()>> Scanner<'a, F> {
    /// Begins a stream; `emit` gets what is found in it.
    pub fn new(signature: &'a Signature, emit: F) -> Self {
        let rolling = Rolling::new(signature.block_len());
        let block = signature.block_len() as usize;
        let buffer = Vec::with_capacity(MAX_LITERAL_OP + block + ROOM.max(block));
        Self {
            signature,
            rolling,
            emit,
            buffer,
            start: 0,
            at: 0,
            weak: None,
            copy: None,
            base: 0,
            gone: 0,
            misses: 0,
        }
    }

    /// The next bytes of the stream. Fails only if `emit` does.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if self.buffer.len() == self.buffer.capacity() {
                self.make_room();
            }
            let room = self.buffer.capacity() - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            self.scan()?;
            bytes = later;
        }
        Ok(())
    }

    /// Ends the stream: emits what was held back. Fails only if `emit` does.
    pub fn finish(mut self) -> Result<()> {
        self.at = self.buffer.len();
        self.flush_literal()?;
        self.flush_copy()
    }

    fn block(&self) -> usize {
        self.signature.block_len() as usize
    }

    /// Drops what has been emitted. What stays is less than a literal and a block.
    fn make_room(&mut self) {
        self.buffer.drain(..self.start);
        self.gone += self.start as u64;
        self.at -= self.start;
        self.start = 0;
    }

    /// Moves the window as far as the bytes in the buffer reach.
    fn scan(&mut self) -> Result<()> {
        while self.at + self.block() <= self.buffer.len() {
            let found = match self.weak {
                Some(weak) => match self.roll(weak) {
                    Some(weak) => self.look_up(weak),
                    None => break,
                },
                None => self.look_up(rolling::hash(&self.buffer[self.at..][..self.block()])),
            };
            if let Some(from) = found {
                self.take_block(from)?;
            } else if self.at - self.start >= MAX_LITERAL_OP {
                self.flush_literal()?;
            }
        }
        Ok(())
    }

    /// Moves the window by at least one byte, until its hash passes the filter or the literal is
    /// as long as may be. `None` at the end of the buffer.
    fn roll(&mut self, weak: u64) -> Option<u64> {
        let end = self.buffer.len() - self.block();
        let steps = (end - self.at).min(MAX_LITERAL_OP - (self.at - self.start));
        if steps == 0 {
            return None;
        }
        let leaving = &self.buffer[self.at..][..steps];
        let entering = &self.buffer[self.at + self.block()..][..steps];
        let (rolled, weak) = roll_until_passed(self.rolling, self.signature.filter(), weak, leaving, entering);
        self.at += rolled;
        self.weak = Some(weak);
        Some(weak)
    }

    /// Where in the base the window lies, whose hash is `weak`.
    fn look_up(&mut self, weak: u64) -> Option<u64> {
        self.weak = Some(weak);
        if !self.signature.filter().passes(weak) {
            return None;
        }
        let rows = self.signature.rows(weak);
        if rows.is_empty() || self.misses > self.allowed_misses() {
            return None;
        }
        let expected = self.base.saturating_add((self.at - self.start) as u64);
        let found = self
            .signature
            .find(rows, &self.buffer[self.at..][..self.block()], expected);
        self.misses += u64::from(found.is_none());
        found
    }

    fn allowed_misses(&self) -> u64 {
        FREE_MISSES + (self.gone + self.at as u64) / self.block() as u64
    }

    /// The window is the block of the base at `from`.
    fn take_block(&mut self, from: u64) -> Result<()> {
        let len = self.block() as u64;
        self.flush_literal()?;
        match &mut self.copy {
            Some((start, so_far)) if *start + *so_far == from => *so_far += len,
            _ => {
                self.flush_copy()?;
                self.copy = Some((from, len));
            }
        }
        self.at += self.block();
        self.start = self.at;
        self.weak = None;
        self.base = from.saturating_add(len);
        Ok(())
    }

    /// Emits the bytes before the window, if any, after the copy that comes before them.
    fn flush_literal(&mut self) -> Result<()> {
        if self.start < self.at {
            self.flush_copy()?;
            for literal in self.buffer[self.start..self.at].chunks(MAX_LITERAL_OP) {
                (self.emit)(Op::Literal(literal))?;
            }
            self.base = self.base.saturating_add((self.at - self.start) as u64);
            self.start = self.at;
        }
        Ok(())
    }

    fn flush_copy(&mut self) -> Result<()> {
        match self.copy.take() {
            Some((from, len)) => (self.emit)(Op::Copy { from, len }),
            None => Ok(()),
        }
    }
}

/// Rolls over the bytes until a hash passes; returns how many were rolled and the hash then.
#[inline(never)]
fn roll_until_passed(
    rolling: Rolling,
    filter: &Filter,
    mut hash: u64,
    leaving: &[u8],
    entering: &[u8],
) -> (usize, u64) {
    for (i, (&leaving, &entering)) in leaving.iter().zip(entering).enumerate() {
        hash = rolling.roll(hash, leaving, entering);
        if filter.passes(hash) {
            return (i + 1, hash);
        }
    }
    (leaving.len(), hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::delta::SignatureBuilder;
    use crate::delta::testing::Random;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq)]
    enum Found {
        Literal(Vec<u8>),
        Copy(u64, u64),
    }

    fn signature(base: &[u8], block: u32) -> Signature {
        let mut builder = SignatureBuilder::new(block);
        let offsets = (0..).step_by(block as usize);
        base.chunks(block as usize)
            .zip(offsets)
            .for_each(|(bytes, at)| builder.block(at, bytes));
        builder.finish()
    }

    fn scan(signature: &Signature, new: &[u8], part: usize) -> Vec<Found> {
        let mut found = Vec::new();
        let mut scanner = Scanner::new(signature, |op| {
            found.push(match op {
                Op::Literal(bytes) => Found::Literal(bytes.to_vec()),
                Op::Copy { from, len } => Found::Copy(from, len),
            });
            Ok(())
        });
        new.chunks(part).for_each(|part| scanner.push(part).unwrap());
        scanner.finish().unwrap();
        found
    }

    fn restore(base: &[u8], found: &[Found]) -> Vec<u8> {
        let bytes = found.iter().flat_map(|found| match found {
            Found::Literal(bytes) => bytes,
            Found::Copy(from, len) => &base[*from as usize..][..*len as usize],
        });
        bytes.copied().collect()
    }

    #[test]
    fn blocks_are_found_wherever_they_moved() {
        let base = Random::new(1).bytes(1 << 20);
        let new = [b"before", &base[..500_000], b"between", &base[600_000..]].concat();
        let found = scan(&signature(&base, 2048), &new, 1000);
        assert!(restore(&base, &found) == new);
        let lengths: Vec<usize> = found
            .iter()
            .map(|f| if let Found::Literal(l) = f { l.len() } else { 0 })
            .collect();
        assert!(
            found.len() == 4 && lengths.iter().sum::<usize>() < 13 + 2 * 2048,
            "{lengths:?}"
        );
        assert_eq!(
            scan(&signature(&base, 2048), &base, usize::MAX),
            [Found::Copy(0, 1 << 20)]
        );
    }

    #[test]
    fn literals_are_bounded_and_an_empty_base_or_stream_works() {
        let new = Random::new(2).bytes(1_000_000);
        for base in [&b""[..], &Random::new(3).bytes(100_000)] {
            let found = scan(&signature(base, 2048), &new, 70_000);
            assert!(restore(base, &found) == new);
            assert!(
                found
                    .iter()
                    .all(|f| matches!(f, Found::Literal(l) if l.len() <= MAX_LITERAL_OP))
            );
            assert!(found.len() <= 9);
        }
        assert_eq!(scan(&signature(&new, 2048), b"", 1), []);
    }

    #[test]
    fn equal_blocks_are_copied_in_order() {
        let base = [vec![0; 64], vec![7; 64], vec![0; 640], vec![8; 64]].concat();
        let signature = signature(&base, 64);
        assert_eq!(scan(&signature, &base, 100), [Found::Copy(0, base.len() as u64)]);
        // A block changed in place: the zeros after it go on at their own place, not at the first.
        let mut new = base.clone();
        new[64..128].fill(9);
        let expected = [Found::Copy(0, 64), Found::Literal(vec![9; 64]), Found::Copy(128, 704)];
        assert_eq!(scan(&signature, &new, 100), expected);
    }

    /// Quadratic behaviour would take hours here.
    #[test]
    fn repetitive_data_takes_linear_time() {
        let zeros = vec![0u8; 32 << 20];
        let signature = signature(&zeros, 2048);
        assert_eq!(scan(&signature, &zeros, 1 << 20), [Found::Copy(0, 32 << 20)]);
        let mut odd = zeros;
        odd.iter_mut().step_by(2047).for_each(|byte| *byte = 1);
        assert!(restore(&[], &scan(&signature, &odd, 1 << 20)) == odd);
    }

    /// Blocks with the weak hash of a window, but other bytes: the scan must not hash each window.
    #[test]
    fn misses_run_into_the_budget() {
        let forged = signature(&vec![0; 1 << 16], 1 << 16).with_forged_strong();
        let new = vec![0; 8 << 20];
        assert!(restore(&[], &scan(&forged, &new, 1 << 20)) == new);
    }

    #[test]
    fn the_error_of_the_function_comes_back() {
        let signature = signature(b"", 8);
        let mut scanner = Scanner::new(&signature, |_| Err(Error::Refused("enough".into())));
        assert!(matches!(scanner.push(&vec![1; 1 << 20]), Err(Error::Refused(_))));
    }

    proptest! {
        #[test]
        fn the_new_content_comes_back(seed in any::<u64>(), block in 1u32..300, part in 1usize..5000) {
            let mut random = Random::new(seed);
            let len = random.below(20_000);
            let base = random.bytes(len);
            let new = random.edit(&base);
            let found = scan(&signature(&base, block), &new, part);
            prop_assert!(restore(&base, &found) == new);
            prop_assert!(found == scan(&signature(&base, block), &new, usize::MAX));
        }
    }
}
