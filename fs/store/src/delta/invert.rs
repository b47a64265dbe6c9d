//! Inversion: the delta that makes new from old, turned into the one that makes old from new.
//!
//! The forward delta says which ranges both contents share. Sorted by where they lie in the old
//! content they are the copies of the reverse delta; what they leave uncovered is literal. Nothing
//! is scanned again.

use std::io::Write;
use std::path::PathBuf;

use super::compare::ReadAt;
use super::format::{MAX_LITERAL, StreamWriter};
use super::map::{Map, Source};
use crate::{ContentId, Error, Result};

/// The most that is read of the old content at once, in bytes.
const READ: u64 = 64 << 10;

/// A range that both contents share: `new[new..new + len] == old[old..old + len]`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Offset in the new content.
    pub new: u64,
    /// Offset in the old content.
    pub old: u64,
    /// Bytes.
    pub len: u64,
}

/// The next bytes of the old content, as the reverse delta gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// They lie in the new content.
    Copy {
        /// Offset in the new content.
        from: u64,
        /// Bytes.
        len: u64,
    },
    /// They are kept as they are.
    Literal {
        /// Offset in the old content.
        from: u64,
        /// Bytes.
        len: u64,
    },
}

impl Piece {
    /// Bytes of the old content.
    pub fn len(&self) -> u64 {
        match *self {
            Piece::Copy { len, .. } | Piece::Literal { len, .. } => len,
        }
    }

    /// Whether it gives no byte at all. Pieces from [`invert`] never do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Pieces in order of the old content; those that go on from one another are merged.
#[derive(Default)]
pub(super) struct Pieces {
    pieces: Vec<Piece>,
    /// Bytes of the old content covered so far.
    end: u64,
}

impl Pieces {
    /// Pieces of the old content from `start` on.
    pub(super) fn from(start: u64) -> Self {
        Pieces {
            pieces: Vec::new(),
            end: start,
        }
    }

    pub(super) fn copy(&mut self, from: u64, len: u64) {
        match self.pieces.last_mut() {
            Some(Piece::Copy {
                from: last,
                len: last_len,
            }) if *last + *last_len == from => *last_len += len,
            _ if len > 0 => self.pieces.push(Piece::Copy { from, len }),
            _ => {}
        }
        self.end += len;
    }

    pub(super) fn literal(&mut self, len: u64) {
        match self.pieces.last_mut() {
            Some(Piece::Literal { len: last_len, .. }) => *last_len += len,
            _ if len > 0 => self.pieces.push(Piece::Literal { from: self.end, len }),
            _ => {}
        }
        self.end += len;
    }

