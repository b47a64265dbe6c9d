//! A content open for reading.

use std::sync::{Arc, RwLock};

use crate::catalog::Content;
use crate::delta::{ReadAt, Source};
use crate::layout::{GROUP, SEGMENT};
use crate::read::FrameError;
use crate::read::ahead::Progress;
use crate::read::plan::{Plan, Stretch, Whole};
use crate::{ContentId, Error, Hash, Repository, Result};

/// A content open for reading. Cheap to make; threads may share it.
///
/// Every byte given was verified: frames against their tables, and contents of one group or
/// less against their name. While pushes and prunes rebase what it reads, it looks again;
/// only what is missing although nothing changed is damage.
pub struct ContentReader {
    pub(super) repository: Arc<Repository>,
    id: ContentId,
    plan: RwLock<Arc<Plan>>,
    pub(super) progress: Progress,
}

impl Repository {
    /// Opens a content for reading.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the catalog's rows about it do not hold together.
    pub fn open_content(self: &Arc<Self>, id: ContentId) -> Result<ContentReader> {
        let plan = match self.caches.content(id) {
            // If it lies elsewhere by now, reading looks again.
            Some(content) => Plan::of_run(content),
            None => load_again(self, id)?,
        };
        Ok(ContentReader {
            repository: self.clone(),
            id,
            plan: RwLock::new(Arc::new(plan)),
            progress: Progress::default(),
        })
    }

    /// Bytes read from stored files since the repository was opened.
    pub fn bytes_read(&self) -> u64 {
        self.caches.bytes_read()
    }

    /// Fills `buf` from a stretch of a run, beginning `offset` bytes into the stretch.
    pub(crate) fn read_stretch(&self, stretch: Stretch, offset: u64, buf: &mut [u8]) -> Result<(), FrameError> {
        let run = self.run(stretch.run)?;
        let start = stretch.skip.saturating_add(offset);
        let length = buf.len() as u64;
        if offset.saturating_add(length) > stretch.length || start.saturating_add(length) > run.length() {
            return Err(Error::Damaged(format!("catalog: run {} is shorter than what lies in it", run.id)).into());
        }
        let mut done = 0;
        let mut index = run.frame_at(start);
        while done < buf.len() {
            let from = (start + done as u64 - run.starts[index].1) as usize;
            let length = run.frames[index].length as usize;
            let take = (length - from).min(buf.len() - done);
            let target = &mut buf[done..done + take];
            // Who wants all of a frame has a cache of his own.
            if take == length && !self.caches.has_frame(run.id, index as u32) {
                self.read_frame(&run, index, target)?;
            } else {
                target.copy_from_slice(&self.frame(&run, index)?[from..from + take]);
            }
            done += take;
            index += 1;
        }
        Ok(())
    }
}

/// Loading parses short deltas, whose packs may be moved at that moment: once more, then.
fn load_again(repository: &Repository, id: ContentId) -> Result<Plan> {
    Plan::load(repository, id).or_else(|_| Plan::load(repository, id))
}

