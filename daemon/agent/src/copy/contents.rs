//! Reading contents of the source and sending those that the destination lacks.
//!
//! A large one is told against the content that its path had, by what both repositories keep of their groups: only
//! groups that differ are read at all, where the source has the content whole. What is damaged in the source is left
//! out, and does not stop the copy.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use yore_store::{
    BaseValues, ContentId, DataExtents, Entry, Error, Hash, History, MEDIUM, Passage, Result, SMALL, go_on,
};

use super::step::{Put, Step};
use super::teller::{Names, Teller};
use crate::large::{LargeError, LargeFile};
use crate::push::short;
use crate::snapshot::AgentError;

/// A content that has to be sent.
struct Missing<'a> {
    content: ContentId,
    hash: Hash,
    size: u64,
    /// What its path had before, if that was large too.
    base: Option<Hash>,
    data: Option<&'a DataExtents>,
    path: &'a [u8],
}

impl Teller<'_> {
    /// Sends the contents that a batch names and that are not there.
    pub(super) fn send_missing(&mut self, batch: &[Step], names: &Names) -> std::result::Result<(), AgentError> {
        let missing = self.missing(batch, names)?;
        let (large, others): (Vec<_>, Vec<_>) = missing.into_iter().partition(|missing| missing.size > MEDIUM);
        self.send_together(&others)?;
        // Those that did not come with the others: read by itself, each says why.
        for missing in &others {
            if !self.sent.contains(&short(&missing.hash)) {
                self.send_alone(missing)?;
            }
        }
        large.iter().try_for_each(|missing| self.send_large(missing))
    }

    fn missing<'b>(&mut self, batch: &'b [Step], names: &Names) -> Result<Vec<Missing<'b>>> {
        let mut seen = HashSet::new();
        let is_sent = |hash: &Hash| self.sent.contains(&short(hash));
        let named = batch.iter().filter_map(|step| missing_of(step, names));
        let named: Vec<Missing<'b>> = named
            .filter(|missing| !self.lost.contains_key(&missing.content) && !is_sent(&missing.hash))
            .filter(|missing| seen.insert(missing.hash))
            .collect();
        if named.is_empty() {
            return Ok(named);
        }
        let hashes: Vec<Hash> = named.iter().map(|missing| missing.hash).collect();
        let here = self.destination.has(&hashes)?;
        let mut missing = Vec::new();
        for (one, is_here) in named.into_iter().zip(here) {
            match is_here {
                true => drop(self.sent.insert(short(&one.hash))),
                false => missing.push(one),
            }
        }
        Ok(missing)
    }

    /// Reads contents of moderate size one after the other, and sends each as it comes.
    fn send_together(&mut self, missing: &[Missing<'_>]) -> std::result::Result<(), AgentError> {
        let by_content: HashMap<ContentId, &Missing<'_>> = missing.iter().map(|one| (one.content, one)).collect();
        let mut passages = missing.iter().map(|one| Passage {
            content: one.content,
            size: one.size,
            offset: 0,
            length: one.size,
        });
        let (source, mut sent, mut bytes) = (self.source, Ok(()), Vec::new());
        source.read(&mut || passages.next(), &mut |content, offset, piece| {
            let Some((one, piece)) = by_content.get(&content).zip(piece) else {
                return ControlFlow::Continue(());
            };
            if offset == 0 {
                bytes.clear();
            }
            if offset != bytes.len() as u64 {
                return ControlFlow::Continue(());
            }
            bytes.extend_from_slice(&piece);
            match bytes.len() as u64 == one.size {
                true => go_on(&mut sent, self.send(one, std::mem::take(&mut bytes))),
                false => ControlFlow::Continue(()),
            }
        });
        sent
    }

    fn send_alone(&mut self, missing: &Missing<'_>) -> std::result::Result<(), AgentError> {
        match read(self.source, missing) {
            Ok(bytes) => self.send(missing, bytes),
            Err(error) => self.lose(missing, error),
        }
    }

    /// Sends bytes in memory.
    fn send(&mut self, missing: &Missing<'_>, bytes: Vec<u8>) -> std::result::Result<(), AgentError> {
        self.go_on()?;
        self.passed(bytes.len() as u64);
        if Hash::of(&bytes) != missing.hash {
            return self.lose(
                missing,
                Error::Damaged(format!("content {} is something else", missing.hash)),
            );
        }
        match missing.size <= SMALL {
            true => self.block.add(&mut self.destination, missing.hash, &bytes)?,
            false => self.block.medium(&mut self.destination, missing.hash, bytes)?,
        }
        self.sent.insert(short(&missing.hash));
        Ok(())
    }

    fn passed(&mut self, bytes: u64) {
        self.bytes_read += bytes;
        self.progress.bytes(bytes);
    }

    /// A content of any size, never in memory as a whole.
    fn send_large(&mut self, missing: &Missing<'_>) -> std::result::Result<(), AgentError> {
        // Its pieces are many messages; what waits for a block would wait with them.
        self.block.flush(&mut self.destination)?;
        let opened = match self.source.open(missing.content, missing.size) {
            Ok(opened) => opened,
            Err(error) => return self.lose(missing, error),
        };
        let large = LargeFile {
            file: &opened,
            size: missing.size,
            data: missing.data,
            progress: self.progress,
        };
        match self.tell_large(&large, missing) {
            Ok(()) => {
                self.bytes_read += missing.size;
                self.sent.insert(short(&missing.hash));
                Ok(())
            }
            Err(LargeError::Content(error)) => self.lose(missing, error),
            Err(LargeError::Push(error)) => Err(error.into()),
            Err(LargeError::File(error)) => Err(error.into()),
            Err(LargeError::Stopped) => Err(AgentError::Stopped),
        }
    }

    fn tell_large(&mut self, large: &LargeFile<'_>, missing: &Missing<'_>) -> std::result::Result<(), LargeError> {
        let key = short(&Hash::of(missing.path));
        let base = self.base(missing)?;
        if base.is_none() && !self.destination.goes_on() {
            return large.send(&mut self.destination, key).map(drop);
        }
        let own = self.source.base_values(&missing.hash).map_err(LargeError::Content)?;
        let base = base.as_ref().map(|(hash, values)| (*hash, values));
        let scan = large.scan_unknown(base.map(|(_, values)| values), own.as_ref())?;
        large.send_against(&mut self.destination, &scan, base, key).map(drop)
    }

    /// What the path had, with what the destination knows of its groups.
    fn base(&self, missing: &Missing<'_>) -> Result<Option<(Hash, BaseValues)>> {
        let Some(hash) = missing.base else { return Ok(None) };
        let values = self.destination.base_values(&hash, missing.size)?;
        Ok(values
            .filter(|values| values.size > MEDIUM)
            .map(|values| (hash, values)))
    }

    /// What the source cannot read is left out; that it cannot be asked any more ends the copy.
    fn lose(&mut self, missing: &Missing<'_>, error: Error) -> std::result::Result<(), AgentError> {
        match is_unreadable(&error) {
            true => {
                self.lost.insert(missing.content, error.to_string());
                Ok(())
            }
            false => Err(error.into()),
        }
    }
}

/// Whether bytes are not what they were, or the disk does not give them back.
fn is_unreadable(error: &Error) -> bool {
    let is_eio = |source: &std::io::Error| source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    error.is_damage() || matches!(error, Error::Io { source, .. } if is_eio(source))
}

/// The content that a step names, if it has one whose name is known.
fn missing_of<'a>(step: &'a Step, names: &Names) -> Option<Missing<'a>> {
    let Put { path, old, new } = step.as_put()?;
    let content = new.content?;
    let base = |old: &Entry| names.old.get(&old.content?).copied();
    Some(Missing {
        content,
        hash: *names.new.get(&content)?,
        size: new.size,
        base: old.as_ref().filter(|old| old.size > MEDIUM).and_then(base),
        data: new.meta.data.as_ref(),
        path,
    })
}

fn read(source: &dyn History, missing: &Missing<'_>) -> Result<Vec<u8>> {
    let opened = source.open(missing.content, missing.size)?;
    let mut bytes = vec![0; missing.size as usize];
    let mut done = 0;
    while done < bytes.len() {
        match opened.read_at(done as u64, &mut bytes[done..])? {
            0 => break,
            length => done += length,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}
