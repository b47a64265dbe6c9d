//! Random histories through the whole module: scanned, inverted, extended, written, parsed,
//! composed; librsync's own patch is the judge.

use proptest::prelude::*;

use super::testing::{Random, rdiff_patch, resolve};
use super::*;
use crate::ContentId;

const BLOCK: u32 = 512;

/// The matches that a push of `new` finds against `old`.
fn matches(old: &[u8], new: &[u8]) -> Vec<Match> {
    let mut builder = SignatureBuilder::new(BLOCK);
    let offsets = (0..).step_by(BLOCK as usize);
    old.chunks(BLOCK as usize)
        .zip(offsets)
        .for_each(|(block, at)| builder.block(at, block));
    let signature = builder.finish();
    let (mut found, mut at) = (Vec::new(), 0);
    let mut scanner = Scanner::new(&signature, |op| {
        match op {
            Op::Literal(bytes) => at += bytes.len() as u64,
            Op::Copy { from, len } => {
                found.push(Match {
                    new: at,
                    old: from,
                    len,
                });
                at += len;
            }
        }
        Ok(())
    });
    new.chunks(3000).for_each(|part| scanner.push(part).unwrap());
    scanner.finish().unwrap();
    assert_eq!(at, new.len() as u64);
    found
}

/// The reverse delta of `old`, and its map.
fn reverse_delta(old: &[u8], new: &[u8], content: ContentId) -> (Vec<u8>, Map) {
    let pieces = extend(
        invert(&matches(old, new), old.len() as u64),
        &Literals::default(),
        &old,
        &new,
    )
    .unwrap();
    let mut stream = Vec::new();
    let map = write(&pieces, &old, content, &mut stream).unwrap();
    (stream, map)
}

proptest! {
    #[test]
    fn the_old_version_comes_back(seed in any::<u64>(), len in 0usize..60_000) {
        let mut random = Random::new(seed);
        let old = random.bytes(len);
        let new = random.edit(&old);
        let content = ContentId(1);
        let (stream, map) = reverse_delta(&old, &new, content);
        prop_assert!(rdiff_patch(&new, &stream) == old);
        prop_assert!(apply(&new, &stream).unwrap() == old);
        prop_assert_eq!(&parse(&stream, content).unwrap(), &map);
        prop_assert_eq!(&Map::decode(&map.encode(), content).unwrap(), &map);
    }

    /// Old literal bytes never outgrow those of the matches alone.
    #[test]
    fn extension_only_ever_saves(seed in any::<u64>()) {
        let mut random = Random::new(seed);
        let old = random.bytes(40_000);
        let new = random.edit(&old);
        let inverted = invert(&matches(&old, &new), old.len() as u64);
        let literals = |pieces: &[Piece]| -> u64 {
            pieces.iter().map(|piece| if let Piece::Literal { len, .. } = piece { *len } else { 0 }).sum()
        };
        let before = literals(&inverted);
        prop_assert!(literals(&extend(inverted, &Literals::default(), &old, &new).unwrap()) <= before);
    }
}

/// Twenty versions, each kept as the reverse delta against the next; the last one is whole.
struct Chain {
    versions: Vec<Vec<u8>>,
    streams: Vec<Vec<u8>>,
    maps: Vec<Map>,
}

impl Chain {
    fn new(random: &mut Random) -> Self {
        let len = random.below(40_000);
        let mut versions = vec![random.bytes(len)];
        for i in 0..19 {
            versions.push(random.edit(&versions[i]));
        }
        let content = (0..).map(ContentId);
        let deltas = versions
            .windows(2)
            .zip(content)
            .map(|(pair, content)| reverse_delta(&pair[0], &pair[1], content));
        let (streams, maps) = deltas.unzip();
        Self {
            versions,
            streams,
            maps,
        }
    }

    fn head(&self) -> &[u8] {
        self.versions.last().expect("twenty versions")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_chain_composed_is_a_chain_patched_step_by_step(seed in any::<u64>()) {
        let mut random = Random::new(seed);
        let chain = Chain::new(&mut random);
        let stream = |content: ContentId| chain.streams[content.0 as usize].as_slice();
        let mut patched = chain.head().to_vec();
        let mut composed: Option<Map> = None;
        for i in (0..chain.maps.len()).rev() {
            patched = rdiff_patch(&patched, &chain.streams[i]);
            prop_assert!(patched == chain.versions[i]);

            let map = match &composed {
                Some(base) => chain.maps[i].compose(base).unwrap(),
                None => chain.maps[i].clone(),
            };
            prop_assert!(resolve(&map, chain.head(), &stream) == patched);
            for _ in 0..8 {
                let (from, len) = (random.below(patched.len()), random.below(5000));
                let end = (from + len).min(patched.len());
                let mut slice = Map::new();
                let mut at = from as u64;
                for extent in map.slice(from as u64, len as u64) {
                    prop_assert_eq!(extent.at, at);
                    at += extent.len;
                    slice.push(extent.len, extent.source);
                }
                prop_assert!(resolve(&slice, chain.head(), &stream) == patched[from..end]);
            }
            composed = Some(map);
        }
    }

    /// A version is pruned from the middle: who composes first does not matter.
    #[test]
    fn composition_is_associative(seed in any::<u64>()) {
        let chain = Chain::new(&mut Random::new(seed));
        let [a, b, c] = [&chain.maps[0], &chain.maps[1], &chain.maps[2]];
        prop_assert_eq!(a.compose(b).unwrap().compose(c).unwrap(), a.compose(&b.compose(c).unwrap()).unwrap());
    }
}
