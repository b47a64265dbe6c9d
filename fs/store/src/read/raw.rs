//! Contents that are, byte for byte, a stored file.

use std::fs::File;

use rusqlite::Connection;

use crate::frame::Encoding;
use crate::holes::HeldFile;
use crate::layout::{FileKind, SEGMENT, stored_file};
use crate::read::ContentReader;
use crate::read::plan::Whole;
use crate::{ContentId, FileId, Result};

impl ContentReader {
    /// The file that is byte for byte this content, where there is one: held, so that it stays that.
    pub fn raw_file(&self) -> Result<Option<HeldFile>> {
        let plan = self.plan();
        let (None, Whole::Segments(parts)) = (&plan.map, &plan.whole) else {
            return Ok(None);
        };
        // Most are none: seen by where the first segment lies.
        let first = parts.first().and_then(|part| part.run);
        let Some(Ok(run)) = first.map(|run| self.repository.run(run)) else {
            return Ok(None);
        };
        if run.encoding != Encoding::Raw || run.kind != FileKind::Head || run.offset != 0 {
            return Ok(None);
        }
        let path = stored_file(self.repository.path(), run.kind, run.file);
        let Some(held) = File::open(path).ok().and_then(HeldFile::new) else {
            return Ok(None);
        };
        let is_as_long = held.file().metadata().is_ok_and(|file| file.len() == self.size());
        let is_it = is_as_long && is_all_in(&*self.repository.connection()?, plan.content.id, self.size(), run.file)?;
        Ok(is_it.then_some(held))
    }
}

/// Whether each segment of a content of this size lies in that file at the place that it has in the content.
fn is_all_in(connection: &Connection, content: ContentId, size: u64, file: FileId) -> Result<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM parts p JOIN runs r ON r.id = p.run
         WHERE p.content = ?1 AND r.file = ?2 AND r.encoding = ?3 AND r.offset = p.segment * ?4",
    )?;
    let values = (content, file, Encoding::Raw as i64, SEGMENT as i64);
    let there: i64 = statement.query_row(values, |row| row.get(0))?;
    Ok(there as u64 == size.div_ceil(SEGMENT))
}
