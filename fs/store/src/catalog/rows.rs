//! Rows of the catalog as Rust values, and the checks that they carry.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};

use crate::frame::{Encoding, LARGEST_FRAME_HEADER};
use crate::layout::{FRAME, FileKind, GROUP};
use crate::meta::{decode_extents, decode_xattrs};
use crate::tree_hash::Value;
use crate::{ContentId, EntryId, Error, FileId, FolderId, Kind, Meta, Owner, Result, RunId, SnapshotId};

/// One path with its metadata, alive from a first snapshot to a last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, never reused.
    pub id: EntryId,
    /// The folder that it lies in.
    pub folder: FolderId,
    /// Its name there; empty for `/` itself.
    pub name: Vec<u8>,
    /// The first snapshot that has it.
    pub first: SnapshotId,
    /// The last snapshot that has it, [`ALIVE`](super::ALIVE) while the newest does.
    pub last: SnapshotId,
    /// Everything but its bytes.
    pub meta: Meta,
    /// Bytes of a regular file, else 0.
    pub size: u64,
    /// The bytes of a regular file that is not empty.
    pub content: Option<ContentId>,
    /// The identity of a folder.
    pub child: Option<FolderId>,
    /// The hard-link group, where the file has other names in its snapshot.
    pub link: Option<i64>,
}

/// The columns that [`Entry::read`] wants.
pub const ENTRY: &str = "e.id, e.folder, e.name, e.first, e.last, e.kind, e.mode, e.mtime, e.mtime_ns, e.size,
    e.content, e.child, e.link, e.rdev, e.target, e.sum, o.uid, o.gid, o.user, o.\"group\", x.data, d.data
    FROM entries e LEFT JOIN owners o ON o.id = e.owner
    LEFT JOIN attributes x ON x.id = e.xattrs LEFT JOIN attributes d ON d.id = e.data";

impl Entry {
    /// Reads a row of [`ENTRY`]; a row whose check does not hold is damage.
    pub fn read(row: &Row<'_>) -> Result<Self> {
        let id: EntryId = row.get(0)?;
        let damaged = || Error::Damaged(format!("catalog entry {id}"));
        // A flipped bit may have changed a type as well; whatever SQLite says of it is damage.
        let (entry, sum) = Self::columns(row).map_err(|_| damaged())?.ok_or_else(damaged)?;
        if entry.sum() != sum {
            return Err(damaged());
        }
        Ok(entry)
    }

    fn columns(row: &Row<'_>) -> rusqlite::Result<Option<(Self, i64)>> {
        let Some(kind) = Kind::from_code(row.get(5)?) else {
            return Ok(None);
        };
        let xattrs = match row.get_ref(20)?.as_blob_or_null()? {
            None => Vec::new(),
            Some(bytes) => match decode_xattrs(bytes) {
                Some(xattrs) => xattrs,
                None => return Ok(None),
            },
        };
        let data = match row.get_ref(21)?.as_blob_or_null()? {
            None => None,
            Some(bytes) => match decode_extents(bytes) {
                Some(extents) => Some(extents),
                None => return Ok(None),
            },
        };
        let entry = Entry {
            id: row.get(0)?,
            folder: row.get(1)?,
            name: row.get(2)?,
            first: row.get(3)?,
            last: row.get(4)?,
            meta: Meta {
                kind,
                mode: row.get(6)?,
                owner: Owner {
                    uid: row.get(16)?,
                    gid: row.get(17)?,
                    user: row.get(18)?,
                    group: row.get(19)?,
                },
                mtime: row.get(7)?,
                mtime_ns: row.get(8)?,
                rdev: row.get::<_, i64>(13)? as u64,
                target: row.get::<_, Option<Vec<u8>>>(14)?.unwrap_or_default(),
                xattrs,
                data,
            },
            size: row.get::<_, i64>(9)? as u64,
            content: row.get(10)?,
            child: row.get(11)?,
            link: row.get(12)?,
        };
        Ok(Some((entry, row.get(15)?)))
    }

