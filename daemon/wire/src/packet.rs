//! Packets: what the two ends write to each other.
//!
//! ```text
//! length of what follows (4 bytes, little-endian) | kind (1 byte) | body
//! ```

use std::io::{self, BufReader, Read, Write};

use yore_store::Error;

use crate::Message;
use crate::codec::{Decoded, Input, Malformed, Wire, record, variants};
use crate::question::{Answer, Question};
use crate::text::shortened;

/// The longest packet: a message, with what may be in it.
pub const LONGEST: usize = 4 << 20;

/// Answers are gathered into packets of about this many bytes.
pub const GATHERED: usize = 64 << 10;

/// The oldest version of the protocol that this code speaks.
pub const OLDEST: u16 = 1;

/// The newest.
pub const NEWEST: u16 = 1;

/// The SSH subsystem.
pub const SUBSYSTEM: &str = "yore";

/// What begins each greeting.
const MAGIC: [u8; 4] = *b"yore";

/// What an agent says first, in every version of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The oldest version that it speaks.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
    /// Its name and version, for messages.
    pub program: String,
}

/// What a server answers, in every version of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version that is spoken from here on; 0 if there is none.
    pub version: u16,
    /// The oldest that the server speaks.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
    /// Its name and version.
    pub program: String,
}

/// A packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet {
    /// The agent's greeting.
    Hello(Hello),
    /// A question, with a number that its answers will have.
    Ask(u64, Question),
    /// A message of the push.
    Tell(Message),
    /// The agent is there and at work.
    Alive,
    /// The server's greeting.
    Welcome(Welcome),
    /// Pieces of the answer to a question; more follow.
    More(u64, Vec<Answer>),
    /// The last ones.
    Done(u64, Vec<Answer>),
    /// A question that cannot be answered.
    Failed(u64, Failure),
    /// The push has failed; what else is told will not be looked at.
    PushFailed(Failure),
}

/// An error, as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of error it is.
    pub kind: FailureKind,
    /// For a person.
    pub text: String,
}

/// What a program can tell errors by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// None of the others.
    Other,
    /// No such snapshot.
    NoSnapshot,
    /// Somebody else is at it, or what was built upon is gone: try again later.
    Busy,
    /// No room: used, limit and needed bytes.
    OverBudget {
        /// Bytes stored now.
        used: u64,
        /// Bytes allowed.
        limit: u64,
        /// Bytes wanted.
        needed: u64,
    },
    /// What was sent does not hold together.
    Refused,
    /// What is stored is not what it was.
    Damaged,
    /// The user may not.
    Denied,
    /// Try again at once: what had been kept of an earlier push is gone.
    Again,
    /// The server's disk must keep some room: free, kept and needed bytes.
    OverFloor {
        /// Bytes free now.
        free: u64,
        /// Bytes that must stay free.
        floor: u64,
        /// Bytes wanted.
        needed: u64,
    },
    /// No such repository.
    NoRepository,
    /// A key that was revoked wants to be enrolled.
    KeyRevoked,
    /// The server is being stopped: come again.
    Leaving,
}

