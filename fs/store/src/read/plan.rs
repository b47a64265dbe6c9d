//! How a content is to be read: the whole content below it, and a map onto that.
//!
//! ```text
//! oldest ──delta──▶ older ──delta──▶ newest (whole)
//!    └────────── composed map ─────────▶ newest | literals of oldest, of older
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;

use crate::catalog::{Content, Part, parts};
use crate::delta::{self, Map};
use crate::layout::UNMAPPED;
use crate::read::FrameError;
use crate::{ContentId, Error, Repository, Result, RunId};

/// A stretch of decoded bytes inside a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub run: RunId,
    pub skip: u64,
    pub length: u64,
}

/// Where the bytes of a whole content are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    /// In one run.
    Stretch(Stretch),
    /// In segments.
    Segments(Arc<Vec<Part>>),
}

/// How to read one content.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The content itself.
    pub content: Content,
    /// The whole content at the end of its chain: itself, where it is whole.
    pub bottom: Content,
    pub whole: Whole,
    /// The map onto `bottom`; `None` if the content is whole.
    pub map: Option<Arc<Map>>,
    /// The delta streams that literals come from.
    pub streams: HashMap<ContentId, Stretch>,
}

impl Plan {
    /// Whether another plan reads the same things; then a failure is damage, not movement.
    pub fn is_same(&self, other: &Plan) -> bool {
        (&self.content, &self.bottom, &self.whole, &self.streams)
            == (&other.content, &other.bottom, &other.whole, &other.streams)
    }

    /// Makes the plan for a content from the catalog as it is now.
    pub fn load(repository: &Repository, id: ContentId) -> Result<Plan> {
        match Content::get(&*repository.connection()?, id)? {
            // What is whole in one run is in one row; most contents are.
            Some(content) if content.base.is_none() && content.run.is_some() => Ok(Plan::of_run(content)),
            _ => Plan::load_chain(repository, id),
        }
    }

    /// The plan for a whole content in one run.
    fn of_run(content: Content) -> Plan {
        let whole = Whole::Stretch(Stretch {
            run: content.run.expect("asked before"),
            skip: content.skip,
            length: content.size,
        });
        Plan {
            bottom: content.clone(),
            content,
            whole,
            map: None,
            streams: HashMap::new(),
        }
    }

    /// Makes the plan for a content of any kind.
    fn load_chain(repository: &Repository, id: ContentId) -> Result<Plan> {
        // One transaction, so that a commit meanwhile cannot show half of a rebased chain.
        let mut connection = repository.connection()?;
        let transaction = connection.transaction()?;
        let chain = load_chain(&transaction, id)?;
        let content = chain[0].clone();
        let bottom = chain[chain.len() - 1].clone();
        let whole = match bottom.run {
            Some(run) => Whole::Stretch(Stretch {
                run,
                skip: bottom.skip,
                length: bottom.size,
            }),
            None => Whole::Segments(Arc::new(parts(&transaction, &bottom)?)),
        };
        let deltas = &chain[..chain.len() - 1];
        let mut streams = HashMap::new();
        for delta in deltas {
            let run = delta
                .run
                .ok_or_else(|| Error::Damaged(format!("catalog: delta {} lies nowhere", delta.id)))?;
            streams.insert(
                delta.id,
                Stretch {
                    run,
                    skip: delta.skip,
                    length: delta.stream,
                },
            );
        }
        let stored_maps = deltas
            .iter()
            .map(|delta| stored_map(&transaction, delta))
            .collect::<Result<Vec<_>>>()?;
        transaction.commit()?;
        drop(connection);
        let map = compose(repository, deltas, stored_maps, &bottom, &streams)?;
        Ok(Plan {
            content,
            bottom,
            whole,
            map,
            streams,
        })
    }
}

