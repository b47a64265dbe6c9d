//! The sending end of a push to a server.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use yore_store::delta::{Signature, SignatureBuilder};
use yore_store::{
    BaseValues, Committed, Entry, GROUP, Hash, LARGEST, LONGEST_PATH, Made, PushOptions, Result, SEGMENT, Snapshot,
};
use yore_wire::{Answer, ListedStep, MOST_NAMED, Message, Opened, PushStart, Question};

use super::most::{REMEMBERED, REMEMBERED_GROUPS, is_entry, is_name};
use super::{Alive, Connection, Server, unexpected};
use crate::destination::{Destination, KeptGroups, Listed, Questions, Receiver};
use crate::push::short;

/// As many groups as what is remembered of a content besides them takes.
const PER_CONTENT: usize = 8;

/// Ranges of one question: a packet has to hold them.
const RANGES: usize = 1 << 16;

/// Begins a push, by a connection of its own.
pub(crate) fn begin(server: &Server, options: PushOptions, dry_run: bool) -> Result<Destination> {
    Pushes::open(server, !dry_run)?.begin(options, dry_run)
}

/// A connection by which one push after the other goes into a repository.
pub(crate) struct Pushes {
    server: Server,
    connection: Arc<Connection>,
    opened: Opened,
}

impl Pushes {
    /// Connects; with `to_push` the repository is made if it is not there.
    pub fn open(server: &Server, to_push: bool) -> Result<Self> {
        let (connection, opened) = server.open(to_push)?;
        Ok(Pushes {
            server: server.clone(),
            connection: Arc::new(connection),
            opened,
        })
    }

    /// Begins the next push.
    pub fn begin(&self, options: PushOptions, dry_run: bool) -> Result<Destination> {
        let (server, opened, connection) = (&self.server, &self.opened, self.connection.clone());
        if let Some(Made { time, name }) = options.made {
            connection.ask_one(Question::Made { time, name })?;
        }
        let start = PushStart {
            host: options.host,
            roots: options.roots,
            tags: options.tags,
            interval: server.interval,
            dry_run,
        };
        let (mut kept, mut kept_groups) = (HashSet::new(), KeptGroups::new());
        let (mut begun, mut wanted, mut groups_left) = (None, HashSet::new(), REMEMBERED_GROUPS);
        for answer in connection.ask(Question::Push(start))? {
            match answer? {
                // What is too much to be remembered is sent again.
                Answer::Kept(names) => remember(&mut kept, names),
                Answer::KeptGroups { key, first, values } => {
                    groups_left = match groups_left.checked_sub(values.len() + PER_CONTENT) {
                        None => 0,
                        Some(left) => {
                            let groups: &mut HashMap<_, _> = kept_groups.entry(key).or_default();
                            let numbered = (0..).zip(values).map(|(at, value)| (first.wrapping_add(at), value));
                            groups.extend(numbered);
                            left
                        }
                    };
                }
                // What is wanted beyond that is wanted by the next push, too.
                Answer::Wanted(names) => remember(&mut wanted, names),
                Answer::Begun { base, line } => begun = Some((base, line)),
                _ => return Err(unexpected(connection.place())),
            }
        }
        let (base, line) = begun.ok_or_else(|| unexpected(connection.place()))?;
        // The line names a file of the state.
        let line = match line.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            true => state_name(server, &opened.id, &line),
            false => return Err(unexpected(connection.place())),
        };
        let there = There {
            _alive: (!dry_run).then(|| connection.keep_alive()),
            connection: connection.clone(),
        };
        let mut destination = Destination::new(
            match dry_run {
                true => Box::new(crate::destination::Nowhere),
                false => Box::new(there),
            },
            Box::new(Asked(connection)),
            opened.compression,
            (base, line),
            (kept, kept_groups),
        );
        destination.wanted = wanted;
        Ok(destination)
    }
}

/// Remembers names, as many as there is room for.
fn remember(all: &mut HashSet<[u8; 16]>, names: Vec<[u8; 16]>) {
    // One by one: a set that is told how many come makes room for all of them.
    for name in names {
        if all.len() < REMEMBERED {
            all.insert(name);
        }
    }
}

/// What the state of a line is called. Servers have names of their own: one that knows the repository of another could
/// else make this machine believe that the other has what was only sent to this one.
fn state_name(server: &Server, id: &str, line: &str) -> String {
    let place = Hash::of(format!("{}\0{}", server.user, server.address).as_bytes());
    format!("{id}-{line}-{}", &place.to_string()[..16])
}

/// The connection as the pipeline's receiver.
struct There {
    connection: Arc<Connection>,
    _alive: Option<Alive>,
}

impl Receiver for There {
    fn deliver(&mut self, message: Message) -> Result<()> {
        self.connection.tell(message)
    }

    fn commit(self: Box<Self>, unread: u64) -> Result<Committed> {
        let (mut healed, mut done) = (0, None);
        for answer in self.connection.ask(Question::Commit { unread })? {
            match answer? {
                Answer::Healed(contents) => healed = contents,
                Answer::Committed { snapshot, deltas } => done = Some((snapshot, deltas)),
                _ => return Err(unexpected(self.connection.place())),
            }
        }
        let (snapshot, deltas) = done.ok_or_else(|| unexpected(self.connection.place()))?;
        Ok(Committed {
            snapshot,
            deltas,
            healed,
        })
    }

    fn abort(self: Box<Self>, failure: &str) {
        let failure = failure.to_owned();
        let _ = self.connection.ask_one(Question::Abort { failure });
    }

    fn fail(self: Box<Self>, error: yore_store::Error) -> yore_store::Error {
        error
    }
}

