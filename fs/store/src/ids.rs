//! Identifiers. Bare integers do not travel between functions here: a snapshot
//! cannot be passed where an entry is meant.

use std::fmt;

/// Makes a newtype over the integer key of a catalog table.
macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl rusqlite::ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }
        impl rusqlite::types::FromSql for $name {
            fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
                value.as_i64().map($name)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

row_id!(
    /// A snapshot: a row of `snapshots`. Grows with time, never reused.
    SnapshotId
);
row_id!(
    /// A line: the snapshots of one host and one set of roots.
    LineId
);
row_id!(
    /// The identity of a folder; it survives renames and touched times.
    FolderId
);
row_id!(
    /// One path with its metadata, alive from a first snapshot to a last. Never reused.
    EntryId
);
row_id!(
    /// The catalog's number for a content. The content's name is its [`Hash`].
    ContentId
);
row_id!(
    /// A stretch of frames inside one stored file.
    RunId
);
row_id!(
    /// A file of the repository: a pack, a head's segment or a large delta.
    FileId
);
row_id!(
    /// A push: the sending of one snapshot, from its first byte to its commit.
    PushId
);

/// The BLAKE3 of a content: its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Hash(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl rusqlite::ToSql for Hash {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::from(&self.0[..]))
    }
}

impl rusqlite::types::FromSql for Hash {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        <[u8; 32]>::column_result(value).map(Hash)
    }
}