record!(Hello {
    oldest,
    newest,
    program
});
record!(Welcome {
    version,
    oldest,
    newest,
    program
});
record!(Failure { kind, text });
variants!(FailureKind, "failure" {
    0 => Other,
    1 => NoSnapshot,
    2 => Busy,
    3 => OverBudget { used, limit, needed },
    4 => Refused,
    5 => Damaged,
    6 => Denied,
    7 => Again,
    8 => OverFloor { free, floor, needed },
    9 => NoRepository,
    10 => KeyRevoked,
    11 => Leaving,
});

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let (kind, text) = match error {
            Error::NoSuchSnapshot(name) => (FailureKind::NoSnapshot, name.clone()),
            Error::Busy(text) => (FailureKind::Busy, text.clone()),
            &Error::OverBudget { used, limit, needed } => {
                (FailureKind::OverBudget { used, limit, needed }, error.to_string())
            }
            &Error::OverFloor { free, floor, needed } => {
                (FailureKind::OverFloor { free, floor, needed }, error.to_string())
            }
            Error::Refused(text) => (FailureKind::Refused, text.clone()),
            Error::Damaged(text) => (FailureKind::Damaged, text.clone()),
            Error::Denied(text) => (FailureKind::Denied, text.clone()),
            Error::Again(text) => (FailureKind::Again, text.clone()),
            Error::KeyRevoked => (FailureKind::KeyRevoked, error.to_string()),
            Error::NotARepository(_) => (FailureKind::NoRepository, "there is no such repository".to_owned()),
            // Where a server keeps its files is nobody else's concern.
            Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                (FailureKind::Other, "the server's disk is full".to_owned())
            }
            Error::Io { path, source } => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                (FailureKind::Other, format!("on the server: {name}: {source}"))
            }
            error => (FailureKind::Other, error.to_string()),
        };
        let text = shortened(&text);
        Failure { kind, text }
    }
}

impl Failure {
    /// The error, at the end that asked; `place` is the repository's URL.
    pub fn into_error(self, place: &str) -> Error {
        let text = self.text;
        match self.kind {
            FailureKind::NoSnapshot => Error::NoSuchSnapshot(text),
            FailureKind::Busy => Error::Busy(text),
            FailureKind::OverBudget { used, limit, needed } => Error::OverBudget { used, limit, needed },
            FailureKind::OverFloor { free, floor, needed } => Error::OverFloor { free, floor, needed },
            FailureKind::Refused => Error::Refused(text),
            FailureKind::Damaged => Error::Damaged(text),
            FailureKind::Denied => Error::Denied(text),
            FailureKind::Again => Error::Again(text),
            FailureKind::KeyRevoked => Error::KeyRevoked,
            kind @ (FailureKind::NoRepository | FailureKind::Other | FailureKind::Leaving) => Error::Elsewhere {
                place: place.to_owned(),
                message: text,
                lost: kind == FailureKind::Leaving,
            },
        }
    }
}

impl Packet {
    /// Appends the packet to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        match self {
            Packet::Hello(hello) => {
                out.push(0x01);
                MAGIC.write(out);
                hello.write(out);
            }
            Packet::Ask(number, question) => {
                out.push(0x02);
                number.write(out);
                question.write(out);
            }
            Packet::Tell(message) => {
                out.push(0x03);
                message.write(out);
            }
            Packet::Alive => out.push(0x04),
            Packet::Welcome(welcome) => {
                out.push(0x81);
                MAGIC.write(out);
                welcome.write(out);
            }
            Packet::More(number, answers) => write_answers(0x82, *number, answers, out),
            Packet::Done(number, answers) => write_answers(0x83, *number, answers, out),
            Packet::Failed(number, failure) => {
                out.push(0x84);
                number.write(out);
                failure.write(out);
            }
            Packet::PushFailed(failure) => {
                out.push(0x85);
                failure.write(out);
            }
        }
        let length = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Reads the packet that these bytes, without the length, are.
    pub fn read(bytes: &[u8]) -> Decoded<Self> {
        let mut input = Input::new(bytes);
        let packet = match input.take(1)?[0] {
            0x01 => {
                magic(&mut input)?;
                let hello = Packet::Hello(input.get()?);
                // A later version may say more.
                return Ok(hello);
            }
            0x02 => Packet::Ask(input.get()?, input.get()?),
            0x03 => Packet::Tell(input.get()?),
            0x04 => Packet::Alive,
            0x81 => {
                magic(&mut input)?;
                return Ok(Packet::Welcome(input.get()?));
            }
            0x82 => Packet::More(input.get()?, answers(&mut input)?),
            0x83 => Packet::Done(input.get()?, answers(&mut input)?),
            0x84 => Packet::Failed(input.get()?, input.get()?),
            0x85 => Packet::PushFailed(input.get()?),
            _ => return Err(Malformed("an unknown kind of packet")),
        };
        input.end()?;
        Ok(packet)
    }
}

