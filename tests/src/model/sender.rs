//! Tells a tree to an [`Ingest`] as an agent would: contents first, then what differs.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use yore_store::delta::{Op, Scanner, SignatureBuilder};
use yore_store::{Body, Compression, Error, FRAME, Frame, GROUP, Hash, Ingest, LargeOp, MEDIUM, SMALL, TINY};

use crate::model::random::Random;
use crate::model::tree::{Node, Path, Tree};

/// Why a push ended early.
#[derive(Debug)]
pub enum Halt {
    /// It was told to stop half way.
    Stopped,
    /// The store refused.
    Store(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Halt::Store(error)
    }
}

/// A push under way.
pub struct Sender<'a> {
    /// Where it goes.
    pub ingest: Ingest,
    /// Chance.
    pub random: &'a mut Random,
    /// The newest snapshot of the line.
    pub base: Option<&'a Tree>,
    /// What is to be snapshot.
    pub tree: &'a Tree,
    /// Contents of older snapshots: some large ones are told against those.
    pub others: &'a [Arc<Vec<u8>>],
    /// How frames are encoded.
    pub compression: Compression,
    /// Messages until the push is dropped.
    pub left: Option<usize>,
    /// Hard-linked files that are told again, all of their names.
    pub relinked: HashSet<u64>,
}

