//! The stream of a delta, in librsync's format, so that `rdiff patch` reads it.
//!
//! ```text
//! 72 73 02 36                         magic
//! 01…40  bytes                        LITERAL of that many bytes
//! 41…44  length  bytes                LITERAL, length in 1, 2, 4, 8 bytes
//! 45 + 4w + l  offset  length         COPY from the base, offset in 2^w bytes, length in 2^l
//! 00                                  END
//! ```
//!
//! Integers are big-endian. `55`–`ff` are reserved. librsync takes an empty command, and a length
//! of 2^63 or more, as corrupt, and so do we. (librsync 2.3: `src/command.c`, `src/prototab.c`.)

use std::io::{self, ErrorKind, Write};

use super::map::{Map, Source};
use crate::{ContentId, Error, Result};

const MAGIC: [u8; 4] = [0x72, 0x73, 0x02, 0x36];
const END: u8 = 0x00;
const LITERAL_1: u8 = 0x01;
const LITERAL_64: u8 = 0x40;
const LITERAL_N1: u8 = 0x41;
const LITERAL_N8: u8 = 0x44;
const COPY_N1_N1: u8 = 0x45;
const COPY_N8_N8: u8 = 0x54;

/// Lengths and offsets are signed 64-bit numbers in librsync; ours never exceed this.
pub(super) const MAX_SIZE: u64 = i64::MAX as u64;

/// The longest LITERAL that is written, in bytes. Some readers of the format keep a whole literal
/// in memory or its length in 32 bits.
pub const MAX_LITERAL: u64 = 16 << 20;

/// Writes a delta stream, command by command, to any writer. Errors are the writer's own, or
/// [`ErrorKind::InvalidInput`] where the calls do not make a stream.
pub struct StreamWriter<W: Write> {
    out: W,
    position: u64,
    /// Bytes that the LITERAL last begun still wants.
    in_command: u64,
    /// Bytes that were announced and need further LITERALs.
    announced: u64,
}

impl<W: Write> StreamWriter<W> {
    /// Begins a stream: writes the magic.
    pub fn new(out: W) -> io::Result<Self> {
        let mut writer = Self {
            out,
            position: 0,
            in_command: 0,
            announced: 0,
        };
        writer.put(&MAGIC)?;
        Ok(writer)
    }

    /// Bytes written so far. After [`Self::begin_literal`] it is the offset in the stream at which
    /// the first bytes of the literal will lie.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// COPY: `len` bytes of the base from offset `from`. 0 bytes write nothing.
    pub fn copy(&mut self, from: u64, len: u64) -> io::Result<()> {
        self.between_commands()?;
        if len == 0 {
            return Ok(());
        }
        if from.checked_add(len).is_none_or(|end| end > MAX_SIZE) {
            return Err(invalid("a COPY past 2^63"));
        }
        let (from_width, len_width) = (width(from), width(len));
        self.put(&[COPY_N1_N1 + 4 * from_width + len_width])?;
        self.put_integer(from, from_width)?;
        self.put_integer(len, len_width)
    }

    /// Announces `len` bytes of literal, to be passed to [`Self::literal_bytes`]. More than
    /// [`MAX_LITERAL`] become several commands, whose headers lie between the bytes: a caller that
    /// must know where each byte lies announces at most that many at a time.
    pub fn begin_literal(&mut self, len: u64) -> io::Result<()> {
        self.between_commands()?;
        self.announced = len;
        self.next_literal()
    }

    /// Bytes of the literal last begun: all of them, or a part in each of several calls.
    pub fn literal_bytes(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.in_command == 0 {
                self.next_literal()?;
            }
            let (now, later) = bytes.split_at(self.in_command.min(bytes.len() as u64) as usize);
            if now.is_empty() {
                return Err(invalid("more literal bytes than announced"));
            }
            self.put(now)?;
            self.in_command -= now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    /// Ends the stream and gives the writer back, not flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.between_commands()?;
        self.put(&[END])?;
        Ok(self.out)
    }

