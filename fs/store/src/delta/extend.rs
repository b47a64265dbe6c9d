//! Extension: what block matching missed, found by comparing bytes.
//!
//! Matches come in whole blocks, so a changed byte costs its block. With both contents at hand a
//! literal shrinks to the bytes that differ:
//!
//! ```text
//!   old   ├──copy──┤▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒├──copy──┤
//!                   ──▶ 1     3      ◀── 2            1, 2  the copies grow while bytes are equal
//!   new   ├────────┼─────▓──────▓──▓────┼────────┤    3     between copies of one displacement,
//!                                                           equal runs become copies in place
//!   old   ├──copy────────┤▒├copy┤▒▒▒▒├──copy──┤
//! ```
//!
//! The start of both contents, and their end, count as places where a copy of no bytes lies.

use std::ops::Range;

use super::compare::{Comparer, ReadAt};
use super::invert::{Piece, Pieces};
use super::shared::Literals;
use crate::parallel::by_shares;
use crate::{Error, Result};

/// Fewer equal bytes than this are not worth a command of their own, which is up to 17 bytes and
/// an extent in the map.
pub(super) const MIN_RUN: u64 = 32;

/// Pieces that are worth a thread.
const LEAST_SHARE: usize = 256;

/// Grows the copies among `pieces` into the literals that they touch, and finds equal runs within
/// these; see the module's text. `old` and `new` are the contents that the pieces speak of; reads
/// are at most 64 KiB. Literals that `known` has are left as they are.
///
/// Fails with [`Error::Damaged`] if the pieces do not cover `old` exactly or copy from past the end
/// of `new`, and with the errors of the two readers.
pub fn extend(
    pieces: Vec<Piece>,
    known: &Literals,
    old: &(dyn ReadAt + Sync),
    new: &(dyn ReadAt + Sync),
) -> Result<Vec<Piece>> {
    let pieces = checked(&pieces, old.size(), new.size())?;
    // Each gap is for itself, and reading the two contents is what takes the time.
    let extended = by_shares(pieces.len(), LEAST_SHARE, |share| {
        extend_share(&pieces, share, known, old, new)
    });
    let mut all = Pieces::default();
    for pieces in extended {
        all.append(pieces?);
    }
    Ok(all.into_vec())
}

/// Extends some of the pieces, beside which the others stand.
fn extend_share(
    pieces: &[Piece],
    share: Range<usize>,
    known: &Literals,
    old: &dyn ReadAt,
    new: &dyn ReadAt,
) -> Result<Pieces> {
    let start = pieces[..share.start].iter().map(Piece::len).sum();
    let mut extension = Extension {
        comparer: Comparer::new(old, new),
        new_size: new.size(),
        pieces: Pieces::from(start),
    };
    let mut before = match share.start.checked_sub(1).map(|last| pieces[last]) {
        Some(Piece::Copy { from, len }) => Neighbour {
            new: from + len,
            copies: true,
        },
        _ => Neighbour { new: 0, copies: false },
    };
    for (i, piece) in pieces.iter().enumerate().take(share.end).skip(share.start) {
        match *piece {
            Piece::Copy { from, len } => {
                extension.pieces.copy(from, len);
                before = Neighbour {
                    new: from + len,
                    copies: true,
                };
            }
            Piece::Literal { from, len } if known.get(from, len).is_some() => extension.pieces.literal(len),
            Piece::Literal { from, len } => {
                let after = match pieces.get(i + 1) {
                    Some(&Piece::Copy { from, .. }) => Neighbour {
                        new: from,
                        copies: true,
                    },
                    _ => Neighbour {
                        new: new.size(),
                        copies: false,
                    },
                };
                extension.literal(Gap {
                    start: from,
                    end: from + len,
                    before,
                    after,
                })?;
            }
        }
    }
    Ok(extension.pieces)
}

