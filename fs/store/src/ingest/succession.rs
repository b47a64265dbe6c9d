//! Old contents become reverse deltas of the ones that took their place.
//!
//! Nothing is changed here: the delta streams are written, under the push's number, and a
//! [`Conversion`] says which rows the commit is to change if they are still as they were.

use std::collections::HashSet;

use rusqlite::Connection;

use crate::catalog::{ALIVE, Content, Run};
use crate::delta::{self, Map, Piece, ReadAt, Shared};
use crate::ingest::Ingest;
use crate::layout::{MEDIUM, UNMAPPED};
use crate::maintenance::remember_base;
use crate::read::ContentReader;
use crate::write::{StreamSink, Writer};
use crate::{ContentId, Error, PushId, Result, RunId};

/// A reverse delta that has been written and that no row names yet.
pub(crate) struct Conversion {
    /// The content as it was when the delta was made.
    pub old: Content,
    /// What the delta is against; whole.
    pub base: ContentId,
    /// Where the stream lies.
    pub run: Run,
    /// Its length.
    pub stream: u64,
    /// The extents, where the stream is too long to be parsed at every opening.
    pub map: Option<Vec<u8>>,
}

/// A delta is worth its chain only if it is smaller than this share of the content.
const WORTH: (u64, u64) = (9, 10);

impl Ingest {
    /// Writes the reverse deltas of what no newest snapshot reaches once this push is committed.
    pub(super) fn convert_superseded(&mut self) -> Result<Vec<Conversion>> {
        let mut conversions = Vec::new();
        let mut seen = HashSet::new();
        for (old, new) in std::mem::take(&mut self.successions) {
            if !seen.insert(old) {
                continue;
            }
            let Some((old, new)) = self.superseded(old, new)? else {
                continue;
            };
            let shared = self.shared.remove(&old.id).filter(|(by, _)| *by == new.id);
            match convert(&mut self.writer, old, new.id, shared.map(|(_, shared)| shared)) {
                // It stays as it is, for a verification to name. The new one is not to suffer for it.
                Err(Error::Damaged(_)) => {}
                converted => conversions.extend(converted?),
            }
        }
        Ok(conversions)
    }

    /// The two contents, if the old one is whole and loses its last living entry by this push
    /// and the new one is whole.
    fn superseded(&self, old: ContentId, new: ContentId) -> Result<Option<(Content, Content)>> {
        let connection = self.repository.connection()?;
        let is_alive = is_alive(&connection, old, Some(self.writer.push))?;
        let (old, new) = (Content::get(&connection, old)?, Content::get(&connection, new)?);
        Ok(old
            .zip(new)
            .filter(|(old, new)| !is_alive && old.base.is_none() && new.base.is_none()))
    }
}

/// Whether the newest snapshot of a line reaches a content, closings of `push` taken off.
pub(crate) fn is_alive(connection: &Connection, content: ContentId, push: Option<PushId>) -> Result<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM entries WHERE content = ?1 AND last = ?2
           AND NOT EXISTS (SELECT 1 FROM closings WHERE push = ?3 AND entry = entries.id))",
    )?;
    Ok(statement.query_row((content, ALIVE, push), |row| row.get(0))?)
}

/// Writes the delta that makes `old` from `new`: from what they share if it is known,
/// else by looking, if they are small enough to be held in memory. `None` if it is not worth it.
fn convert(writer: &mut Writer, old: Content, new: ContentId, shared: Option<Shared>) -> Result<Option<Conversion>> {
    let repository = writer.repository.clone();
    let (old_reader, new_reader) = (repository.open_content(old.id)?, repository.open_content(new)?);
    match shared {
        Some(shared) => {
            let (pieces, literals) = shared.into_pieces(old.size);
            let pieces = delta::extend(pieces, &literals, &old_reader, &new_reader)?;
            write_pieces(writer, old, new, &pieces, &literals.over(&old_reader))
        }
        None if old.size <= MEDIUM && new_reader.size() <= 2 * MEDIUM => {
            let stream = delta::delta(&read_all(&old_reader)?, &read_all(&new_reader)?)?;
            if stream.len() as u64 >= old.size * WORTH.0 / WORTH.1 {
                return Ok(None);
            }
            let map = delta::parse(&stream, old.id)?;
            if !repository.may_be_delta(&old, map.extents().len())? {
                return Ok(None);
            }
            let mut sink = StreamSink::new(writer);
            std::io::Write::write_all(&mut sink, &stream).map_err(|error| sink_error(&mut sink, error))?;
            let written = sink.finish()?;
            Ok(Some(Conversion::new(old, new, written.run, written.length, &map)))
        }
        None => Ok(None),
    }
}

