//! A file of the disk that loses power: what programs see of it, what the platter has, and the changes between the two.

use std::ops::Range;

use crate::model::random::Random;

/// What a disk writes whole: a sector, or a page of the kernel's cache.
const GRAINS: [usize; 2] = [512, 4096];

/// One change that was not fsynced yet.
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

/// The bytes of one file.
#[derive(Default)]
pub(super) struct File {
    /// What is read.
    live: Vec<u8>,
    /// What its last fsync left.
    durable: Vec<u8>,
    /// What led from `durable` to `live`, in order.
    pending: Vec<Change>,
    /// Names that it has, as far as programs see.
    pub links: u32,
    /// Descriptors of it, mappings included.
    pub opened: u32,
}

impl File {
    /// A file that the disk has.
    pub fn durable(bytes: Vec<u8>) -> Self {
        File {
            live: bytes.clone(),
            durable: bytes,
            ..File::default()
        }
    }

    /// A new file, open in the hands of who made it.
    pub fn created() -> Self {
        File {
            opened: 1,
            ..File::default()
        }
    }

    pub fn length(&self) -> usize {
        self.live.len()
    }

    /// What is there of a range.
    pub fn read(&self, at: usize, length: usize) -> &[u8] {
        let begin = at.min(self.live.len());
        &self.live[begin..self.live.len().min(begin + length)]
    }

    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        put(&mut self.live, at, bytes);
        let bytes = bytes.to_vec();
        self.pending.push(Change::Write { at, bytes });
    }

    pub fn set_length(&mut self, length: usize) {
        self.live.resize(length, 0);
        self.pending.push(Change::Length(length));
    }

    /// From now on the disk has what is read.
    pub fn fsync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.durable);
        }
    }

    /// What is found after a cut: what was fsynced, and of the changes since then none, all, or any.
    pub fn survivor(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let fate = random.below(4);
        for change in &self.pending {
            match fate {
                0 => {}
                1 => change.apply(&mut bytes),
                _ => change.survive(&mut bytes, random),
            }
        }
        bytes
    }
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Write { at, bytes } => put(to, *at, bytes),
            Change::Length(length) => to.resize(*length, 0),
        }
    }

    /// Is lost, arrives, arrives up to some sector, or here and there.
    fn survive(&self, to: &mut Vec<u8>, random: &mut Random) {
        let Change::Write { at, bytes } = self else {
            return if random.once_in(2) {
                self.apply(to)
            };
        };
        let pieces = pieces(*at, bytes.len(), GRAINS[random.below(2)]);
        let (fate, torn) = (random.below(4), random.below(pieces.len()));
        for (number, piece) in pieces.into_iter().enumerate() {
            let arrives = match fate {
                0 => false,
                1 => true,
                2 => number < torn,
                _ => random.once_in(2),
            };
            if arrives {
                put(to, piece.start, &bytes[piece.start - at..piece.end - at]);
            }
        }
    }
}

/// Writes as a disk does: what lies between the old end and the new bytes reads as zeros.
fn put(to: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    to[at..end].copy_from_slice(bytes);
}

/// The parts of a stretch that lie in different grains of the disk.
fn pieces(at: usize, length: usize, grain: usize) -> Vec<Range<usize>> {
    let grains = at / grain..(at + length).div_ceil(grain);
    let cut = |number: usize| (number * grain).max(at)..((number + 1) * grain).min(at + length);
    grains.map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survivors(file: &File) -> Vec<Vec<u8>> {
        (0..200).map(|seed| file.survivor(&mut Random::new(seed))).collect()
    }

    #[test]
    fn what_was_fsynced_survives_whatever_comes_after() {
        let mut file = File::default();
        file.write(0, &[1; 10_000]);
        file.fsync();
        file.write(8192, &[2; 8192]);
        for bytes in survivors(&file) {
            assert!(bytes[..8192].iter().all(|&byte| byte == 1));
            assert!(bytes[8192..10_000].iter().all(|&byte| byte == 1 || byte == 2));
            assert!(bytes[10_000..].iter().all(|&byte| byte == 0 || byte == 2));
        }
    }

    #[test]
    fn what_was_not_fsynced_is_lost_kept_torn_and_scattered() {
        let mut file = File::default();
        file.write(100, &[7; 20_000]);
        let all = survivors(&file);
        let count = |wanted: &dyn Fn(&Vec<u8>) -> bool| all.iter().filter(|bytes| wanted(bytes)).count();
        assert!(count(&|bytes| bytes.is_empty()) > 0, "lost");
        assert!(count(&|bytes| bytes[..] == *file.read(0, 30_000)) > 0, "kept");
        let is_torn =
            |bytes: &Vec<u8>| bytes.len() < 20_100 && bytes.len() > 100 && bytes[100..].iter().all(|&b| b == 7);
        assert!(count(&is_torn) > 0, "torn");
        let has_holes = |bytes: &Vec<u8>| bytes.iter().skip(512).any(|&byte| byte == 0);
        assert!(count(&has_holes) > 0, "scattered");
        for end in all.iter().map(Vec::len).filter(|&end| end > 0 && end < 20_100) {
            assert_eq!(end % 512, 0, "no sector is torn");
        }
    }

    #[test]
    fn a_length_is_lost_like_a_write() {
        let mut file = File::durable(vec![3; 5000]);
        file.set_length(0);
        file.write(0, &[4; 10]);
        let lengths: Vec<usize> = survivors(&file).iter().map(Vec::len).collect();
        assert!(lengths.contains(&5000) && lengths.contains(&10) && lengths.contains(&0));
        file.fsync();
        assert!(survivors(&file).iter().all(|bytes| bytes[..] == [4; 10]));
    }
}
