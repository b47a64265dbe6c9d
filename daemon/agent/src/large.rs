//! Sending a large content: against the one that the path had, or by itself.
//!
//! Against a base, the file is read twice at most. The first pass compares the chaining
//! values of aligned groups, at BLAKE3's speed, and finds what changed in place; holes are
//! not read. The second reads only groups that differ, and looks for their bytes in the
//! groups of the base that nothing matched, by a rolling signature: so an insertion at the
//! front costs little to send too.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use yore_store::delta::{Op, Scanner, Signature, block_len_for};
use yore_store::{
    BaseValues, Body, DataExtents, GROUP, Hash, OpenContent, SEGMENT, Value, by_shares, group_value, segment_value,
};

use crate::destination::Destination;
use crate::restore::Progress;
use crate::sender::{GroupHasher, LargeSender};

/// What can go wrong: with the file, or with the push.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LargeError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The content of another repository cannot be read.
    #[error("{0}")]
    Content(yore_store::Error),
    /// The push has failed.
    #[error(transparent)]
    Push(#[from] yore_store::Error),
    /// Somebody wants the push to end.
    #[error("it was stopped")]
    Stopped,
}

/// Groups that are worth a thread, and are read one after the other.
const LEAST_SHARE: usize = 4;

type Result<T> = std::result::Result<T, LargeError>;

/// What a large content is read from: a file, or the content as another repository has it.
pub(crate) trait ReadFrom: Sync {
    /// Reads bytes from `offset`; none at the end.
    fn read_from(&self, offset: u64, buffer: &mut [u8]) -> Result<usize>;
}

impl ReadFrom for File {
    fn read_from(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return Ok(read?),
            }
        }
    }
}

impl ReadFrom for Box<dyn OpenContent> {
    fn read_from(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        OpenContent::read_at(&**self, offset, buffer).map_err(LargeError::Content)
    }
}

/// A large file being read.
pub(crate) struct LargeFile<'a> {
    /// The file, open for reading.
    pub file: &'a dyn ReadFrom,
    /// Its length; what comes beyond is left out, what is missing is zeros.
    pub size: u64,
    /// Where it has data, if it is sparse.
    pub data: Option<&'a DataExtents>,
    /// Told of bytes that have been gone through; asked at every group whether to go on.
    pub progress: &'a dyn Progress,
}

/// How a group is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As the base has it in the same place.
    Same,
    /// As an earlier push sent it.
    Kept,
    /// Zeros that are not read.
    Hole,
    /// By its bytes, or as copies of the base from elsewhere.
    Changed,
}

/// The chaining values of a file's groups, and what they say. Holes may be long: a whole segment in
/// one has a value and its groups have none.
pub(crate) struct Scan {
    /// Its name.
    pub hash: Hash,
    /// A value a group, by segments; none for the segments below.
    values: Vec<Vec<Value>>,
    /// Whole segments in holes, by their numbers, with their values.
    zero_segments: HashMap<u64, Value>,
}

impl Scan {
    /// The value of a group; any where that of its segment stands for it.
    fn value(&self, group: u64) -> Value {
        let groups = &self.values[(group * GROUP / SEGMENT) as usize];
        let value = groups.get((group % (SEGMENT / GROUP)) as usize);
        value.copied().unwrap_or_default()
    }
}

/// Whole segments that are all zeros, by their numbers, with their values.
fn zeros_of(values: &BaseValues) -> impl Iterator<Item = (u64, Value)> {
    let whole = (0..values.size / SEGMENT).zip(&values.zero_segments);
    whole.filter_map(|(segment, value)| Some((segment, (*value)?)))
}

/// The values of a segment's groups, if all are known.
fn values_of(values: &BaseValues, segment: u64) -> Option<Vec<Value>> {
    let first = (segment * SEGMENT / GROUP) as usize;
    let end = values.groups.len().min(first + (SEGMENT / GROUP) as usize);
    values.groups.get(first..end)?.iter().copied().collect()
}

