//! A push: the walk's events turned into messages, by comparing with what is remembered.
//!
//! What looks as it did is not opened. Folders are entered, in messages, only once
//! something in them has changed; names come in order, so removals are found by going
//! through the remembered names beside the walk.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::BorrowedFd;

use yore_store::{Body, Hash, Kind, Meta, TINY};
use yore_wire::Message;

use crate::block::Block;
use crate::destination::Destination;
use crate::metadata::{OwnerNames, Stat, read_meta};
use crate::snapshot::{AgentError, Progress};
use crate::state::{ABOVE, Seen, State};
use crate::walk::{SkipReason, Visited, Visitor};

/// What a push counted, and what it could not read.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub removed: u64,
    pub bytes_read: u64,
    pub unreadable: Vec<(Vec<u8>, String)>,
    pub skipped: Vec<(Vec<u8>, String)>,
}

/// A folder on the way from `/` to where the walk is.
struct Level {
    /// Its number in the state.
    number: i64,
    /// Its name, for the message that enters it.
    name: Vec<u8>,
    /// Its metadata, if it must be told.
    meta: Option<Meta>,
    /// Whether that message has been sent.
    entered: bool,
    /// Whether all of its names are passed, so that those not met are gone.
    complete: bool,
    /// What is remembered of it, by name; nothing if it is not complete.
    known: Vec<Seen>,
    /// How many of those the walk has passed.
    passed: usize,
    /// Names that are there and could not be looked at: what is remembered of them stays.
    kept: HashSet<Vec<u8>>,
}

/// One hard-linked file: its number in this push, and its bytes once they are sent.
struct Linked {
    token: u64,
    body: Option<Option<Body>>,
}

/// A push under way.
pub(crate) struct Push<'a> {
    pub destination: Destination,
    pub state: State,
    pub counts: Counts,
    pub progress: &'a dyn Progress,
    /// What changed at this time or later may have changed again since.
    distrust_from: i64,
    owners: OwnerNames,
    pub(crate) block: Block,
    stack: Vec<Level>,
    links: HashMap<(u64, u64), Linked>,
    /// Contents sent by this push or by an earlier one that died, by the first half of their names.
    pub(crate) sent: HashSet<[u8; 16]>,
    /// Lengths of large contents sent by this push.
    pub(crate) sent_sizes: HashSet<u64>,
}

impl<'a> Push<'a> {
    pub fn new(mut destination: Destination, state: State, progress: &'a dyn Progress, now: i64) -> Self {
        let sent = std::mem::take(&mut destination.kept);
        Push {
            destination,
            state,
            counts: Counts::default(),
            progress,
            distrust_from: now - 2,
            owners: OwnerNames::default(),
            block: Block::default(),
            stack: Vec::new(),
            links: HashMap::new(),
            sent,
            sent_sizes: HashSet::new(),
        }
    }

    /// # Errors
    /// [`AgentError::Stopped`] once somebody wants the push to end.
    fn go_on(&self) -> Result<(), AgentError> {
        match self.progress.is_stopped() {
            true => Err(AgentError::Stopped),
            false => Ok(()),
        }
    }

    /// Sends a message from inside the folder that the walk is in.
    fn tell(&mut self, message: Message) -> Result<(), AgentError> {
        self.enter_now()?;
        Ok(self.block.message(&mut self.destination, message)?)
    }

    /// Enters, in messages, the folders that the walk is in.
    fn enter_now(&mut self) -> Result<(), AgentError> {
        for level in &mut self.stack {
            if !level.entered {
                level.entered = true;
                let enter = Message::Enter {
                    name: level.name.clone(),
                    meta: level.meta.take(),
                };
                self.block.message(&mut self.destination, enter)?;
            }
        }
        Ok(())
    }

    /// What is remembered of `name` here; whatever came before it and was not met is removed.
    fn recall(&mut self, name: &[u8]) -> Result<Option<Seen>, AgentError> {
        let Some(level) = self.stack.last_mut() else {
            return Ok(self.state.folder(ABOVE)?.into_iter().next());
        };
        if !level.complete {
            return Ok(self.state.name(level.number, name)?);
        }
        let ahead = level.known[level.passed..].partition_point(|seen| seen.name.as_slice() < name);
        let until = level.passed + ahead;
        self.remove_until(until)?;
        let level = self.stack.last_mut().expect("it was there");
        match level.known.get(level.passed).filter(|seen| seen.name == name) {
            None => Ok(None),
            Some(seen) => {
                level.passed += 1;
                Ok(Some(seen.clone()))
            }
        }
    }

    /// Removes remembered names that the walk has passed without meeting them.
    fn remove_until(&mut self, until: usize) -> Result<(), AgentError> {
        loop {
            let level = self.stack.last_mut().expect("names are in a folder");
            if level.passed >= until {
                return Ok(());
            }
            let seen = level.known[level.passed].clone();
            let (number, keep) = (level.number, level.kept.contains(&seen.name));
            level.passed += 1;
            if !keep {
                self.tell(Message::Remove {
                    name: seen.name.clone(),
                })?;
                self.state.remove(number, &seen)?;
                self.counts.removed += 1;
            }
        }
    }