impl ContentReader {
    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.plan().content.size
    }

    /// Its name.
    pub fn hash(&self) -> Hash {
        self.plan().content.hash
    }

    /// Reads verified bytes from `offset`; fewer than asked for only at the end.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let length = self.size().saturating_sub(offset).min(buf.len() as u64) as usize;
        let buf = &mut buf[..length];
        self.looking_again(|plan| self.read_by(plan, offset, buf))?;
        Ok(length)
    }

    /// The same for who may go on to the contents behind it, one after the other: those are decoded ahead.
    pub(crate) fn read_going_on(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let length = self.read_at(offset, buf)?;
        if length == 0 {
            return Ok(0);
        }
        let plan = self.plan();
        let end = offset + length as u64;
        match (&plan.whole, &plan.map) {
            (Whole::Stretch(stretch), _) if stretch.length <= GROUP => self.repository.goes_on_from(stretch.run),
            (_, Some(_)) => self.repository.goes_on_within(&plan, &self.progress, offset, end),
            _ => {}
        }
        Ok(length)
    }

    /// Does something by the plan; where what it names is gone, by the plan as it is now.
    pub(super) fn looking_again<T>(&self, mut act: impl FnMut(&Plan) -> Result<T, FrameError>) -> Result<T> {
        let mut plan = self.plan();
        loop {
            match act(&plan) {
                Ok(done) => return Ok(done),
                Err(FrameError::Failed(error)) => return Err(error),
                Err(gone) => {
                    let again = Arc::new(load_again(&self.repository, self.id)?);
                    // The same rows name the same runs; but a run may have moved into another file.
                    let moved = matches!(gone, FrameError::Gone(_)) && self.runs_moved(&again);
                    if again.is_same(&plan) && !moved {
                        return Err(gone.into_error());
                    }
                    *self.plan.write().expect("no panic while held") = again.clone();
                    plan = again;
                }
            }
        }
    }

    pub(super) fn plan(&self) -> Arc<Plan> {
        self.plan.read().expect("no panic while held").clone()
    }

    /// Whether a run of the plan lies in a file that can be opened now though it could not before.
    fn runs_moved(&self, plan: &Plan) -> bool {
        let of_whole: Vec<_> = match &plan.whole {
            Whole::Stretch(stretch) => vec![stretch.run],
            Whole::Segments(parts) => parts.iter().filter_map(|part| part.run).collect(),
        };
        let runs = of_whole
            .into_iter()
            .chain(plan.streams.values().map(|stretch| stretch.run));
        runs.into_iter().all(|run| {
            self.repository
                .run(run)
                .is_ok_and(|run| self.repository.file_of(&run).is_ok())
        })
    }

    fn read_by(&self, plan: &Plan, offset: u64, buf: &mut [u8]) -> Result<(), FrameError> {
        let Some(map) = &plan.map else {
            return self.read_whole(plan, offset, buf);
        };
        // Where maps stay apart there may be an extent for each byte.
        let step = if map.is_composed() { buf.len() } else { GROUP as usize };
        for (index, target) in buf.chunks_mut(step.max(1)).enumerate() {
            let offset = offset + (index * step) as u64;
            for extent in map.slice(offset, target.len() as u64) {
                let at = (extent.at - offset) as usize;
                self.read_extent(plan, extent.source, &mut target[at..at + extent.len as usize])?;
            }
        }
        Ok(())
    }

    fn read_extent(&self, plan: &Plan, source: Source, target: &mut [u8]) -> Result<(), FrameError> {
        match source {
            Source::Base(from) => self.read_whole(plan, from, target),
            Source::Literal { content, at } => {
                let stream = plan.streams.get(&content).copied();
                let stream = stream.ok_or_else(|| Error::Damaged(format!("no delta stream of content {content}")))?;
                self.repository.read_stretch(stream, at, target)
            }
        }
    }

    fn read_whole(&self, plan: &Plan, offset: u64, buf: &mut [u8]) -> Result<(), FrameError> {
        match &plan.whole {
            Whole::Stretch(stretch) if stretch.length <= GROUP => self.read_small(plan, *stretch, offset, buf),
            Whole::Stretch(stretch) => self.repository.read_stretch(*stretch, offset, buf),
            Whole::Segments(parts) => {
                let mut done = 0;
                while done < buf.len() {
                    let (segment, inside) = ((offset + done as u64) / SEGMENT, (offset + done as u64) % SEGMENT);
                    let length = SEGMENT.min(plan.bottom.size - segment * SEGMENT);
                    let take = ((length - inside) as usize).min(buf.len() - done);
                    let target = &mut buf[done..done + take];
                    let part = parts
                        .get(segment as usize)
                        .ok_or_else(|| Error::Damaged(format!("catalog: content {} lacks segments", plan.bottom.id)))?;
                    match part.run {
                        None => target.fill(0),
                        Some(run) => self
                            .repository
                            .read_stretch(Stretch { run, skip: 0, length }, inside, target)?,
                    }
                    done += take;
                }
                Ok(())
            }
        }
    }

    /// A content of one group or less shares its frame, whose check says nothing of where in
    /// the frame it lies: so its own name is checked.
    fn read_small(&self, plan: &Plan, stretch: Stretch, offset: u64, buf: &mut [u8]) -> Result<(), FrameError> {
        let mut bytes = vec![0; stretch.length as usize];
        self.repository.read_stretch(stretch, 0, &mut bytes)?;
        if Hash::of(&bytes) != plan.bottom.hash {
            return Err(Error::Damaged(format!("content {} is not what its name says", plan.bottom.hash)).into());
        }
        buf.copy_from_slice(&bytes[offset as usize..offset as usize + buf.len()]);
        Ok(())
    }
}