impl LargeFile<'_> {
    /// Reads the file and hashes it. What is a hole and was zeros in `base` is not hashed again.
    pub fn scan(&self, base: Option<&BaseValues>) -> Result<Scan> {
        self.scan_unknown(base, None)
    }

    /// The same of a content some of whose own values are known: what these say is neither read nor hashed.
    pub fn scan_unknown(&self, base: Option<&BaseValues>, own: Option<&BaseValues>) -> Result<Scan> {
        let mut scan = Scan {
            hash: Hash([0; 32]),
            values: Vec::new(),
            zero_segments: self.zero_segments(base),
        };
        // Holes in which another repository has zeros are zeros, whatever the file system called them.
        let own = own.filter(|own| own.size == self.size && self.size > SEGMENT);
        scan.zero_segments.extend(own.into_iter().flat_map(zeros_of));
        let mut name = GroupHasher::default();
        for segment in 0..self.size.div_ceil(SEGMENT) {
            let values = match scan.zero_segments.get(&segment) {
                Some(value) => {
                    self.passed(SEGMENT)?;
                    name.segment(*value);
                    Vec::new()
                }
                None => match own.and_then(|own| values_of(own, segment)) {
                    Some(values) => {
                        let length = self.length_of(segment * SEGMENT / GROUP, SEGMENT / GROUP);
                        self.passed(length)?;
                        name.values(values.iter().copied(), length);
                        values
                    }
                    None => self.scan_segment(segment, &mut name)?,
                },
            };
            match self.is_long_hole(segment) && !values.is_empty() {
                true => {
                    scan.zero_segments.insert(segment, segment_value(SEGMENT, &values));
                    scan.values.push(Vec::new());
                }
                false => scan.values.push(values),
            }
        }
        scan.hash = name.finish().hash;
        Ok(scan)
    }

    /// The values of a segment's groups, made on all processors: nothing else is done meanwhile.
    fn scan_segment(&self, segment: u64, name: &mut GroupHasher) -> Result<Vec<Value>> {
        let first = segment * SEGMENT / GROUP;
        let count = self.groups().min(first + SEGMENT / GROUP) - first;
        let shares = by_shares(count as usize, LEAST_SHARE, |share| {
            let mut buffer = vec![0; GROUP as usize];
            let value = |index: usize| {
                let group = first + index as u64;
                let bytes = self.read_group(group, &mut buffer)?;
                self.passed(bytes.len() as u64)?;
                Ok(group_value(group, bytes))
            };
            share.map(value).collect()
        });
        let values = shares.into_iter().collect::<Result<Vec<Vec<_>>>>()?.concat();
        name.values(values.iter().copied(), self.length_of(first, count));
        Ok(values)
    }

    /// Whether a whole segment, of several, lies in a hole.
    fn is_long_hole(&self, segment: u64) -> bool {
        let (start, end) = (segment * SEGMENT, (segment + 1) * SEGMENT);
        self.size > SEGMENT && end <= self.size && self.has_no_data(start, end)
    }

    /// Counts bytes that have been gone through.
    fn passed(&self, bytes: u64) -> Result<()> {
        self.progress.bytes(bytes);
        self.go_on()
    }

    fn go_on(&self) -> Result<()> {
        match self.progress.is_stopped() {
            true => Err(LargeError::Stopped),
            false => Ok(()),
        }
    }

    /// Whole segments that lie in holes and are zeros in the base too, with their values.
    fn zero_segments(&self, base: Option<&BaseValues>) -> HashMap<u64, Value> {
        // The name of a content of one segment is made of its groups.
        let base = base.filter(|_| self.size > SEGMENT);
        let known = base.map_or(&[][..], |base| &base.zero_segments);
        // A last one that was not complete has the value of fewer zeros.
        let count = self.size.min(base.map_or(0, |base| base.size)) / SEGMENT;
        let whole = known.iter().take(count as usize);
        let zeros = whole.zip(0..).filter_map(|(value, segment)| Some((segment, (*value)?)));
        zeros
            .filter(|(segment, _)| self.has_no_data(segment * SEGMENT, (segment + 1) * SEGMENT))
            .collect()
    }

    /// Sends the whole content, read once.
    pub fn send(&self, destination: &mut Destination, key: [u8; 16]) -> Result<Body> {
        let (mut sender, mut name) = (LargeSender::begin(destination, None, key)?, GroupHasher::default());
        let mut buffer = vec![0; GROUP as usize];
        for group in 0..self.groups() {
            let bytes = self.read_group(group, &mut buffer)?;
            name.update(bytes);
            match self.is_hole(group) {
                true => sender.zeros(bytes.len() as u64)?,
                false => sender.literal(bytes)?,
            }
            self.passed(bytes.len() as u64)?;
        }
        sender.end(name.finish())
    }

    /// Sends what the repository has neither in the content that this one is told against, nor of
    /// this one itself from a push that died.
    pub fn send_against(
        &self,
        destination: &mut Destination,
        scan: &Scan,
        base: Option<(Hash, &BaseValues)>,
        key: [u8; 16],
    ) -> Result<Body> {
        let ways = self.ways(scan, base, destination.kept_groups(&key));
        let signature = match base {
            Some((base, values)) => self.signature(destination, &ways, base, values)?,
            None => None,
        };
        let base = base.map(|(base, _)| base);
        let (mut sender, mut name) = (
            LargeSender::begin(destination, base, key)?,
            GroupHasher::with_segments(scan.zero_segments.clone()),
        );
        let mut buffer = vec![0; GROUP as usize];
        let mut group = 0;
        while group < self.groups() {
            let way = ways[group as usize];
            let count = ways[group as usize..].iter().take_while(|next| **next == way).count() as u64;
            let (length, groups) = (self.length_of(group, count), group..group + count);
            let values = groups.clone().map(|group| scan.value(group));
            match way {
                Way::Same => sender.same(count, length)?,
                Way::Kept => sender.kept(count, length)?,
                Way::Hole => sender.zeros(length)?,
                Way::Changed => self.send_changed(&mut sender, &mut name, signature.as_ref(), groups, &mut buffer)?,
            }
            if way != Way::Changed {
                name.values(values, length);
            }
            group += count;
        }
        sender.end(name.finish())
    }

    /// How each group is told.
    fn ways(&self, scan: &Scan, base: Option<(Hash, &BaseValues)>, kept: &HashMap<u64, Value>) -> Vec<Way> {
        let is_same = |group: u64| {
            base.is_some_and(|(_, values)| {
                self.group_length(group) == GROUP.min(values.size.saturating_sub(group * GROUP))
                    && values.groups.get(group as usize).copied().flatten() == Some(scan.value(group))
            })
        };
        let way = |group| match group {
            group if scan.zero_segments.contains_key(&(group * GROUP / SEGMENT)) => Way::Hole,
            group if is_same(group) => Way::Same,
            group if self.is_hole(group) => Way::Hole,
            group if kept.get(&group) == Some(&scan.value(group)) => Way::Kept,
            _ => Way::Changed,
        };
        (0..self.groups()).map(way).collect()
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
                self.go_on()?;
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
            self.go_on()?;
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
        ways: &[Way],
        base: Hash,
        values: &BaseValues,
    ) -> Result<Option<Signature>> {
        if !ways.contains(&Way::Changed) {
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
            if ways.get(group as usize) == Some(&Way::Same) || is_zero {
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
        self.has_no_data(group * GROUP, group * GROUP + self.group_length(group))
    }

    fn has_no_data(&self, start: u64, end: u64) -> bool {
        let Some(extents) = self.data else { return false };
        let next = extents.partition_point(|&(at, length)| at + length <= start);
        extents.get(next).is_none_or(|&(at, _)| at >= end)
    }

    /// The bytes of a group; zeros where the file has become shorter.
    fn read_group<'b>(&self, group: u64, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
        let buffer = &mut buffer[..self.group_length(group) as usize];
        if self.is_hole(group) {
            buffer.fill(0);
            return Ok(buffer);
        }
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_from(group * GROUP + done as u64, &mut buffer[done..])? {
                0 => {
                    buffer[done..].fill(0);
                    break;
                }
                length => done += length,
            }
        }
        Ok(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of a file with data at these places, when all else was zeros in the base too.
    fn scanned(size: u64, data: &[(u64, u64)], base: Option<&BaseValues>) -> (Hash, usize) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        for (offset, length) in data {
            file.write_all_at(&vec![7; *length as usize], *offset).unwrap();
        }
        let extents = data.to_vec();
        let large = LargeFile {
            file: &file,
            size,
            data: Some(&extents),
            progress: &(),
        };
        (large.scan(base).unwrap().hash, large.zero_segments(base).len())
    }

    #[test]
    fn a_hole_is_remembered_by_its_segments() {
        let (file, extents) = (tempfile::tempfile().unwrap(), vec![(0, 5)]);
        file.write_all_at(b"first", 0).unwrap();
        let size = 5 * SEGMENT + 7;
        file.set_len(size).unwrap();
        let large = LargeFile {
            file: &file,
            size,
            data: Some(&extents),
            progress: &(),
        };
        let scan = large.scan(None).unwrap();
        let groups: Vec<_> = scan.values.iter().map(Vec::len).collect();
        assert_eq!(groups, [SEGMENT as usize / GROUP as usize, 0, 0, 0, 0, 1]);
        let mut bytes = vec![0; size as usize];
        bytes[..5].copy_from_slice(b"first");
        assert_eq!(scan.hash, Hash::of(&bytes));
    }

    /// Stops after some groups.
    struct Stops(std::sync::atomic::AtomicU64);

    impl Progress for Stops {
        fn is_stopped(&self) -> bool {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 3
        }
    }

    #[test]
    fn whoever_stops_does_not_wait_for_the_end_of_a_hole() {
        let file = tempfile::tempfile().unwrap();
        let large = LargeFile {
            file: &file,
            size: 1 << 60,
            data: Some(&vec![]),
            progress: &Stops(0.into()),
        };
        assert!(matches!(large.scan(None), Err(LargeError::Stopped)));
    }

    #[test]
    fn holes_that_were_zeros_before_are_not_hashed_again() {
        let zeros = vec![0; GROUP as usize];
        let value = |segment: u64| {
            let groups = segment * (SEGMENT / GROUP)..(segment + 1) * (SEGMENT / GROUP);
            let groups: Vec<Value> = groups.map(|group| group_value(group, &zeros)).collect();
            segment_value(SEGMENT, &groups)
        };
        let mut base = BaseValues {
            size: 6 * SEGMENT,
            groups: vec![None; 6 * (SEGMENT / GROUP) as usize],
            zero_segments: (0..6).map(|segment| (segment != 3).then(|| value(segment))).collect(),
        };
        let data = [(SEGMENT + 5000, 100_000)];
        for (size, known) in [(6 * SEGMENT, 4), (6 * SEGMENT - 1, 3), (9 * SEGMENT, 4), (SEGMENT, 0)] {
            let data = &data[..usize::from(size > SEGMENT)];
            let (plain, none) = scanned(size, data, None);
            let (hash, found) = scanned(size, data, Some(&base));
            assert_eq!((hash, none, found), (plain, 0, known), "{size}");
        }
        // The file has grown, and the last segment of the base was not complete.
        base.size -= GROUP;
        base.zero_segments[5] = Some([1; 32]);
        let (plain, _) = scanned(6 * SEGMENT, &data, None);
        assert_eq!(scanned(6 * SEGMENT, &data, Some(&base)), (plain, 3));
    }
}
