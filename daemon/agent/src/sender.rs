//! Telling a large content piece by piece.

use std::collections::HashMap;

use yore_store::{
    Body, Compression, Frame, GROUP, Hash, LargeOp, Result, Value, from_groups_and_segments, group_value,
};
use yore_wire::Message;

use crate::destination::Destination;

/// Turns stretches of a content into messages: literals into frames that end where groups
/// end, so that those of whole groups can be stored as they are sent.
pub(crate) struct LargeSender<'a> {
    destination: &'a mut Destination,
    compression: Compression,
    /// New bytes that have not been sent.
    literal: Vec<u8>,
    /// Zeros that have not been sent.
    zeros: u64,
    /// Bytes told before those.
    told: u64,
}

impl<'a> LargeSender<'a> {
    /// Begins a content, told against `base`; by `key` a later push finds what had arrived.
    pub fn begin(destination: &'a mut Destination, base: Option<Hash>, key: [u8; 16]) -> Result<Self> {
        destination.send(Message::LargeBegin { base, key })?;
        let compression = destination.compression();
        Ok(LargeSender {
            destination,
            compression,
            literal: Vec::new(),
            zeros: 0,
            told: 0,
        })
    }

    /// New bytes.
    pub fn literal(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.end_zeros()?;
        while !bytes.is_empty() {
            let room = (GROUP - (self.told + self.literal.len() as u64) % GROUP) as usize;
            let take = room.min(bytes.len());
            self.literal.extend_from_slice(&bytes[..take]);
            if take == room {
                self.end_literal()?;
            }
            bytes = &bytes[take..];
        }
        Ok(())
    }

    /// Bytes of the base.
    pub fn copy(&mut self, from: u64, length: u64) -> Result<()> {
        self.op(LargeOp::Copy { from, length }, length)
    }

    /// Groups that are as in the base, `length` bytes in all.
    pub fn same(&mut self, groups: u64, length: u64) -> Result<()> {
        self.op(LargeOp::Same { groups }, length)
    }

    /// Groups that an earlier push sent, `length` bytes in all.
    pub fn kept(&mut self, groups: u64, length: u64) -> Result<()> {
        self.op(LargeOp::Kept { groups }, length)
    }

    /// Zero bytes.
    pub fn zeros(&mut self, length: u64) -> Result<()> {
        self.end_literal()?;
        self.zeros += length;
        Ok(())
    }

    /// Ends the content.
    pub fn end<E: From<yore_store::Error>>(mut self, body: Body) -> Result<Body, E> {
        self.end_literal()?;
        self.end_zeros()?;
        self.destination.send(Message::LargeEnd {
            hash: body.hash,
            size: body.size,
        })?;
        Ok(body)
    }

    fn op(&mut self, op: LargeOp, length: u64) -> Result<()> {
        self.end_literal()?;
        self.end_zeros()?;
        self.told += length;
        self.destination.send(Message::Large(op))
    }

    fn end_literal(&mut self) -> Result<()> {
        if self.literal.is_empty() {
            return Ok(());
        }
        let (bytes, compression) = (std::mem::take(&mut self.literal), self.compression);
        self.told += bytes.len() as u64;
        let frame = move || Message::Large(LargeOp::Frame(Frame::encode(&bytes, compression)));
        let made = self.destination.make(GROUP as usize, frame);
        self.destination.send(made)
    }

    fn end_zeros(&mut self) -> Result<()> {
        let length = std::mem::take(&mut self.zeros);
        if length == 0 {
            return Ok(());
        }
        self.told += length;
        self.destination.send(Message::Large(LargeOp::Zeros { length }))
    }
}

/// Names a content of more than one group that is told in order.
#[derive(Default)]
pub(crate) struct GroupHasher {
    /// Bytes of the group that is not complete.
    group: Vec<u8>,
    values: Vec<Value>,
    /// The values of whole segments, by their numbers, whose groups have none.
    segments: HashMap<u64, Value>,
    size: u64,
}

impl GroupHasher {
    /// A content of which some whole segments have these values, by their numbers.
    pub fn with_segments(segments: HashMap<u64, Value>) -> Self {
        GroupHasher {
            segments,
            ..GroupHasher::default()
        }
    }

    /// Its next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            let take = (GROUP as usize - self.group.len()).min(bytes.len());
            if take as u64 == GROUP {
                self.values.push(group_value(self.values.len() as u64, &bytes[..take]));
            } else {
                self.group.extend_from_slice(&bytes[..take]);
                if self.group.len() as u64 == GROUP {
                    self.end_group();
                }
            }
            bytes = &bytes[take..];
        }
    }

    /// Groups whose values are known, `length` bytes in all; only after whole groups.
    pub fn values(&mut self, values: &[Value], length: u64) {
        debug_assert!(self.group.is_empty());
        self.values.extend_from_slice(values);
        self.size += length;
    }

    /// Its name and length.
    pub fn finish(mut self) -> Body {
        if !self.group.is_empty() {
            self.end_group();
        }
        Body {
            hash: from_groups_and_segments(self.size, &self.values, &self.segments),
            size: self.size,
        }
    }

    fn end_group(&mut self) {
        self.values.push(group_value(self.values.len() as u64, &self.group));
        self.group.clear();
    }
}
