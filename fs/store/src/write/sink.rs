//! A byte stream on its way into a run: deltas, and contents that are made whole.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::catalog::{FrameRow, Run};
use crate::error::IoContext;
use crate::frame::{Encoding, Frame};
use crate::layout::{FileKind, GROUP, MEDIUM};
use crate::parallel::by_shares;
use crate::write::{Writer, frame_row};
use crate::{Error, FileId, Hash, Result};

/// Groups that are compressed together.
const TOGETHER: usize = 16;

/// Cuts what is written to it into frames. Up to [`MEDIUM`] stored bytes are gathered and go
/// into a pack; a longer stream becomes a file of its own, so memory stays bounded.
pub(crate) struct StreamSink<'a> {
    writer: &'a mut Writer,
    group: Vec<u8>,
    /// Groups that are complete, to be compressed together.
    groups: Vec<Vec<u8>>,
    pending: Vec<(Vec<u8>, FrameRow)>,
    rows: Vec<FrameRow>,
    stored: u64,
    own: Option<(FileId, File, PathBuf)>,
    /// What a write failed of; `io::Error` cannot carry it.
    failure: Option<Error>,
}

/// A stream that has been written.
pub(crate) struct Written {
    /// Where it lies: from the beginning of the run to its end.
    pub run: Run,
    /// Its length before compression.
    pub length: u64,
}

impl<'a> StreamSink<'a> {
    pub fn new(writer: &'a mut Writer) -> Self {
        StreamSink {
            writer,
            group: Vec::new(),
            groups: Vec::new(),
            pending: Vec::new(),
            rows: Vec::new(),
            stored: 0,
            own: None,
            failure: None,
        }
    }

    /// Ends the stream.
    pub fn finish(mut self) -> Result<Written> {
        self.end_group();
        self.compress()?;
        let run = match self.own.take() {
            None => self.writer.append_to_pack(&self.pending, Encoding::Zstd, None)?,
            Some((id, file, path)) => {
                self.spill(&file, &path)?;
                self.writer.seal(id, file, path, self.stored)?;
                let run = self.writer.next_run()?;
                Run::new(run, id, FileKind::Delta, 0, Encoding::Zstd, None, self.rows)
            }
        };
        let length = run.length();
        Ok(Written { run, length })
    }

    /// What went wrong in a write, where there is more to say than an `io::Error` can.
    pub fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    fn end_group(&mut self) {
        if !self.group.is_empty() {
            let next = Vec::with_capacity(self.group.len());
            self.groups.push(std::mem::replace(&mut self.group, next));
        }
    }

    /// Compresses and hashes what is complete, on all processors.
    fn compress(&mut self) -> Result<()> {
        let (groups, compression) = (std::mem::take(&mut self.groups), self.writer.repository.compression());
        let compressed = by_shares(groups.len(), 1, |share| {
            let compressed = groups[share].iter().map(|group| {
                let frame = Frame::encode(group, compression);
                let length = frame.length;
                let stored = frame.into_zstd();
                let row = frame_row(&stored, length, Hash::of(group).0);
                (stored, row)
            });
            compressed.collect::<Vec<_>>()
        });
        self.pending.extend(compressed.into_iter().flatten());
        self.spill_when_long()
    }

    fn spill_when_long(&mut self) -> Result<()> {
        let waiting: usize = self.pending.iter().map(|(stored, _)| stored.len()).sum();
        if (waiting as u64) < MEDIUM {
            return Ok(());
        }
        if self.own.is_none() {
            self.own = Some(self.writer.create(FileKind::Delta)?);
        }
        let (id, file, path) = self.own.take().expect("just made");
        self.spill(&file, &path)?;
        self.own = Some((id, file, path));
        Ok(())
    }

    fn spill(&mut self, file: &File, path: &std::path::Path) -> Result<()> {
        for (stored, row) in self.pending.drain(..) {
            self.writer.reserve_bytes(stored.len() as u64)?;
            file.write_all_at(&stored, self.stored).at(path)?;
            self.stored += stored.len() as u64;
            self.rows.push(row);
        }
        Ok(())
    }
}

impl Write for StreamSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let take = bytes.len().min(GROUP as usize - self.group.len());
        self.group.extend_from_slice(&bytes[..take]);
        if self.group.len() as u64 == GROUP {
            self.end_group();
        }
        if self.groups.len() == TOGETHER {
            self.compress().map_err(|error| {
                let text = error.to_string();
                self.failure = Some(error);
                io::Error::other(text)
            })?;
        }
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
