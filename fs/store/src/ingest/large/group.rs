//! The groups of a segment that is being put together, and how they are stored together.

use crate::catalog::FrameRow;
use crate::frame::{Encoding, Frame};
use crate::tree_hash::Value;
use crate::write::frame_row;

/// A group of the segment that is being put together.
pub(super) enum Group {
    /// As it is stored in the base.
    Stored(Encoding, Vec<u8>, FrameRow),
    /// To be stored.
    New(Frame, Value),
    /// Zeros.
    Zeros(Value, u32),
}

impl Group {
    pub(super) fn value(&self) -> Value {
        match self {
            Group::Stored(_, _, row) => row.value,
            Group::New(_, value) | Group::Zeros(value, _) => *value,
        }
    }

    fn is_raw(&self) -> bool {
        match self {
            Group::Stored(encoding, ..) => *encoding == Encoding::Raw,
            Group::New(frame, _) => frame.encoding == Encoding::Raw,
            Group::Zeros(..) => false,
        }
    }
}

/// The groups of a segment as they are stored together: all raw, or all zstd.
pub(super) fn encode_segment(
    groups: Vec<Group>,
    compression: crate::Compression,
) -> (Encoding, Vec<(Vec<u8>, FrameRow)>) {
    let all_raw = groups.iter().all(Group::is_raw);
    let wanted = if all_raw { Encoding::Raw } else { Encoding::Zstd };
    let mut stored = Vec::with_capacity(groups.len());
    for group in groups {
        stored.push(match group {
            Group::Stored(encoding, bytes, row) if encoding == wanted => (bytes, row),
            Group::Stored(_, bytes, row) => {
                let bytes = Frame {
                    encoding: Encoding::Raw,
                    length: row.length,
                    bytes,
                }
                .into_zstd();
                let row = frame_row(&bytes, row.length, row.value);
                (bytes, row)
            }
            Group::New(frame, value) => {
                let length = frame.length;
                let bytes = if all_raw { frame.bytes } else { frame.into_zstd() };
                let row = frame_row(&bytes, length, value);
                (bytes, row)
            }
            Group::Zeros(value, length) => {
                let bytes = Frame::encode(&vec![0; length as usize], compression).into_zstd();
                let row = frame_row(&bytes, length, value);
                (bytes, row)
            }
        });
    }
    (wanted, stored)
}
