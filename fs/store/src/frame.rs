//! Frames: one group of a content, or several small contents, as they are stored.
//!
//! A frame is a zstd frame, or the bytes themselves where they do not shrink. Frames that
//! follow each other decode as one with `zstd -d`; so where a run has both kinds, the
//! incompressible ones are wrapped into zstd frames of raw blocks.

use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};

use crate::layout::{FRAME, GROUP};
use crate::{Error, Result};

/// How the bytes of a run are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// As they are.
    Raw = 0,
    /// zstd frames, one a group.
    Zstd = 1,
}

impl Encoding {
    /// The encoding with this number in the catalog.
    pub fn from_code(code: i64) -> Option<Self> {
        [Encoding::Raw, Encoding::Zstd]
            .into_iter()
            .find(|encoding| *encoding as i64 == code)
    }
}

/// One group, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// How `bytes` are to be read.
    pub encoding: Encoding,
    /// Length of what they decode to, at most [`FRAME`].
    pub length: u32,
    /// What is stored.
    pub bytes: Vec<u8>,
}

/// Bytes of a frame that are none of its group: headers, at most.
pub(crate) const LARGEST_FRAME_HEADER: usize = 64;

/// How new data is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Off,
    /// With zstd at about this level: what hardly shrinks gets less work, small contents that shrink much get more.
    Zstd(i32),
}

impl Compression {
    /// For groups that took the place of others: what changed once changes again, mostly, so that work on it pays for
    /// fewer days. At two levels less zstd takes half the time, for some 7 % more room (a database).
    pub(crate) fn of_what_changes(self) -> Self {
        match self {
            Compression::Zstd(level) if level >= LEAST_ADAPTED => Compression::Zstd(level - 2),
            compression => compression,
        }
    }
}

impl Frame {
    /// Encodes one group; what does not shrink by 3 % stays raw.
    pub fn encode(group: &[u8], compression: Compression) -> Frame {
        debug_assert!(group.len() as u64 <= FRAME);
        let raw = || Frame {
            encoding: Encoding::Raw,
            length: group.len() as u32,
            bytes: group.to_vec(),
        };
        let Compression::Zstd(level) = compression else {
            return raw();
        };
        match compress(group, level) {
            Ok(bytes) if bytes.len() < group.len() - group.len() / 32 => Frame {
                encoding: Encoding::Zstd,
                length: group.len() as u32,
                bytes,
            },
            _ => raw(),
        }
    }

    /// The group that this frame holds.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it does not decode to exactly `length` bytes. Memory is bounded by
    /// [`FRAME`] whatever the frame claims.
    pub fn decode(&self) -> Result<Vec<u8>> {
        decode(self.encoding, &self.bytes, self.length)
    }

    /// The same group as a zstd frame, for a run in which others are.
    pub fn into_zstd(self) -> Vec<u8> {
        match self.encoding {
            Encoding::Zstd => self.bytes,
            Encoding::Raw => wrap(&self.bytes),
        }
    }
}

/// Decodes stored bytes to a group of exactly `length` bytes.
pub fn decode(encoding: Encoding, stored: &[u8], length: u32) -> Result<Vec<u8>> {
    if u64::from(length) > FRAME {
        return Err(damaged("claims more than a frame holds"));
    }
    let length = length as usize;
    is_room_for(stored, length)?;
    let group = match encoding {
        Encoding::Raw => stored.to_vec(),
        // Memory that is about to be filled is not cleared.
        Encoding::Zstd => decompressing(|decompressor| decompressor.decompress(stored, length))?,
    };
    is_all(group.len(), length)?;
    Ok(group)
}

/// The same into memory that is exactly as long as the group.
pub fn decode_into(encoding: Encoding, stored: &[u8], group: &mut [u8]) -> Result<()> {
    is_room_for(stored, group.len())?;
    let length = match encoding {
        Encoding::Raw if stored.len() == group.len() => {
            group.copy_from_slice(stored);
            stored.len()
        }
        Encoding::Raw => stored.len(),
        Encoding::Zstd => decompressing(|decompressor| decompressor.decompress_to_buffer(stored, group))?,
    };
    is_all(length, group.len())
}

/// What does not shrink is stored as it is, with a few bytes around it.
fn is_room_for(stored: &[u8], length: usize) -> Result<()> {
    match stored.len() <= length + LARGEST_FRAME_HEADER {
        true => Ok(()),
        false => Err(damaged("takes more than what it holds")),
    }
}

fn is_all(decoded: usize, length: usize) -> Result<()> {
    match decoded == length {
        true => Ok(()),
        false => Err(damaged("has another length than its table says")),
    }
}

fn damaged(what: &str) -> Error {
    Error::Damaged(format!("a frame {what}"))
}

/// Levels below this were chosen for their speed, and stay as they are.
const LEAST_ADAPTED: i32 = 3;

/// The highest level that a repository may ask for.
const HIGHEST: i32 = 19;

/// Of small contents together that shrink to less than this share more work makes some 6 % less; of other things, and of
/// the groups of larger contents, a third of that or next to nothing.
const SHRINKS_MUCH: usize = 4;

/// What does not shrink to this share is nearly as small with less work.
const HARDLY_SHRINKS: usize = 2;

/// What compresses the groups that a thread comes to. Groups that follow each other are of a kind, mostly: how the last
/// one shrank says what level the next one is worth.
struct Adaptive {
    compressor: Compressor<'static>,
    /// The level asked for, and the one that is set.
    levels: (i32, i32),
    /// Bytes of the last group before and after.
    last: Option<(usize, usize)>,
}

impl Adaptive {
    fn new(level: i32) -> io::Result<Self> {
        Ok(Adaptive {
            compressor: Compressor::new(level)?,
            levels: (level, level),
            last: None,
        })
    }

