//! The groups of a segment that is being put together, and how they are stored together.

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::thread::{self, JoinHandle};

use crate::Compression;
use crate::catalog::FrameRow;
use crate::frame::{Encoding, Frame};
use crate::parallel::by_shares;
use crate::tree_hash::{Value, group_value};
use crate::write::frame_row;

/// A group of the segment that is being put together.
pub(super) enum Group {
    /// As it is stored in the base.
    Stored(Encoding, Vec<u8>, FrameRow),
    /// To be stored.
    New(Frame, Value),
    /// Zeros.
    Zeros(Value, u32),
    /// Bytes that were put together here; one of the above once the segment is [settled](settle).
    Put(Vec<u8>),
}

impl Group {
    pub(super) fn value(&self) -> Value {
        match self {
            Group::Stored(_, _, row) => row.value,
            Group::New(_, value) | Group::Zeros(value, _) => *value,
            Group::Put(_) => unreachable!("the segment is settled"),
        }
    }

    /// Hashes and compresses what was put together for group number `group`.
    fn settle(&mut self, group: u64, compression: Compression) {
        let Group::Put(bytes) = self else { return };
        let value = group_value(group, bytes);
        *self = match is_zeros(bytes) {
            true => Group::Zeros(value, bytes.len() as u32),
            false => Group::New(Frame::encode(bytes, compression.of_what_changes()), value),
        };
    }

    fn is_raw(&self) -> bool {
        match self {
            Group::Stored(encoding, ..) => *encoding == Encoding::Raw,
            Group::New(frame, _) => frame.encoding == Encoding::Raw,
            Group::Zeros(..) | Group::Put(_) => false,
        }
    }
}

fn is_zeros(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|part| *part == ZEROS[..part.len()])
}

/// A segment whose groups were put together here, as they are hashed and compressed by other threads: where a database
/// was changed at many places, that is most of the work of a push.
pub(super) struct Settling {
    /// The number of its first group.
    pub(super) first: u64,
    /// Its length in bytes.
    pub(super) length: u64,
    /// Its groups, or who has them.
    groups: Result<Vec<Group>, JoinHandle<Vec<Group>>>,
}

impl Settling {
    /// Begins it; in this thread where that is not worth another.
    pub(super) fn begin(mut groups: Vec<Group>, first: u64, length: u64, compression: Compression) -> Self {
        let to_do = groups.iter().filter(|group| matches!(group, Group::Put(_))).count();
        let groups = match to_do {
            0 | 1 => {
                settle(&mut groups, first, compression);
                Ok(groups)
            }
            _ => Err(thread::spawn(move || {
                settle(&mut groups, first, compression);
                groups
            })),
        };
        Settling { first, length, groups }
    }

    /// Whether they are.
    pub(super) fn is_ready(&self) -> bool {
        self.groups.as_ref().map_or_else(JoinHandle::is_finished, |_| true)
    }

    /// Its groups, when they are settled.
    pub(super) fn end(self) -> Vec<Group> {
        let join = |thread: JoinHandle<_>| thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        self.groups.unwrap_or_else(join)
    }
}

/// Hashes and compresses the groups that were put together here, on all processors.
fn settle(groups: &mut [Group], first: u64, compression: Compression) {
    let put = groups.iter_mut().zip(first..);
    let put: Vec<_> = put
        .filter(|(group, _)| matches!(group, Group::Put(_)))
        .map(Mutex::new)
        .collect();
    by_shares(put.len(), 1, |share| {
        for one in &put[share] {
            let (group, number) = &mut *one.lock().expect("no panic while held");
            group.settle(*number, compression);
        }
    });
}

/// The groups of a segment as they are stored together: all raw, or all zstd.
pub(super) fn encode_segment(groups: Vec<Group>, compression: Compression) -> (Encoding, Vec<(Vec<u8>, FrameRow)>) {
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
            Group::Put(_) => unreachable!("the segment is settled"),
        });
    }
    (wanted, stored)
}