impl Sender<'_> {
    /// Tells everything but the commit.
    pub fn send(&mut self) -> Result<(), Halt> {
        self.relinked = self.changed_links();
        self.contents()?;
        let root = Path::new();
        let same = self
            .base
            .is_some_and(|base| base.0[&root].meta == self.tree.0[&root].meta)
            && !self.random.once_in(4);
        self.tick()?;
        self.ingest
            .enter(b"", (!same).then(|| self.tree.0[&root].meta.clone()))?;
        self.folder(&root, self.base.is_some())?;
        Ok(self.ingest.leave()?)
    }

    /// Counts a message.
    fn tick(&mut self) -> Result<(), Halt> {
        match &mut self.left {
            Some(0) => Err(Halt::Stopped),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Linked files of which anything changed, or a name came or (sometimes) went.
    fn changed_links(&mut self) -> HashSet<u64> {
        let all: HashSet<u64> = self.tree.0.values().filter_map(|node| node.link).collect();
        let strict = !self.random.once_in(3);
        let Some(base) = self.base else { return all };
        let is_same = |path: &Path| base.0.get(path) == Some(&self.tree.0[path]);
        let unchanged = |link: u64| {
            let now = self.tree.links(link);
            now.iter().all(|path| is_same(path)) && !(strict && now.len() != base.links(link).len())
        };
        all.into_iter().filter(|link| !unchanged(*link)).collect()
    }

    fn differs(&self, path: &Path) -> bool {
        let node = &self.tree.0[path];
        let relinked = node.link.is_some_and(|link| self.relinked.contains(&link));
        relinked || self.base.and_then(|base| base.0.get(path)) != Some(node)
    }

    fn contents(&mut self) -> Result<(), Halt> {
        let tree = self.tree;
        let there: HashSet<Hash> = self
            .base
            .iter()
            .flat_map(|base| base.0.values())
            .map(|node| Hash::of(&node.bytes))
            .collect();
        let mut there = there;
        self.ingest.kept(&mut |hash| {
            there.insert(hash);
            Ok(())
        })?;
        let mut sent = HashSet::new();
        let mut block: Vec<Arc<Vec<u8>>> = Vec::new();
        for (path, node) in &tree.0 {
            let hash = Hash::of(&node.bytes);
            if node.bytes.is_empty() || !self.differs(path) || !sent.insert(hash) {
                continue;
            }
            // What the newest snapshot has may be named without being sent.
            if there.contains(&hash) && !self.random.once_in(4) {
                continue;
            }
            let size = node.bytes.len() as u64;
            if size > MEDIUM || (size > GROUP && self.random.once_in(8)) {
                self.large(path, node)?;
            } else if size > SMALL || (size > TINY && self.random.once_in(3)) {
                self.medium(node, hash)?;
            } else {
                let full: usize = block.iter().map(|bytes| bytes.len()).sum();
                if full + node.bytes.len() > FRAME as usize || self.random.once_in(6) {
                    self.block(&mut block)?;
                }
                block.push(node.bytes.clone());
            }
        }
        // A file that changed while it was read was sent twice; one that went was sent for nothing.
        if self.random.once_in(6) {
            block.push(Arc::new(self.random.bytes(1000)));
        }
        self.block(&mut block)
    }

    fn block(&mut self, block: &mut Vec<Arc<Vec<u8>>>) -> Result<(), Halt> {
        if block.is_empty() {
            return Ok(());
        }
        self.tick()?;
        let contents: Vec<(Hash, u64)> = block
            .iter()
            .map(|bytes| (Hash::of(bytes), bytes.len() as u64))
            .collect();
        let bytes: Vec<u8> = block.drain(..).flat_map(|bytes| bytes.to_vec()).collect();
        Ok(self
            .ingest
            .contents(&contents, vec![Frame::encode(&bytes, self.compression)])?)
    }

    fn medium(&mut self, node: &Node, hash: Hash) -> Result<(), Halt> {
        self.tick()?;
        let frames = node
            .bytes
            .chunks(GROUP as usize)
            .map(|group| Frame::encode(group, self.compression))
            .collect();
        Ok(self.ingest.contents(&[(hash, node.bytes.len() as u64)], frames)?)
    }

    fn large(&mut self, path: &Path, node: &Node) -> Result<(), Halt> {
        let before = self
            .base
            .and_then(|base| base.0.get(path))
            .map(|node| node.bytes.clone());
        let base = match self.random.below(8) {
            0 => None,
            1 => self.random.pick(self.others).cloned(),
            _ => before,
        };
        let base = base.filter(|base| !base.is_empty());
        self.tick()?;
        self.ingest
            .large_begin(base.as_ref().map(|base| Hash::of(base)), [0; 16])?;
        let mut ops = Ops::new(self.compression);
        ops.tell(base.as_ref().map_or(&[], |base| base), &node.bytes, self.random);
        for op in ops.ops {
            self.tick()?;
            self.ingest.large_op(op)?;
        }
        Ok(self.ingest.large_end(Hash::of(&node.bytes), node.bytes.len() as u64)?)
    }

    /// Tells what differs in a folder that has been entered; `known` if the base has it too.
    fn folder(&mut self, folder: &Path, known: bool) -> Result<(), Halt> {
        let tree = self.tree;
        let base = self.base.filter(|_| known);
        let mut names = tree.children(folder);
        names.extend(base.iter().flat_map(|base| base.children(folder)));
        for name in names {
            let path = [&folder[..], std::slice::from_ref(&name)].concat();
            let old = base.and_then(|base| base.0.get(&path));
            match (tree.0.get(&path), old) {
                (None, _) => {
                    self.tick()?;
                    self.ingest.remove(&name)?;
                }
                (Some(node), old) if node.is_folder() => {
                    let old = old.filter(|old| old.is_folder());
                    if old.is_some() && !self.differs_below(&path) && !self.random.once_in(5) {
                        continue;
                    }
                    let same = old.is_some_and(|old| old.meta == node.meta) && !self.random.once_in(4);
                    self.tick()?;
                    self.ingest.enter(&name, (!same).then(|| node.meta.clone()))?;
                    self.folder(&path, old.is_some())?;
                    self.ingest.leave()?;
                }
                (Some(node), _) => {
                    let again = node.link.is_none() && self.random.once_in(8);
                    if self.differs(&path) || again {
                        self.tick()?;
                        let body = Body {
                            hash: Hash::of(&node.bytes),
                            size: node.bytes.len() as u64,
                        };
                        let body = (node.meta.kind == yore_store::Kind::File).then_some(body);
                        self.ingest.put(&name, node.meta.clone(), body, node.link)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn differs_below(&self, folder: &Path) -> bool {
        let below = |tree: &Tree| -> BTreeMap<Path, Node> {
            tree.0
                .iter()
                .filter(|(path, _)| path.starts_with(folder))
                .map(|(path, node)| (path.clone(), node.clone()))
                .collect()
        };
        let now = below(self.tree);
        now.keys().any(|path| self.differs(path)) || self.base.is_none_or(|base| below(base) != now)
    }
}

/// The pieces of a large content.
struct Ops {
    ops: Vec<LargeOp>,
    /// New bytes that are not a piece yet.
    literal: Vec<u8>,
    /// Bytes in pieces.
    told: u64,
    compression: Compression,
}

impl Ops {
    fn new(compression: Compression) -> Self {
        Ops {
            ops: Vec::new(),
            literal: Vec::new(),
            told: 0,
            compression,
        }
    }

    /// Finds what `new` shares with `base`, aligned groups first.
    fn tell(&mut self, base: &[u8], new: &[u8], random: &mut Random) {
        let group = GROUP as usize;
        let bases: Vec<&[u8]> = base.chunks(group).collect();
        let news: Vec<&[u8]> = new.chunks(group).collect();
        let is_same = |index: usize| bases.get(index) == Some(&news[index]);
        let step = [512usize, 2048][random.below(2)];
        let mut builder = SignatureBuilder::new(step as u32);
        for (index, bytes) in bases
            .iter()
            .enumerate()
            .filter(|(index, _)| *index >= news.len() || !is_same(*index))
        {
            for (block, bytes) in bytes.chunks(step).enumerate() {
                builder.block((index * group + block * step) as u64, bytes);
            }
        }
        let signature = builder.finish();
        let mut index = 0;
        while index < news.len() {
            let stretch = |wanted: &dyn Fn(usize) -> bool| (index..news.len()).take_while(|at| wanted(*at)).count();
            let is_zero = |at: usize| news[at].iter().all(|&byte| byte == 0);
            let (same, zeros) = (stretch(&is_same), stretch(&is_zero));
            if zeros > 0 && (same == 0 || random.once_in(2)) {
                let length = news[index..index + zeros].iter().map(|group| group.len() as u64).sum();
                self.op(LargeOp::Zeros { length }, length);
                index += zeros;
            } else if same > 0 {
                let length = news[index..index + same].iter().map(|group| group.len() as u64).sum();
                self.op(LargeOp::Same { groups: same as u64 }, length);
                index += same;
            } else {
                let changed = stretch(&|at| !is_same(at) && !is_zero(at));
                let mut scanner = Scanner::new(&signature, |op| {
                    match op {
                        Op::Literal(bytes) => self.literal(bytes),
                        Op::Copy { from, len } => self.op(LargeOp::Copy { from, length: len }, len),
                    }
                    Ok(())
                });
                news[index..index + changed]
                    .iter()
                    .try_for_each(|group| scanner.push(group))
                    .expect("nothing fails here");
                scanner.finish().expect("nothing fails here");
                index += changed;
            }
        }
        self.end_literal();
    }

    fn literal(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = (GROUP - (self.told + self.literal.len() as u64) % GROUP) as usize;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.literal.extend_from_slice(now);
            if now.len() == room {
                self.end_literal();
            }
            bytes = later;
        }
    }

    fn end_literal(&mut self) {
        let bytes = std::mem::take(&mut self.literal);
        if !bytes.is_empty() {
            self.told += bytes.len() as u64;
            self.ops.push(LargeOp::Frame(Frame::encode(&bytes, self.compression)));
        }
    }

    fn op(&mut self, op: LargeOp, length: u64) {
        self.end_literal();
        self.told += length;
        self.ops.push(op);
    }
}
