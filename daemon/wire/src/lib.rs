//! The messages that both ends of a push speak, and nothing else; PROTOCOL.md describes them all.
//!
//! A push is a stream of [`Message`]s from the agent, in the order of its walk; contents come
//! before the entries that name them. The agent asks two things on the way (what it can tell a
//! large content against), which do not depend on that order. Every receiver, in the same
//! process or behind a network, hands messages to [`deliver`], so there is one ingest.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod codec;
mod packet;
mod question;
mod text;
mod values;

use yore_store::{Body, Frame, Hash, Ingest, LargeOp, Meta, Result};

pub use codec::{Decoded, Input, Malformed, ROOM, Wire};
pub use packet::*;
pub use question::*;
pub use text::{MOST_TEXT, shortened};

/// One step of a push, from the agent to the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Goes into a folder; `meta` where it is new or changed.
    Enter {
        /// Its name; empty for `/`, which comes first.
        name: Vec<u8>,
        /// Its metadata, `None` if as it was.
        meta: Option<Meta>,
    },
    /// Leaves the folder entered last.
    Leave,
    /// Puts anything but a folder in place of what had the name.
    Put {
        /// Its name.
        name: Vec<u8>,
        /// Its metadata.
        meta: Box<Meta>,
        /// The bytes of a regular file that is not empty.
        body: Option<Body>,
        /// The same number for all names of a hard-linked file.
        link: Option<u64>,
    },
    /// Removes a name, with all that is in it.
    Remove {
        /// The name.
        name: Vec<u8>,
    },
    /// Contents that lie one after the other in some frames.
    Contents {
        /// Name and length of each.
        contents: Vec<(Hash, u64)>,
        /// One frame for any number of contents, or several for one.
        frames: Vec<Frame>,
    },
    /// Begins a large content.
    LargeBegin {
        /// The content that it is told against.
        base: Option<Hash>,
        /// What the agent calls it: where a push dies in its midst, the next one finds by this
        /// what had arrived.
        key: [u8; 16],
    },
    /// Its next piece.
    Large(LargeOp),
    /// Its end.
    LargeEnd {
        /// Its name.
        hash: Hash,
        /// Its length in bytes.
        size: u64,
    },
}

/// Hands a message to the ingest.
///
/// # Errors
/// Whatever the ingest refuses; the push is over then.
pub fn deliver(ingest: &mut Ingest, message: Message) -> Result<()> {
    match message {
        Message::Enter { name, meta } => ingest.enter(&name, meta),
        Message::Leave => ingest.leave(),
        Message::Put { name, meta, body, link } => ingest.put(&name, *meta, body, link),
        Message::Remove { name } => ingest.remove(&name),
        Message::Contents { contents, frames } => ingest.contents(&contents, frames),
        Message::LargeBegin { base, key } => ingest.large_begin(base, key),
        Message::Large(op) => ingest.large_op(op),
        Message::LargeEnd { hash, size } => ingest.large_end(hash, size),
    }
}
