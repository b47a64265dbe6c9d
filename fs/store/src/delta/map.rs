//! The map of a delta: for each range of the target, where its bytes lie.
//!
//! A [`Map`] is what a delta says once its literals are left out, so it opens fast and composes
//! along a chain. Its extents are sorted, not empty, and lie end to end from 0 to [`Map::size`].
//!
//! Encoded, for the map of one delta (integers are LEB128 varints):
//!
//! ```text
//! 01                     version
//! count                  number of extents, then for each:
//!   len << 1 | literal     bytes of the target
//!   zigzag(start - next)   where they begin, less where the last extent of this kind ended
//! ```

use super::format::MAX_SIZE;
use crate::{ContentId, Error, Result};

/// The first byte of an encoded map.
const VERSION: u8 = 1;

/// Where the bytes of an [`Extent`] lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the base, from this offset.
    Base(u64),
    /// Among the literals of a delta.
    Literal {
        /// The content whose delta it is.
        content: ContentId,
        /// Offset of the bytes themselves (not of their command) in that delta's stream.
        at: u64,
    },
}

impl Source {
    /// The same source, `by` bytes further on.
    fn advance(self, by: u64) -> Self {
        match self {
            Source::Base(from) => Source::Base(from + by),
            Source::Literal { content, at } => Source::Literal { content, at: at + by },
        }
    }
}

/// A range of the target and where its bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Offset in the target.
    pub at: u64,
    /// Bytes; never 0.
    pub len: u64,
    /// Where they are found.
    pub source: Source,
}

impl Extent {
    fn end(&self) -> u64 {
        self.at + self.len
    }
}

/// How a target is made of ranges of a base and of literals. See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    extents: Vec<Extent>,
}

impl Map {
    /// The map of an empty target.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `len` bytes that lie at `source`; merges them with the last extent where they go
    /// on from it, and ignores 0 bytes.
    pub fn push(&mut self, len: u64, source: Source) {
        if len == 0 {
            return;
        }
        let at = self.size();
        match self.extents.last_mut() {
            Some(last) if last.source.advance(last.len) == source => last.len += len,
            _ => self.extents.push(Extent { at, len, source }),
        }
    }

    /// Bytes of the target.
    pub fn size(&self) -> u64 {
        self.extents.last().map_or(0, Extent::end)
    }

