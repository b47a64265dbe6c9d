//! How a content is to be read: the whole content below it, and a map onto that.
//!
//! ```text
//! oldest ──delta──▶ older ──delta──▶ newest (whole)
//!    └────────── composed map ─────────▶ newest | literals of oldest, of older
//! ```

mod chain;

use std::collections::HashMap;
use std::sync::Arc;

use chain::Chain;

use crate::catalog::{Content, Part};
use crate::delta::Layers;
use crate::{ContentId, Repository, Result, RunId};

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
    /// How it is made of `bottom`; `None` if the content is whole.
    pub map: Option<Arc<Layers>>,
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
    pub fn of_run(content: Content) -> Plan {
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
        loop {
            let mut chain = Chain::load(repository, id)?;
            // Where it was rebased, or made whole, while its maps were read: once more.
            let Some(layers) = chain.layers(repository)? else {
                continue;
            };
            let bottom = chain.bottom().clone();
            let whole = match (chain.parts.take(), bottom.run) {
                (None, Some(run)) => Whole::Stretch(Stretch {
                    run,
                    skip: bottom.skip,
                    length: bottom.size,
                }),
                (parts, _) => Whole::Segments(Arc::new(parts.unwrap_or_default())),
            };
            return Ok(Plan {
                content: chain.content().clone(),
                bottom,
                whole,
                map: layers.map(Arc::new),
                streams: chain.streams()?,
            });
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
