//! The deltas between a content and the whole one below it: their rows, their maps, and how long they may get.

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;

use crate::catalog::{Content, Part, parts};
use crate::delta::{self, Layers, Map};
use crate::layout::UNMAPPED;
use crate::read::FrameError;
use crate::read::plan::Stretch;
use crate::{ContentId, Error, Repository, Result};

/// The most extents of one delta.
const MOST_EXTENTS: usize = 1 << 20;

/// The most of all deltas of a chain together: whoever reads its end has their maps in memory, 40 bytes an extent.
const MOST_OF_A_CHAIN: u64 = 2 << 20;

/// Bytes of a content for each extent that a delta of it may have. With more of them the commands
/// are much of what the literals would be.
const BYTES_AN_EXTENT: u64 = 64;

/// Extents that are no matter, however long the chain.
const FEW: usize = 64;

/// A content, its base, the base of that, and so on to a whole one.
pub(super) struct Chain {
    contents: Vec<Content>,
    /// Of the last, if it has some.
    pub parts: Option<Vec<Part>>,
}

impl Chain {
    /// Reads the rows as they are at one moment: a commit meanwhile is not to show half of a rebased chain.
    pub fn load(repository: &Repository, id: ContentId) -> Result<Chain> {
        let mut connection = repository.connection()?;
        let catalog = connection.transaction()?;
        let contents = load(&catalog, id)?;
        let mut chain = Chain { contents, parts: None };
        if chain.bottom().run.is_none() {
            chain.parts = Some(parts(&catalog, chain.bottom())?);
        }
        Ok(chain)
    }

    /// The content that was asked for.
    pub fn content(&self) -> &Content {
        &self.contents[0]
    }

    /// The whole one.
    pub fn bottom(&self) -> &Content {
        &self.contents[self.contents.len() - 1]
    }

    fn deltas(&self) -> &[Content] {
        &self.contents[..self.contents.len() - 1]
    }

    /// Where the streams of the deltas lie.
    pub fn streams(&self) -> Result<HashMap<ContentId, Stretch>> {
        let streams = self.deltas().iter().map(|delta| Ok((delta.id, stream_of(delta)?)));
        streams.collect()
    }

    /// The maps of the deltas, composed from the whole end upwards while they are read, so that they are not all in
    /// memory. Outer `None` if the chain is not any more what it was when it was loaded.
    pub fn layers(&self, repository: &Repository) -> Result<Option<Option<Layers>>> {
        let mut layers: Option<Layers> = None;
        for delta in self.deltas().iter().rev() {
            let Some(own) = map_if_same(repository, delta)? else {
                return Ok(None);
            };
            check_size(&own, delta)?;
            match &mut layers {
                Some(layers) => layers.put_on_top(own)?,
                None => layers = Some(Layers::new(own)),
            }
        }
        let bottom = self.bottom();
        match layers.as_ref().is_some_and(|layers| layers.reach() > bottom.size) {
            true => Err(Error::Damaged(format!("a delta reaches beyond content {}", bottom.id))),
            false => Ok(Some(layers)),
        }
    }
}

fn load(catalog: &Connection, id: ContentId) -> Result<Vec<Content>> {
    let get = |id| Content::get(catalog, id)?.ok_or_else(|| Error::Damaged(format!("catalog: no content {id}")));
    let mut chain = vec![get(id)?];
    let mut seen = HashSet::from([id]);
    while let Some(base) = chain[chain.len() - 1].base {
        if !seen.insert(base) {
            return Err(Error::Damaged(format!("catalog: the chain of content {id} has no end")));
        }
        chain.push(get(base)?);
    }
    Ok(chain)
}

fn stream_of(delta: &Content) -> Result<Stretch> {
    let run = delta.run;
    let run = run.ok_or_else(|| Error::Damaged(format!("catalog: delta {} lies nowhere", delta.id)))?;
    Ok(Stretch {
        run,
        skip: delta.skip,
        length: delta.stream,
    })
}

fn check_size(map: &Map, delta: &Content) -> Result<()> {
    match map.size() == delta.size {
        true => Ok(()),
        false => Err(Error::Damaged(format!(
            "the delta of content {} has another size than it",
            delta.id
        ))),
    }
}

/// The map of a delta onto its base; `None` if its row is not what it was.
fn map_if_same(repository: &Repository, delta: &Content) -> Result<Option<Map>> {
    let stored = {
        let mut connection = repository.connection()?;
        // The row and its map are of one moment.
        let catalog = connection.transaction()?;
        if Content::get(&catalog, delta.id)?.as_ref() != Some(delta) {
            return Ok(None);
        }
        delta.map(&catalog)?
    };
    match stored {
        Some(bytes) => Map::decode(&bytes, delta.id).map(Some),
        None => short_map(repository, delta).map(Some),
    }
}

/// Parses the stream of a delta that is short.
fn short_map(repository: &Repository, delta: &Content) -> Result<Map> {
    let stream = stream_of(delta)?;
    if stream.length > UNMAPPED {
        return Err(Error::Damaged(format!(
            "catalog: the delta of content {} lacks its map",
            delta.id
        )));
    }
    let mut bytes = vec![0; stream.length as usize];
    repository
        .read_stretch(stream, 0, &mut bytes)
        .map_err(FrameError::into_error)?;
    delta::parse(&bytes, delta.id)
}