    /// The extents, in order of the target.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The extents of `len` bytes from `offset` of the target, clipped to that range. What lies
    /// past the end of the target is left out.
    pub fn slice(&self, offset: u64, len: u64) -> impl Iterator<Item = Extent> + '_ {
        let end = offset.saturating_add(len);
        let first = self.extents.partition_point(|extent| extent.end() <= offset);
        self.extents[first..].iter().take_while(move |extent| extent.at < end).map(move |extent| {
            let at = extent.at.max(offset);
            let source = extent.source.advance(at - extent.at);
            Extent { at, len: extent.end().min(end) - at, source }
        })
    }

    /// Puts two steps into one: `self` makes a target from a middle, `base` makes that middle from
    /// a bottom, the result makes the target from the bottom. Literals of `self` stay as they are.
    ///
    /// Fails with [`Error::Damaged`] if `self` refers to bytes past the end of the middle.
    pub fn compose(&self, base: &Map) -> Result<Map> {
        let mut composed = Map::new();
        for extent in &self.extents {
            match extent.source {
                Source::Literal { .. } => composed.push(extent.len, extent.source),
                Source::Base(from) => {
                    check_inside(from, extent.len, base.size())?;
                    base.slice(from, extent.len).for_each(|part| composed.push(part.len, part.source));
                }
            }
        }
        composed.extents.shrink_to_fit();
        Ok(composed)
    }

    /// The map as bytes. Which content a literal belongs to is not kept: only the map of one delta
    /// can be encoded, not a composed one.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_varint(&mut out, self.extents.len() as u64);
        let mut next = Next::default();
        for extent in &self.extents {
            let (literal, start) = match extent.source {
                Source::Base(from) => (false, from),
                Source::Literal { at, .. } => (true, at),
            };
            put_varint(&mut out, extent.len << 1 | u64::from(literal));
            put_varint(&mut out, zigzag(start.wrapping_sub(*next.of(literal)) as i64));
            *next.of(literal) = start + extent.len;
        }
        out
    }

    /// Reads what [`Map::encode`] wrote; `content` is the content whose delta this is the map of.
    ///
    /// Fails with [`Error::Damaged`] on anything that `encode` cannot have written.
    pub fn decode(bytes: &[u8], content: ContentId) -> Result<Map> {
        let rest = match bytes.split_first() {
            Some((&VERSION, rest)) => rest,
            Some((version, _)) => return Err(damaged(&format!("unknown version {version}"))),
            None => return Err(damaged("is empty")),
        };
        let mut input = Input(rest);
        let count = input.varint()?;
        let mut map = Map::new();
        // An extent has at least two bytes: no count makes us reserve more than the input is worth.
        map.extents.reserve_exact(count.min(rest.len() as u64 / 2) as usize);
        let mut next = Next::default();
        for _ in 0..count {
            let head = input.varint()?;
            let (len, literal) = (head >> 1, head & 1 == 1);
            let start = next.of(literal).wrapping_add(unzigzag(input.varint()?) as u64);
            check_extent(map.size(), start, len)?;
            *next.of(literal) = start + len;
            map.push(len, if literal { Source::Literal { content, at: start } } else { Source::Base(start) });
        }
        if !input.0.is_empty() {
            return Err(damaged("has bytes after its end"));
        }
        Ok(map)
    }

    /// Bytes of memory that the map takes, for caches that are bounded.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.extents.capacity() * size_of::<Extent>()
    }
}

/// Where the next extent of each kind begins if it goes on from the last one.
#[derive(Default)]
struct Next([u64; 2]);

impl Next {
    fn of(&mut self, literal: bool) -> &mut u64 {
        &mut self.0[usize::from(literal)]
    }
}

fn check_inside(from: u64, len: u64, size: u64) -> Result<()> {
    match from.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => Err(damaged(&format!("copies {len} bytes at {from} of a base of {size} bytes"))),
    }
}

/// Keeps every sum of offset and length below [`MAX_SIZE`], so that nothing later can overflow.
fn check_extent(at: u64, start: u64, len: u64) -> Result<()> {
    let fits = |from: u64| from.checked_add(len).is_some_and(|end| end <= MAX_SIZE);
    if len == 0 || !fits(at) || !fits(start) {
        return Err(damaged(&format!("has an extent of {len} bytes at {at} from {start}")));
    }
    Ok(())
}