/// The pieces, merged where they go on from one another, so that a literal has copies around it.
fn checked(pieces: &[Piece], old_size: u64, new_size: u64) -> Result<Vec<Piece>> {
    let mut merged = Pieces::default();
    for piece in pieces {
        let fits = piece.len() <= old_size - merged.end();
        match *piece {
            Piece::Copy { from, len } if fits && from.checked_add(len).is_some_and(|end| end <= new_size) => {
                merged.copy(from, len);
            }
            Piece::Literal { from, len } if fits && from == merged.end() => merged.literal(len),
            _ => return Err(Error::Damaged(format!("a delta has {piece:?} out of its place"))),
        }
    }
    if merged.end() != old_size {
        return Err(Error::Damaged(format!(
            "a delta makes {} bytes of {old_size}",
            merged.end()
        )));
    }
    Ok(merged.into_vec())
}

/// What stands on one side of a literal.
#[derive(Clone, Copy)]
struct Neighbour {
    /// Offset in the new content at which it meets the literal.
    new: u64,
    /// Whether it is a copy, and not the start or the end of both contents.
    copies: bool,
}

impl Neighbour {
    /// How many shared bytes are worth it: a copy grows for nothing, another command is not free.
    fn least(self) -> u64 {
        if self.copies { 1 } else { MIN_RUN }
    }
}

/// A literal: the old bytes from `start` to `end`, and what stands before and after it.
struct Gap {
    start: u64,
    end: u64,
    before: Neighbour,
    after: Neighbour,
}

impl Gap {
    /// New offset less old offset along which the bytes of the gap probably lie, if its sides
    /// agree. A copy knows better than the start or the end of the content.
    fn displacement(&self) -> Option<i128> {
        let before = i128::from(self.before.new) - i128::from(self.start);
        let after = i128::from(self.after.new) - i128::from(self.end);
        match (self.before.copies, self.after.copies) {
            (true, true) => (before == after).then_some(before),
            (false, true) => Some(after),
            _ => Some(before),
        }
    }
}

/// The work under way: `pieces` is the result up to the gap at hand.
struct Extension<'a> {
    comparer: Comparer<'a>,
    new_size: u64,
    pieces: Pieces,
}

