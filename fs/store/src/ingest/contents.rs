//! Contents that arrive whole: small ones that share a frame, medium ones of several frames.

use std::collections::HashSet;

use crate::catalog::Content;
use crate::frame::Frame;
use crate::ingest::Ingest;
use crate::ingest::rows::NewRow;
use crate::layout::{GROUP, MEDIUM, SMALL};
use crate::tree_hash::{self, Value, group_value};
use crate::write::unify;
use crate::{ContentId, Error, Hash, Result};

impl Ingest {
    /// Receives contents that lie one after the other in `frames`: any number of them in one
    /// frame, or a single one of several frames, each but the last a whole group.
    ///
    /// Everything is decoded and hashed; the frames are stored as they came.
    ///
    /// # Errors
    /// [`Error::Refused`] if a content is not what its name says.
    pub fn contents(&mut self, contents: &[(Hash, u64)], frames: Vec<Frame>) -> Result<()> {
        let length: u64 = frames.iter().map(|frame| u64::from(frame.length)).sum();
        let shape_holds = match frames.len() {
            0 => false,
            1 => contents.iter().all(|(_, size)| *size <= SMALL),
            _ => {
                let (last, whole) = frames.split_last().expect("several");
                let is_whole = |frame: &Frame| u64::from(frame.length) == GROUP;
                let fit = whole.iter().all(is_whole) && u64::from(last.length) <= GROUP;
                contents.len() == 1 && length <= MEDIUM && fit
            }
        };
        let total = contents.iter().try_fold(0u64, |sum, (_, size)| sum.checked_add(*size));
        if !shape_holds || total != Some(length) || contents.iter().any(|(_, size)| *size == 0) {
            return Err(Error::Refused("contents do not fit their frames".into()));
        }
        let decoded = frames.iter().map(received).collect::<Result<Vec<_>>>()?;
        let values = match decoded.as_slice() {
            [one] => self.verify_shared(contents, one)?,
            groups => verify_groups(contents[0], groups)?,
        };
        let new = self.unknown(contents)?;
        let known = contents.iter().filter(|(hash, _)| !new.contains(hash));
        self.were_here.extend(known.map(|(hash, _)| beginning(hash)));
        if new.is_empty() {
            return Ok(());
        }
        let position = (frames.len() > 1).then_some(0);
        let (encoding, stored) = unify(frames.into_iter().zip(values).collect());
        let run = self.writer.append_to_pack(&stored, encoding, position)?;
        let id = run.id;
        self.add_row(NewRow::Run(run))?;
        let mut skip = 0;
        for (hash, size) in contents {
            if new.contains(hash) && !self.recent.contains_key(hash) {
                let content = self.next_content()?;
                self.recent.insert(*hash, content);
                self.add_row(NewRow::Content(Content::whole(content, *hash, *size, Some(id), skip)))?;
            }
            skip += size;
        }
        Ok(())
    }

    fn verify_shared(&self, contents: &[(Hash, u64)], bytes: &[u8]) -> Result<Vec<Value>> {
        let mut at = 0;
        for (hash, size) in contents {
            let end = at + *size as usize;
            if Hash::of(&bytes[at..end]) != *hash {
                return Err(mismatch(hash));
            }
            at = end;
        }
        Ok(vec![Hash::of(bytes).0])
    }

    /// Those that the repository does not have whole.
    fn unknown(&self, contents: &[(Hash, u64)]) -> Result<HashSet<Hash>> {
        let connection = self.repository.connection()?;
        let mut unknown = HashSet::new();
        for (hash, size) in contents {
            if self.recent.contains_key(hash) {
                continue;
            }
            let known = Content::find(&connection, hash, Some(self.writer.push))?;
            // One that is a delta now, or damaged, becomes whole again by what has just come.
            if known.is_none_or(|known| known.base.is_some()) || self.is_damaged(*hash, *size) {
                unknown.insert(*hash);
            }
        }
        Ok(unknown)
    }

    pub(super) fn next_content(&mut self) -> Result<ContentId> {
        Ok(ContentId(self.writer.ids.next(&self.repository, "contents")?))
    }
}

