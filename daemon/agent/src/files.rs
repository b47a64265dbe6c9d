//! Reading a regular file into the push: each size in its own way.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use yore_store::{Body, Hash, Kind, LARGEST, MEDIUM, Meta, SMALL};

use crate::folder::open_file;
use crate::large::{LargeError, LargeFile};
use crate::metadata::Stat;
use crate::push::{Push, short};
use crate::snapshot::AgentError;
use crate::state::Seen;
use crate::walk::Visited;

/// How often a file that changes while it is read is read again.
const ATTEMPTS: u32 = 3;

impl Push<'_> {
    /// Reads a file until it holds still, and sends what the repository lacks of it.
    pub(crate) fn read_file(
        &mut self,
        item: &Visited,
        known: Option<&Seen>,
    ) -> Result<(Stat, Meta, Option<Body>), AgentError> {
        let mut file = File::from(open_file(item.parent, item.name)?);
        for attempt in 1.. {
            let stat = Stat::of(file.as_fd())?;
            if stat.kind() != Some(Kind::File) {
                return Err(AgentError::File(io::Error::other("is no regular file any more")));
            }
            if stat.size > LARGEST {
                return Err(AgentError::File(io::Error::other(too_large())));
            }
            let meta = self.meta(item, &stat, Some(file.as_fd()))?;
            let body = match stat.size {
                0 => None,
                size if size <= MEDIUM => self.read_medium(&mut file, size, known)?,
                _ => Some(self.read_large(item.path, &file, &stat, &meta, known)?),
            };
            let after = Stat::of(file.as_fd())?;
            if (after.size, after.mtime, after.mtime_ns) == (stat.size, stat.mtime, stat.mtime_ns) {
                return Ok((stat, meta, body));
            }
            if attempt == ATTEMPTS {
                let message = "changed while it was read; kept as it was read last";
                self.counts.unreadable.push((item.path.to_vec(), message.into()));
                return Ok((stat, meta, body));
            }
        }
        unreachable!("the loop returns")
    }

    /// A file that fits into memory.
    fn read_medium(&mut self, file: &mut File, size: u64, known: Option<&Seen>) -> Result<Option<Body>, AgentError> {
        io::Seek::rewind(file)?;
        let mut bytes = Vec::with_capacity(size as usize);
        file.take(size).read_to_end(&mut bytes)?;
        self.progress.bytes(bytes.len() as u64);
        self.send_bytes(bytes, known)
    }

    /// Sends bytes in memory, at most [`MEDIUM`], unless the repository has them; surely it has what the
    /// path held in the last snapshot.
    pub(crate) fn send_bytes(&mut self, bytes: Vec<u8>, known: Option<&Seen>) -> Result<Option<Body>, AgentError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let body = Body {
            hash: Hash::of(&bytes),
            size: bytes.len() as u64,
        };
        self.counts.bytes_read += body.size;
        let is_as_it_was = known.is_some_and(|known| known.hash == Some(body.hash));
        if is_as_it_was || self.has(&body.hash, body.size)? {
            return Ok(Some(body));
        }
        match body.size <= SMALL {
            true => self.block.add(&mut self.destination, body.hash, &bytes)?,
            false => self.block.medium(&mut self.destination, body.hash, bytes)?,
        }
        self.sent.insert(short(&body.hash));
        Ok(Some(body))
    }

    /// A file of any size, never in memory as a whole.
    fn read_large(
        &mut self,
        path: &[u8],
        file: &File,
        stat: &Stat,
        meta: &Meta,
        known: Option<&Seen>,
    ) -> Result<Body, AgentError> {
        // Its pieces are many messages; what waits for a block would wait with them.
        self.flush()?;
        let large = LargeFile {
            file,
            size: stat.size,
            data: meta.data.as_ref(),
            progress: self.progress,
        };
        let key = short(&Hash::of(path));
        let base = known.and_then(|known| known.hash);
        let values = match base {
            Some(base) => self.destination.base_values(&base, stat.size)?,
            None => None,
        };
        self.counts.bytes_read += stat.size;
        let may_be_known =
            self.sent_sizes.contains(&stat.size) || self.destination.goes_on() || self.state.knows_size(stat.size)?;
        let body = match base.zip(values.as_ref()) {
            None if !may_be_known => large.send(&mut self.destination, key).map_err(from_large)?,
            base => {
                let scan = large.scan(values.as_ref()).map_err(from_large)?;
                match self.has(&scan.hash, stat.size)? {
                    true => Body {
                        hash: scan.hash,
                        size: stat.size,
                    },
                    false => large
                        .send_against(&mut self.destination, &scan, base, key)
                        .map_err(from_large)?,
                }
            }
        };
        self.sent.insert(short(&body.hash));
        self.sent_sizes.insert(body.size);
        Ok(body)
    }
}

fn from_large(error: LargeError) -> AgentError {
    match error {
        LargeError::File(error) => AgentError::File(error),
        LargeError::Content(error) => AgentError::Store(error),
        LargeError::Push(error) => AgentError::Store(error),
        LargeError::Stopped => AgentError::Stopped,
    }
}

/// Said of one file, which is left out; the receiver would end the push.
fn too_large() -> String {
    format!("is larger than {} TiB, the most that is kept of a file", LARGEST >> 40)
}
