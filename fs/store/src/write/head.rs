//! Heads: the segments of large contents.
//!
//! ```text
//! segment   0    1    2    3    4        raw from the beginning on: one file, byte for byte the content up to there
//!         [ raw  raw  raw ][ zstd ][ raw ]
//!               file 1      file 2  file 3
//! ```
//!
//! A film, a photo, an archive that cannot be compressed is one file so, which a mount may hand to the kernel. When such
//! a content changes in its midst, the segments that nothing needs any more become holes of the file ([`crate::holes`]);
//! where the file system has none, each segment is a file.

use std::fs::File;
use std::path::PathBuf;

use super::{Writer, stored_length, write_frames};
use crate::catalog::{FrameRow, Run};
use crate::error::IoContext;
use crate::frame::Encoding;
use crate::layout::{FileKind, GROUP, SEGMENT};
use crate::{FileId, Result, RunId, holes};

/// A file of raw segments that may get one more.
pub(super) struct OpenHead {
    id: FileId,
    file: File,
    path: PathBuf,
    /// Its length: whole segments.
    offset: u64,
    /// The segment that it got last.
    last: RunId,
}

impl Writer {
    /// Writes a segment, or the beginning of one: behind the one before it in its content, `follows`, where both are
    /// raw, else as a file of its own.
    pub fn write_head(
        &mut self,
        frames: &[(Vec<u8>, FrameRow)],
        encoding: Encoding,
        position: u64,
        follows: Option<RunId>,
    ) -> Result<Run> {
        let bytes = stored_length(frames);
        self.grant(bytes, false)?;
        let (id, file, path, offset) = match self.head_behind(follows, encoding) {
            Some(head) => (head.id, head.file, head.path, head.offset),
            None => {
                let (id, file, path) = self.create(FileKind::Head)?;
                (id, file, path, 0)
            }
        };
        write_frames(&file, frames, offset).at(&path)?;
        self.grant(bytes, true)?;
        self.written += bytes as u64;
        let end = offset + bytes as u64;
        let rows = frames.iter().map(|(_, row)| *row).collect();
        let run = self.next_run()?;
        let begins_it = position * GROUP == offset;
        if encoding == Encoding::Raw && bytes as u64 == SEGMENT && begins_it && self.has_holes != Some(false) {
            self.head = Some(OpenHead {
                id,
                file: file.try_clone().at(&path)?,
                path: path.clone(),
                offset: end,
                last: run,
            });
        }
        // Also of one that goes on: who sends a large content again begins behind what the disk has of it.
        self.seal(id, file, path, end)?;
        Ok(Run::new(
            run,
            id,
            FileKind::Head,
            offset,
            encoding,
            Some(position),
            rows,
        ))
    }

    /// The file that a raw segment goes into behind that one.
    fn head_behind(&mut self, follows: Option<RunId>, encoding: Encoding) -> Option<OpenHead> {
        let head = self.head.take();
        let head = head.filter(|head| encoding == Encoding::Raw && Some(head.last) == follows)?;
        let has_holes = match self.has_holes {
            Some(known) => known,
            // Whatever stands against holes, a push can do without.
            None => holes::are_possible(&head.file).unwrap_or(false),
        };
        self.has_holes = Some(has_holes);
        has_holes.then_some(head)
    }
}
