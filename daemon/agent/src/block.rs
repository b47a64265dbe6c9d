//! Small contents gathered into blocks of one frame, and everything that must wait for them.
//!
//! Contents come before the entries that name them. While a block fills, the messages that
//! follow its first content wait; when it is full they go after it, in order.

use yore_store::{FRAME, Frame, GROUP, Hash, Result};
use yore_wire::Message;

use crate::destination::Destination;
use crate::pipeline::Queued;

/// Messages that may wait for a block.
const MOST_WAITING: usize = 1024;

/// Bytes of medium contents that may wait for a block.
const MOST_BYTES: usize = 4 << 20;

/// A block that is being filled.
#[derive(Default)]
pub(crate) struct Block {
    contents: Vec<(Hash, u64)>,
    bytes: Vec<u8>,
    waiting: Vec<Queued>,
    waiting_bytes: usize,
}

impl Block {
    /// Adds a small content.
    pub fn add(&mut self, destination: &mut Destination, hash: Hash, bytes: &[u8]) -> Result<()> {
        if self.bytes.len() + bytes.len() > FRAME as usize {
            self.flush(destination)?;
        }
        self.contents.push((hash, bytes.len() as u64));
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends a medium content after the block.
    pub fn medium(&mut self, destination: &mut Destination, hash: Hash, bytes: Vec<u8>) -> Result<()> {
        if self.waiting_bytes + bytes.len() > MOST_BYTES {
            self.flush(destination)?;
        }
        let (length, compression) = (bytes.len(), destination.compression());
        let queued = destination.make(length, move || Message::Contents {
            contents: vec![(hash, bytes.len() as u64)],
            frames: bytes
                .chunks(GROUP as usize)
                .map(|group| Frame::encode(group, compression))
                .collect(),
        });
        self.waiting_bytes += length;
        self.queue(destination, queued)
    }

    /// Sends a message after the block.
    pub fn message(&mut self, destination: &mut Destination, message: Message) -> Result<()> {
        self.queue(destination, message.into())
    }

    /// Sends the block, and what waits for it.
    pub fn flush(&mut self, destination: &mut Destination) -> Result<()> {
        if !self.contents.is_empty() {
            let (contents, bytes) = (std::mem::take(&mut self.contents), std::mem::take(&mut self.bytes));
            let compression = destination.compression();
            let made = destination.make(bytes.len(), move || Message::Contents {
                contents,
                frames: vec![Frame::encode(&bytes, compression)],
            });
            destination.send(made)?;
        }
        self.waiting_bytes = 0;
        self.waiting.drain(..).try_for_each(|queued| destination.send(queued))
    }

    fn queue(&mut self, destination: &mut Destination, queued: Queued) -> Result<()> {
        if self.contents.is_empty() && self.waiting.is_empty() {
            return destination.send(queued);
        }
        self.waiting.push(queued);
        if self.waiting.len() >= MOST_WAITING {
            self.flush(destination)
        } else {
            Ok(())
        }
    }
}
