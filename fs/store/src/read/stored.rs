//! Frames as they are stored, for a reader who decodes them himself: half the bytes on a network, and less than half the
//! work here. They are checked by the sum of their stored bytes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalog::Run;
use crate::frame::{Compression, Frame};
use crate::layout::{GROUP, SEGMENT};
use crate::read::plan::{Stretch, Whole};
use crate::read::{ContentReader, FrameError, stored_frame};
use crate::{ContentId, Error, Repository, Result, RunId};

/// Small contents, as they come.
#[derive(Debug)]
pub enum Small {
    /// A frame in which some of them lie.
    Shared {
        /// The frame.
        frame: Frame,
        /// What lies where in it.
        slices: Vec<Slice>,
    },
    /// One by itself.
    Alone {
        /// Which.
        content: ContentId,
        /// All of it.
        bytes: Vec<u8>,
    },
}

/// A content in a decoded frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The content.
    pub content: ContentId,
    /// Bytes of the frame before it.
    pub skip: u32,
    /// Its length in bytes.
    pub size: u32,
}

impl Slice {
    /// Its bytes; `None` if the frame ends before it does.
    pub fn of<'a>(&self, decoded: &'a [u8]) -> Option<&'a [u8]> {
        let end = (self.skip as usize).checked_add(self.size as usize)?;
        decoded.get(self.skip as usize..end)
    }
}

/// Small contents that lie in one frame.
struct Shared {
    run: RunId,
    index: usize,
    slices: Vec<Slice>,
    readers: Vec<ContentReader>,
}

impl ContentReader {
    /// The frame that begins at `offset` and has at most `most` bytes, as it is stored; `None` where there is none
    /// like that: the bytes have to be read.
    ///
    /// # Errors
    /// [`Error::Damaged`] if its stored bytes are not what they were.
    pub fn stored_frame(&self, offset: u64, most: u64) -> Result<Option<Frame>> {
        self.looking_again(|plan| {
            if plan.map.is_some() || !offset.is_multiple_of(GROUP) {
                return Ok(None);
            }
            let parts = match &plan.whole {
                Whole::Stretch(stretch) if stretch.skip == 0 => return self.frame_of(*stretch, offset, most),
                Whole::Stretch(_) => return Ok(None),
                Whole::Segments(parts) => parts,
            };
            let length = GROUP.min(plan.bottom.size.saturating_sub(offset));
            match parts.get((offset / SEGMENT) as usize).map(|part| part.run) {
                Some(Some(run)) => {
                    let stretch = Stretch {
                        run,
                        skip: 0,
                        length: SEGMENT,
                    };
                    self.frame_of(stretch, offset % SEGMENT, most)
                }
                Some(None) if (1..=most).contains(&length) => {
                    Ok(Some(Frame::encode(&vec![0; length as usize], Compression::Zstd(1))))
                }
                _ => Ok(None),
            }
        })
    }

