//! Deltas of small contents, which are in memory whole: made by librsync, applied by us.

use std::io::Cursor;
use std::path::PathBuf;

use librsync::SignatureType;

use super::format;
use super::map::Source;
use crate::{ContentId, Error, Result};

/// Blocks that a small content is cut into, so that an edit costs about 1/256 of it.
const BLOCKS: usize = 256;
/// Shorter blocks cost more in commands than they save in literals.
const SMALLEST_BLOCK: usize = 16;
const LARGEST_BLOCK: usize = 2048;
/// The signature never leaves memory, so its sums are long enough to be beyond doubt.
const STRONG_LEN: usize = 32;

/// The most that [`apply`] makes, in bytes. A damaged stream of a few bytes could ask for far more.
const MAX_APPLIED: u64 = 256 << 20;

/// The reverse delta of a small content: a stream that makes `old` from `new`.
///
/// Fails with [`Error::Io`], "delta stream", if librsync does.
pub fn delta(old: &[u8], new: &[u8]) -> Result<Vec<u8>> {
    let block = (new.len() / BLOCKS)
        .clamp(SMALLEST_BLOCK, LARGEST_BLOCK)
        .next_power_of_two();
    let (mut signature, mut stream) = (Vec::new(), Vec::new());
    librsync::whole::signature_with_options(
        &mut Cursor::new(new),
        &mut signature,
        block,
        STRONG_LEN,
        SignatureType::Blake2,
    )
    .map_err(failed)?;
    librsync::whole::delta(&mut Cursor::new(old), &mut signature.as_slice(), &mut stream).map_err(failed)?;
    Ok(stream)
}

fn failed(source: librsync::Error) -> Error {
    Error::Io {
        path: PathBuf::from("delta stream"),
        source: std::io::Error::other(source),
    }
}

/// What `stream` makes of `base`.
///
/// Fails with [`Error::Damaged`] if the stream is damaged, refers to bytes that the base does not
/// have, or makes more than 256 MiB.
pub fn apply(base: &[u8], stream: &[u8]) -> Result<Vec<u8>> {
    let map = format::parse(stream, ContentId(0))?;
    if map.size() > MAX_APPLIED {
        return Err(Error::Damaged(format!(
            "a delta of a small content makes {} bytes",
            map.size()
        )));
    }
    let mut target = Vec::with_capacity(map.size() as usize);
    for extent in map.extents() {
        let (bytes, from) = match extent.source {
            Source::Base(from) => (base, from),
            Source::Literal { at, .. } => (stream, at),
        };
        let range = from as usize..(from + extent.len) as usize;
        let found = bytes.get(range).ok_or_else(|| {
            let len = extent.len;
            Error::Damaged(format!(
                "a delta copies {len} bytes at {from} of a base of {} bytes",
                base.len()
            ))
        })?;
        target.extend_from_slice(found);
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::testing::{Random, rdiff_patch};
    use proptest::prelude::*;

    #[test]
    fn a_small_edit_makes_a_small_delta() {
        for size in [2_000, 20_000, 200_000] {
            let old = Random::new(1).bytes(size);
            let mut new = old.clone();
            new.splice(size / 2..size / 2 + 3, *b"edited");
            let stream = delta(&old, &new).unwrap();
            assert!(
                stream.len() < 64 + 2 * (size / 256).next_power_of_two(),
                "{} of {size}",
                stream.len()
            );
            assert!(apply(&new, &stream).unwrap() == old);
        }
    }

    #[test]
    fn empty_contents_work() {
        for (old, new) in [(&b""[..], &b""[..]), (b"x", b""), (b"", b"x")] {
            assert_eq!(apply(new, &delta(old, new).unwrap()).unwrap(), old);
        }
    }

    #[test]
    fn what_lies_past_the_base_or_is_too_much_is_damage() {
        let copy = |len: u64| {
            let mut stream = format::StreamWriter::new(Vec::new()).unwrap();
            stream.copy(1, len).unwrap();
            stream.finish().unwrap()
        };
        assert_eq!(apply(b"12345", &copy(4)).unwrap(), b"2345");
        for len in [5, MAX_APPLIED, MAX_APPLIED + 1, 1 << 62] {
            assert!(matches!(apply(b"12345", &copy(len)), Err(Error::Damaged(_))), "{len}");
        }
    }

    proptest! {
        #[test]
        fn librsync_and_we_read_its_deltas_alike(seed in any::<u64>(), len in 0usize..30_000) {
            let mut random = Random::new(seed);
            let old = random.bytes(len);
            let new = random.edit(&old);
            let stream = delta(&old, &new).unwrap();
            prop_assert!(apply(&new, &stream).unwrap() == old);
            prop_assert!(rdiff_patch(&new, &stream) == old);
        }
    }
}
