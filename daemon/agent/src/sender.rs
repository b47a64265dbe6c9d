//! Telling a large content piece by piece.

use std::collections::HashMap;

use yore_store::{
    Body, Compression, Frame, GROUP, Hash, LargeOp, Result, SEGMENT, Value, group_value, root_value, segment_value,
};
use yore_wire::Message;

use crate::destination::Destination;

/// Groups in a segment.
const SEGMENT_GROUPS: u64 = SEGMENT / GROUP;

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

/// Names a content of more than one group that is told in order. Groups become segments as they
/// come: 8 MiB a TiB.
#[derive(Default)]
pub(crate) struct GroupHasher {
    /// Bytes of the group that is not complete.
    group: Vec<u8>,
    /// The values of the last segment's groups.
    values: Vec<Value>,
    /// The values of the segments before it.
    segments: Vec<Value>,
    /// The values of whole segments, by their numbers, whose groups have none.
    known: HashMap<u64, Value>,
    size: u64,
}

impl GroupHasher {
    /// A content of which some whole segments have these values, by their numbers.
    pub fn with_segments(known: HashMap<u64, Value>) -> Self {
        GroupHasher {
            known,
            ..GroupHasher::default()
        }
    }

    /// Its next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            let take = (GROUP as usize - self.group.len()).min(bytes.len());
            if take as u64 == GROUP {
                self.push(group_value(self.groups(), &bytes[..take]));
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
    pub fn values(&mut self, values: impl IntoIterator<Item = Value>, length: u64) {
        debug_assert!(self.group.is_empty());
        values.into_iter().for_each(|value| self.push(value));
        self.size += length;
    }

    /// A whole segment whose value is known; only after whole segments, and never the only one.
    pub fn segment(&mut self, value: Value) {
        self.known.insert(self.groups() / SEGMENT_GROUPS, value);
        self.values([Value::default(); SEGMENT_GROUPS as usize], SEGMENT);
    }

    /// Its name and length.
    pub fn finish(mut self) -> Body {
        if !self.group.is_empty() {
            self.end_group();
        }
        // The groups of a content of one segment are right below its name.
        if !self.segments.is_empty() {
            self.end_segment(self.size - self.segments.len() as u64 * SEGMENT);
        }
        let below = match self.segments.is_empty() {
            true => &self.values,
            false => &self.segments,
        };
        Body {
            hash: root_value(self.size, below).expect("a value for each of its parts"),
            size: self.size,
        }
    }

    fn groups(&self) -> u64 {
        self.segments.len() as u64 * SEGMENT_GROUPS + self.values.len() as u64
    }

    fn push(&mut self, value: Value) {
        if self.values.len() as u64 == SEGMENT_GROUPS {
            self.end_segment(SEGMENT);
        }
        self.values.push(value);
    }

    fn end_group(&mut self) {
        self.push(group_value(self.groups(), &self.group));
        self.group.clear();
    }

    fn end_segment(&mut self, length: u64) {
        let known = self.known.remove(&(self.segments.len() as u64));
        let value = known.unwrap_or_else(|| segment_value(length, &self.values));
        self.segments.push(value);
        self.values.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_not_depend_on_how_its_parts_are_told() {
        let bytes: Vec<u8> = (0..3 * SEGMENT + 777).map(|i| (i % 251) as u8).collect();
        let group_of = |(i, group): (usize, &[u8])| group_value(i as u64, group);
        for size in [GROUP + 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 3 * SEGMENT + 777] {
            let bytes = &bytes[..size as usize];
            let mut told = GroupHasher::default();
            bytes.chunks(100_003).for_each(|part| told.update(part));
            let values: Vec<Value> = bytes.chunks(GROUP as usize).enumerate().map(group_of).collect();
            let mut known = GroupHasher::default();
            if size > SEGMENT {
                let (first, rest) = values.split_at(SEGMENT_GROUPS as usize);
                known.segment(segment_value(SEGMENT, first));
                known.values(rest.iter().copied(), size - SEGMENT);
            } else {
                known.values(values, size);
            }
            for name in [told.finish(), known.finish()] {
                assert_eq!((name.hash, name.size), (Hash::of(bytes), size), "{size}");
            }
        }
    }
}