    fn next_literal(&mut self) -> io::Result<()> {
        let len = self.announced.min(MAX_LITERAL);
        match len {
            0 => return Ok(()),
            1..=64 => self.put(&[len as u8])?,
            _ => {
                self.put(&[LITERAL_N1 + width(len)])?;
                self.put_integer(len, width(len))?;
            }
        }
        self.announced -= len;
        self.in_command = len;
        Ok(())
    }

    fn between_commands(&self) -> io::Result<()> {
        if self.in_command + self.announced > 0 {
            return Err(invalid("fewer literal bytes than announced"));
        }
        Ok(())
    }

    fn put_integer(&mut self, value: u64, width: u8) -> io::Result<()> {
        self.put(&value.to_be_bytes()[8 - (1 << width)..])
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, format!("delta stream: {what}"))
}

/// The narrowest integer for `value`: 0, 1, 2, 3 for 1, 2, 4, 8 bytes.
fn width(value: u64) -> u8 {
    match value {
        0..=0xff => 0,
        0x100..=0xffff => 1,
        0x1_0000..=0xffff_ffff => 2,
        _ => 3,
    }
}

/// The map of a whole stream, whose literals belong to the delta of `content`.
///
/// Fails with [`Error::Damaged`] if the stream is cut short, has bytes after its END, a reserved
/// or an empty command, or sizes and offsets that do not fit 63 bits. Whether COPYs lie within
/// the base is for the caller to see, who knows it.
pub fn parse(stream: &[u8], content: ContentId) -> Result<Map> {
    let mut input = Input { stream, at: 0 };
    if input.take(4)? != MAGIC {
        return Err(input.damaged("is no librsync delta"));
    }
    let mut map = Map::new();
    loop {
        let (len, source) = match input.take(1)?[0] {
            END => break,
            op @ LITERAL_1..=LITERAL_64 => input.literal(u64::from(op), content)?,
            op @ LITERAL_N1..=LITERAL_N8 => {
                let len = input.integer(op - LITERAL_N1)?;
                input.literal(len, content)?
            }
            op @ COPY_N1_N1..=COPY_N8_N8 => input.copy((op - COPY_N1_N1) / 4, (op - COPY_N1_N1) % 4)?,
            _ => return Err(input.damaged("has a reserved command")),
        };
        if len == 0 {
            return Err(input.damaged("has an empty command"));
        }
        if map.size().checked_add(len).is_none_or(|size| size > MAX_SIZE) {
            return Err(input.damaged("makes more than 2^63 bytes"));
        }
        map.push(len, source);
    }
    if input.at != stream.len() {
        return Err(input.damaged("has bytes after its end"));
    }
    Ok(map)
}