fn damaged(what: &str) -> Error {
    Error::Damaged(format!("the map of a delta {what}"))
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// What is left of an encoded map.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or_else(|| damaged("is cut short"))?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(damaged("has a number of more than 64 bits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONTENT: ContentId = ContentId(7);

    fn literal(at: u64) -> Source {
        Source::Literal { content: CONTENT, at }
    }

    fn map_of(parts: &[(u64, Source)]) -> Map {
        let mut map = Map::new();
        parts.iter().for_each(|&(len, source)| map.push(len, source));
        map
    }

    fn any_map() -> impl Strategy<Value = Map> {
        let source = prop_oneof![(0..1u64 << 50).prop_map(Source::Base), (5..1u64 << 50).prop_map(literal)];
        prop::collection::vec((1..1u64 << 40, source), 0..40).prop_map(|parts| map_of(&parts))
    }

    #[test]
    fn extents_that_go_on_are_merged() {
        let other = Source::Literal { content: ContentId(8), at: 25 };
        let map = map_of(&[
            (10, Source::Base(5)),
            (3, Source::Base(15)),
            (0, Source::Base(99)),
            (5, literal(20)),
            (5, other),
        ]);
        let expected = [(0, 13, Source::Base(5)), (13, 5, literal(20)), (18, 5, other)];
        assert_eq!(map.extents(), expected.map(|(at, len, source)| Extent { at, len, source }));
        assert_eq!(map.size(), 23);
    }

    #[test]
    fn a_slice_is_clipped_at_both_ends() {
        let map = map_of(&[(10, Source::Base(100)), (10, literal(5)), (10, Source::Base(0))]);
        let slice: Vec<_> = map.slice(4, 20).map(|e| (e.at, e.len, e.source)).collect();
        assert_eq!(slice, [(4, 6, Source::Base(104)), (10, 10, literal(5)), (20, 4, Source::Base(0))]);
        assert_eq!(map.slice(25, u64::MAX).map(|e| e.len).sum::<u64>(), 5);
        assert_eq!(map.slice(30, 1).count() + map.slice(10, 0).count() + Map::new().slice(0, 9).count(), 0);
    }

    #[test]
    fn composing_splits_along_the_base_and_refuses_what_lies_past_it() {
        let base = map_of(&[(10, Source::Base(100)), (10, Source::Literal { content: ContentId(8), at: 50 })]);
        let map = map_of(&[(4, literal(5)), (8, Source::Base(6))]);
        let middle = Source::Literal { content: ContentId(8), at: 50 };
        assert_eq!(map.compose(&base).unwrap(), map_of(&[(4, literal(5)), (4, Source::Base(106)), (4, middle)]));
        for from in [13, u64::MAX] {
            let past = Map { extents: vec![Extent { at: 0, len: 8, source: Source::Base(from) }] };
            assert!(matches!(past.compose(&base), Err(Error::Damaged(_))));
        }
    }

    /// A fixture of format 1: read for ever.
    #[test]
    fn version_one_stays_readable() {
        let map = map_of(&[(200, Source::Base(1000)), (3, literal(6)), (50, Source::Base(900))]);
        let bytes = [1, 3, 0x90, 0x03, 0xd0, 0x0f, 7, 12, 100, 0xd7, 0x04];
        assert_eq!(map.encode(), bytes);
        assert_eq!(Map::decode(&bytes, CONTENT).unwrap(), map);
    }

    #[test]
    fn hostile_encodings_are_refused() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        let cases: [&[u8]; 7] = [
            &[],
            &[2, 0],
            &[1],
            &[1, 1, 0, 0],                   // zero length
            &[1, 1, 2, 1],                   // begins before 0
            &[1, 0, 0],                      // bytes after the end
            &[&[1u8, 1][..], &huge, &[0]].concat(), // 2^63 - 1 bytes, as literal at 0: fits; see below
        ];
        for bytes in &cases[..6] {
            assert!(matches!(Map::decode(bytes, CONTENT), Err(Error::Damaged(_))), "{bytes:?}");
        }
        assert_eq!(Map::decode(cases[6], CONTENT).unwrap().size(), MAX_SIZE);
        let twice = [&[1u8, 2][..], &huge, &[0], &huge, &[0]].concat();
        assert!(Map::decode(&twice, CONTENT).is_err());
        assert!(Map::decode(&[&[1u8, 1][..], &[0xff; 9], &[2]].concat(), CONTENT).is_err());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(map in any_map()) {
            prop_assert_eq!(Map::decode(&map.encode(), CONTENT).unwrap(), map);
        }

        #[test]
        fn mutated_encodings_never_panic(map in any_map(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in any::<prop::sample::Index>()) {
            let mut bytes = map.encode();
            flips.iter().for_each(|(at, byte)| { let at = at.index(bytes.len()); bytes[at] = *byte; });
            let _ = Map::decode(&bytes, CONTENT).map(|map| (map.compose(&map), map.slice(3, 1 << 40).count()));
            bytes.truncate(cut.index(bytes.len()));
            let _ = Map::decode(&bytes, CONTENT);
        }
    }
}
