//! What the sender of a large content asks of the one that it tells it against.

use crate::catalog::{Content, parts};
use crate::layout::{GROUP, SEGMENT_GROUPS};
use crate::tree_hash::Value;
use crate::{Hash, Repository, Result};

/// What an agent needs to know of a content to tell a changed one against it.
#[derive(Clone, Debug)]
pub struct BaseValues {
    /// Its length in bytes.
    pub size: u64,
    /// For each of its groups the chaining value; `None` where it is not kept and must be
    /// taken as different.
    pub groups: Vec<Option<Value>>,
    /// For each of its segments that is all zeros, the chaining value of the segment.
    pub zero_segments: Vec<Option<Value>>,
}

impl Repository {
    /// The chaining values of a content's groups; `None` if it is not here.
    pub fn base_values(&self, hash: &Hash) -> Result<Option<BaseValues>> {
        let connection = self.connection()?;
        let Some(content) = Content::find(&connection, hash, None)? else {
            return Ok(None);
        };
        let parts = match (content.base, content.run) {
            (None, None) => parts(&connection, &content)?,
            _ => Vec::new(),
        };
        drop(connection);
        let count = content.size.div_ceil(GROUP) as usize;
        let mut groups = Vec::with_capacity(count);
        let mut zero_segments = Vec::with_capacity(parts.len());
        if let (None, Some(run)) = (content.base, content.run) {
            let run = self.run(run).map_err(|error| error.into_error())?;
            if run.position.is_some() {
                groups.extend(run.frames.iter().map(|frame| Some(frame.value)));
            }
        }
        for part in parts {
            let left = (count - groups.len()).min(SEGMENT_GROUPS as usize);
            match part.run {
                Some(run) => {
                    let run = self.run(run).map_err(|error| error.into_error())?;
                    groups.extend(run.frames.iter().map(|frame| Some(frame.value)));
                    zero_segments.push(None);
                }
                None => {
                    groups.extend(std::iter::repeat_n(None, left));
                    zero_segments.push((left == SEGMENT_GROUPS as usize).then_some(part.value));
                }
            }
        }
        groups.resize(count, None);
        Ok(Some(BaseValues {
            size: content.size,
            groups,
            zero_segments,
        }))
    }
}
