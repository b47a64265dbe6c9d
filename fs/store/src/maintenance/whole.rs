//! Making a content whole that is a delta: when what it is told against goes, or when the
//! newest snapshot reaches it again.

use std::sync::Arc;

use rusqlite::Connection;

use crate::catalog::{Content, Part, Run};
use crate::delta::ReadAt;
use crate::frame::Frame;
use crate::ingest::release;
use crate::layout::{GROUP, MEDIUM, SEGMENT};
use crate::maintenance::{Step, remember_base};
use crate::stops::Stop;
use crate::tree_hash::{self, Value, group_value, segment_value};
use crate::write::{Writer, unify};
use crate::{ContentId, Error, Hash, Repository, Result, RunId};

/// A whole copy of a content that has been written and that no row names yet.
struct Copy {
    content: Content,
    runs: Vec<Run>,
    /// Of a large content.
    parts: Option<Vec<Part>>,
}

impl Repository {
    /// Makes a content whole, unless it is.
    pub(super) fn make_whole(self: &Arc<Self>, id: ContentId) -> Result<()> {
        let content = Content::get(&*self.connection()?, id)?;
        let Some(content) = content.filter(|content| content.base.is_some()) else {
            return Ok(());
        };
        let mut step = Step::begin(self)?;
        let copy = write_copy(&mut step.writer, content)?;
        step.commit(Stop::MadeWhole, |connection| copy.apply(connection))
    }
}

impl Copy {
    fn apply(self, connection: &Connection) -> Result<Vec<RunId>> {
        if Content::get(connection, self.content.id)?.as_ref() != Some(&self.content) {
            return Ok(Vec::new());
        }
        let freed = release(connection, self.content.id)?;
        remember_base(connection, self.content.base)?;
        for run in &self.runs {
            run.insert(connection)?;
        }
        for (segment, part) in self.parts.iter().flatten().enumerate() {
            part.insert(connection, self.content.id, segment as u64)?;
        }
        let run = self.runs.first().filter(|_| self.parts.is_none()).map(|run| run.id);
        let Content { id, hash, size, .. } = self.content;
        Content::whole(id, hash, size, run, 0).write(connection, None)?;
        Ok(freed)
    }
}

/// Reads a content through its chain and writes it as one that is whole; refuses to if it is
/// not what its name says.
fn write_copy(writer: &mut Writer, content: Content) -> Result<Copy> {
    let reader = writer.repository.open_content(content.id)?;
    let mut copy = Copy {
        parts: (content.size > MEDIUM).then(Vec::new),
        runs: Vec::new(),
        content,
    };
    let size = copy.content.size;
    let mut values: Vec<Value> = Vec::new();
    let mut buffer = vec![0; SEGMENT.min(size) as usize];
    for segment in 0..size.div_ceil(SEGMENT) {
        let bytes = &mut buffer[..SEGMENT.min(size - segment * SEGMENT) as usize];
        reader.read_exact_at(segment * SEGMENT, bytes)?;
        let first = segment * (SEGMENT / GROUP);
        let is_one_group = size <= GROUP;
        let frames: Vec<(Frame, Value)> = bytes
            .chunks(GROUP as usize)
            .zip(first..)
            .map(|(group, index)| {
                let value = if is_one_group {
                    Hash::of(group).0
                } else {
                    group_value(index, group)
                };
                (Frame::encode(group, writer.repository.compression()), value)
            })
            .collect();
        let segment_values: Vec<Value> = frames.iter().map(|(_, value)| *value).collect();
        let (encoding, stored) = unify(frames);
        let value = segment_value(bytes.len() as u64, &segment_values);
        values.extend(segment_values);
        match &mut copy.parts {
            None => {
                let position = (!is_one_group).then_some(0);
                copy.runs.push(writer.append_to_pack(&stored, encoding, position)?);
            }
            Some(parts) if bytes.iter().all(|&byte| byte == 0) => parts.push(Part { run: None, value }),
            Some(parts) => {
                let follows = parts.last().and_then(|part| part.run);
                let run = writer.write_head(&stored, encoding, first, follows)?;
                parts.push(Part {
                    run: Some(run.id),
                    value,
                });
                copy.runs.push(run);
            }
        }
    }
    let name = if size <= GROUP {
        Hash(values[0])
    } else {
        tree_hash::from_groups(size, &values)
    };
    match name == copy.content.hash {
        true => Ok(copy),
        false => Err(Error::Damaged(format!(
            "content {} is not what its name says",
            copy.content.hash
        ))),
    }
}