/// The content, its base, the base of that, and so on to a whole one.
fn load_chain(connection: &Connection, id: ContentId) -> Result<Vec<Content>> {
    let get = |id| Content::get(connection, id)?.ok_or_else(|| Error::Damaged(format!("catalog: no content {id}")));
    let mut chain = vec![get(id)?];
    let mut seen = std::collections::HashSet::from([id]);
    while let Some(base) = chain[chain.len() - 1].base {
        if !seen.insert(base) {
            return Err(Error::Damaged(format!("catalog: the chain of content {id} has no end")));
        }
        chain.push(get(base)?);
    }
    Ok(chain)
}

/// The extents of a delta as the catalog keeps them; `None` if its stream is short enough to be parsed.
fn stored_map(connection: &Connection, delta: &Content) -> Result<Option<Map>> {
    delta
        .map(connection)?
        .map(|bytes| Map::decode(&bytes, delta.id))
        .transpose()
}

/// Composes the maps of a chain from its whole end upwards.
fn compose(
    repository: &Repository,
    deltas: &[Content],
    stored_maps: Vec<Option<Map>>,
    bottom: &Content,
    streams: &HashMap<ContentId, Stretch>,
) -> Result<Option<Arc<Map>>> {
    let mut below: Option<Arc<Map>> = None;
    for (delta, stored) in deltas.iter().zip(stored_maps).rev() {
        let own = match stored {
            Some(map) => map,
            None => short_map(repository, delta, streams[&delta.id])?,
        };
        if own.size() != delta.size {
            return Err(Error::Damaged(format!(
                "the delta of content {} has another size than it",
                delta.id
            )));
        }
        let map = match below {
            Some(below) => own.compose(&below)?,
            None => own,
        };
        below = Some(Arc::new(map));
    }
    let reach = below
        .iter()
        .flat_map(|map| map.extents())
        .filter_map(|extent| match extent.source {
            delta::Source::Base(from) => Some(from + extent.len),
            delta::Source::Literal { .. } => None,
        });
    if reach.max().unwrap_or(0) > bottom.size {
        return Err(Error::Damaged(format!("a delta reaches beyond content {}", bottom.id)));
    }
    Ok(below)
}

/// Parses the stream of a delta that is short.
fn short_map(repository: &Repository, delta: &Content, stream: Stretch) -> Result<Map> {
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
        let (content, stored) = {
            let connection = self.connection()?;
            let content = Content::get(&connection, id)?;
            let content = content.ok_or_else(|| Error::Damaged(format!("catalog: no content {id}")))?;
            let stored = stored_map(&connection, &content)?;
            (content, stored)
        };
        let run = content
            .run
            .ok_or_else(|| Error::Damaged(format!("catalog: delta {id} lies nowhere")))?;
        match stored {
            Some(map) => Ok(map),
            None => short_map(
                self,
                &content,
                Stretch {
                    run,
                    skip: content.skip,
                    length: content.stream,
                },
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, file, noise};

    #[test]
    fn a_long_delta_opens_without_its_literals_being_read() {
        for (changed, is_mapped) in [(10, 0), (20_000, 1)] {
            let bench = Bench::new();
            let old = noise(1, 200_000);
            let mut new = old.clone();
            new[50_000..50_000 + changed].fill(0);
            bench.push("host", |push| file(push, "file", &old));
            bench.push("host", |push| file(push, "file", &new));
            let mapped = "SELECT map IS NOT NULL FROM contents WHERE base IS NOT NULL";
            assert_eq!(bench.number(mapped), is_mapped, "{changed}");
            let id = bench.number("SELECT id FROM contents WHERE base IS NOT NULL");
            let repository = bench.reopened();
            let reader = repository.open_content(crate::ContentId(id)).unwrap();
            assert_eq!(repository.bytes_read() == 0, is_mapped == 1, "{changed}");
            let mut back = vec![0; old.len()];
            reader.read_at(0, &mut back).unwrap();
            assert!(back == old, "{changed}");
        }
    }
}