/// What a name begins with: enough to remember a content by of which nothing else is wanted.
pub(super) fn beginning(hash: &Hash) -> [u8; 8] {
    hash.0[..8].try_into().expect("8 of 32 bytes")
}

fn verify_groups((hash, size): (Hash, u64), groups: &[Vec<u8>]) -> Result<Vec<Value>> {
    let values: Vec<Value> = groups
        .iter()
        .enumerate()
        .map(|(index, bytes)| group_value(index as u64, bytes))
        .collect();
    match tree_hash::from_groups(size, &values) == hash {
        true => Ok(values),
        false => Err(mismatch(&hash)),
    }
}

/// Decodes what was sent. Where it does not decode nothing that is stored is damaged.
pub(super) fn received(frame: &Frame) -> Result<Vec<u8>> {
    let decoded = frame.decode();
    decoded.map_err(|_| Error::Refused("a frame was sent that does not decode to its length".into()))
}

pub(super) fn mismatch(hash: &Hash) -> Error {
    Error::Refused(format!("what was sent as content {hash} is something else"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::FRAME;
    use crate::testing::{Bench, file, noise};
    use crate::{Body, Encoding, Kind, LargeOp, Meta};

    #[test]
    fn a_frame_holds_what_is_small_and_no_more_than_a_frame_does() {
        let bench = Bench::new();
        let mut ingest = bench.begin("host");
        let group = GROUP as usize;
        let mut told = |sizes: &[usize], cuts: &[usize]| {
            let bytes = noise(1, sizes.iter().sum());
            let (mut contents, mut frames, mut at) = (Vec::new(), Vec::new(), 0);
            for size in sizes {
                contents.push((Hash::of(&bytes[at..at + size]), *size as u64));
                at += size;
            }
            let mut at = 0;
            for length in cuts {
                frames.push(Frame {
                    encoding: Encoding::Raw,
                    length: *length as u32,
                    bytes: bytes[at..at + length].to_vec(),
                });
                at += length;
            }
            ingest.contents(&contents, frames)
        };
        let refused = |told: Result<()>| assert!(matches!(told, Err(Error::Refused(_))), "{told:?}");
        told(&[group; 4], &[4 * group]).unwrap();
        told(&[2 * group + 5], &[group, group, 5]).unwrap();
        refused(told(&[group, group, group, group, 1], &[FRAME as usize + 1]));
        // One that is more than a group has groups.
        refused(told(&[group + 1], &[group + 1]));
        refused(told(&[2 * group + 1], &[group, group + 1]));
    }

    #[test]
    fn what_was_here_when_it_was_sent_and_is_forgotten_then_is_asked_for_again() {
        let bench = Bench::new();
        let bytes = noise(1, 5000);
        let there = bench.push("one", |push| file(push, "file", &bytes));
        let mut ingest = bench.begin("host");
        ingest.enter(b"", Some(Meta::plain(Kind::Folder, 0o755))).unwrap();
        file(&mut ingest, "first", &bytes);
        bench.repository.forget(&[there.id]).unwrap();
        let mut named = |name: &[u8], bytes: &[u8]| {
            let (hash, size) = (Hash::of(bytes), bytes.len() as u64);
            ingest.put(name, Meta::plain(Kind::File, 0o644), Some(Body { hash, size }), None)
        };
        let told = named(b"second", b"never sent");
        assert!(matches!(told, Err(Error::Refused(_))), "{told:?}");
        let told = named(b"third", &bytes);
        assert!(matches!(told, Err(Error::Again(_))), "{told:?}");
    }

    #[test]
    fn a_frame_that_does_not_decode_is_refused_and_no_damage() {
        let bench = Bench::new();
        let size = GROUP - 1;
        let noise = Frame {
            encoding: Encoding::Zstd,
            length: size as u32,
            bytes: vec![0x5a; 100],
        };
        let mut ingest = bench.begin("host");
        let told = ingest.contents(&[(Hash::of(b""), size)], vec![noise.clone()]);
        assert!(matches!(told, Err(Error::Refused(_))), "{told:?}");
        ingest.large_begin(None, [0; 16]).unwrap();
        let told = ingest.large_op(LargeOp::Frame(noise));
        assert!(matches!(told, Err(Error::Refused(_))), "{told:?}");
    }
}
