//! What is done to a repository, step by step, and which snapshots must be there after each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::random::Random;
use crate::model::tree::{Flavour, Gardener, Node, Path, Tree};

/// A few files of all sizes: many kills matter more than much data.
const FLAVOUR: Flavour = Flavour {
    of: 8,
    medium: 2,
    large: 0,
    longest: 1 << 20,
    paths: 14,
    changes: 5,
};

/// Two segments, and some bytes: what does not compress is one file, of which a change leaves a part.
const LARGE: usize = (8 << 20) + 70_001;

/// Snapshots that a random script keeps; then some are forgotten.
const MOST_SNAPSHOTS: usize = 9;

/// How many lines there are.
pub const LINES: usize = 2;

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The repository is made.
    Init,
    /// A snapshot of a line is made.
    Push(usize),
    /// A push of a line ends after so many messages, and its process lives on.
    BreakOff(usize, usize),
    /// A push of a line may write nothing.
    Starve(usize),
    /// The snapshots that these steps made are forgotten.
    Forget(BTreeSet<usize>),
    /// What dead pushes left goes.
    Sweep,
    /// Everything is read.
    Verify,
    /// The catalog is copied.
    Copy,
    /// The repository is damaged, so that a repair can make everything good again.
    Spoil(Spoil),
    /// It is repaired.
    Repair,
}

/// What can be damaged without loss, right after a copy of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// A row is not what it was.
    Row,
    /// `yore.toml` is not there.
    Config,
    /// SQLite cannot open the catalog.
    Header,
    /// `yore.toml` was never made; there is no snapshot yet.
    Unmade,
}

/// A step, and what there is after it.
pub struct Scene {
    /// What is done.
    pub step: Step,
    /// What a push sends.
    pub tree: Tree,
    /// The steps whose snapshots are there afterwards.
    pub there: BTreeSet<usize>,
    /// Whether it needs a repair afterwards.
    pub is_spoilt: bool,
}

/// All steps.
pub struct Script {
    /// In their order.
    pub scenes: Vec<Scene>,
}

impl Script {
    /// A script of a seed: one of so many random steps, or one with every kind of step.
    pub fn new(seed: u64, length: Option<usize>) -> Self {
        let mut author = Author::new(seed);
        match length {
            Some(length) => (1..length).for_each(|_| author.anything()),
            None => author.everything(),
        }
        Script { scenes: author.scenes }
    }

    /// The steps whose snapshots are there before a step.
    pub fn before(&self, at: usize) -> BTreeSet<usize> {
        at.checked_sub(1)
            .map(|at| self.scenes[at].there.clone())
            .unwrap_or_default()
    }

    /// Whether a repair is needed before a step.
    pub fn is_spoilt_before(&self, at: usize) -> bool {
        at > 0 && self.scenes[at - 1].is_spoilt
    }
}

struct Author {
    random: Random,
    gardener: Gardener,
    trees: [Tree; LINES],
    /// Contents that the large files had, to come back.
    larges: Vec<Arc<Vec<u8>>>,
    /// Lines of the snapshots that are there, by their steps.
    there: BTreeMap<usize, usize>,
    scenes: Vec<Scene>,
}

impl Author {
    fn new(seed: u64) -> Self {
        let mut author = Author {
            random: Random::new(seed),
            gardener: Gardener::new(FLAVOUR),
            trees: [Tree::default(), Tree::default()],
            larges: Vec::new(),
            there: BTreeMap::new(),
            scenes: Vec::new(),
        };
        for tree in &mut author.trees {
            author.gardener.plant(tree, &mut author.random);
            let large = Arc::new(author.random.noise(LARGE));
            author.larges.push(large.clone());
            tree.put(large_path(), Node::file(large.to_vec()));
        }
        author.write(Step::Init);
        author
    }

    fn write(&mut self, step: Step) {
        let line = match &step {
            Step::Push(line) | Step::BreakOff(line, _) | Step::Starve(line) => *line,
            _ => 0,
        };
        if step == Step::Push(line) {
            self.there.insert(self.scenes.len(), line);
        }
        if let Step::Forget(snapshots) = &step {
            self.there.retain(|at, _| !snapshots.contains(at));
        }
        self.scenes.push(Scene {
            is_spoilt: matches!(step, Step::Spoil(_)),
            tree: self.trees[line].clone(),
            there: self.there.keys().copied().collect(),
            step,
        });
    }