    /// Adds pieces that go on from these.
    pub(super) fn append(&mut self, others: Pieces) {
        for piece in others.pieces {
            match piece {
                Piece::Copy { from, len } => self.copy(from, len),
                Piece::Literal { len, .. } => self.literal(len),
            }
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn into_vec(self) -> Vec<Piece> {
        self.pieces
    }
}

/// The pieces that make an old content of `old_size` bytes: they cover it exactly and in order.
/// Matches may come in any order and overlap; what lies outside the old content is ignored.
pub fn invert(matches: &[Match], old_size: u64) -> Vec<Piece> {
    let mut sorted: Vec<Match> = matches
        .iter()
        .copied()
        .filter(|m| m.new.checked_add(m.len).is_some())
        .collect();
    // Of matches that begin together the longest goes first: it makes the others superfluous.
    sorted.sort_unstable_by_key(|m| (m.old, u64::MAX - m.len, m.new));
    let mut pieces = Pieces::default();
    for m in sorted {
        let start = m.old.max(pieces.end());
        let end = m.old.saturating_add(m.len).min(old_size);
        if start < end {
            pieces.literal(start - pieces.end());
            pieces.copy(m.new + (start - m.old), end - start);
        }
    }
    pieces.literal(old_size - pieces.end());
    pieces.into_vec()
}

/// Writes the pieces as a delta stream to `out` (not flushed), with the literals from `old`, and
/// returns its map; the literals are those of `content`.
///
/// Fails with [`Error::Damaged`] where `old` is too short, with its own errors, and with
/// [`Error::Io`] where `out` fails: no path is known here, so it says "delta stream".
pub fn write(pieces: &[Piece], old: &dyn ReadAt, content: ContentId, out: &mut dyn Write) -> Result<Map> {
    let mut map = Map::new();
    let mut stream = StreamWriter::new(out).map_err(out_failed)?;
    for piece in pieces {
        match *piece {
            Piece::Copy { from, len } => {
                stream.copy(from, len).map_err(out_failed)?;
                map.push(len, Source::Base(from));
            }
            Piece::Literal { from, len } => {
                for_chunks(from, len, MAX_LITERAL, |from, len| {
                    stream.begin_literal(len).map_err(out_failed)?;
                    map.push(
                        len,
                        Source::Literal {
                            content,
                            at: stream.position(),
                        },
                    );
                    copy_literal(&mut stream, old, from, len)
                })?;
            }
        }
    }
    stream.finish().map_err(out_failed)?;
    Ok(map)
}

fn copy_literal<W: Write>(stream: &mut StreamWriter<W>, old: &dyn ReadAt, from: u64, len: u64) -> Result<()> {
    let mut buf = vec![0; READ.min(len) as usize];
    for_chunks(from, len, READ, |from, len| {
        let chunk = &mut buf[..len as usize];
        old.read_exact_at(from, chunk)?;
        stream.literal_bytes(chunk).map_err(out_failed)
    })
}

/// Calls `each` with the offset and the length of stretches of at most `max` bytes.
fn for_chunks(from: u64, len: u64, max: u64, mut each: impl FnMut(u64, u64) -> Result<()>) -> Result<()> {
    let mut done = 0;
    while done < len {
        let chunk = max.min(len - done);
        each(from + done, chunk)?;
        done += chunk;
    }
    Ok(())
}

fn out_failed(source: std::io::Error) -> Error {
    Error::Io {
        path: PathBuf::from("delta stream"),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::testing::{Random, rdiff_patch, resolve};
    use proptest::prelude::*;

    fn copy(from: u64, len: u64) -> Piece {
        Piece::Copy { from, len }
    }

    fn literal(from: u64, len: u64) -> Piece {
        Piece::Literal { from, len }
    }

    #[test]
    fn gaps_become_literals_and_overlaps_are_trimmed() {
        let matches = [
            Match {
                new: 100,
                old: 50,
                len: 20,
            },
            Match {
                new: 0,
                old: 10,
                len: 20,
            },
            Match {
                new: 220,
                old: 60,
                len: 20,
            },
            Match {
                new: 300,
                old: 12,
                len: 5,
            },
        ];
        let expected = [
            literal(0, 10),
            copy(0, 20),
            literal(30, 20),
            copy(100, 20),
            copy(230, 10),
            literal(80, 20),
        ];
        assert_eq!(invert(&matches, 100), expected);
        assert_eq!(invert(&[], 5), [literal(0, 5)]);
        assert_eq!(invert(&matches, 0), []);
    }

    #[test]
    fn copies_that_go_on_in_both_are_merged() {
        let matches = [
            Match {
                new: 17,
                old: 10,
                len: 10,
            },
            Match {
                new: 7,
                old: 0,
                len: 10,
            },
        ];
        assert_eq!(invert(&matches, 20), [copy(7, 20)]);
    }

    #[test]
    fn a_literal_over_the_limit_is_mapped_where_its_bytes_lie() {
        let old = Random::new(3).bytes(MAX_LITERAL as usize + 100);
        let mut stream = Vec::new();
        let map = write(&invert(&[], old.size()), &old, ContentId(1), &mut stream).unwrap();
        assert_eq!(map.extents().len(), 2);
        assert!(rdiff_patch(b"", &stream) == old);
        assert!(resolve(&map, b"", &|_| &stream) == old);
    }

    #[test]
    fn an_old_content_that_is_too_short_is_damage() {
        let written = write(&[literal(0, 6)], &b"12345".as_slice(), ContentId(1), &mut Vec::new());
        assert!(matches!(written, Err(Error::Damaged(_))));
    }

    proptest! {
        /// The new content is the old one twice, so that any such match is true.
        #[test]
        fn any_matches_give_the_old_content(ranges in prop::collection::vec((0u64..1000, 0u64..400, any::<bool>()), 0..20)) {
            let old = Random::new(4).bytes(1000);
            let new = [&old[..], &old[..]].concat();
            let matches: Vec<_> = ranges
                .iter()
                .map(|&(old, len, second)| Match { new: old + 1000 * u64::from(second), old, len: len.min(1000 - old) })
                .collect();
            let pieces = invert(&matches, 1000);
            prop_assert_eq!(pieces.iter().map(Piece::len).sum::<u64>(), 1000);
            let mut stream = Vec::new();
            let map = write(&pieces, &old, ContentId(1), &mut stream).unwrap();
            prop_assert_eq!(&map, &crate::delta::parse(&stream, ContentId(1)).unwrap());
            prop_assert_eq!(rdiff_patch(&new, &stream), old);
        }

        #[test]
        fn hostile_matches_never_panic(matches in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..20), size in any::<u64>()) {
            let matches: Vec<_> = matches.iter().map(|&(new, old, len)| Match { new, old, len }).collect();
            prop_assert_eq!(invert(&matches, size).iter().map(Piece::len).sum::<u64>(), size);
        }
    }
}
