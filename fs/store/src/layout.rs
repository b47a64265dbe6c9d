//! Sizes and names that FORMAT.md promises.

use std::path::{Path, PathBuf};

use crate::FileId;

/// The version of the format that this code writes, in `yore.toml` and in SQLite's `user_version`.
pub const FORMAT: u32 = 1;

/// A group: the aligned stretch of a content that is compressed and verified as one.
/// 2^17 bytes, so that a group is a whole subtree of BLAKE3.
pub const GROUP: u64 = 128 << 10;

/// A segment: the aligned stretch of a large content that is stored as one file.
pub const SEGMENT: u64 = 4 << 20;

/// Groups in a whole segment.
pub const SEGMENT_GROUPS: u64 = SEGMENT / GROUP;

/// The longest frame of a run without position. It holds many contents: neighbours are alike, and what is compressed
/// together takes less room; but all of it is decoded for one of them.
pub const FRAME: u64 = 512 << 10;

/// Contents up to this size share frames with their neighbours: those of one group, of which nothing is checked but the
/// name.
pub const SMALL: u64 = GROUP;

/// Small contents up to this size are not worth a delta, and not looked for where they are not expected.
pub const TINY: u64 = 32 << 10;

/// Contents up to this size lie in packs; above it they are large and have segments of their own.
pub const MEDIUM: u64 = 1 << 20;

/// A delta stream up to this size is parsed when its content is opened; of a longer one a map is kept in the catalog.
pub const UNMAPPED: u64 = 4 << 10;

/// A pack is closed when it has this many bytes.
pub const PACK: u64 = 16 << 20;

/// The largest content that is accepted: 16 TiB, four million segments.
pub const LARGEST: u64 = 1 << 44;

/// What a stored file is for; it decides the folder it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FileKind {
    /// Frames of small and medium contents and of small deltas.
    Pack = 0,
    /// One segment of a large content.
    Head = 1,
    /// One large reverse delta.
    Delta = 2,
}

impl FileKind {
    /// All of them.
    pub const ALL: [FileKind; 3] = [FileKind::Pack, FileKind::Head, FileKind::Delta];

    /// The kind with this number in the catalog.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i64 == code)
    }

    /// The folder for files of this kind.
    pub fn folder(self) -> &'static str {
        match self {
            FileKind::Pack => "packs",
            FileKind::Head => "heads",
            FileKind::Delta => "deltas",
        }
    }
}

/// Where a stored file lies: `heads/2a/000000000000062a`; the folder is the low byte of the number.
pub fn stored_file(repository: &Path, kind: FileKind, id: FileId) -> PathBuf {
    repository
        .join(kind.folder())
        .join(format!("{:02x}", id.0 & 0xff))
        .join(format!("{:016x}", id.0))
}

/// `yore.toml`.
pub fn config(repository: &Path) -> PathBuf {
    repository.join("yore.toml")
}

/// The catalog.
pub fn catalog(repository: &Path) -> PathBuf {
    repository.join("catalog.sqlite3")
}

/// The folder of lock files.
pub fn locks(repository: &Path) -> PathBuf {
    repository.join("locks")
}