/// Writes the delta that consists of `pieces`; `None` if it is not worth it.
fn write_pieces(
    writer: &mut Writer,
    old: Content,
    base: ContentId,
    pieces: &[Piece],
    reader: &dyn ReadAt,
) -> Result<Option<Conversion>> {
    let literal: u64 = pieces
        .iter()
        .map(|piece| {
            if let Piece::Literal { len, .. } = piece {
                *len
            } else {
                0
            }
        })
        .sum();
    if literal >= old.size * WORTH.0 / WORTH.1 || !writer.repository.may_be_delta(&old, pieces.len())? {
        return Ok(None);
    }
    write_delta(writer, old, base, pieces, reader).map(Some)
}

/// Writes the delta of `old` against `base` that consists of `pieces`, literals from `reader`.
pub(crate) fn write_delta(
    writer: &mut Writer,
    old: Content,
    base: ContentId,
    pieces: &[Piece],
    reader: &dyn ReadAt,
) -> Result<Conversion> {
    let mut sink = StreamSink::new(writer);
    let result = delta::write(pieces, reader, old.id, &mut sink);
    let map = match (result, sink.take_failure()) {
        (Ok(map), None) => map,
        (_, Some(failure)) => return Err(failure),
        (Err(error), None) => return Err(error),
    };
    let written = sink.finish()?;
    Ok(Conversion::new(old, base, written.run, written.length, &map))
}

fn sink_error(sink: &mut StreamSink<'_>, error: std::io::Error) -> Error {
    sink.take_failure().unwrap_or_else(|| Error::Refused(error.to_string()))
}

fn read_all(reader: &ContentReader) -> Result<Vec<u8>> {
    let mut bytes = vec![0; reader.size() as usize];
    reader.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

impl Conversion {
    fn new(old: Content, base: ContentId, run: Run, stream: u64, map: &Map) -> Self {
        let map = (stream > UNMAPPED).then(|| map.encode());
        Conversion {
            old,
            base,
            run,
            stream,
            map,
        }
    }

    /// Changes the rows, if the content is still as it was; inside the transaction of a commit.
    /// Gives the runs that it no longer lies in.
    pub fn apply(&self, connection: &Connection) -> Result<Vec<RunId>> {
        let still = Content::get(connection, self.old.id)?.as_ref() == Some(&self.old);
        let base = Content::get(connection, self.base)?;
        let chain_ends = base.is_some_and(|base| base.base != Some(self.old.id));
        let fit = still && chain_ends && (self.old.base.is_some() || !is_alive(connection, self.old.id, None)?);
        if !fit {
            return Ok(Vec::new());
        }
        let freed = release(connection, self.old.id)?;
        remember_base(connection, self.old.base)?;
        self.run.insert(connection)?;
        let (run, base, skip, stream) = (Some(self.run.id), Some(self.base), 0, self.stream);
        Content {
            run,
            skip,
            base,
            stream,
            ..self.old.clone()
        }
        .write(connection, self.map.as_deref())?;
        Ok(freed)
    }
}

/// Takes a content off the runs that it lies in; gives those runs.
pub(crate) fn release(connection: &Connection, content: ContentId) -> Result<Vec<RunId>> {
    let mut statement = connection.prepare_cached(
        "SELECT run FROM contents WHERE id = ?1 AND run IS NOT NULL
         UNION SELECT run FROM parts WHERE content = ?1 AND run IS NOT NULL",
    )?;
    let runs = statement
        .query_map([content], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    connection
        .prepare_cached("DELETE FROM parts WHERE content = ?1")?
        .execute([content])?;
    connection
        .prepare_cached("UPDATE contents SET run = NULL WHERE id = ?1")?
        .execute([content])?;
    Ok(runs)
}