impl ReadAt for ContentReader {
    fn size(&self) -> u64 {
        ContentReader::size(self)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        match self.read_at(offset, buf)? {
            length if length == buf.len() => Ok(()),
            _ => Err(Error::Damaged(format!("content {} ends early", self.id))),
        }
    }
}

impl Repository {
    /// Opens a content by its name.
    ///
    /// # Errors
    /// [`Error::Refused`] if the repository does not have it.
    pub fn open_hash(self: &Arc<Self>, hash: &Hash) -> Result<ContentReader> {
        let found = Content::find(&*self.connection()?, hash, None)?;
        let content = found.ok_or_else(|| Error::Refused(format!("no content {hash}")))?;
        self.open_content(content.id)
    }

    /// The names of contents; `None` where the catalog no longer knows one.
    pub fn content_hashes(&self, ids: &[ContentId]) -> Result<Vec<Option<Hash>>> {
        let name = |id: &ContentId| match self.content_hash(*id) {
            Err(error) if error.is_damage() => Ok(None),
            name => name.map(Some),
        };
        ids.iter().map(name).collect()
    }

    /// The name of a content.
    pub fn content_hash(&self, id: ContentId) -> Result<Hash> {
        let found = Content::get(&*self.connection()?, id)?;
        found
            .map(|content| content.hash)
            .ok_or_else(|| Error::Damaged(format!("catalog: no content {id}")))
    }

    /// The name of an entry's content, for who pushes and wants to know what he need not read. `None` if it has none, or
    /// if the row of it is damaged: then that file is read, and what is lost comes again.
    pub fn name_to_compare(&self, entry: &crate::Entry) -> Result<Option<Hash>> {
        match entry.content.map(|content| self.content_hash(content)).transpose() {
            Err(Error::Damaged(_)) => Ok(None),
            name => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::Layers;
    use crate::testing::{Bench, file, noise};

    #[test]
    fn maps_that_stay_apart_give_the_same_bytes() {
        let bench = Bench::new();
        let oldest = noise(1, 700_000);
        let mut version = oldest.clone();
        bench.push("host", |push| file(push, "file", &version));
        for round in 0..4 {
            version.rotate_left(1000);
            version.splice(5000 * round..5000 * round + 3000, noise(2 + round as u8, 2500));
            bench.push("host", |push| file(push, "file", &version));
        }
        let repository = bench.reopened();
        let reader = repository.open_hash(&Hash::of(&oldest)).unwrap();
        let own = |nth| {
            let query = format!("SELECT id FROM contents WHERE base IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET {nth}");
            repository.own_map(ContentId(bench.number(&query))).unwrap()
        };
        let mut layers = Layers::composing(own(0), 0);
        (1..4).for_each(|nth| layers.put_on_top(own(nth)).unwrap());
        assert!(!layers.is_composed());
        let apart = Plan {
            map: Some(Arc::new(layers)),
            ..(*reader.plan()).clone()
        };
        let read = |offset: usize, length: usize| {
            let mut bytes = vec![0; length];
            let read = reader.read_at(offset as u64, &mut bytes).unwrap();
            bytes[..read] == oldest[offset..(offset + length).min(oldest.len())]
        };
        let all = || [(0, 700_000), (1, 300_000), (131_071, 3), (699_000, 5000)].map(|(at, length)| read(at, length));
        assert_eq!(all(), [true; 4]);
        *reader.plan.write().unwrap() = Arc::new(apart);
        assert_eq!(all(), [true; 4]);
    }
}
