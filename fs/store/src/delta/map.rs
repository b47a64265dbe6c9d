//! The map of a delta: for each range of the target, where its bytes lie.
//!
//! A [`Map`] is what a delta says once its literals are left out, so it opens fast and composes
//! along a chain. Its extents are sorted, not empty, and lie end to end from 0 to [`Map::size`].

use crate::{ContentId, Error, Result};

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
    pub(super) extents: Vec<Extent>,
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
        self.extents[first..]
            .iter()
            .take_while(move |extent| extent.at < end)
            .map(move |extent| {
                let at = extent.at.max(offset);
                let source = extent.source.advance(at - extent.at);
                Extent {
                    at,
                    len: extent.end().min(end) - at,
                    source,
                }
            })
    }

    /// Puts two steps into one: `self` makes a target from a middle, `base` makes that middle from
    /// a bottom, the result makes the target from the bottom. Literals of `self` stay as they are.
    ///
    /// Fails with [`Error::Damaged`] if `self` refers to bytes past the end of the middle.
    pub fn compose(&self, base: &Map) -> Result<Map> {
        let composed = self.compose_within(base, usize::MAX)?;
        Ok(composed.expect("no bound is reached"))
    }

    /// The same; `None` if it would have more than `most` extents.
    pub fn compose_within(&self, base: &Map, most: usize) -> Result<Option<Map>> {
        for extent in &self.extents {
            if let Source::Base(from) = extent.source {
                check_inside(from, extent.len, base.size())?;
            }
        }
        let mut composed = Map::new();
        for extent in &self.extents {
            match extent.source {
                Source::Literal { .. } => composed.push(extent.len, extent.source),
                Source::Base(from) => base
                    .slice(from, extent.len)
                    .take(most.saturating_add(1))
                    .for_each(|part| composed.push(part.len, part.source)),
            }
            if composed.extents.len() > most {
                return Ok(None);
            }
        }
        composed.extents.shrink_to_fit();
        Ok(Some(composed))
    }

    /// Bytes of memory that the map takes, for caches that are bounded.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.extents.capacity() * size_of::<Extent>()
    }
}

fn check_inside(from: u64, len: u64, size: u64) -> Result<()> {
    match from.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => Err(damaged(&format!(
            "copies {len} bytes at {from} of a base of {size} bytes"
        ))),
    }
}

/// The error of a map that makes no sense: it `what`.
pub(super) fn damaged(what: &str) -> Error {
    Error::Damaged(format!("the map of a delta {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: ContentId = ContentId(7);

    fn literal(at: u64) -> Source {
        Source::Literal { content: CONTENT, at }
    }

    fn map_of(parts: &[(u64, Source)]) -> Map {
        let mut map = Map::new();
        parts.iter().for_each(|&(len, source)| map.push(len, source));
        map
    }

    #[test]
    fn extents_that_go_on_are_merged() {
        let other = Source::Literal {
            content: ContentId(8),
            at: 25,
        };
        let map = map_of(&[
            (10, Source::Base(5)),
            (3, Source::Base(15)),
            (0, Source::Base(99)),
            (5, literal(20)),
            (5, other),
        ]);
        let expected = [(0, 13, Source::Base(5)), (13, 5, literal(20)), (18, 5, other)];
        assert_eq!(
            map.extents(),
            expected.map(|(at, len, source)| Extent { at, len, source })
        );
        assert_eq!(map.size(), 23);
    }

    #[test]
    fn a_slice_is_clipped_at_both_ends() {
        let map = map_of(&[(10, Source::Base(100)), (10, literal(5)), (10, Source::Base(0))]);
        let slice: Vec<_> = map.slice(4, 20).map(|e| (e.at, e.len, e.source)).collect();
        assert_eq!(
            slice,
            [
                (4, 6, Source::Base(104)),
                (10, 10, literal(5)),
                (20, 4, Source::Base(0))
            ]
        );
        assert_eq!(map.slice(25, u64::MAX).map(|e| e.len).sum::<u64>(), 5);
        assert_eq!(
            map.slice(30, 1).count() + map.slice(10, 0).count() + Map::new().slice(0, 9).count(),
            0
        );
    }

    #[test]
    fn composing_splits_along_the_base_and_refuses_what_lies_past_it() {
        let base = map_of(&[
            (10, Source::Base(100)),
            (
                10,
                Source::Literal {
                    content: ContentId(8),
                    at: 50,
                },
            ),
        ]);
        let map = map_of(&[(4, literal(5)), (8, Source::Base(6))]);
        let middle = Source::Literal {
            content: ContentId(8),
            at: 50,
        };
        assert_eq!(
            map.compose(&base).unwrap(),
            map_of(&[(4, literal(5)), (4, Source::Base(106)), (4, middle)])
        );
        for from in [13, u64::MAX] {
            let past = Map {
                extents: vec![Extent {
                    at: 0,
                    len: 8,
                    source: Source::Base(from),
                }],
            };
            assert!(matches!(past.compose(&base), Err(Error::Damaged(_))));
        }
    }
}