    fn is_as_it_was(&self, stat: &Stat, seen: &Seen) -> bool {
        let now = Stat { blocks: 0, ..*stat };
        seen.trusted && seen.stat == now
    }

    fn remember(&mut self, seen: Seen) -> Result<(), AgentError> {
        let folder = self.stack.last().map_or(ABOVE, |level| level.number);
        Ok(self.state.put(folder, &seen)?)
    }

    fn note(&mut self, path: &[u8], message: impl Into<String>) {
        self.counts.unreadable.push((path.to_vec(), message.into()));
    }

    /// Keeps what is remembered of the last name recalled: it is there and cannot be read.
    fn keep(&mut self, path: &[u8], error: &io::Error) {
        self.note(path, error.to_string());
    }

    fn seen(&self, item: &Visited, stat: &Stat, meta: &Meta, body: Option<Body>, child: Option<i64>) -> Seen {
        Seen {
            name: item.name.to_vec(),
            stat: *stat,
            trusted: stat.ctime < self.distrust_from && stat.mtime < self.distrust_from,
            kind: meta.kind,
            digest: meta.digest(),
            hash: body.filter(|body| body.size > 0).map(|body| body.hash),
            child,
        }
    }

    /// Metadata of something that is no regular file.
    fn plain_item(&mut self, item: &Visited, known: Option<Seen>) -> Result<(), AgentError> {
        match self.meta(item, &item.stat, item.open) {
            Ok(meta) => self.put(item, &item.stat, meta, None, known),
            Err(error) => {
                self.keep(item.path, &error);
                Ok(())
            }
        }
    }

    /// Tells an entry, if it is not what is remembered, and remembers it.
    fn put(
        &mut self,
        item: &Visited,
        stat: &Stat,
        meta: Meta,
        body: Option<Body>,
        known: Option<Seen>,
    ) -> Result<(), AgentError> {
        let seen = self.seen(item, stat, &meta, body, None);
        let is_linked = stat.nlink > 1;
        let same_rows = known.as_ref().is_some_and(|known| {
            let links_hold = known.stat.nlink == stat.nlink
                && (!is_linked || known.stat.ctime == stat.ctime && known.stat.ctime_ns == stat.ctime_ns);
            known.digest == seen.digest && known.hash == seen.hash && known.kind == seen.kind && links_hold
        });
        match &known {
            None => self.counts.new += 1,
            Some(_) if same_rows => self.counts.unchanged += 1,
            Some(_) => self.counts.changed += 1,
        }
        if !same_rows {
            let link = is_linked.then(|| self.link(stat).token);
            let message = Message::Put {
                name: item.name.to_vec(),
                meta: Box::new(meta),
                body,
                link,
            };
            self.tell(message)?;
        }
        if let Some(known) = known.filter(|known| known.child.is_some()) {
            let folder = self.stack.last().map_or(ABOVE, |level| level.number);
            self.state.remove(folder, &known)?;
        }
        self.remember(seen)
    }

    fn link(&mut self, stat: &Stat) -> &mut Linked {
        let token = self.links.len() as u64 + 1;
        self.links
            .entry((stat.dev, stat.ino))
            .or_insert(Linked { token, body: None })
    }