    /// The check of a row: the first 8 bytes of a BLAKE3 over everything that never changes
    /// in it. `last` does change, and is covered by the snapshots' sums.
    pub fn sum(&self) -> i64 {
        let mut hasher = blake3::Hasher::new();
        for number in [
            self.id.0,
            self.folder.0,
            self.first.0,
            self.size as i64,
            self.content.map_or(0, |id| id.0),
            self.child.map_or(0, |id| id.0),
            self.link.unwrap_or(0),
        ] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(&self.meta.digest());
        hasher.update(&self.name);
        first_8(&hasher)
    }
}

pub(super) fn first_8(hasher: &blake3::Hasher) -> i64 {
    i64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("8 of 32 bytes"))
}

/// One frame of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRow {
    /// Stored bytes.
    pub stored: u32,
    /// Decoded bytes.
    pub length: u32,
    /// First 8 bytes of the BLAKE3 of the stored bytes.
    pub check: [u8; 8],
    /// What the decoded bytes are: their chaining value in a run with a position, else their BLAKE3.
    pub value: Value,
}

/// Bytes of a [`FrameRow`] in the catalog.
pub(crate) const FRAME_ROW: usize = 48;

/// A stretch of frames inside one stored file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// The file that it lies in.
    pub file: FileId,
    /// What the file is.
    pub kind: FileKind,
    /// Where it begins there.
    pub offset: u64,
    /// How its frames are stored.
    pub encoding: Encoding,
    /// Number of its first group in its content, where it has a content of its own of several groups.
    pub position: Option<u64>,
    /// Its frames in order.
    pub frames: Arc<[FrameRow]>,
    /// Where each frame begins: (stored, decoded), with the ends as last element.
    pub starts: Arc<[(u64, u64)]>,
}

impl Run {
    /// A run of these frames.
    pub fn new(
        id: RunId,
        file: FileId,
        kind: FileKind,
        offset: u64,
        encoding: Encoding,
        position: Option<u64>,
        frames: Vec<FrameRow>,
    ) -> Self {
        let mut starts = vec![(0, 0)];
        for frame in &frames {
            let (stored, decoded) = starts[starts.len() - 1];
            starts.push((stored + u64::from(frame.stored), decoded + u64::from(frame.length)));
        }
        Run {
            id,
            file,
            kind,
            offset,
            encoding,
            position,
            frames: frames.into(),
            starts: starts.into(),
        }
    }

    /// The number of the frame that a decoded byte lies in; that of the last and one if there is none.
    pub fn frame_at(&self, decoded: u64) -> usize {
        self.starts.partition_point(|&(_, start)| start <= decoded) - 1
    }

    /// Stored bytes.
    pub fn bytes(&self) -> u64 {
        self.starts[self.starts.len() - 1].0
    }

    /// Decoded bytes.
    pub fn length(&self) -> u64 {
        self.starts[self.starts.len() - 1].1
    }

