//! Repacking: a pack of which little is alive is copied, without the dead, and goes.
//!
//! Frames are copied as they are stored, checked on the way. Runs keep their numbers, so
//! nothing else changes; a reader that still has the old place finds the file gone, and looks
//! again.

use std::sync::Arc;

use crate::catalog::Run;
use crate::layout::FileKind;
use crate::maintenance::Step;
use crate::read::stored_frame;
use crate::{FileId, Repository, Result, RunId};

/// A pack is repacked when less than this share of it is alive.
const ALIVE_SHARE: (i64, i64) = (3, 4);

impl Repository {
    /// Repacks what is worth it.
    pub(super) fn repack(self: &Arc<Self>) -> Result<()> {
        for pack in self.wasteful_packs()? {
            let mut step = Step::begin(self)?;
            let mut moved = Vec::new();
            for id in self.runs_of(pack)? {
                let Some(run) = Run::get(&*self.connection()?, id)? else {
                    continue;
                };
                let frames = (0..run.frames.len())
                    .map(|index| {
                        Ok((
                            stored_frame(self, &run, index).map_err(|error| error.into_error())?,
                            run.frames[index],
                        ))
                    })
                    .collect::<Result<Vec<_>>>()?;
                let copy = step.writer.append_to_pack(&frames, run.encoding, run.position)?;
                moved.push((run, Run { id, ..copy }));
            }
            step.commit(|connection| {
                for (old, new) in &moved {
                    // One that was dropped meanwhile is not brought back.
                    if Run::get(connection, old.id)?.as_ref() == Some(old) {
                        new.insert(connection)?;
                    }
                }
                connection.execute(
                    "UPDATE files SET dead = 1 WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM runs WHERE file = ?1)",
                    [pack],
                )?;
                Ok(Vec::new())
            })?;
        }
        Ok(())
    }

    fn wasteful_packs(&self) -> Result<Vec<FileId>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT f.id FROM files f JOIN runs r ON r.file = f.id
             WHERE f.kind = ?1 AND f.push IS NULL AND f.dead = 0
             GROUP BY f.id HAVING sum(r.bytes) * ?3 < f.bytes * ?2",
        )?;
        let rows = statement.query_map((FileKind::Pack as i64, ALIVE_SHARE.0, ALIVE_SHARE.1), |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn runs_of(&self, file: FileId) -> Result<Vec<RunId>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached("SELECT id FROM runs WHERE file = ?1 ORDER BY offset")?;
        Ok(statement
            .query_map([file], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?)
    }
}