    fn frame_of(&self, stretch: Stretch, offset: u64, most: u64) -> Result<Option<Frame>, FrameError> {
        let run = self.repository.run(stretch.run)?;
        let index = run.starts.partition_point(|&(_, decoded)| decoded < offset);
        match run.frames.get(index) {
            Some(row) if run.starts[index].1 == offset && u64::from(row.length) <= most => {
                as_stored(&self.repository, &run, index).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The frame that it lies in, by run and number, and where; `None` if it is no small content, or not whole.
    fn place_in_frame(&self) -> Option<(RunId, usize, Slice)> {
        let plan = self.plan();
        let (Whole::Stretch(stretch), None) = (&plan.whole, &plan.map) else {
            return None;
        };
        let run = self.repository.run(stretch.run).ok()?;
        let index = run.frame_at(stretch.skip);
        let (row, start) = (run.frames.get(index)?, run.starts[index].1);
        let fits = stretch.skip - start + stretch.length <= u64::from(row.length);
        let slice = Slice {
            content: plan.content.id,
            skip: (stretch.skip - start) as u32,
            size: stretch.length as u32,
        };
        fits.then_some((stretch.run, index, slice))
    }

    fn all(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.size() as usize];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }
}

impl Repository {
    /// Tells contents of one group or less: those that lie in a frame together with it, where that is less than they are,
    /// and each frame once, wherever its contents stand among the others. What cannot be read is left out, but for the first.
    ///
    /// # Errors
    /// Why the first cannot be read, [`Error::Refused`] if it is too long; what `tell` says.
    pub fn read_small(
        self: &Arc<Self>,
        contents: &[ContentId],
        tell: &mut dyn FnMut(Small) -> Result<()>,
    ) -> Result<()> {
        let mut told = 0;
        let mut shared: Vec<Shared> = Vec::new();
        let mut known: HashMap<(RunId, usize), usize> = HashMap::new();
        for &content in contents {
            let reader = match self.open_small(content) {
                Ok(reader) => reader,
                Err(error) if told == 0 && shared.is_empty() => return Err(error),
                Err(_) => continue,
            };
            let Some((run, index, slice)) = reader.place_in_frame() else {
                tell_alone(content, &reader, &mut told, tell)?;
                continue;
            };
            let number = *known.entry((run, index)).or_insert(shared.len());
            if number == shared.len() {
                let (slices, readers) = Default::default();
                shared.push(Shared {
                    run,
                    index,
                    slices,
                    readers,
                });
            }
            shared[number].slices.push(slice);
            shared[number].readers.push(reader);
        }
        shared
            .into_iter()
            .try_for_each(|frame| self.tell_shared(frame, &mut told, tell))
    }

    fn open_small(self: &Arc<Self>, content: ContentId) -> Result<ContentReader> {
        let reader = self.open_content(content)?;
        match reader.size() <= GROUP {
            true => Ok(reader),
            false => Err(Error::Refused(format!("content {content} is not small"))),
        }
    }

    fn tell_shared(&self, shared: Shared, told: &mut usize, tell: &mut dyn FnMut(Small) -> Result<()>) -> Result<()> {
        let wanted: u64 = shared.slices.iter().map(|slice| u64::from(slice.size)).sum();
        // What was moved meanwhile is read content by content, and so is what is damaged.
        let frame = self.run(shared.run).ok().filter(|run| {
            let row = run.frames.get(shared.index);
            row.is_some_and(|row| u64::from(row.stored) <= wanted)
        });
        let frame = frame.and_then(|run| as_stored(self, &run, shared.index).ok());
        if let Some(frame) = frame {
            *told += shared.slices.len();
            let slices = shared.slices;
            return tell(Small::Shared { frame, slices });
        }
        for (slice, reader) in shared.slices.iter().zip(&shared.readers) {
            tell_alone(slice.content, reader, told, tell)?;
        }
        Ok(())
    }
}

/// A frame of a run, its stored bytes compared with their check.
fn as_stored(repository: &Repository, run: &Run, index: usize) -> Result<Frame, FrameError> {
    Ok(Frame {
        encoding: run.encoding,
        length: run.frames[index].length,
        bytes: stored_frame(repository, run, index)?,
    })
}

fn tell_alone(
    content: ContentId,
    reader: &ContentReader,
    told: &mut usize,
    tell: &mut dyn FnMut(Small) -> Result<()>,
) -> Result<()> {
    match reader.all() {
        Ok(bytes) => {
            *told += 1;
            tell(Small::Alone { content, bytes })
        }
        Err(error) if *told == 0 => Err(error),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{FileKind, stored_file};
    use crate::testing::{Bench, file, noise};
    use crate::{Body, Hash, Kind, Meta};

    fn content(bench: &Bench, name: &str) -> ContentId {
        let entry = bench.number(&format!(
            "SELECT content FROM entries WHERE name = CAST('{name}' AS BLOB)"
        ));
        ContentId(entry)
    }

    type Told = Vec<(ContentId, Vec<u8>)>;

    fn told(repository: &Arc<Repository>, contents: &[ContentId]) -> Result<(usize, Told)> {
        let (mut frames, mut all) = (0, Vec::new());
        repository.read_small(contents, &mut |small| {
            match small {
                Small::Shared { frame, slices } => {
                    frames += 1;
                    let decoded = frame.decode().unwrap();
                    all.extend(
                        slices
                            .iter()
                            .map(|slice| (slice.content, slice.of(&decoded).unwrap().to_vec())),
                    );
                }
                Small::Alone { content, bytes } => all.push((content, bytes)),
            }
            Ok(())
        })?;
        Ok((frames, all))
    }

    /// Ten texts that share a frame, and a noise that has one of its own.
    fn small_ones(bench: &Bench) -> Told {
        let texts: Vec<Vec<u8>> = (0..10)
            .map(|number| format!("text {number} ").repeat(500).into_bytes())
            .collect();
        bench.push("host", |push| {
            file(push, "noise", &noise(1, 50_000));
            let bodies: Vec<_> = texts.iter().map(|text| (Hash::of(text), text.len() as u64)).collect();
            push.contents(&bodies, vec![Frame::encode(&texts.concat(), Compression::Zstd(1))])
                .unwrap();
            for (number, &(hash, size)) in bodies.iter().enumerate() {
                let (name, meta) = (format!("text{number}"), Meta::plain(Kind::File, 0o644));
                push.put(name.as_bytes(), meta, Some(Body { hash, size }), None)
                    .unwrap();
            }
        });
        let texts = texts.into_iter().enumerate();
        let mut all: Vec<_> = texts
            .map(|(number, text)| (content(bench, &format!("text{number}")), text))
            .collect();
        all.push((content(bench, "noise"), noise(1, 50_000)));
        all
    }

    #[test]
    fn small_contents_come_with_their_frame_if_that_is_less_than_they_are() {
        let bench = Bench::new();
        let all = small_ones(&bench);
        let ids: Vec<ContentId> = all.iter().map(|(id, _)| *id).collect();
        assert_eq!(told(&bench.repository, &ids).unwrap(), (2, all.clone()));
        let backwards: Vec<ContentId> = ids.iter().rev().copied().collect();
        let (frames, told_backwards) = told(&bench.repository, &backwards).unwrap();
        assert_eq!((frames, told_backwards), (2, all.iter().rev().cloned().collect()));
    }

    #[test]
    fn one_of_many_in_a_frame_comes_alone() {
        let bench = Bench::new();
        let noises: Vec<Vec<u8>> = (1..5).map(|seed| noise(seed, 1000)).collect();
        bench.push("host", |push| {
            let bodies: Vec<_> = noises.iter().map(|noise| (Hash::of(noise), 1000)).collect();
            push.contents(&bodies, vec![Frame::encode(&noises.concat(), Compression::Zstd(1))])
                .unwrap();
            let (meta, (hash, size)) = (Meta::plain(Kind::File, 0o644), bodies[2]);
            push.put(b"third", meta, Some(Body { hash, size }), None).unwrap();
        });
        let third = content(&bench, "third");
        assert_eq!(
            told(&bench.repository, &[third]).unwrap(),
            (0, vec![(third, noises[2].clone())])
        );
    }

    #[test]
    fn what_is_damaged_is_left_out_unless_it_is_the_first() {
        let bench = Bench::new();
        let all = small_ones(&bench);
        let run = bench.number(&format!("SELECT run FROM contents WHERE id = {}", all[0].0));
        let (file, offset) = (
            bench.number(&format!("SELECT file FROM runs WHERE id = {run}")),
            bench.number(&format!("SELECT offset FROM runs WHERE id = {run}")) as usize,
        );
        let path = stored_file(bench.repository.path(), FileKind::Pack, crate::FileId(file));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[offset + 30] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let repository = bench.reopened();
        let noise_first = [all[10].0, all[0].0, all[1].0];
        assert_eq!(told(&repository, &noise_first).unwrap(), (1, vec![all[10].clone()]));
        let error = told(&repository, &[all[0].0, all[10].0]).unwrap_err();
        assert!(matches!(error, Error::Damaged(_)), "{error}");
    }

    #[test]
    fn a_long_content_comes_frame_by_frame() {
        let bench = Bench::new();
        // Text, a segment of zeros, and noise that ends inside a group.
        let mut bytes = b"all work and no play ".repeat(200_000);
        bytes.resize(12 << 20, 0);
        bytes.extend(noise(4, 200_000));
        bench.push("host", |push| file(push, "long", &bytes));
        let reader = bench.repository.open_content(content(&bench, "long")).unwrap();
        let (mut at, mut stored) = (0, 0);
        while at < bytes.len() as u64 {
            let frame = reader.stored_frame(at, bytes.len() as u64 - at).unwrap().unwrap();
            let decoded = frame.decode().unwrap();
            assert_eq!(decoded, bytes[at as usize..at as usize + decoded.len()]);
            (at, stored) = (at + decoded.len() as u64, stored + frame.bytes.len());
        }
        assert_eq!(at, bytes.len() as u64);
        assert!(stored < 300_000, "{stored}");
        assert!(
            reader.stored_frame(1, GROUP).unwrap().is_none(),
            "no frame begins there"
        );
        assert!(
            reader.stored_frame(0, GROUP - 1).unwrap().is_none(),
            "it is longer than that"
        );
        assert!(
            reader.stored_frame(bytes.len() as u64, GROUP).unwrap().is_none(),
            "it ends there"
        );
        assert!(
            reader.stored_frame(1 << 40, GROUP).unwrap().is_none(),
            "it ended before"
        );
    }

    #[test]
    fn a_frame_is_told_once_wherever_its_contents_stand() {
        let bench = Bench::new();
        let mut all = small_ones(&bench);
        let alone = all.pop().unwrap();
        let after = all.split_off(5);
        let contents = all.iter().chain([&alone]).chain(&after);
        let contents: Vec<ContentId> = contents.map(|(content, _)| *content).collect();
        let expected = [all, after, vec![alone]].concat();
        assert_eq!(told(&bench.repository, &contents).unwrap(), (2, expected));
    }
}
