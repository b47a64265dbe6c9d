//! Telling steps to a push: what they name is sent first, as far as it is not there.
//!
//! ```text
//! steps ─▶ batch ─▶ their contents' names (asked of the source, a batch at once)
//!                   which of them are there (asked of the destination, a batch at once)
//!                   the others read and sent (contents)
//!                   then the messages
//! ```
//!
//! So nothing is read that the destination has, and there are two round trips a batch, not a file.

use std::collections::{HashMap, HashSet};

use yore_store::{Body, ContentId, Entry, Hash, History, Meta, Result};
use yore_wire::Message;

use super::step::{Put, Step};
use crate::block::Block;
use crate::destination::Destination;
use crate::restore::Progress;
use crate::snapshot::AgentError;

/// Steps that are told together, and what they may take in bytes.
const BATCH: usize = 1024;
const BATCH_BYTES: usize = 8 << 20;

/// Bytes of what is left out after which a copy gives up: half a million files or so.
const MOST_SAID: usize = 128 << 20;

/// A folder on the way from `/` to where the steps are.
struct Level {
    name: Vec<u8>,
    meta: Option<Meta>,
    entered: bool,
}

/// The names of the contents of a batch, by their numbers in the repositories that have them.
#[derive(Default)]
pub(super) struct Names {
    /// Those of what is told.
    pub new: HashMap<ContentId, Hash>,
    /// Those of what it is told against.
    pub old: HashMap<ContentId, Hash>,
}

/// A file that is not in the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The snapshot's name.
    pub snapshot: String,
    /// Its path.
    pub path: Vec<u8>,
    /// What is wrong with it in the source.
    pub why: String,
    /// Its length in bytes.
    pub(super) size: u64,
}

/// A snapshot being told.
pub(super) struct Teller<'a> {
    pub source: &'a dyn History,
    /// Who has the entries that steps call old.
    pub before: &'a dyn History,
    pub destination: Destination,
    pub progress: &'a dyn Progress,
    pub(super) block: Block,
    /// Contents that are there, by the first half of their names.
    pub(super) sent: HashSet<[u8; 16]>,
    /// Contents that the source cannot read, and why.
    pub(super) lost: HashMap<ContentId, String>,
    /// Files that are not in the copy for that.
    pub left_out: Vec<LeftOut>,
    /// Bytes that those take.
    said: usize,
    /// Bytes read of the source's contents.
    pub bytes_read: u64,
    name: &'a str,
    batch: Vec<Step>,
    batch_bytes: usize,
    levels: Vec<Level>,
}

impl<'a> Teller<'a> {
    pub fn new(
        (source, before): (&'a dyn History, &'a dyn History),
        mut destination: Destination,
        name: &'a str,
        progress: &'a dyn Progress,
    ) -> Self {
        Teller {
            source,
            before,
            sent: std::mem::take(&mut destination.kept),
            destination,
            progress,
            block: Block::default(),
            lost: HashMap::new(),
            left_out: Vec::new(),
            said: 0,
            bytes_read: 0,
            name,
            batch: Vec::new(),
            batch_bytes: 0,
            levels: Vec::new(),
        }
    }

    /// Takes the next step.
    pub fn step(&mut self, step: Step) -> Result<(), AgentError> {
        self.go_on()?;
        self.batch_bytes += size_of_step(&step);
        self.batch.push(step);
        match self.batch.len() >= BATCH || self.batch_bytes >= BATCH_BYTES {
            true => self.tell_batch(),
            false => Ok(()),
        }
    }

    /// Tells what waits.
    pub fn end(&mut self) -> Result<(), AgentError> {
        self.tell_batch()?;
        Ok(self.block.flush(&mut self.destination)?)
    }

    /// # Errors
    /// [`AgentError::Stopped`] once somebody wants the copy to end.
    pub(super) fn go_on(&self) -> Result<(), AgentError> {
        match self.progress.is_stopped() {
            true => Err(AgentError::Stopped),
            false => Ok(()),
        }
    }