    /// Every kind of step, in an order in which each has something to do.
    fn everything(&mut self) {
        self.write(Step::Spoil(Spoil::Unmade));
        self.write(Step::Init);
        for _ in 0..3 {
            self.edit_large(0);
            self.write(Step::Push(0));
        }
        for line in [1, 1, 0] {
            self.edit_large(line);
            self.push(line);
        }
        self.write(Step::Copy);
        // The second of line 0: the first is a delta against it, and it against the third.
        self.write(Step::Forget(BTreeSet::from([4])));
        self.break_off(0);
        self.write(Step::Push(0));
        self.break_off(1);
        self.starve(1);
        self.break_off(1);
        self.write(Step::Sweep);
        let heavy = self.scenes.len();
        self.heavy(1);
        self.push(1);
        self.write(Step::Copy);
        for forgotten in [middle, newest, half, newest] {
            self.edit_large(0);
            self.push(0);
            self.forget(forgotten, 0);
        }
        self.write(Step::Verify);
        self.write(Step::Forget(BTreeSet::from([heavy])));
        self.push(1);
        self.write(Step::Copy);
        for spoil in [Spoil::Row, Spoil::Config, Spoil::Header] {
            self.write(Step::Spoil(spoil));
            self.write(Step::Repair);
        }
        self.push(0);
        self.write(Step::Copy);
        self.push(1);
    }

    fn anything(&mut self) {
        let line = self.random.below(LINES);
        let kept = self.there.values().filter(|of| **of == line).count();
        match self.random.below(16) {
            _ if kept >= MOST_SNAPSHOTS => self.forget(half, line),
            0..=6 => self.push(line),
            7 => self.write(Step::Push(line)),
            8 | 9 => self.break_off(line),
            10 => self.starve(line),
            11 => self.forget(middle, line),
            12 => self.forget(newest, line),
            13 => self.forget(half, line),
            14 if self.random.once_in(2) => self.write(Step::Sweep),
            14 => self.write(Step::Verify),
            _ => self.write(Step::Copy),
        }
    }

    fn push(&mut self, line: usize) {
        self.change(line);
        self.write(Step::Push(line));
    }

    fn break_off(&mut self, line: usize) {
        self.change(line);
        let after = self.random.within(5..60);
        self.write(Step::BreakOff(line, after));
    }

    fn starve(&mut self, line: usize) {
        self.change(line);
        self.write(Step::Starve(line));
    }

    /// A file with so many attributes that looking for unused ones is worth it, in one snapshot only.
    fn heavy(&mut self, line: usize) {
        let mut node = Node::file(b"heavy".to_vec());
        let mut attribute = |name: u8| ([&b"user."[..], &[name]].concat(), self.random.noise(60_000));
        node.meta.xattrs = (b'a'..=b't').map(&mut attribute).collect();
        let path = vec![b"heavy".to_vec()];
        self.trees[line].put(path.clone(), node);
        self.write(Step::Push(line));
        self.trees[line].remove(&path);
    }

    fn forget(&mut self, which: fn(&mut Random, &[usize]) -> Vec<usize>, line: usize) {
        let of_line = self.there.iter().filter(|(_, of)| **of == line);
        let of_line: Vec<usize> = of_line.map(|(at, _)| *at).collect();
        let chosen = which(&mut self.random, &of_line);
        self.write(Step::Forget(chosen.into_iter().collect()));
    }

    fn change(&mut self, line: usize) {
        self.gardener.work(&mut self.trees[line], &mut self.random);
        // Its bytes take most of the time.
        if self.random.once_in(15) {
            let before = self.random.pick(&self.larges).cloned();
            self.put_large(line, before.expect("two are there from the beginning"));
        } else if self.random.once_in(3) {
            self.edit_large(line);
        }
    }

    fn edit_large(&mut self, line: usize) {
        let old = self.larges.last().expect("two are there from the beginning");
        let bytes = Arc::new(edited(old, &mut self.random));
        self.larges.push(bytes.clone());
        self.put_large(line, bytes);
    }

    fn put_large(&mut self, line: usize, bytes: Arc<Vec<u8>>) {
        let node = Node {
            bytes,
            ..Node::file(Vec::new())
        };
        self.trees[line].put(large_path(), node);
    }
}

/// A content with a few bytes changed, or some more at the front.
fn edited(old: &[u8], random: &mut Random) -> Vec<u8> {
    let (mut bytes, piece) = (old.to_vec(), random.noise(3000));
    if random.once_in(4) {
        bytes.splice(0..0, piece);
    } else {
        let at = random.below(bytes.len() - piece.len());
        bytes[at..at + piece.len()].copy_from_slice(&piece);
    }
    bytes
}

fn large_path() -> Path {
    vec![b"Large".to_vec()]
}

fn middle(random: &mut Random, all: &[usize]) -> Vec<usize> {
    let middle = all.get(1..all.len().saturating_sub(1)).unwrap_or_default();
    random.pick(middle).copied().into_iter().collect()
}

fn newest(_: &mut Random, all: &[usize]) -> Vec<usize> {
    all.last().copied().into_iter().collect()
}

fn half(random: &mut Random, all: &[usize]) -> Vec<usize> {
    all.iter().copied().filter(|_| random.once_in(2)).collect()
}