/// The chaining values of a content's groups, by a question; none of one that is longer than `longest` bytes.
pub(super) fn base_values(connection: &Connection, hash: &Hash, longest: u64) -> Result<Option<BaseValues>> {
    let (mut found, mut is_too_long): (Option<BaseValues>, bool) = (None, false);
    let (mut told, mut most) = (0, 0);
    for answer in connection.ask(Question::BaseValues { hash: *hash })? {
        let Answer::Values {
            size,
            groups,
            zero_segments,
        } = answer?
        else {
            return Err(unexpected(connection.place()));
        };
        most = if told == 0 {
            size.min(LARGEST).div_ceil(GROUP)
        } else {
            most
        };
        told += groups.len() as u64;
        if told > most || zero_segments.len() as u64 > most {
            return Err(unexpected(connection.place()));
        }
        is_too_long |= size > longest;
        if is_too_long {
            // It comes all the same.
            continue;
        }
        let values = found.get_or_insert_with(|| BaseValues {
            size,
            groups: Vec::new(),
            zero_segments: Vec::new(),
        });
        values.groups.extend(groups);
        values.zero_segments.extend(zero_segments);
        if values.zero_segments.len() as u64 > values.size.div_ceil(SEGMENT) {
            return Err(unexpected(connection.place()));
        }
    }
    if is_too_long {
        return Ok(None);
    }
    // Whoever uses them goes by the length.
    let fits = |values: &BaseValues| values.groups.len() as u64 == values.size.div_ceil(GROUP);
    match found.as_ref().is_none_or(fits) {
        true => Ok(found),
        false => Err(unexpected(connection.place())),
    }
}

/// The connection as who is asked.
struct Asked(Arc<Connection>);

impl Questions for Asked {
    fn base_values(&self, hash: &Hash, longest: u64) -> Result<Option<BaseValues>> {
        base_values(&self.0, hash, longest)
    }

    fn has(&self, names: &[Hash]) -> Result<Vec<bool>> {
        let mut here: HashSet<[u8; 16]> = HashSet::new();
        for names in names.chunks(MOST_NAMED) {
            let (names, mut left) = (names.to_vec(), names.len());
            for answer in self.0.ask(Question::Has { names })? {
                match answer? {
                    Answer::Kept(names) if !names.is_empty() && names.len() <= left => {
                        left -= names.len();
                        here.extend(names);
                    }
                    Answer::Kept(names) if names.is_empty() => {}
                    _ => return Err(unexpected(self.0.place())),
                }
            }
        }
        Ok(names.iter().map(|name| here.contains(&short(name))).collect())
    }

    fn signature(&self, hash: &Hash, ranges: &[(u64, u64)], block_len: u32) -> Result<Signature> {
        let mut builder = SignatureBuilder::new(block_len);
        let step = u64::from(block_len);
        let mut offsets = ranges
            .iter()
            .flat_map(|&(start, length)| (0..length / step).map(move |block| start + block * step));
        for ranges in ranges.chunks(RANGES) {
            let question = Question::Signature {
                hash: *hash,
                block_len,
                ranges: ranges.to_vec(),
            };
            for answer in self.0.ask(question)? {
                let Answer::Sums(sums) = answer? else {
                    return Err(unexpected(self.0.place()));
                };
                for sum in sums {
                    let offset = offsets.next().ok_or_else(|| unexpected(self.0.place()))?;
                    builder.sum(offset, sum);
                }
            }
        }
        Ok(builder.finish())
    }

    fn listing(&self, base: &Snapshot, tell: &mut dyn FnMut(Listed<'_>) -> Result<()>) -> Result<()> {
        // Paths have an end, and the snapshot says how many entries it has: what is told is kept on a disk here.
        let (mut path, mut left) = (
            Vec::new(),
            base.files.saturating_add(base.folders).saturating_add(base.others),
        );
        let fits = |entry: &Entry, depth: usize| is_entry(entry) && (depth == 0 || is_name(&entry.name));
        for answer in self.0.ask(Question::Listing)? {
            let bad = || unexpected(self.0.place());
            let Answer::Listed(step) = answer? else {
                return Err(bad());
            };
            if !matches!(step, ListedStep::Leave) {
                left = left.checked_sub(1).ok_or_else(bad)?;
            }
            match step {
                ListedStep::Enter(entry) if entry.child.is_some() && fits(&entry, path.len()) => {
                    let above = path.last().copied().unwrap_or(0);
                    path.push(above + entry.name.len() + 1);
                    if path.last() > Some(&LONGEST_PATH) {
                        return Err(bad());
                    }
                    tell(Listed::Enter(&entry))?;
                }
                ListedStep::Leave if !path.is_empty() => {
                    path.pop();
                    tell(Listed::Leave)?;
                }
                ListedStep::Item { entry, hash } if !path.is_empty() && entry.child.is_none() && fits(&entry, 1) => {
                    tell(Listed::Item(&entry, hash))?;
                }
                _ => return Err(bad()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Way;
    use super::*;

    #[test]
    fn what_is_remembered_of_one_server_is_not_believed_of_another() {
        let name = |user: &str, address: &str| {
            let server = Server {
                address: address.parse().unwrap(),
                user: user.into(),
                way: Way::OpenSsh {
                    key: None,
                    known_hosts: None,
                },
                limit_rate: None,
                interval: None,
            };
            state_name(&server, "0a1b", "1")
        };
        assert_eq!(name("ann", "ssh://nas/laptop"), name("ann", "ssh://nas/laptop"));
        assert_ne!(name("ann", "ssh://nas/laptop"), name("ann", "ssh://old/laptop"));
        assert_ne!(name("ann", "ssh://nas/laptop"), name("bob", "ssh://nas/laptop"));
        assert!(name("ann", "ssh://nas/laptop").starts_with("0a1b-1-"));
    }
}
