//! The map of one delta as bytes, so that it opens without its literals being read.
//!
//! Integers are LEB128 varints:
//!
//! ```text
//! 01                     version
//! count                  number of extents, then for each:
//!   len << 1 | literal     bytes of the target
//!   zigzag(start - next)   where they begin, less where the last extent of this kind ended
//! ```

use super::format::MAX_SIZE;
use super::map::{Map, Source, damaged};
use crate::{ContentId, Result};

/// The first byte of an encoded map.
const VERSION: u8 = 1;

impl Map {
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

    /// The number of extents that an encoded map says it has, of which its first 11 bytes are enough; 0 if it is none.
    pub fn count(bytes: &[u8]) -> u64 {
        let count = bytes.split_first().map(|(_, rest)| Input(rest).varint());
        count.and_then(Result::ok).unwrap_or(0)
    }

    /// Reads what [`Map::encode`] wrote; `content` is the content whose delta this is the map of.
    ///
    /// Fails with [`Error::Damaged`](crate::Error::Damaged) on anything that `encode` cannot have written.
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
            map.push(
                len,
                if literal {
                    Source::Literal { content, at: start }
                } else {
                    Source::Base(start)
                },
            );
        }
        if !input.0.is_empty() {
            return Err(damaged("has bytes after its end"));
        }
        Ok(map)
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

/// Keeps every sum of offset and length below [`MAX_SIZE`], so that nothing later can overflow.
fn check_extent(at: u64, start: u64, len: u64) -> Result<()> {
    let fits = |from: u64| from.checked_add(len).is_some_and(|end| end <= MAX_SIZE);
    if len == 0 || !fits(at) || !fits(start) {
        return Err(damaged(&format!("has an extent of {len} bytes at {at} from {start}")));
    }
    Ok(())
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
    use crate::Error;
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
        let source = prop_oneof![
            (0..1u64 << 50).prop_map(Source::Base),
            (5..1u64 << 50).prop_map(literal)
        ];
        prop::collection::vec((1..1u64 << 40, source), 0..40).prop_map(|parts| map_of(&parts))
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
        let cases: [&[u8]; 6] = [
            &[],
            &[2, 0],       // another version
            &[1],          // cut short
            &[1, 1, 0, 0], // zero length
            &[1, 1, 2, 1], // begins before 0
            &[1, 0, 0],    // bytes after the end
        ];
        for bytes in cases {
            assert!(
                matches!(Map::decode(bytes, CONTENT), Err(Error::Damaged(_))),
                "{bytes:?}"
            );
        }
        let once = [&[1u8, 1][..], &huge, &[0]].concat();
        assert_eq!(Map::decode(&once, CONTENT).unwrap().size(), MAX_SIZE);
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
