//! Where a push goes. Here: a repository in this process's reach.

use std::sync::Arc;

use yore_store::delta::{Signature, SignatureBuilder};
use yore_store::{BaseValues, Budget, Committed, Entry, Hash, Ingest, PushOptions, Repository, Result, Snapshot};
use yore_wire::Message;

use crate::pipeline::{Pipeline, Queued};

/// A push into a repository, under way.
pub(crate) struct Destination {
    repository: Arc<Repository>,
    pipeline: Pipeline,
    /// The newest snapshot of the line: what the push is told against.
    pub base: Option<Snapshot>,
    /// A name for the line that is good as a file name.
    pub line: String,
}

impl Destination {
    /// Begins a push.
    pub fn begin(repository: &Arc<Repository>, options: PushOptions, budget: Box<dyn Budget>) -> Result<Self> {
        let ingest = Ingest::begin(repository, options, budget)?;
        let (base, line) = (ingest.base().cloned(), format!("{}-{}", repository.id(), ingest.line()));
        Ok(Destination {
            repository: repository.clone(),
            pipeline: Pipeline::start(ingest),
            base,
            line,
        })
    }

    /// How new data is to be compressed.
    pub fn compression(&self) -> yore_store::Compression {
        self.repository.compression()
    }

    /// Has a message made by a worker, to be sent later.
    pub fn make(&self, bytes: usize, job: impl FnOnce() -> Message + Send + 'static) -> Queued {
        self.pipeline.make(bytes, job)
    }

    /// Sends the next message.
    pub fn send(&mut self, message: impl Into<Queued>) -> Result<()> {
        self.pipeline.send(message.into())
    }

    /// Makes the push a snapshot.
    pub fn commit(self, unread: u64) -> Result<Committed> {
        self.pipeline.commit(unread)
    }

    /// Ends the push without a snapshot.
    pub fn abort(self) {
        self.pipeline.abort();
    }

    /// The chaining values of a content's groups.
    pub fn base_values(&self, hash: &Hash) -> Result<Option<BaseValues>> {
        self.repository.base_values(hash)
    }

    /// The signature of ranges (offset, length) of a content, in whole blocks.
    pub fn signature(&self, hash: &Hash, ranges: &[(u64, u64)], block_len: u32) -> Result<Signature> {
        let reader = self.repository.open_hash(hash)?;
        let mut builder = SignatureBuilder::new(block_len);
        let step = u64::from(block_len);
        let mut buffer = vec![0; ((1 << 20) / block_len as usize).max(1) * block_len as usize];
        for &(start, length) in ranges {
            let end = start + length / step * step;
            let mut at = start;
            while at < end {
                let take = (buffer.len() as u64).min(end - at) as usize;
                yore_store::delta::ReadAt::read_exact_at(&reader, at, &mut buffer[..take])?;
                for (index, block) in buffer[..take].chunks(block_len as usize).enumerate() {
                    builder.block(at + index as u64 * step, block);
                }
                at += take as u64;
            }
        }
        Ok(builder.finish())
    }

    /// Tells everything that the newest snapshot of the line has, folders before what is in them.
    pub fn listing(&self, tell: &mut dyn FnMut(Listed<'_>) -> Result<()>) -> Result<()> {
        let Some(base) = &self.base else { return Ok(()) };
        let root = self.repository.root(base.id)?;
        self.list_folder(base, &root, tell)
    }

    fn list_folder(
        &self,
        base: &Snapshot,
        folder: &Entry,
        tell: &mut dyn FnMut(Listed<'_>) -> Result<()>,
    ) -> Result<()> {
        tell(Listed::Enter(folder))?;
        if let Some(child) = folder.child {
            for entry in self.repository.list(base.id, child)?.iter() {
                match entry.child {
                    Some(_) => self.list_folder(base, entry, tell)?,
                    None => {
                        let hash = entry
                            .content
                            .map(|content| self.repository.content_hash(content))
                            .transpose()?;
                        tell(Listed::Item(entry, hash))?;
                    }
                }
            }
        }
        tell(Listed::Leave)
    }
}

/// A step of a listing.
pub(crate) enum Listed<'a> {
    /// A folder, before what is in it.
    Enter(&'a Entry),
    /// Its end.
    Leave,
    /// Anything else, with the name of its content.
    Item(&'a Entry, Option<Hash>),
}