impl Extension<'_> {
    /// Gives the bytes of a gap: grown copies at its sides, equal runs and literals between.
    fn literal(&mut self, gap: Gap) -> Result<()> {
        let Gap {
            start,
            end,
            before,
            after,
        } = gap;
        let limit = (end - start).min(self.new_size - before.new);
        let head = self.comparer.common_prefix(start, before.new, limit)?;
        let head = if head < before.least() { 0 } else { head };
        let limit = (end - start - head).min(after.new);
        let tail = self.comparer.common_suffix(end, after.new, limit)?;
        let tail = if tail < after.least() { 0 } else { tail };

        self.pieces.copy(before.new, head);
        self.in_place(start + head, end - tail, gap.displacement())?;
        // The next piece goes on from this one, and is merged with it.
        self.pieces.copy(after.new - tail, tail);
        Ok(())
    }

    /// Gives the old bytes from `start` to `end`: copies for equal runs along the displacement,
    /// literals for the rest.
    fn in_place(&mut self, start: u64, end: u64, displacement: Option<i128>) -> Result<()> {
        let Some(displacement) = displacement else {
            self.pieces.literal(end - start);
            return Ok(());
        };
        // The part of the gap that has a counterpart in the new content.
        let counterpart = |new: u64| (i128::from(new) - displacement).clamp(start.into(), end.into()) as u64;
        let (first, last) = (counterpart(0), counterpart(self.new_size));
        let to_new = |old: u64| (i128::from(old) + displacement) as u64;
        if first < last {
            for (skipped, len) in self.comparer.equal_runs(first, to_new(first), last - first, MIN_RUN)? {
                let run = first + skipped;
                self.pieces.literal(run - self.pieces.end());
                self.pieces.copy(to_new(run), len);
            }
        }
        self.pieces.literal(end - self.pieces.end());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ContentId;
    use crate::delta::testing::{Random, rdiff_patch};
    use crate::delta::{Match, invert, write};
    use proptest::prelude::*;

    /// Inverts and extends, checks the outcome against `old`, and returns the literal bytes left.
    fn literals_left(old: &[u8], new: &[u8], matches: &[Match]) -> u64 {
        let pieces = extend(invert(matches, old.len() as u64), &Literals::default(), &old, &new).unwrap();
        let mut stream = Vec::new();
        write(&pieces, &old, ContentId(1), &mut stream).unwrap();
        assert!(rdiff_patch(new, &stream) == old);
        let literal = |piece: &Piece| {
            if let Piece::Literal { len, .. } = piece {
                *len
            } else {
                0
            }
        };
        pieces.iter().map(literal).sum()
    }

    #[test]
    fn small_changes_in_place_cost_only_their_bytes() {
        let old = Random::new(1).bytes(512 << 10);
        let mut new = old.clone();
        // Several changes within one block of 128 KiB, more than MIN_RUN apart.
        let changed = [140_000, 140_100, 180_000, 250_000];
        changed.iter().for_each(|&at| new[at] ^= 0x55);
        let block = 128 << 10;
        let matches = [0, 2, 3].map(|i| Match {
            new: i * block,
            old: i * block,
            len: block,
        });
        assert_eq!(literals_left(&old, &new, &matches), 4);
        assert_eq!(literals_left(&old, &new, &matches[1..]), 4);
        assert_eq!(literals_left(&old, &new, &matches[..1]), 4);
        assert_eq!(literals_left(&old, &new, &[]), 4);
    }

    #[test]
    fn copies_grow_up_to_an_insertion() {
        let old = Random::new(2).bytes(100_000);
        let new = [&old[..50_000], b"inserted", &old[50_000..]].concat();
        let matches = [
            Match {
                new: 0,
                old: 0,
                len: 30_000,
            },
            Match {
                new: 70_008,
                old: 70_000,
                len: 10_000,
            },
        ];
        assert_eq!(literals_left(&old, &new, &matches), 0);
        assert_eq!(
            literals_left(
                &new,
                &old,
                &matches.map(|m| Match {
                    new: m.old,
                    old: m.new,
                    ..m
                })
            ),
            8
        );
    }

    #[test]
    fn a_displacement_that_leaves_the_new_content_is_clipped() {
        let old = Random::new(3).bytes(10_000);
        let new = old[4_000..6_000].to_vec();
        assert_eq!(
            literals_left(
                &old,
                &new,
                &[Match {
                    new: 900,
                    old: 4_900,
                    len: 100
                }]
            ),
            8_000
        );
    }

    #[test]
    fn equal_bytes_at_the_ends_need_no_match() {
        let old = Random::new(4).bytes(5_000);
        let new = [&old[..2_000], &Random::new(5).bytes(777)[..], &old[2_100..]].concat();
        assert_eq!(literals_left(&old, &new, &[]), 100);
        assert_eq!(literals_left(&old, &[], &[]), 5_000);
        assert_eq!(literals_left(&[], &old, &[]), 0);
    }

    #[test]
    fn pieces_that_make_no_sense_are_damage() {
        let (old, new) = (vec![1; 10], vec![2; 10]);
        let literal = |from, len| Piece::Literal { from, len };
        let bad = [
            vec![literal(0, 9)],
            vec![literal(0, 11)],
            vec![literal(1, 9)],
            vec![Piece::Copy { from: 1, len: 10 }],
            vec![Piece::Copy {
                from: u64::MAX,
                len: 10,
            }],
        ];
        for pieces in bad {
            assert!(matches!(
                extend(pieces, &Literals::default(), &old, &new),
                Err(Error::Damaged(_))
            ));
        }
        assert_eq!(
            extend(vec![literal(0, 4), literal(4, 6)], &Literals::default(), &old, &new).unwrap(),
            [literal(0, 10)]
        );
    }

    proptest! {
        /// Few values of bytes, so that equal runs are frequent where none is meant.
        #[test]
        fn the_old_content_comes_back(
            old in prop::collection::vec(0u8..2, 0..300),
            new in prop::collection::vec(0u8..2, 0..300),
            at in any::<[prop::sample::Index; 2]>(),
        ) {
            let (a, b) = (at[0].index(old.len() + 1), at[1].index(new.len() + 1));
            let len = old[a..].iter().zip(&new[b..]).take_while(|(a, b)| a == b).count() as u64;
            let found = Match { new: b as u64, old: a as u64, len };
            prop_assert!(literals_left(&old, &new, &[found]) <= old.len() as u64 - len);
        }
    }
}
