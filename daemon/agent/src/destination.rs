//! Where a push goes: what it sends, and what it asks on the way.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use yore_store::delta::{Signature, SignatureBuilder};
use yore_store::{
    BaseValues, Budget, Committed, Compression, Entry, Error, Hash, Ingest, Limit, Listing, PushOptions, Repository,
    Result, Snapshot, Unlimited, Value,
};
use yore_wire::{Message, deliver};

use crate::pipeline::{Pipeline, Queued};
use crate::push::short;
use crate::restore::Entered;
use crate::target::Target;

/// The receiving end of a push.
pub(crate) trait Receiver: Send {
    /// Takes the next message.
    fn deliver(&mut self, message: Message) -> Result<()>;
    /// Makes the push a snapshot.
    fn commit(self: Box<Self>, unread: u64) -> Result<Committed>;
    /// Ends the push without a snapshot; what was sent waits for the next one.
    fn abort(self: Box<Self>, failure: &str);
    /// The same after an error; gives the one to tell.
    fn fail(self: Box<Self>, error: Error) -> Error;
}

/// What a push asks, beside the messages that it sends.
pub(crate) trait Questions {
    /// The chaining values of a content's groups, unless it is longer than so many bytes.
    fn base_values(&self, hash: &Hash, longest: u64) -> Result<Option<BaseValues>>;
    /// The signature of ranges (offset, length) of a content, in whole blocks.
    fn signature(&self, hash: &Hash, ranges: &[(u64, u64)], block_len: u32) -> Result<Signature>;
    /// Which contents it has whole.
    fn has(&self, names: &[Hash]) -> Result<Vec<bool>>;
    /// Tells everything that the newest snapshot of the line has, folders before what is in them.
    fn listing(&self, base: &Snapshot, tell: &mut dyn FnMut(Listed<'_>) -> Result<()>) -> Result<()>;
}

/// A push into a repository, under way.
pub(crate) struct Destination {
    pipeline: Pipeline,
    questions: Box<dyn Questions>,
    compares: bool,
    compression: Compression,
    /// The newest snapshot of the line: what the push is told against.
    pub base: Option<Snapshot>,
    /// A name for the line that is good as a file name.
    pub line: String,
    /// Contents that an earlier push sent before it died, by the first half of their names.
    pub kept: HashSet<[u8; 16]>,
    /// Groups of large contents in whose midst it died.
    kept_groups: KeptGroups,
    /// Whether there was such a push.
    goes_on: bool,
    /// Contents that the newest snapshot has and that are damaged, by the first half of their names.
    pub wanted: HashSet<[u8; 16]>,
}

/// Chaining values of groups, by what this agent calls their content, and by their number.
pub(crate) type KeptGroups = HashMap<[u8; 16], HashMap<u64, Value>>;

/// What a content is always compared with, in bytes: its values take 16 MiB.
const SHORT_BASE: u64 = 64 << 30;

impl Destination {
    /// Begins a push.
    pub fn begin(target: &Target, options: PushOptions, limit: Option<u64>, rate: Option<u64>) -> Result<Self> {
        match target {
            Target::Here(repository) => Self::begin_here(repository, options, limit),
            Target::There(remote) => {
                let server = remote.server().limited(rate);
                crate::remote::begin(&server, options, false)
            }
        }
    }

    /// Begins what looks like a push and changes nothing.
    pub fn begin_dry(target: &Target, options: &PushOptions) -> Result<Self> {
        match target {
            Target::Here(repository) => {
                let (line, base) = repository.newest_of(options)?;
                Ok(Self::new(
                    Box::new(Nowhere),
                    Box::new(Here(repository.clone())),
                    Compression::Off,
                    (base, format!("{}-{line}", repository.id())),
                    Default::default(),
                ))
            }
            Target::There(remote) => crate::remote::begin(remote.server(), options.clone(), true),
        }
    }

    /// A push to a receiver, told against the newest snapshot of a line, that goes on where an
    /// earlier one died.
    pub fn new(
        receiver: Box<dyn Receiver>,
        questions: Box<dyn Questions>,
        compression: Compression,
        (base, line): (Option<Snapshot>, String),
        (kept, kept_groups): (HashSet<[u8; 16]>, KeptGroups),
    ) -> Self {
        Destination {
            pipeline: Pipeline::start(receiver),
            questions,
            compares: true,
            compression,
            base,
            line,
            goes_on: !kept.is_empty() || !kept_groups.is_empty(),
            kept,
            kept_groups,
            wanted: HashSet::new(),
        }
    }

    /// Begins a push into a repository here.
    pub fn begin_here(repository: &Arc<Repository>, options: PushOptions, limit: Option<u64>) -> Result<Self> {
        let budget: Box<dyn Budget> = match limit {
            Some(limit) => Box::new(Limit { limit, used: 0 }),
            None => Box::new(Unlimited),
        };
        let ingest = Ingest::begin(repository, options, budget)?;
        let (mut kept, mut kept_groups) = (HashSet::new(), KeptGroups::new());
        ingest.kept(&mut |hash| {
            kept.insert(short(&hash));
            Ok(())
        })?;
        ingest.kept_groups(&mut |key, first, values| {
            kept_groups.entry(key).or_default().extend((first..).zip(values));
            Ok(())
        })?;
        let wanted = ingest.wanted()?.iter().map(short).collect();
        let line = (ingest.base().cloned(), format!("{}-{}", repository.id(), ingest.line()));
        let questions = Box::new(Here(repository.clone()));
        let kept = (kept, kept_groups);
        let mut destination = Self::new(Box::new(ingest), questions, repository.compression(), line, kept);
        destination.wanted = wanted;
        Ok(destination)
    }

    /// How new data is to be compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Whether an earlier push had sent something before it died.
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// What it had sent of a large content, by the number of the group.
    pub fn kept_groups(&self, key: &[u8; 16]) -> &HashMap<u64, Value> {
        static NONE: LazyLock<HashMap<u64, Value>> = LazyLock::new(HashMap::new);
        self.kept_groups.get(key).unwrap_or(&NONE)
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
    pub fn abort(self, failure: &str) {
        self.pipeline.abort(failure);
    }

    /// Sends every large content whole from now on: what there is to compare with cannot be trusted.
    pub fn compare_with_nothing(&mut self) {
        self.compares = false;
    }

    /// The chaining values of a content's groups, to tell one of `size` bytes against it; none of one that is so much
    /// longer that they would cost more than they save.
    pub fn base_values(&self, hash: &Hash, size: u64) -> Result<Option<BaseValues>> {
        if !self.compares {
            return Ok(None);
        }
        self.questions.base_values(hash, size.saturating_mul(4).max(SHORT_BASE))
    }

    /// The signature of ranges (offset, length) of a content, in whole blocks.
    pub fn signature(&self, hash: &Hash, ranges: &[(u64, u64)], block_len: u32) -> Result<Signature> {
        self.questions.signature(hash, ranges, block_len)
    }

    /// Which contents it has whole.
    pub fn has(&self, names: &[Hash]) -> Result<Vec<bool>> {
        self.questions.has(names)
    }

    /// Tells everything that the newest snapshot of the line has, folders before what is in them.
    pub fn listing(&self, tell: &mut dyn FnMut(Listed<'_>) -> Result<()>) -> Result<()> {
        match &self.base {
            Some(base) => self.questions.listing(base, tell),
            None => Ok(()),
        }
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

impl Receiver for Ingest {
    fn deliver(&mut self, message: Message) -> Result<()> {
        deliver(self, message)
    }
    fn commit(self: Box<Self>, unread: u64) -> Result<Committed> {
        Ingest::commit(*self, unread)
    }
    fn abort(self: Box<Self>, _failure: &str) {}
    fn fail(self: Box<Self>, error: Error) -> Error {
        Ingest::fail(*self, error)
    }
}

/// A receiver that takes everything and keeps nothing: for finding out what would be sent.
pub(crate) struct Nowhere;

impl Receiver for Nowhere {
    fn deliver(&mut self, _message: Message) -> Result<()> {
        Ok(())
    }
    fn commit(self: Box<Self>, _unread: u64) -> Result<Committed> {
        Err(Error::Refused("nothing was kept that could be committed".into()))
    }
    fn abort(self: Box<Self>, _failure: &str) {}
    fn fail(self: Box<Self>, error: Error) -> Error {
        error
    }
}

/// A repository in this process's reach.
struct Here(Arc<Repository>);

impl Questions for Here {
    fn base_values(&self, hash: &Hash, _longest: u64) -> Result<Option<BaseValues>> {
        self.0.base_values(hash)
    }

    fn signature(&self, hash: &Hash, ranges: &[(u64, u64)], block_len: u32) -> Result<Signature> {
        let mut builder = SignatureBuilder::new(block_len);
        self.0.block_sums(hash, ranges, block_len, &mut |at, sum| {
            builder.sum(at, sum);
            Ok(())
        })?;
        Ok(builder.finish())
    }

    fn has(&self, names: &[Hash]) -> Result<Vec<bool>> {
        self.0.has_whole(names)
    }

    fn listing(&self, base: &Snapshot, tell: &mut dyn FnMut(Listed<'_>) -> Result<()>) -> Result<()> {
        let root = self.0.root(base.id)?;
        tell(Listed::Enter(&root))?;
        // Not by recursion: a tree may be deeper than a stack.
        let mut entered = Entered::default();
        let mut levels = vec![self.list_in(base, &root, &mut entered)?];
        while let Some((listing, next)) = levels.last_mut() {
            let Some(entry) = listing.get(*next).cloned() else {
                levels.pop();
                tell(Listed::Leave)?;
                continue;
            };
            *next += 1;
            match entry.child {
                Some(_) => {
                    tell(Listed::Enter(&entry))?;
                    levels.push(self.list_in(base, &entry, &mut entered)?);
                }
                None => {
                    let hash = self.0.name_to_compare(&entry)?;
                    tell(Listed::Item(&entry, hash))?;
                }
            }
        }
        Ok(())
    }
}

impl Here {
    /// What is in a folder, and that the first of it is next.
    fn list_in(&self, base: &Snapshot, folder: &Entry, entered: &mut Entered) -> Result<(Arc<Listing>, usize)> {
        let Some(child) = folder.child else {
            return Ok(Default::default());
        };
        entered.enter(child, 0)?;
        Ok((self.0.list(base.id, child)?, 0))
    }
}

#[cfg(test)]
mod tests {
    use yore_store::{Kind, Meta};

    use super::*;

    #[test]
    fn a_tree_may_be_deeper_than_a_stack() {
        const DEPTH: usize = 20_000;
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init(&folder.path().join("repository"), Compression::Off).unwrap();
        let repository = Arc::new(repository);
        let options = PushOptions {
            host: "host".into(),
            roots: vec![b"/".to_vec()],
            tags: vec![],
            made: None,
        };
        let mut ingest = Ingest::begin(&repository, options, Box::new(Unlimited)).unwrap();
        for depth in 0..=DEPTH {
            let name = if depth == 0 { vec![] } else { b"a".to_vec() };
            let meta = Some(Meta::plain(Kind::Folder, 0o755));
            deliver(&mut ingest, Message::Enter { name, meta }).unwrap();
        }
        for _ in 0..=DEPTH {
            deliver(&mut ingest, Message::Leave).unwrap();
        }
        let base = Ingest::commit(ingest, 0).unwrap().snapshot;
        let (mut entered, mut left) = (0, 0);
        let tell = &mut |listed: Listed<'_>| {
            match listed {
                Listed::Enter(_) => entered += 1,
                Listed::Leave => left += 1,
                Listed::Item(..) => unreachable!("there are only folders"),
            }
            Ok(())
        };
        Here(repository).listing(&base, tell).unwrap();
        assert_eq!((entered, left), (DEPTH + 1, DEPTH + 1));
    }
}
