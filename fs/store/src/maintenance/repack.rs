//! Repacking: a pack of which little is alive is copied, without the dead, and goes.
//!
//! ```text
//! run, all alive      frames copied as they are stored; the run keeps its number
//! run, partly dead    its living contents go into new frames, with those of others like it
//! run, all dead       has no row any more
//! ```
//!
//! Nothing else changes; a reader that still has the old place finds the file gone, and looks
//! again.

use std::sync::Arc;

use rusqlite::Connection;

use crate::catalog::{Content, Run};
use crate::frame::Frame;
use crate::ingest::release;
use crate::layout::{FRAME, FileKind};
use crate::maintenance::Step;
use crate::read::{Stretch, stored_frame};
use crate::stops::Stop;
use crate::write::{Writer, unify};
use crate::{ContentId, Error, FileId, Hash, Repository, Result, RunId};

/// A pack is repacked when less than this share of it is alive; so is a run of shared frames.
const ALIVE_SHARE: (u64, u64) = (3, 4);

/// What a repacked pack becomes.
#[derive(Default)]
struct Moves {
    /// Runs, before and after.
    runs: Vec<(Run, Run)>,
    /// Contents that change runs, before and after.
    contents: Vec<(Content, Content)>,
    /// Runs that were made for them.
    made: Vec<Run>,
}

/// Living contents that are to share a frame.
#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    contents: Vec<Content>,
}

impl Repository {
    /// Repacks what is worth it. A pack in which something cannot be read stays, for a verification to name, and
    /// stands in no other's way.
    pub(super) fn repack(self: &Arc<Self>) -> Result<()> {
        for pack in self.wasteful_packs()? {
            match self.repack_one(pack) {
                Err(error) if error.is_damage() => continue,
                repacked => repacked?,
            }
        }
        Ok(())
    }

    fn repack_one(self: &Arc<Self>, pack: FileId) -> Result<()> {
        let mut step = Step::begin(self)?;
        let (mut moves, mut block) = (Moves::default(), Block::default());
        for id in self.runs_of(pack)? {
            let Some(run) = Run::get(&*self.connection()?, id)? else {
                continue;
            };
            let contents = self.contents_of(id)?;
            match is_worth_keeping(&run, &contents) {
                true => moves.runs.push(self.copy_run(&mut step.writer, run)?),
                false => self.gather(&mut step.writer, contents, &mut block, &mut moves)?,
            }
        }
        block.flush(&mut step.writer, &mut moves)?;
        step.commit(Stop::Repacked, |connection| moves.apply(connection, pack))
    }