    /// A regular file that does not look as it did.
    fn file(&mut self, item: &Visited, known: Option<Seen>) -> Result<(), AgentError> {
        let sent_before = match item.stat.nlink > 1 {
            true => self.link(&item.stat).body,
            false => None,
        };
        let read = match sent_before {
            Some(body) => {
                let meta = self.meta(item, &item.stat, None);
                meta.map(|meta| (item.stat, meta, body)).map_err(AgentError::from)
            }
            None => self.read_file(item, known.as_ref()),
        };
        match read {
            Ok((stat, meta, body)) => {
                if stat.nlink > 1 {
                    self.link(&stat).body = Some(body);
                }
                self.put(item, &stat, meta, body, known)
            }
            // Gone between the listing and the opening: it is not in this snapshot.
            Err(AgentError::File(error)) if error.kind() == io::ErrorKind::NotFound => match known {
                None => Ok(()),
                Some(known) => self.forget(&known),
            },
            Err(AgentError::File(error)) => {
                self.keep(item.path, &error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Removes a name that is gone.
    fn forget(&mut self, known: &Seen) -> Result<(), AgentError> {
        let folder = self.stack.last().map_or(ABOVE, |level| level.number);
        self.tell(Message::Remove {
            name: known.name.clone(),
        })?;
        self.counts.removed += 1;
        Ok(self.state.remove(folder, known)?)
    }

    /// Metadata of what the walk has come to, through its own descriptor where there is one.
    pub(crate) fn meta(&mut self, item: &Visited, stat: &Stat, open: Option<BorrowedFd>) -> io::Result<Meta> {
        let found = read_meta(item.parent, item.name, stat, open, &mut self.owners)?;
        if found.stripped {
            self.note(item.path, "its extended attributes are too large; kept without them");
        }
        Ok(found.meta)
    }

    /// Whether the repository has a content, or this push has sent it.
    /// Tiny ones of earlier pushes are not looked for: sending one again costs less.
    pub(crate) fn has(&self, hash: &Hash, size: u64) -> Result<bool, AgentError> {
        Ok(self.sent.contains(&short(hash)) || (size > TINY && self.state.knows(hash)?))
    }

    /// Sends what waits in the current block.
    pub fn flush(&mut self) -> Result<(), AgentError> {
        Ok(self.block.flush(&mut self.destination)?)
    }
}

/// The part of a name by which sent contents are remembered.
pub(crate) fn short(hash: &Hash) -> [u8; 16] {
    hash.0[..16].try_into().expect("16 of 32 bytes")
}

impl Visitor for Push<'_> {
    type Error = AgentError;

    fn enter(&mut self, folder: &Visited) -> Result<bool, AgentError> {
        self.go_on()?;
        self.progress.path(folder.path);
        let known = self.recall(folder.name)?;
        let as_it_was = known
            .as_ref()
            .is_some_and(|known| known.child.is_some() && self.is_as_it_was(&folder.stat, known));
        let meta = match as_it_was {
            true => None,
            false => match self.meta(folder, &folder.stat, folder.open) {
                Ok(meta) => Some(meta),
                Err(error) => {
                    self.note(folder.path, error.to_string());
                    Some(bare_folder(&folder.stat))
                }
            },
        };
        let number = known
            .as_ref()
            .and_then(|known| known.child)
            .unwrap_or_else(|| self.state.new_folder());
        let mut told = None;
        if let Some(meta) = meta {
            let seen = self.seen(folder, &folder.stat, &meta, None, Some(number));
            let is_new = known
                .as_ref()
                .is_none_or(|known| known.child.is_none() || known.digest != seen.digest);
            self.remember(seen)?;
            told = is_new.then_some(meta);
        }
        let level = Level {
            number,
            name: folder.name.to_vec(),
            meta: told,
            entered: false,
            complete: folder.complete,
            known: match folder.complete {
                true => self.state.folder(number)?,
                false => Vec::new(),
            },
            passed: 0,
            kept: HashSet::new(),
        };
        let must_tell = level.meta.is_some();
        self.stack.push(level);
        if must_tell {
            self.enter_now()?;
        }
        Ok(true)
    }

    fn knows(&mut self, name: &[u8], stat: &Stat) -> Result<bool, AgentError> {
        let known = match self.stack.last() {
            None => self.state.folder(ABOVE)?.into_iter().next(),
            Some(level) => self.state.name(level.number, name)?,
        };
        Ok(
            known
                .is_some_and(|known| known.child.is_some() && (known.stat.dev, known.stat.ino) == (stat.dev, stat.ino)),
        )
    }

    fn gone(&mut self, name: &[u8]) -> Result<(), AgentError> {
        match self.recall(name)? {
            Some(known) => self.forget(&known),
            None => Ok(()),
        }
    }

    fn leave(&mut self) -> Result<(), AgentError> {
        let all = self.stack.last().expect("left what was entered").known.len();
        self.remove_until(all)?;
        let level = self.stack.pop().expect("it was there");
        match level.entered {
            true => Ok(self.block.message(&mut self.destination, Message::Leave)?),
            false => Ok(()),
        }
    }

    fn item(&mut self, item: &Visited) -> Result<(), AgentError> {
        self.go_on()?;
        self.progress.path(item.path);
        self.progress.item();
        let known = self.recall(item.name)?;
        if let Some(known) = &known
            && known.child.is_none()
            && self.is_as_it_was(&item.stat, known)
        {
            self.counts.unchanged += 1;
            self.progress.bytes(item.stat.size);
            return Ok(());
        }
        match item.stat.kind() {
            Some(Kind::File) => self.file(item, known),
            _ => self.plain_item(item, known),
        }
    }

    fn unreadable(&mut self, path: &[u8], error: io::Error) -> Result<(), AgentError> {
        self.note(path, error.to_string());
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        if let Some(level) = self.stack.last_mut() {
            level.kept.insert(name.to_vec());
        }
        Ok(())
    }

    fn skipped(&mut self, path: &[u8], reason: SkipReason) -> Result<(), AgentError> {
        let why = match reason {
            SkipReason::Excluded => return Ok(()),
            SkipReason::Asked => "the repository itself",
            SkipReason::OtherFileSystem => "on another file system",
            SkipReason::Kernels => "the kernel's own",
            SkipReason::Cache => "a cache",
        };
        self.counts.skipped.push((path.to_vec(), why.to_owned()));
        Ok(())
    }
}

/// What a folder is taken for whose attributes cannot be read.
fn bare_folder(stat: &Stat) -> Meta {
    let mut meta = Meta::plain(Kind::Folder, stat.mode & 0o7777);
    meta.owner.uid = stat.uid;
    meta.owner.gid = stat.gid;
    (meta.mtime, meta.mtime_ns) = (stat.mtime, stat.mtime_ns);
    meta
}