    fn compress(&mut self, group: &[u8]) -> io::Result<Vec<u8>> {
        let (asked, set) = self.levels;
        let level = adapted(asked, group.len(), self.last);
        if level != set {
            self.compressor.set_compression_level(level)?;
            self.levels.1 = level;
        }
        let bytes = self.compressor.compress(group)?;
        self.last = Some((group.len(), bytes.len()));
        Ok(bytes)
    }
}

/// The level for a group after one that shrank like this.
fn adapted(level: i32, length: usize, last: Option<(usize, usize)>) -> i32 {
    match last {
        _ if level < LEAST_ADAPTED => level,
        Some((before, after)) if after * SHRINKS_MUCH < before && length as u64 > GROUP => (level + 2).min(HIGHEST),
        Some((before, after)) if after * HARDLY_SHRINKS > before => level - 1,
        _ => level,
    }
}

thread_local! {
    /// What zstd works with, some hundred KiB each, is made once a thread and not once a frame.
    static COMPRESSOR: RefCell<Option<Adaptive>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn compress(group: &[u8], level: i32) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept.take_if(|kept| kept.levels.0 == level) {
            Some(compressor) => compressor,
            None => Adaptive::new(level)?,
        };
        kept.insert(compressor).compress(group)
    })
}

fn decompressing<T>(act: impl FnOnce(&mut Decompressor<'static>) -> io::Result<T>) -> Result<T> {
    let done = DECOMPRESSOR.with_borrow_mut(|kept| {
        act(match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new()?),
        })
    });
    done.map_err(|_| damaged("does not decompress"))
}

/// A zstd frame of raw blocks (RFC 8878, 3.1.1: single segment, 4-byte content size, no checksum).
fn wrap(group: &[u8]) -> Vec<u8> {
    const MAGIC: [u8; 4] = 0xFD2F_B528u32.to_le_bytes();
    const SINGLE_SEGMENT_SIZE_OF_4: u8 = 0b1010_0000;
    const BLOCK: usize = 128 << 10;
    let mut out = Vec::with_capacity(group.len() + LARGEST_FRAME_HEADER);
    out.extend_from_slice(&MAGIC);
    out.push(SINGLE_SEGMENT_SIZE_OF_4);
    out.extend_from_slice(&(group.len() as u32).to_le_bytes());
    let mut rest = group;
    loop {
        let (block, after) = rest.split_at(rest.len().min(BLOCK));
        let header = ((block.len() as u32) << 3) | u32::from(after.is_empty());
        out.extend_from_slice(&header.to_le_bytes()[..3]);
        out.extend_from_slice(block);
        rest = after;
        if rest.is_empty() {
            return out;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_back_and_noise_stays_raw() {
        let noise: Vec<u8> = (0..16_000u64)
            .flat_map(|i| *blake3::hash(&i.to_le_bytes()).as_bytes())
            .collect();
        for (group, encoding) in [
            (vec![7; 5000], Encoding::Zstd),
            (noise[..5000].to_vec(), Encoding::Raw),
            (noise, Encoding::Raw),
            (vec![], Encoding::Raw),
        ] {
            let frame = Frame::encode(&group, Compression::Zstd(1));
            assert_eq!(frame.encoding, encoding);
            assert_eq!(frame.decode().unwrap(), group);
            let length = frame.length;
            assert_eq!(decode(Encoding::Zstd, &frame.into_zstd(), length).unwrap(), group);
        }
    }

    #[test]
    fn what_shrinks_much_gets_more_work() {
        let levels = [(100, 24), (100, 25), (100, 50), (100, 51), (0, 0), (100, 110)];
        let after = |level| levels.map(|last| adapted(level, FRAME as usize, Some(last)));
        assert_eq!(after(3), [5, 3, 3, 2, 3, 2]);
        assert_eq!(after(18), [19, 18, 18, 17, 18, 17]);
        assert_eq!(after(1), [1; 6]);
        assert_eq!(adapted(3, FRAME as usize, None), 3);
        assert_eq!(
            levels.map(|last| adapted(3, GROUP as usize, Some(last))),
            [3, 3, 3, 2, 3, 2]
        );
        // The second of two alike is smaller.
        let line = |i: u32| {
            format!(
                "fn name_{}() -> Result<Kind{}> {{ {} }}\n",
                i * i % 977,
                i % 50,
                i * 7919 % 65_537
            )
        };
        let text: String = (0..16_000).map(line).collect();
        let group = &text.as_bytes()[..FRAME as usize];
        let lengths = std::thread::spawn({
            let group = group.to_vec();
            move || [(); 2].map(|()| Frame::encode(&group, Compression::Zstd(3)).bytes.len())
        });
        let [first, second] = lengths.join().unwrap();
        assert!(
            second < first && first < FRAME as usize / SHRINKS_MUCH,
            "{first} {second}"
        );
    }

    #[test]
    fn a_bomb_is_refused_without_its_bytes() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
        assert!(decode(Encoding::Zstd, &bomb, FRAME as u32).is_err());
        assert!(decode(Encoding::Zstd, &bomb, u32::MAX).is_err());
        assert!(decode(Encoding::Raw, b"abc", 2).is_err());
    }

    #[test]
    fn what_changes_gets_less_work_unless_speed_was_asked_for() {
        let levels = [
            Compression::Off,
            Compression::Zstd(1),
            Compression::Zstd(3),
            Compression::Zstd(9),
        ];
        let less = levels.map(Compression::of_what_changes);
        assert_eq!(
            less,
            [
                Compression::Off,
                Compression::Zstd(1),
                Compression::Zstd(1),
                Compression::Zstd(7)
            ]
        );
    }
}
