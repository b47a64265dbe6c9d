//! The chaining values of a base: they show which groups of a file are as they were.

use crate::catalog::{Content, Part, some_parts};
use crate::ingest::heal::damaged;
use crate::layout::{GROUP, SEGMENT, SEGMENT_GROUPS};
use crate::read::FrameError;
use crate::tree_hash::Value;
use crate::{Hash, Repository, Result, RunId};

/// Segments whose values are told at once: 32 KiB of them.
const SEGMENTS: u64 = 32;

/// What an agent needs to know of a content to tell a changed one against it.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        let mut all: Option<BaseValues> = None;
        self.tell_base_values(hash, &mut |piece| {
            match &mut all {
                None => all = Some(piece),
                Some(all) => {
                    all.groups.extend(piece.groups);
                    all.zero_segments.extend(piece.zero_segments);
                }
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// Tells the same in pieces of some segments that follow each other: of a content of 16 TiB they are
    /// gigabytes. Nothing is told of a content that is not here.
    ///
    /// # Errors
    /// What `tell` says.
    pub fn tell_base_values(&self, hash: &Hash, tell: &mut dyn FnMut(BaseValues) -> Result<()>) -> Result<()> {
        let found = Content::find(&*self.connection()?, hash, None)?;
        // One that cannot be read is nothing to tell another against.
        let damaged = damaged(&*self.connection()?)?;
        let Some(content) = found.filter(|found| !damaged.contains_key(&(*hash, found.size))) else {
            return Ok(());
        };
        let segments = content.size.div_ceil(SEGMENT);
        (0..segments)
            .step_by(SEGMENTS as usize)
            .try_for_each(|first| tell(self.values_from(&content, first)?))
    }

    /// The values of some segments, from number `first` on.
    fn values_from(&self, content: &Content, first: u64) -> Result<BaseValues> {
        let (start, all) = (first * SEGMENT_GROUPS, content.size.div_ceil(GROUP));
        let count = (all - start).min(SEGMENTS * SEGMENT_GROUPS) as usize;
        let mut values = BaseValues {
            size: content.size,
            groups: Vec::with_capacity(count),
            zero_segments: Vec::new(),
        };
        if let (None, Some(run)) = (content.base, content.run) {
            let run = self.values_of(run)?.into_iter().skip(start as usize);
            values.groups.extend(run.take(count).map(Some));
        }
        for part in self.parts_still_there(content, first)? {
            let left = (count - values.groups.len()).min(SEGMENT_GROUPS as usize);
            self.add_part(&mut values, &part, left)?;
        }
        values.groups.resize(count, None);
        Ok(values)
    }

    /// The parts of a content, if it has some; none of one that was superseded since it was found: what is not known
    /// is taken as different.
    fn parts_still_there(&self, content: &Content, first: u64) -> Result<Vec<Part>> {
        let mut connection = self.connection()?;
        let transaction = connection.transaction()?;
        let is_as_found = Content::get(&transaction, content.id)?.as_ref() == Some(content);
        match is_as_found && content.base.is_none() && content.run.is_none() {
            true => some_parts(&transaction, content, first as i64, SEGMENTS as i64),
            false => Ok(Vec::new()),
        }
    }

    /// Adds the values of the `groups` groups of a segment.
    fn add_part(&self, values: &mut BaseValues, part: &Part, groups: usize) -> Result<()> {
        let end = values.groups.len() + groups;
        match part.run {
            Some(run) => {
                let of_run = self.values_of(run)?.into_iter().take(groups);
                values.groups.extend(of_run.map(Some));
                values.zero_segments.push(None);
            }
            None => {
                let is_whole = groups == SEGMENT_GROUPS as usize;
                values.zero_segments.push(is_whole.then_some(part.value));
            }
        }
        values.groups.resize(end, None);
        Ok(())
    }

    /// The values in a run; none if it has none, or is gone.
    fn values_of(&self, run: RunId) -> Result<Vec<Value>> {
        match self.run(run) {
            Ok(run) if run.position.is_some() => Ok(run.frames.iter().map(|frame| frame.value).collect()),
            Ok(_) | Err(FrameError::Gone(_)) => Ok(Vec::new()),
            Err(error) => Err(error.into_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, file, noise};
    use crate::tree_hash::group_value;
    use crate::{Body, Kind, LargeOp, Meta};

    #[test]
    fn values_of_many_segments_come_in_pieces() {
        let bench = Bench::new();
        // A piece and a bit: zeros, but for a segment in their midst and the end.
        let (zeros, segment, end) = (17 * SEGMENT, noise(1, SEGMENT as usize), noise(2, 1000));
        let hole = vec![0; zeros as usize];
        let whole = [&hole[..], &segment, &hole, &end].concat();
        let body = Body {
            hash: Hash::of(&whole),
            size: whole.len() as u64,
        };
        let frame = |bytes: &[u8]| LargeOp::Frame(crate::Frame::encode(bytes, crate::Compression::Off));
        bench.push("host", |push| {
            push.large_begin(None, [0; 16]).unwrap();
            push.large_op(LargeOp::Zeros { length: zeros }).unwrap();
            let groups = segment.chunks(GROUP as usize);
            groups.for_each(|group| push.large_op(frame(group)).unwrap());
            push.large_op(LargeOp::Zeros { length: zeros }).unwrap();
            push.large_op(frame(&end)).unwrap();
            push.large_end(body.hash, body.size).unwrap();
            push.put(b"file", Meta::plain(Kind::File, 0o644), Some(body), None)
                .unwrap();
        });
        let mut lengths = Vec::new();
        let tell = &mut |piece: BaseValues| {
            lengths.push((piece.groups.len(), piece.zero_segments.len()));
            Ok(())
        };
        bench.repository.tell_base_values(&body.hash, tell).unwrap();
        assert_eq!(lengths, [(1024, 32), (97, 4)]);
        let values = bench.repository.base_values(&body.hash).unwrap().unwrap();
        let expected = whole.chunks(GROUP as usize).zip(0..).map(|(bytes, group)| {
            let is_zero = bytes.iter().all(|byte| *byte == 0);
            (!is_zero).then(|| group_value(group, bytes))
        });
        assert!(expected.eq(values.groups));
        let zeros: Vec<bool> = values.zero_segments.iter().map(Option::is_some).collect();
        assert_eq!(zeros, [&[true; 17][..], &[false], &[true; 17], &[false]].concat());
    }

    #[test]
    fn what_is_in_one_run_has_values_and_a_delta_has_none() {
        let bench = Bench::new();
        let old = noise(1, 3 * GROUP as usize + 5);
        let mut new = old.clone();
        new[0] ^= 1;
        let values = |bytes: &[u8]| bench.repository.base_values(&Hash::of(bytes)).unwrap();
        bench.push("host", |push| file(push, "file", &old));
        let expected = old
            .chunks(GROUP as usize)
            .zip(0..)
            .map(|(bytes, group)| Some(group_value(group, bytes)));
        assert!(values(&old).unwrap().groups.into_iter().eq(expected));
        bench.push("host", |push| file(push, "file", &new));
        assert_eq!(values(&old).unwrap().groups, [None; 4]);
        assert_eq!(values(b"neither"), None);
    }
}