impl Repository {
    /// The map of a delta onto its own base.
    pub(crate) fn own_map(&self, id: ContentId) -> Result<Map> {
        // Its pack may have been moved since the run was looked up: once more, then.
        self.load_own_map(id).or_else(|_| self.load_own_map(id))
    }

    fn load_own_map(&self, id: ContentId) -> Result<Map> {
        loop {
            let content = Content::get(&*self.connection()?, id)?;
            let content = content.ok_or_else(|| Error::Damaged(format!("catalog: no content {id}")))?;
            if let Some(map) = map_if_same(self, &content)? {
                return Ok(map);
            }
        }
    }

    /// Whether a whole content may become a delta of so many extents. If not it stays whole: memory and time of
    /// whoever reads it, or what is a delta against it, are bounded.
    pub(crate) fn may_be_delta(&self, content: &Content, extents: usize) -> Result<bool> {
        if extents <= FEW {
            return Ok(true);
        }
        let is_worth = extents <= MOST_EXTENTS && extents as u64 <= content.size / BYTES_AN_EXTENT;
        Ok(is_worth && extents as u64 + longest_onto(&*self.connection()?, content.id)? <= MOST_OF_A_CHAIN)
    }
}

/// The extents of the longest chain that ends in a content; no more than the first that is too long.
fn longest_onto(catalog: &Connection, content: ContentId) -> Result<u64> {
    let mut statement =
        catalog.prepare_cached("SELECT id, substr(map, 1, 11), stream FROM contents WHERE base = ?1")?;
    let (mut longest, mut stack) = (0, vec![(content, 0)]);
    while let Some((base, below)) = stack.pop() {
        let mut rows = statement.query([base])?;
        while let Some(row) = rows.next()? {
            let (map, stream): (Option<Vec<u8>>, i64) = (row.get(1)?, row.get(2)?);
            // Of a short stream: a command and what it copies are three bytes at least.
            let extents = map.map_or(stream as u64 / 3, |map| Map::count(&map));
            let all = below + extents;
            longest = longest.max(all);
            if longest > MOST_OF_A_CHAIN {
                return Ok(longest);
            }
            stack.push((row.get(0)?, all));
        }
    }
    Ok(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, file, noise};
    use crate::{Body, GROUP, Hash, Ingest, Kind, LargeOp, MEDIUM, Meta};

    const SIZE: usize = 2 * MEDIUM as usize;

    /// Puts a file whose blocks of `block` bytes are those of `base` in another order, told as copies.
    fn shuffled(push: &mut Ingest, base: &[u8], block: usize) -> Vec<u8> {
        let count = base.len() / block;
        // All of them, and no two that followed each other.
        let order = || (0..count).map(|index| index * 7919 % count * block);
        let new: Vec<u8> = order().flat_map(|at| &base[at..at + block]).copied().collect();
        let body = Body {
            hash: Hash::of(&new),
            size: new.len() as u64,
        };
        push.large_begin(Some(Hash::of(base)), [0; 16]).unwrap();
        order().for_each(|from| {
            let (from, length) = (from as u64, block as u64);
            push.large_op(LargeOp::Copy { from, length }).unwrap();
        });
        push.large_end(body.hash, body.size).unwrap();
        push.put(b"file", Meta::plain(Kind::File, 0o644), Some(body), None)
            .unwrap();
        new
    }

    #[test]
    fn a_content_stays_whole_that_would_be_a_delta_of_crumbs() {
        for (block, deltas) in [(256, 1), (32, 0)] {
            let bench = Bench::new();
            let old = noise(1, SIZE);
            bench.push("host", |push| file(push, "file", &old));
            bench.push("host", |push| {
                shuffled(push, &old, block);
            });
            let found = bench.number("SELECT count(*) FROM contents WHERE base IS NOT NULL");
            assert_eq!(found, deltas, "{block}");
            let mut back = vec![0; SIZE];
            let reader = bench.reopened().open_hash(&Hash::of(&old)).unwrap();
            reader.read_at(0, &mut back).unwrap();
            assert!(back == old, "{block}");
        }
    }

    #[test]
    fn a_chain_is_as_long_as_its_extents_allow() {
        let bench = Bench::new();
        let mut version = noise(1, SIZE);
        bench.push("host", |push| file(push, "file", &version));
        for _ in 0..2 {
            bench.push("host", |push| version = shuffled(push, &version, 2048));
        }
        let connection = bench.repository.connection().unwrap();
        let content = Content::find(&connection, &Hash::of(&version), None).unwrap().unwrap();
        let own = SIZE / 2048;
        assert_eq!(longest_onto(&connection, content.id).unwrap(), 2 * own as u64);
        drop(connection);
        let large = Content {
            size: GROUP * GROUP,
            ..content
        };
        let may = |extents| bench.repository.may_be_delta(&large, extents).unwrap();
        assert!(may(MOST_EXTENTS) && !may(MOST_EXTENTS + 1));
        // As if one of them had very many more.
        bench.sql("UPDATE contents SET map = x'01ffff7f' WHERE map IS NOT NULL");
        assert!(may(FEW) && !may(FEW + 1));
    }
}