    /// The runs behind `after` in a file, at most `most`, and whether their frames are named by themselves, as those of
    /// small contents are.
    pub fn behind(connection: &Connection, file: FileId, after: RunId, most: u32) -> Result<Vec<(RunId, bool)>> {
        let mut statement = connection
            .prepare_cached("SELECT id, position IS NULL FROM runs WHERE file = ?1 AND id > ?2 ORDER BY id LIMIT ?3")?;
        let rows = statement.query_map((file, after, most), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Reads one run; `None` if there is none of this number.
    ///
    /// # Errors
    /// [`Error::Damaged`] if its check does not hold.
    pub fn get(connection: &Connection, id: RunId) -> Result<Option<Self>> {
        let mut statement = connection.prepare_cached(
            "SELECT r.file, f.kind, r.offset, r.encoding, r.position, r.frames, r.sum
             FROM runs r LEFT JOIN files f ON f.id = r.file WHERE r.id = ?1",
        )?;
        let row = statement
            .query_row([id], |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                    row.get(6)?,
                ))
            })
            .optional()
            .map_err(|_| Error::Damaged(format!("catalog run {id}")))?;
        let Some(row) = row else { return Ok(None) };
        let (file, kind, offset, encoding, position, frames, sum): (FileId, i64, i64, i64, Option<i64>, Vec<u8>, i64) =
            row;
        let decoded = (|| {
            let longest = position.map_or(FRAME, |_| GROUP);
            let frames = frames
                .chunks(FRAME_ROW)
                .map(|row| decode_frame_row(row, longest))
                .collect::<Option<Vec<_>>>()?;
            let (kind, encoding) = (FileKind::from_code(kind)?, Encoding::from_code(encoding)?);
            Some(Run::new(
                id,
                file,
                kind,
                offset as u64,
                encoding,
                position.map(|p| p as u64),
                frames,
            ))
        })();
        decoded
            .filter(|run| run.sum() == sum)
            .map(Some)
            .ok_or_else(|| Error::Damaged(format!("catalog run {id}")))
    }

    /// Writes the row of a run that has moved.
    pub fn move_to(&self, connection: &Connection) -> Result<()> {
        connection
            .prepare_cached("DELETE FROM runs WHERE id = ?1")?
            .execute([self.id])?;
        self.insert(connection)
    }

    /// Writes the row of a new run.
    pub fn insert(&self, connection: &Connection) -> Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO runs (id, file, offset, bytes, length, encoding, position, frames, sum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute((
                self.id,
                self.file,
                self.offset as i64,
                self.bytes() as i64,
                self.length() as i64,
                self.encoding as i64,
                self.position.map(|p| p as i64),
                encode_frame_rows(&self.frames),
                self.sum(),
            ))?;
        Ok(())
    }

    fn sum(&self) -> i64 {
        let mut hasher = blake3::Hasher::new();
        let position = self.position.map_or(-1, |p| p as i64);
        for number in [
            self.id.0,
            self.file.0,
            self.offset as i64,
            self.encoding as i64,
            position,
        ] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(&encode_frame_rows(&self.frames));
        first_8(&hasher)
    }
}

fn encode_frame_rows(frames: &[FrameRow]) -> Vec<u8> {
    let mut out = Vec::with_capacity(frames.len() * FRAME_ROW);
    for frame in frames {
        out.extend_from_slice(&frame.stored.to_le_bytes());
        out.extend_from_slice(&frame.length.to_le_bytes());
        out.extend_from_slice(&frame.check);
        out.extend_from_slice(&frame.value);
    }
    out
}

fn decode_frame_row(bytes: &[u8], longest: u64) -> Option<FrameRow> {
    let (stored, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (check, rest) = rest.split_first_chunk()?;
    let value = rest.try_into().ok()?;
    let (stored, length) = (u32::from_le_bytes(*stored), u32::from_le_bytes(*length));
    // Whoever reads it makes room for both.
    let is_frame = u64::from(length) <= longest && stored as usize <= length as usize + LARGEST_FRAME_HEADER;
    is_frame.then_some(FrameRow {
        stored,
        length,
        check: *check,
        value,
    })
}

/// The check of stored bytes in a [`FrameRow`].
pub fn stored_check(stored: &[u8]) -> [u8; 8] {
    blake3::hash(stored).as_bytes()[..8].try_into().expect("8 of 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn a_row_of_a_frame_that_is_too_long_is_damage() {
        let bench = Bench::new();
        bench.sql("INSERT INTO files (id, kind, bytes, push, dead) VALUES (1, 0, 100, NULL, 0)");
        let connection = bench.repository.connection().unwrap();
        let cases = [
            (None, FRAME, true),
            (None, FRAME + 1, false),
            (Some(0), GROUP, true),
            (Some(0), GROUP + 1, false),
        ];
        for (id, (position, length, is_sound)) in (1..).map(RunId).zip(cases) {
            let frame = FrameRow {
                stored: 100,
                length: length as u32,
                check: [0; 8],
                value: [0; 32],
            };
            let run = Run::new(id, FileId(1), FileKind::Pack, 0, Encoding::Zstd, position, vec![frame]);
            run.insert(&connection).unwrap();
            match Run::get(&connection, id) {
                Ok(read) => assert!(is_sound && read == Some(run), "{position:?} {length}"),
                Err(error) => assert!(!is_sound && error.is_damage(), "{position:?} {length}: {error}"),
            }
        }
    }
}
