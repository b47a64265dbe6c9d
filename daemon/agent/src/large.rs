//! Sending a large content: against the one that the path had, or by itself.
//!
//! Against a base, the file is read twice at most. The first pass compares the chaining
//! values of aligned groups, at BLAKE3's speed, and finds what changed in place; holes are
//! not read. The second reads only groups that differ, and looks for their bytes in the
//! groups of the base that nothing matched, by a rolling signature: so an insertion at the
//! front costs little to send too.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use yore_store::delta::{Op, Scanner, Signature, block_len_for};
use yore_store::{BaseValues, Body, DataExtents, GROUP, Hash, SEGMENT, Value, from_groups, group_value};

use crate::destination::Destination;
use crate::sender::{GroupHasher, LargeSender};

/// What can go wrong: with the file, or with the push.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LargeError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The push has failed.
    #[error(transparent)]
    Push(#[from] yore_store::Error),
}

type Result<T> = std::result::Result<T, LargeError>;

/// A large file being read.
pub(crate) struct LargeFile<'a> {
    /// The file, open for reading.
    pub file: &'a File,
    /// Its length; what comes beyond is left out, what is missing is zeros.
    pub size: u64,
    /// Where it has data, if it is sparse.
    pub data: Option<&'a DataExtents>,
    /// Told of bytes that have been gone through.
    pub progress: &'a dyn Fn(u64),
}

/// The chaining values of a file's groups, and what they say.
pub(crate) struct Scan {
    /// Its name.
    pub hash: Hash,
    values: Vec<Value>,
}

impl LargeFile<'_> {
    /// Reads the file and hashes it.
    pub fn scan(&self) -> Result<Scan> {
        let mut values = Vec::with_capacity(self.groups() as usize);
        let mut buffer = vec![0; GROUP as usize];
        for group in 0..self.groups() {
            let bytes = self.read_group(group, &mut buffer)?;
            values.push(group_value(group, bytes));
            (self.progress)(bytes.len() as u64);
        }
        Ok(Scan {
            hash: from_groups(self.size, &values),
            values,
        })
    }

    /// Sends the whole content, read once.
    pub fn send(&self, destination: &mut Destination) -> Result<Body> {
        let (mut sender, mut name) = (LargeSender::begin(destination, None)?, GroupHasher::default());
        let mut buffer = vec![0; GROUP as usize];
        for group in 0..self.groups() {
            let bytes = self.read_group(group, &mut buffer)?;
            name.update(bytes);
            match self.is_hole(group) {
                true => sender.zeros(bytes.len() as u64)?,
                false => sender.literal(bytes)?,
            }
            (self.progress)(bytes.len() as u64);
        }
        sender.end(name.finish())
    }

    /// Sends what differs from a content that the repository has whole.
    pub fn send_against(
        &self,
        destination: &mut Destination,
        scan: &Scan,
        base: Hash,
        values: &BaseValues,
    ) -> Result<Body> {
        let same: Vec<bool> = (0..self.groups())
            .map(|group| {
                let length_is_same = self.group_length(group) == GROUP.min(values.size.saturating_sub(group * GROUP));
                length_is_same
                    && values.groups.get(group as usize).copied().flatten() == Some(scan.values[group as usize])
            })
            .collect();
        let signature = self.signature(destination, &same, base, values)?;
        let (mut sender, mut name) = (LargeSender::begin(destination, Some(base))?, GroupHasher::default());
        let mut buffer = vec![0; GROUP as usize];
        let mut group = 0;
        while group < self.groups() {
            let stretch = same[group as usize..].iter().take_while(|same| **same).count() as u64;
            if stretch > 0 {
                sender.same(stretch, self.length_of(group, stretch))?;
                name.values(
                    &scan.values[group as usize..(group + stretch) as usize],
                    self.length_of(group, stretch),
                );
                group += stretch;
            } else if self.is_hole(group) {
                sender.zeros(self.group_length(group))?;
                name.values(&scan.values[group as usize..=group as usize], self.group_length(group));
                group += 1;
            } else {
                let changed = same[group as usize..].iter().take_while(|same| !**same).count() as u64;
                let changed = (group..group + changed)
                    .take_while(|group| !self.is_hole(*group))
                    .count() as u64;
                self.send_changed(
                    &mut sender,
                    &mut name,
                    signature.as_ref(),
                    group..group + changed,
                    &mut buffer,
                )?;
                group += changed;
            }
        }
        sender.end(name.finish())
    }

    /// Sends groups that differ: what the signature knows as copies, the rest as it is.
    fn send_changed(
        &self,
        sender: &mut LargeSender<'_>,
        name: &mut GroupHasher,
        signature: Option<&Signature>,
        groups: std::ops::Range<u64>,
        buffer: &mut [u8],
    ) -> Result<()> {
        let Some(signature) = signature else {
            for group in groups {
                let bytes = self.read_group(group, buffer)?;
                name.update(bytes);
                sender.literal(bytes)?;
            }
            return Ok(());
        };
        let mut scanner = Scanner::new(signature, |op| match op {
            Op::Literal(bytes) => sender.literal(bytes),
            Op::Copy { from, len } => sender.copy(from, len),
        });
        for group in groups {
            let bytes = self.read_group(group, buffer)?;
            name.update(bytes);
            scanner.push(bytes)?;
        }
        Ok(scanner.finish()?)
    }

    /// The signature of what nothing in place matched, if there is anything.
    fn signature(
        &self,
        destination: &Destination,
        same: &[bool],
        base: Hash,
        values: &BaseValues,
    ) -> Result<Option<Signature>> {
        if same.iter().all(|same| *same) {
            return Ok(None);
        }
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for group in 0..values.size.div_ceil(GROUP) {
            let is_zero = values
                .zero_segments
                .get((group * GROUP / SEGMENT) as usize)
                .copied()
                .flatten()
                .is_some();
            if same.get(group as usize).copied().unwrap_or(false) || is_zero {
                continue;
            }
            let (start, length) = (group * GROUP, GROUP.min(values.size - group * GROUP));
            match ranges.last_mut() {
                Some((at, so_far)) if *at + *so_far == start => *so_far += length,
                _ => ranges.push((start, length)),
            }
        }
        let unmatched: u64 = ranges.iter().map(|(_, length)| length).sum();
        if unmatched == 0 {
            return Ok(None);
        }
        Ok(Some(destination.signature(&base, &ranges, block_len_for(unmatched))?))
    }

    fn groups(&self) -> u64 {
        self.size.div_ceil(GROUP)
    }

    fn group_length(&self, group: u64) -> u64 {
        GROUP.min(self.size - group * GROUP)
    }

    fn length_of(&self, first: u64, groups: u64) -> u64 {
        (self.size - first * GROUP).min(groups * GROUP)
    }

    /// Whether a group lies in a hole, all of it.
    fn is_hole(&self, group: u64) -> bool {
        let Some(extents) = self.data else { return false };
        let (start, end) = (group * GROUP, group * GROUP + self.group_length(group));
        let next = extents.partition_point(|&(at, length)| at + length <= start);
        extents.get(next).is_none_or(|&(at, _)| at >= end)
    }

    /// The bytes of a group; zeros where the file has become shorter.
    fn read_group<'b>(&self, group: u64, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let buffer = &mut buffer[..self.group_length(group) as usize];
        if self.is_hole(group) {
            buffer.fill(0);
            return Ok(buffer);
        }
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], group * GROUP + done as u64) {
                Ok(0) => {
                    buffer[done..].fill(0);
                    break;
                }
                Ok(length) => done += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(buffer)
    }
}
