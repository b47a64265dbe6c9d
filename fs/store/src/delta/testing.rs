//! What the tests of the deltas share: random contents, edits, and readers to compare with.

use std::io::Cursor;

use super::{Map, Source};
use crate::ContentId;

/// A small generator (xorshift64*), so that a failure can be repeated from its seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    /// A next version: a few bytes changed, inserted, removed, moved, repeated or zeroed.
    pub(super) fn edit(&mut self, content: &[u8]) -> Vec<u8> {
        let mut edited = content.to_vec();
        for _ in 0..1 + self.below(6) {
            let at = self.below(edited.len() + 1);
            let len = [3, 200, 6000][self.below(3)];
            let len = self.below(len);
            let end = (at + len).min(edited.len());
            match self.below(6) {
                0 => drop(edited.splice(at..at, self.bytes(len))),
                1 => drop(edited.drain(at..end)),
                2 => edited[at..end].fill(0),
                3 => {
                    let moved: Vec<u8> = edited.drain(at..end).collect();
                    let to = self.below(edited.len() + 1);
                    drop(edited.splice(to..to, moved));
                }
                4 => {
                    let again = edited[at..end].to_vec();
                    drop(edited.splice(at..at, again));
                }
                _ => edited[at..end].iter_mut().step_by(97).for_each(|byte| *byte ^= 0xff),
            }
        }
        edited
    }
}

/// What librsync itself makes of a stream.
pub(super) fn rdiff_patch(base: &[u8], mut stream: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    librsync::whole::patch(&mut Cursor::new(base), &mut stream, &mut out).unwrap();
    out
}

/// The bytes that a map stands for, with the streams that its literals lie in.
pub(super) fn resolve<'a>(map: &Map, base: &[u8], stream: &dyn Fn(ContentId) -> &'a [u8]) -> Vec<u8> {
    let range = |bytes: &[u8], from: u64, len: u64| bytes[from as usize..][..len as usize].to_vec();
    let bytes = map.extents().iter().flat_map(|extent| match extent.source {
        Source::Base(from) => range(base, from, extent.len),
        Source::Literal { content, at } => range(stream(content), at, extent.len),
    });
    bytes.collect()
}
