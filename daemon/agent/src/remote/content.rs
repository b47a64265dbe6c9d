//! Contents on a server: read in pieces, ahead where reading goes on, kept for a while.
//!
//! Pieces are 128 KiB, aligned. A read that goes on where the last one ended asks for more
//! and more of them at once, up to 2 MiB; one anywhere else asks for what it needs. The cache is
//! bounded in bytes; contents never change, so nothing in it goes stale.

use std::sync::{Arc, Mutex};

use lru::LruCache;
use yore_store::{ContentId, Error, GROUP, OpenContent, Result};
use yore_wire::Question;

use super::{Remote, unexpected, unpack};

/// Bytes of a piece.
const PIECE: u64 = GROUP;

/// Pieces that are asked for at once where reading goes on.
const MOST_AHEAD: u64 = 16;

/// Bytes that the cache keeps.
const CACHED: usize = 48 << 20;

/// Pieces of contents that were read lately.
pub(super) struct Cache(Mutex<Pieces>);

struct Pieces {
    pieces: LruCache<(ContentId, u64), Arc<Vec<u8>>>,
    bytes: usize,
}

impl Default for Cache {
    fn default() -> Self {
        Cache(Mutex::new(Pieces {
            pieces: LruCache::unbounded(),
            bytes: 0,
        }))
    }
}

impl Cache {
    pub(super) fn get(&self, content: ContentId, piece: u64) -> Option<Arc<Vec<u8>>> {
        let mut cache = self.0.lock().expect("no panic while held");
        cache.pieces.get(&(content, piece)).cloned()
    }

    pub(super) fn put(&self, content: ContentId, piece: u64, bytes: Vec<u8>) {
        let mut cache = self.0.lock().expect("no panic while held");
        cache.bytes += bytes.len() + 64;
        if let Some((_, old)) = cache.pieces.push((content, piece), Arc::new(bytes)) {
            cache.bytes -= old.len() + 64;
        }
        while cache.bytes > CACHED {
            let Some((_, old)) = cache.pieces.pop_lru() else { return };
            cache.bytes -= old.len() + 64;
        }
    }
}

/// A content on a server, open for reading.
pub(super) struct RemoteContent {
    remote: Arc<Remote>,
    content: ContentId,
    size: u64,
    /// Where the last read ended, and how many pieces are asked for at once.
    ahead: Mutex<(u64, u64)>,
}

impl RemoteContent {
    /// A content of `size` bytes.
    pub fn new(remote: Arc<Remote>, content: ContentId, size: u64) -> Self {
        RemoteContent {
            remote,
            content,
            size,
            ahead: Mutex::new((0, 1)),
        }
    }

    /// How many pieces to fetch for a read from `offset` to `end`.
    fn pieces_ahead(&self, offset: u64, end: u64) -> u64 {
        let mut ahead = self.ahead.lock().expect("no panic while held");
        let (last, count) = *ahead;
        let count = match last == offset && offset > 0 {
            true => (count * 2).min(MOST_AHEAD),
            false => 1,
        };
        *ahead = (end, count);
        count
    }

    fn fetch(&self, piece: u64, count: u64) -> Result<Arc<Vec<u8>>> {
        let offset = piece * PIECE;
        let length = (count * PIECE).min(self.size - offset);
        let question = Question::Read {
            content: self.content,
            offset,
            length,
        };
        let bytes = self.remote.asked(|connection| {
            let mut bytes = Vec::with_capacity(length as usize);
            for answer in connection.ask_for(question.clone(), length)? {
                let more = unpack::stretch(answer?, length - bytes.len() as u64);
                bytes.extend(more.ok_or_else(|| unexpected(connection.place()))?);
            }
            match bytes.len() as u64 == length {
                true => Ok(bytes),
                false => Err(Error::Damaged(format!("content {} ends early", self.content))),
            }
        })?;
        for (index, piece_bytes) in bytes.chunks(PIECE as usize).enumerate() {
            self.remote
                .contents
                .put(self.content, piece + index as u64, piece_bytes.to_vec());
        }
        Ok(Arc::new(bytes[..bytes.len().min(PIECE as usize)].to_vec()))
    }
}

impl OpenContent for RemoteContent {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let end = self.size.min(offset.saturating_add(buffer.len() as u64));
        let ahead = self.pieces_ahead(offset, end);
        let mut at = offset;
        while at < end {
            let (piece, inside) = (at / PIECE, (at % PIECE) as usize);
            let bytes = match self.remote.contents.get(self.content, piece) {
                Some(bytes) => bytes,
                None => self.fetch(piece, ahead.max((end - at).div_ceil(PIECE)).min(MOST_AHEAD))?,
            };
            // Whole small contents come as the server has them.
            if bytes.len() as u64 != PIECE.min(self.size - piece * PIECE) {
                return Err(Error::Damaged(format!("content {} has another length", self.content)));
            }
            let take = (bytes.len() - inside).min((end - at) as usize);
            let target = (at - offset) as usize;
            buffer[target..target + take].copy_from_slice(&bytes[inside..inside + take]);
            at += take as u64;
        }
        Ok(end.saturating_sub(offset) as usize)
    }
}