/// A stream and how far it has been read.
struct Input<'a> {
    stream: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        let rest = &self.stream[self.at..];
        let taken = usize::try_from(len).ok().and_then(|len| rest.get(..len));
        let taken = taken.ok_or_else(|| self.damaged("is cut short"))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn integer(&mut self, width: u8) -> Result<u64> {
        let bytes = self.take(1 << width)?;
        Ok(bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn literal(&mut self, len: u64, content: ContentId) -> Result<(u64, Source)> {
        let at = self.at as u64;
        self.take(len)?;
        Ok((len, Source::Literal { content, at }))
    }

    fn copy(&mut self, from_width: u8, len_width: u8) -> Result<(u64, Source)> {
        let from = self.integer(from_width)?;
        let len = self.integer(len_width)?;
        if from.checked_add(len).is_none_or(|end| end > MAX_SIZE) {
            return Err(self.damaged("copies from past 2^63"));
        }
        Ok((len, Source::Base(from)))
    }

    fn damaged(&self, what: &str) -> Error {
        Error::Damaged(format!(
            "a delta stream {what} (at byte {} of {})",
            self.at,
            self.stream.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::testing::rdiff_patch;
    use proptest::prelude::*;

    const CONTENT: ContentId = ContentId(1);

    fn stream(body: &[u8]) -> Vec<u8> {
        [&MAGIC[..], body].concat()
    }

    fn parse_body(body: &[u8]) -> Result<Map> {
        parse(&stream(body), CONTENT)
    }

    #[test]
    fn every_width_is_written_and_read() {
        let mut writer = StreamWriter::new(Vec::new()).unwrap();
        let mut expected = Map::new();
        for bits in [0, 7, 8, 15, 16, 31, 32, 61] {
            writer.copy(1 << bits, 1 << (61 - bits)).unwrap();
            expected.push(1 << (61 - bits), Source::Base(1 << bits));
            let len = 1u64 << bits.min(20);
            writer.begin_literal(len).unwrap();
            expected.push(
                len,
                Source::Literal {
                    content: CONTENT,
                    at: writer.position(),
                },
            );
            writer.literal_bytes(&vec![9; len as usize]).unwrap();
        }
        let position = writer.position();
        let bytes = writer.finish().unwrap();
        assert_eq!(bytes.len() as u64, position + 1);
        assert_eq!(parse(&bytes, CONTENT).unwrap(), expected);
    }

    #[test]
    fn long_literals_are_split() {
        let bytes: Vec<u8> = (0..2 * MAX_LITERAL + 70).map(|i| (i % 251) as u8).collect();
        let mut writer = StreamWriter::new(Vec::new()).unwrap();
        writer.begin_literal(bytes.len() as u64).unwrap();
        bytes
            .chunks(7_000_001)
            .for_each(|chunk| writer.literal_bytes(chunk).unwrap());
        let stream = writer.finish().unwrap();
        let lengths: Vec<u64> = parse(&stream, CONTENT)
            .unwrap()
            .extents()
            .iter()
            .map(|e| e.len)
            .collect();
        assert_eq!(lengths, [MAX_LITERAL, MAX_LITERAL, 70]);
        assert!(rdiff_patch(b"", &stream) == bytes);
    }

    #[test]
    fn the_writer_refuses_calls_that_make_no_stream() {
        let mut writer = StreamWriter::new(Vec::new()).unwrap();
        assert!(writer.literal_bytes(b"x").is_err());
        assert!(writer.copy(u64::MAX, 1).is_err());
        writer.begin_literal(2).unwrap();
        assert!(writer.copy(0, 1).is_err());
        assert!(writer.finish().is_err());
    }

    #[test]
    fn damaged_streams_are_refused() {
        let bodies: [&[u8]; 10] = [
            b"",                                                           // no END
            &[0x00, 0x00],                                                 // bytes after END
            &[0x55, 0x00],                                                 // reserved
            &[0xff],                                                       // reserved
            &[0x02, b'a'],                                                 // literal cut short
            &[0x41, 0x00, 0x00],                                           // empty literal
            &[0x45, 0x00, 0x00, 0x00],                                     // empty copy
            &[0x44, 0x80, 0, 0, 0, 0, 0, 0, 0, b'a', 0x00],                // literal of 2^63
            &[0x48, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x00],                   // copy of 2^63
            &[0x51, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0], // offset + length overflow
        ];
        for body in bodies {
            assert!(matches!(parse_body(body), Err(Error::Damaged(_))), "{body:02x?}");
        }
        let half = [0x48, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert!(parse_body(&[&half[..], &[0]].concat()).is_ok());
        assert!(parse_body(&[&half[..], &half[..], &[0]].concat()).is_err());
        assert!(parse(b"rs\x02\x37\0", CONTENT).is_err());
        assert!(parse(b"rs", CONTENT).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(body in prop::collection::vec(prop_oneof![0u8..0x56, any::<u8>()], 0..200)) {
            if let Ok(map) = parse_body(&body) {
                prop_assert!(map.extents().iter().all(|extent| extent.len > 0));
            }
        }
    }
}