fn magic(input: &mut Input<'_>) -> Decoded<()> {
    match input.get::<[u8; 4]>()? == MAGIC {
        true => Ok(()),
        false => Err(Malformed("this is no yore")),
    }
}

fn write_answers(kind: u8, number: u64, answers: &[Answer], out: &mut Vec<u8>) {
    out.push(kind);
    number.write(out);
    answers.iter().for_each(|answer| answer.write(out));
}

fn answers(input: &mut Input<'_>) -> Decoded<Vec<Answer>> {
    let mut answers = Vec::new();
    while input.left() > 0 {
        input.take_room::<Answer>(1)?;
        answers.push(input.get()?);
    }
    Ok(answers)
}

/// What is read of a stream at once: most packets are much shorter than what asking for them costs.
const BUFFER: usize = 64 << 10;

/// Reads packets from a stream.
pub struct PacketReader<R> {
    stream: BufReader<R>,
    bytes: Vec<u8>,
    last_length: u64,
}

impl<R: Read> PacketReader<R> {
    /// From the beginning of a stream.
    pub fn new(stream: R) -> Self {
        PacketReader {
            stream: BufReader::with_capacity(BUFFER, stream),
            bytes: Vec::new(),
            last_length: 0,
        }
    }

    /// Bytes that the last packet took on the wire.
    pub fn last_length(&self) -> u64 {
        self.last_length
    }

    /// Whether the next packet is there already, all of it: getting it waits for nobody.
    pub fn has_next(&self) -> bool {
        let there = self.stream.buffer();
        there
            .first_chunk()
            .is_some_and(|length| there.len() - 4 >= u32::from_le_bytes(*length) as usize)
    }

    /// Reads on to the end of the stream, and keeps nothing.
    pub fn skip_to_end(&mut self) {
        let _ = io::copy(&mut self.stream, &mut io::sink());
    }

    /// The next packet; `None` at the end of the stream.
    ///
    /// # Errors
    /// What the stream says; `InvalidData` for what is no packet.
    pub fn next_packet(&mut self) -> io::Result<Option<Packet>> {
        let mut length = [0; 4];
        let mut have = 0;
        while have < length.len() {
            match self.stream.read(&mut length[have..]) {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(more) => have += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST {
            return Err(invalid(Malformed("a packet that is too long")));
        }
        self.bytes.clear();
        // Memory is taken as bytes come, not as they are announced.
        let read = (&mut self.stream).take(length as u64).read_to_end(&mut self.bytes)?;
        if read < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.last_length = 4 + length as u64;
        let packet = Packet::read(&self.bytes).map_err(invalid)?;
        // One long packet must not keep its memory for the whole connection.
        self.bytes.shrink_to(1 << 20);
        Ok(Some(packet))
    }
}

fn invalid(malformed: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, malformed)
}

/// Writes one packet to a stream; see [`append_packet`].
///
/// # Errors
/// `InvalidInput` if it is longer than the protocol allows; else what the stream says.
pub fn write_packet(stream: &mut dyn Write, packet: &Packet) -> io::Result<()> {
    let mut bytes = Vec::new();
    append_packet(&mut bytes, packet)?;
    stream.write_all(&bytes)
}

/// Puts one packet behind `bytes`.
///
/// # Errors
/// `InvalidInput` if it is longer than the protocol allows; then nothing is put there.
pub fn append_packet(bytes: &mut Vec<u8>, packet: &Packet) -> io::Result<()> {
    let before = bytes.len();
    packet.write(bytes);
    let length = bytes.len() - before;
    if length - 4 > LONGEST {
        bytes.truncate(before);
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a message of {length} bytes; the protocol allows {LONGEST}"),
        ));
    }
    Ok(())
}

/// The version that two ends speak: the newest that both know.
pub fn common_version(oldest: u16, newest: u16) -> Option<u16> {
    let common = newest.min(NEWEST);
    (common >= oldest.max(OLDEST)).then_some(common)
}
