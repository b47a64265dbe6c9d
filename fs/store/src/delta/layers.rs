//! The maps of a chain, composed as far as that makes them smaller.
//!
//! Composing two maps gives hardly more extents than both have, unless the upper one copies the same bytes again and
//! again and the lower one has them in crumbs. Such maps stay apart:
//!
//! ```text
//!   oldest ──map──▶ older ──map──▶ whole         two layers: a range of the oldest is looked up in the
//!                                                upper one, and what that names in the lower one
//! ```

use super::map::{Extent, Map, Source};
use crate::Result;

/// The most extents of a composed map: 40 MiB.
pub const MOST_COMPOSED: usize = 1 << 20;

/// How a content is made of a whole one, through the deltas between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// The lowest, which copies from the whole content, first.
    layers: Vec<Map>,
    /// The most extents that a layer may come to have by composing.
    most: usize,
}

impl Layers {
    /// The map of a delta against a whole content.
    pub fn new(lowest: Map) -> Self {
        Layers::composing(lowest, MOST_COMPOSED)
    }

    /// The same with another bound than [`MOST_COMPOSED`].
    pub(crate) fn composing(lowest: Map, most: usize) -> Self {
        let layers = vec![lowest];
        Layers { layers, most }
    }

    /// Puts the map of a delta against what these make on top.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) if it refers to bytes past the end of that.
    pub fn put_on_top(&mut self, map: Map) -> Result<()> {
        let top = self.layers.last_mut().expect("there is a lowest");
        match map.compose_within(top, self.most)? {
            Some(composed) => *top = composed,
            None => self.layers.push(map),
        }
        Ok(())
    }

    /// Whether all maps are one.
    pub fn is_composed(&self) -> bool {
        self.layers.len() == 1
    }

    /// The end of what is copied of the whole content.
    pub fn reach(&self) -> u64 {
        let extents = self.layers[0].extents().iter();
        let ends = extents.filter_map(|extent| match extent.source {
            Source::Base(from) => Some(from + extent.len),
            Source::Literal { .. } => None,
        });
        ends.max().unwrap_or(0)
    }

    /// Where `len` bytes from `offset` lie: in the whole content, or among literals. At most as many extents as bytes.
    pub fn slice(&self, offset: u64, len: u64) -> Vec<Extent> {
        let mut layers = self.layers.iter().rev();
        let top = layers.next().expect("there is a lowest");
        let slice = top.slice(offset, len).collect();
        layers.fold(slice, |extents, layer| {
            extents.into_iter().flat_map(|extent| through(extent, layer)).collect()
        })
    }
}

/// What an extent is made of, one layer further down.
fn through(extent: Extent, layer: &Map) -> Vec<Extent> {
    let Source::Base(from) = extent.source else {
        return vec![extent];
    };
    let below = layer.slice(from, extent.len);
    below
        .map(|part| Extent {
            at: extent.at + (part.at - from),
            ..part
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ContentId;
    use crate::delta::testing::Random;

    /// A map of `size` bytes, in extents of up to `longest`, onto as many.
    fn any(random: &mut Random, content: i64, size: u64, longest: usize) -> Map {
        let mut map = Map::new();
        while map.size() < size {
            let len = 1 + (random.below(longest) as u64).min(size - map.size() - 1);
            let at = random.below((size - len) as usize) as u64;
            let literal = random.below(4) == 0;
            let content = ContentId(content);
            map.push(
                len,
                if literal {
                    Source::Literal { content, at }
                } else {
                    Source::Base(at)
                },
            );
        }
        map
    }

    #[test]
    fn layers_say_the_same_however_much_is_composed() {
        let mut random = Random::new(5);
        let maps: Vec<Map> = (0..6).map(|content| any(&mut random, content, 500, 60)).collect();
        let layered = |most| {
            let mut layers = Layers::composing(maps[0].clone(), most);
            maps[1..].iter().for_each(|map| layers.put_on_top(map.clone()).unwrap());
            layers
        };
        let (apart, some, one) = (layered(0), layered(60), layered(usize::MAX));
        assert_eq!((apart.layers.len(), one.layers.len()), (6, 1));
        assert!((2..6).contains(&some.layers.len()), "{}", some.layers.len());
        for (offset, len) in [(0, 500), (3, 1), (100, 250), (499, 9), (500, 1)] {
            // Extents may be cut where a layer's end; byte by byte they are the same.
            let bytes = |layers: &Layers| -> Vec<Extent> {
                (offset..(offset + len).min(500))
                    .flat_map(|at| layers.slice(at, 1))
                    .collect()
            };
            assert_eq!(bytes(&apart), bytes(&one));
            assert_eq!(bytes(&some), bytes(&one));
            let covered = apart.slice(offset, len).iter().map(|extent| extent.len).sum::<u64>();
            assert_eq!(covered, len.min(500 - offset));
        }
    }

    #[test]
    fn crumbs_that_are_copied_again_and_again_are_not_multiplied() {
        // A thousand crumbs, copied a million times over.
        let mut crumbs = Map::new();
        (0..1000).for_each(|crumb| crumbs.push(1, Source::Base(2 * crumb)));
        let mut copies = Map::new();
        (0..1_000_000).for_each(|_| copies.push(1000, Source::Base(0)));
        let mut layers = Layers::new(crumbs);
        layers.put_on_top(copies).unwrap();
        assert_eq!(layers.layers.len(), 2);
        assert_eq!(layers.reach(), 1999);
        let extents = layers.slice(123_456_789, 2);
        let expected = [789, 790].map(|crumb| Extent {
            at: 123_456_000 + crumb,
            len: 1,
            source: Source::Base(2 * crumb),
        });
        assert_eq!(extents, expected);
        let past = {
            let mut map = Map::new();
            map.push(1, Source::Base(1_000_000_000));
            map
        };
        assert!(layers.put_on_top(past).is_err());
    }
}