    fn tell_batch(&mut self) -> Result<(), AgentError> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        let names = self.names(&batch)?;
        self.send_missing(&batch, &names)?;
        batch.into_iter().try_for_each(|step| self.tell(step, &names))
    }

    fn names(&self, batch: &[Step]) -> Result<Names> {
        let puts = || batch.iter().filter_map(Step::as_put);
        Ok(Names {
            new: named(self.source, puts().filter_map(|put| put.new.content))?,
            old: named(self.before, puts().filter_map(|put| put.old.as_ref()?.content))?,
        })
    }

    fn tell(&mut self, step: Step, names: &Names) -> Result<(), AgentError> {
        match step {
            Step::Enter { name, meta } => {
                let must_tell = meta.is_some();
                let entered = false;
                self.levels.push(Level { name, meta, entered });
                if must_tell { self.enter_now() } else { Ok(()) }
            }
            Step::Leave => match self.levels.pop() {
                Some(level) if level.entered => self.message(Message::Leave),
                _ => Ok(()),
            },
            Step::Remove { name } => self.remove(name),
            Step::Put(put) => self.put(*put, names),
        }
    }

    fn put(&mut self, put: Put, names: &Names) -> Result<(), AgentError> {
        let Put { path, old, new } = put;
        self.progress.path(&path);
        self.progress.item();
        let body = match new.content.map(|content| self.body(content, new.size, names)) {
            Some(Err(why)) => return self.leave_out(path, old, new.size, why),
            Some(Ok(body)) => Some(body),
            None => None,
        };
        if old.is_some_and(|old| is_unchanged(&old, &new, body, names)) {
            return Ok(());
        }
        self.enter_now()?;
        self.message(Message::Put {
            name: new.name,
            meta: Box::new(new.meta),
            body,
            link: new.link.map(|group| group as u64),
        })
    }

    /// The name of a content that is there, or why it is not.
    fn body(&self, content: ContentId, size: u64, names: &Names) -> Result<Body, String> {
        match (self.lost.get(&content), names.new.get(&content)) {
            (Some(why), _) => Err(why.clone()),
            (None, Some(hash)) => Ok(Body { hash: *hash, size }),
            (None, None) => Err("its content is not in the catalog any more".into()),
        }
    }

    /// A damaged file is not in the copy, and what had its name before is neither.
    fn leave_out(&mut self, path: Vec<u8>, old: Option<Entry>, size: u64, why: String) -> Result<(), AgentError> {
        self.said += path.len() + why.len() + size_of::<LeftOut>();
        if self.said > MOST_SAID {
            let error = "the source cannot give so many files that this is the end; what is left out would not be all";
            return Err(yore_store::Error::Damaged(error.into()).into());
        }
        self.left_out.push(LeftOut {
            snapshot: self.name.to_owned(),
            path,
            why,
            size,
        });
        match old {
            Some(old) => self.remove(old.name),
            None => Ok(()),
        }
    }

    fn remove(&mut self, name: Vec<u8>) -> Result<(), AgentError> {
        self.enter_now()?;
        self.message(Message::Remove { name })
    }

    /// Enters, in messages, the folders that the steps are in.
    fn enter_now(&mut self) -> Result<(), AgentError> {
        for level in self.levels.iter_mut().filter(|level| !level.entered) {
            level.entered = true;
            let enter = Message::Enter {
                name: level.name.clone(),
                meta: level.meta.take(),
            };
            self.block.message(&mut self.destination, enter)?;
        }
        Ok(())
    }

    fn message(&mut self, message: Message) -> Result<(), AgentError> {
        Ok(self.block.message(&mut self.destination, message)?)
    }
}

/// The names of contents.
fn named(history: &dyn History, contents: impl Iterator<Item = ContentId>) -> Result<HashMap<ContentId, Hash>> {
    let contents: Vec<ContentId> = contents.collect::<HashSet<_>>().into_iter().collect();
    if contents.is_empty() {
        return Ok(HashMap::new());
    }
    let names = history.hashes(&contents)?;
    let pairs = contents.into_iter().zip(names);
    Ok(pairs.filter_map(|(content, name)| Some((content, name?))).collect())
}

/// Whether an entry is as it was. Of several names of a file all are told or none.
fn is_unchanged(old: &Entry, new: &Entry, body: Option<Body>, names: &Names) -> bool {
    let is_alone = old.link.is_none() && new.link.is_none();
    let before = old.content.and_then(|content| names.old.get(&content));
    is_alone
        && old.meta == new.meta
        && old.size == new.size
        && old.content.is_some() == new.content.is_some()
        && before.copied() == body.map(|body| body.hash)
}

/// About what a step takes in memory.
fn size_of_step(step: &Step) -> usize {
    let of_meta = |meta: &Meta| {
        let xattrs: usize = meta
            .xattrs
            .iter()
            .map(|(name, value)| name.len() + value.len() + 48)
            .sum();
        xattrs + meta.data.as_ref().map_or(0, |data| 16 * data.len())
    };
    let of_entry = |entry: &Entry| size_of::<Entry>() + of_meta(&entry.meta);
    match step {
        Step::Put(put) => put.path.len() + put.old.as_ref().map_or(0, of_entry) + of_entry(&put.new),
        Step::Enter { meta, .. } => meta.as_ref().map_or(0, of_meta),
        _ => 0,
    }
}