    /// Packs of which too little is alive, contents that share a frame counted one by one.
    fn wasteful_packs(&self) -> Result<Vec<FileId>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT f.id FROM files f JOIN runs r ON r.file = f.id LEFT JOIN
               (SELECT run, sum(CASE WHEN base IS NULL THEN size ELSE stream END) AS alive
                FROM contents WHERE run IS NOT NULL GROUP BY run) c ON c.run = r.id
             WHERE f.kind = ?1 AND f.push IS NULL AND f.dead = 0
             GROUP BY f.id
             HAVING sum(r.bytes * min(1.0, coalesce(c.alive, 0) * 1.0 / r.length)) * ?3 < f.bytes * ?2",
        )?;
        let shares = (FileKind::Pack as i64, ALIVE_SHARE.0 as i64, ALIVE_SHARE.1 as i64);
        let rows = statement.query_map(shares, |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn runs_of(&self, file: FileId) -> Result<Vec<RunId>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached("SELECT id FROM runs WHERE file = ?1 ORDER BY offset")?;
        Ok(statement
            .query_map([file], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?)
    }

    fn contents_of(&self, run: RunId) -> Result<Vec<Content>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached("SELECT id FROM contents WHERE run = ?1 ORDER BY skip")?;
        let ids = statement
            .query_map([run], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<ContentId>>>()?;
        ids.into_iter()
            .filter_map(|id| Content::get(&connection, id).transpose())
            .collect()
    }

    /// Copies the frames of a run as they are stored, checked on the way.
    fn copy_run(&self, writer: &mut Writer, run: Run) -> Result<(Run, Run)> {
        let frame = |index| {
            Ok((
                stored_frame(self, &run, index).map_err(|error| error.into_error())?,
                run.frames[index],
            ))
        };
        let frames = (0..run.frames.len()).map(frame).collect::<Result<Vec<_>>>()?;
        let copy = Run {
            id: run.id,
            ..writer.append_to_pack(&frames, run.encoding, run.position)?
        };
        Ok((run, copy))
    }

    /// Puts the living contents of a run into blocks.
    fn gather(&self, writer: &mut Writer, contents: Vec<Content>, block: &mut Block, moves: &mut Moves) -> Result<()> {
        for content in contents {
            let stretch = Stretch {
                run: content.run.expect("found by its run"),
                skip: content.skip,
                length: content.size,
            };
            let mut bytes = vec![0; content.size as usize];
            self.read_stretch(stretch, 0, &mut bytes)
                .map_err(|error| error.into_error())?;
            if Hash::of(&bytes) != content.hash {
                return Err(Error::Damaged(format!(
                    "content {} is not what its name says",
                    content.hash
                )));
            }
            if block.bytes.len() + bytes.len() > FRAME as usize {
                block.flush(writer, moves)?;
            }
            block.bytes.extend_from_slice(&bytes);
            block.contents.push(content);
        }
        Ok(())
    }
}

/// Whether a run is copied as it is: unless it is one frame of several whole contents, too few
/// of which are alive.
fn is_worth_keeping(run: &Run, contents: &[Content]) -> bool {
    let is_shared = run.frames.len() == 1 && contents.iter().all(|content| content.base.is_none());
    let alive: u64 = contents.iter().map(|content| content.size).sum();
    !is_shared || alive * ALIVE_SHARE.1 >= run.length() * ALIVE_SHARE.0
}

impl Block {
    /// Writes the contents that have been gathered as one frame.
    fn flush(&mut self, writer: &mut Writer, moves: &mut Moves) -> Result<()> {
        if self.contents.is_empty() {
            return Ok(());
        }
        let frame = Frame::encode(&self.bytes, writer.repository.compression());
        let (encoding, stored) = unify(vec![(frame, Hash::of(&self.bytes).0)]);
        let run = writer.append_to_pack(&stored, encoding, None)?;
        let mut skip = 0;
        for content in self.contents.drain(..) {
            let moved = Content {
                run: Some(run.id),
                skip,
                ..content.clone()
            };
            skip += content.size;
            moves.contents.push((content, moved));
        }
        self.bytes.clear();
        moves.made.push(run);
        Ok(())
    }
}

impl Moves {
    /// Changes the rows of what is still as it was; gives the runs that were left.
    fn apply(&self, connection: &Connection, pack: FileId) -> Result<Vec<RunId>> {
        for (old, new) in &self.runs {
            // One that was dropped meanwhile is not brought back.
            if Run::get(connection, old.id)?.as_ref() == Some(old) {
                new.move_to(connection)?;
            }
        }
        for run in &self.made {
            run.insert(connection)?;
        }
        // Those that nothing moves into after all are dropped with the ones that were left.
        let mut left: Vec<RunId> = self.made.iter().map(|run| run.id).collect();
        for (old, new) in &self.contents {
            if Content::get(connection, old.id)?.as_ref() == Some(old) {
                left.extend(release(connection, old.id)?);
                new.write(connection, None)?;
            }
        }
        crate::ingest::drop_runs(connection, &left, None)?;
        connection.execute(
            "UPDATE files SET dead = 1 WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM runs WHERE file = ?1)",
            [pack],
        )?;
        Ok(Vec::new())
    }
}
