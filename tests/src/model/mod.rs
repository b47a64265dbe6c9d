//! The reference model: random histories of a repository, compared with plain trees in memory.
//!
//! ```text
//! line 0  tree ──▶ ● ──▶ ● ──▶ ×       ● snapshot, kept in the model as a whole tree
//! line 1  tree ──▶ ● ──▶ ×     ●       × forgotten
//!                      └─ after every step all ● are read whole, and the catalog is examined
//! ```
//!
//! A history is its seed: the same seed gives the same steps. When one fails, what it did is
//! printed; it then becomes a named regression in `tests/model.rs`.

pub mod check;
pub mod random;
pub mod sender;
mod strict;
pub mod tree;

use std::collections::HashSet;
use std::sync::Arc;

use yore_store::{
    Budget, Compression, Error, Ingest, PushOptions, Repository, Snapshot, SnapshotId, StepClock, Unlimited,
};

pub use check::{Measure, invariants};
use check::{compare, repacked};
use random::Random;
use sender::{Halt, Sender};
use strict::Strict;
use tree::{Flavour, Gardener, Tree};

/// Mostly small files, many of them.
pub const SMALL_FILES: Flavour = Flavour {
    of: 6,
    medium: 1,
    large: 0,
    longest: 1 << 20,
    paths: 36,
    changes: 12,
};
/// Mostly medium files.
pub const MEDIUM_FILES: Flavour = Flavour {
    of: 4,
    medium: 2,
    large: 0,
    longest: 1 << 20,
    paths: 14,
    changes: 5,
};
/// Some files of several segments.
pub const LARGE_FILES: Flavour = Flavour {
    of: 4,
    medium: 1,
    large: 2,
    longest: 6 << 20,
    paths: 6,
    changes: 2,
};

/// Snapshots that are kept at most; then some are forgotten.
const MOST_SNAPSHOTS: usize = 14;

/// What forgetting from the middle may add to the stored bytes: frames are cut anew.
const MARGIN: u64 = 16 << 10;

/// The snapshots of one host and one set of roots.
struct Line {
    host: &'static str,
    roots: Vec<Vec<u8>>,
    tree: Tree,
}

/// A repository with the history that it should have.
pub struct History {
    _folder: tempfile::TempDir,
    repository: Arc<Repository>,
    clock: Arc<StepClock>,
    compression: Compression,
    lines: Vec<Line>,
    model: Vec<(Snapshot, Tree)>,
    gardener: Gardener,
    random: Random,
    log: Log,
    measure: Measure,
    seen: Seen,
}

/// What was done; printed if it ends in a panic.
struct Log(Vec<String>);

impl Drop for Log {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0.join("\n"));
        }
    }
}

/// What histories came by: a run that sees too little of it tests nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Snapshots made.
    pub snapshots: u64,
    /// Reverse deltas that commits made.
    pub deltas: u64,
    /// The longest chain.
    pub deepest: usize,
    /// Deltas whose base was forgotten from under them, and that live on with another.
    pub rebased: u64,
    /// Deltas that forgetting made whole.
    pub made_whole: u64,
    /// Commits that were refused because of what happened meanwhile.
    pub busy: u64,
}

/// Goes through the histories of some seeds.
pub fn histories(flavour: Flavour, seeds: std::ops::Range<u64>, steps: usize) -> Seen {
    seeds
        .map(|seed| History::new(flavour, seed).run(steps))
        .fold(Seen::default(), |a, b| Seen {
            snapshots: a.snapshots + b.snapshots,
            deltas: a.deltas + b.deltas,
            deepest: a.deepest.max(b.deepest),
            rebased: a.rebased + b.rebased,
            made_whole: a.made_whole + b.made_whole,
            busy: a.busy + b.busy,
        })
}

impl History {
    /// An empty repository.
    pub fn new(flavour: Flavour, seed: u64) -> Self {
        let mut random = Random::new(seed);
        // Nothing here is to outlive a crash, and fsync costs most of the time elsewhere.
        let memory = std::path::Path::new("/dev/shm");
        let place = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let folder = tempfile::Builder::new()
            .prefix("yore-model-")
            .tempdir_in(place)
            .expect("a temporary folder");
        let compression = if random.once_in(4) {
            Compression::Off
        } else {
            Compression::Zstd(1)
        };
        drop(Repository::init(&folder.path().join("r"), compression).expect("a repository"));
        let clock = Arc::new(StepClock::new(1_700_000_000));
        let repository = Repository::open_with_clock(&folder.path().join("r"), clock.clone()).expect("a repository");
        let mut gardener = Gardener::new(flavour);
        let mut tree = Tree::default();
        gardener.plant(&mut tree, &mut random);
        let lines = [
            ("ann", vec![&b"/home"[..]]),
            ("ann", vec![b"/etc", b"/srv\n\xff"]),
            ("bob", vec![b"/home"]),
        ];
        let lines = lines.map(|(host, roots)| {
            // Some begin with what another line has, some with their own.
            if random.once_in(2) {
                tree = Tree::default();
                gardener.plant(&mut tree, &mut random);
            }
            Line {
                host,
                roots: roots.into_iter().map(<[u8]>::to_vec).collect(),
                tree: tree.clone(),
            }
        });
        History {
            _folder: folder,
            repository: Arc::new(repository),
            clock,
            compression,
            lines: lines.into_iter().collect(),
            model: Vec::new(),
            gardener,
            random,
            log: Log(vec![format!("seed {seed}, {flavour:?}, {compression:?}")]),
            measure: Measure::default(),
            seen: Seen::default(),
        }
    }

    /// Goes this many steps, comparing after each; gives what there was on the way.
    pub fn run(mut self, steps: usize) -> Seen {
        for _ in 0..steps {
            self.step();
            self.check();
            self.seen.deepest = self
                .seen
                .deepest
                .max(self.measure.chains.values().copied().max().unwrap_or(0));
        }
        self.seen
    }

    fn say(&mut self, what: String) {
        self.log.0.push(format!("{:3} {what}", self.log.0.len()));
    }

    fn check(&mut self) {
        compare(&self.repository, &self.model, &mut self.random);
        self.measure = invariants(&self.repository);
        // What is read the second time may come from another place.
        if self.random.once_in(8) {
            self.reopen();
            compare(&self.repository, &self.model, &mut self.random);
        }
    }

    fn step(&mut self) {
        // Mostly the first, so that its chains grow.
        let line = if self.random.once_in(2) {
            0
        } else {
            self.random.below(self.lines.len())
        };
        match self.random.below(16) {
            _ if self.model.len() >= MOST_SNAPSHOTS => self.forget(),
            0..=9 => self.snapshot(line),
            10 => self.abort(line),
            11 | 12 => self.two_at_once(line),
            _ => self.forget(),
        }
    }

    fn reopen(&mut self) {
        let path = self.repository.path().to_owned();
        self.repository =
            Arc::new(Repository::open_with_clock(&path, self.clock.clone()).expect("the repository again"));
    }

    fn begin(&self, line: usize, budget: Box<dyn Budget>) -> Result<Ingest, Error> {
        let Line { host, roots, .. } = &self.lines[line];
        let options = PushOptions {
            host: (*host).into(),
            roots: roots.clone(),
            tags: vec!["model".into()],
            made: None,
        };
        Ingest::begin(&self.repository, options, budget)
    }

    /// The number of the newest snapshot of a line in the model.
    fn newest(&self, line: usize) -> Option<usize> {
        self.of_line(line).max_by_key(|at| self.model[*at].0.id)
    }

    fn of_line(&self, line: usize) -> impl Iterator<Item = usize> {
        let Line { host, roots, .. } = &self.lines[line];
        self.model
            .iter()
            .enumerate()
            .filter(move |(_, (s, _))| (&s.host[..], &s.roots) == (*host, roots))
            .map(|(at, _)| at)
    }

    /// Sends a line's tree, and nothing else. The ingest comes back to be committed or dropped.
    fn send(&mut self, line: usize, ingest: Ingest, left: Option<usize>) -> (Ingest, Result<(), Halt>) {
        let newest = self.newest(line);
        let others: Vec<_> = self
            .model
            .iter()
            .flat_map(|(_, tree)| tree.0.values())
            .map(|node| node.bytes.clone())
            .collect();
        let mut sender = Sender {
            ingest,
            random: &mut self.random,
            base: newest.map(|at| &self.model[at].1),
            tree: &self.lines[line].tree,
            others: &others,
            compression: self.compression,
            left,
            relinked: HashSet::new(),
        };
        let result = sender.send();
        (sender.ingest, result)
    }

    fn commit(&mut self, line: usize, ingest: Ingest) -> Result<(), Error> {
        // The clock may go back, and names may fall in one second.
        if self.random.once_in(6) {
            self.clock.advance(-2);
        }
        let committed = ingest.commit(0)?;
        self.say(format!(
            "line {line}: {} with {} deltas",
            committed.snapshot.name, committed.deltas
        ));
        self.seen.snapshots += 1;
        self.seen.deltas += committed.deltas;
        self.model.push((committed.snapshot, self.lines[line].tree.clone()));
        Ok(())
    }

    fn change(&mut self, line: usize) {
        let mut tree = std::mem::take(&mut self.lines[line].tree);
        self.gardener.work(&mut tree, &mut self.random);
        self.lines[line].tree = tree;
    }

    fn snapshot(&mut self, line: usize) {
        self.change(line);
        let ingest = self.begin(line, Box::new(Unlimited)).expect("a push");
        let (ingest, sent) = self.send(line, ingest, None);
        sent.expect("a push is taken");
        self.commit(line, ingest).expect("a commit");
    }

    /// A push that is dropped half way, or runs out of its budget.
    fn abort(&mut self, line: usize) {
        self.change(line);
        let limit = self.random.below(200 << 10) as u64;
        let (budget, left): (Box<dyn Budget>, _) = match self.random.once_in(2) {
            true => (Box::new(Strict::new(self.repository.path(), limit)), None),
            false => (Box::new(Unlimited), Some(self.random.below(30))),
        };
        self.say(format!(
            "line {line}: a push of at most {left:?} messages or {limit} bytes"
        ));
        let ingest = self.begin(line, budget).expect("a push");
        match self.send(line, ingest, left) {
            (ingest, Ok(())) if left.is_none() => match self.commit(line, ingest) {
                Ok(()) | Err(Error::OverBudget { .. }) => {}
                Err(error) => panic!("a commit over its budget: {error}"),
            },
            (_, Ok(()) | Err(Halt::Stopped | Halt::Store(Error::OverBudget { .. }))) => {}
            (_, Err(error)) => panic!("{error:?}"),
        }
        // What it sent waits for the next one, or is swept for room.
        if self.random.once_in(2) {
            self.snapshot(line);
        }
    }

    /// While a push waits for its commit, something else happens.
    fn two_at_once(&mut self, line: usize) {
        self.change(line);
        let ingest = self.begin(line, Box::new(Unlimited)).expect("a push");
        let again = self.begin(line, Box::new(Unlimited));
        assert!(matches!(again, Err(Error::Busy(_))), "two pushes of one line");
        drop(again);
        let (ingest, sent) = self.send(line, ingest, None);
        sent.expect("a push is taken");
        self.say(format!("line {line}: sent, and before its commit:"));
        let newest = self.newest(line).map(|at| self.model[at].0.id);
        match newest {
            Some(newest) if self.random.once_in(4) => {
                let result = self.repository.forget(&[newest]);
                assert!(
                    matches!(result, Err(Error::Busy(_))),
                    "the base of a push is forgotten: {result:?}"
                );
            }
            _ if self.random.once_in(2) => {
                let others: Vec<_> = self
                    .model
                    .iter()
                    .map(|(s, _)| s.id)
                    .filter(|id| Some(*id) != newest)
                    .collect();
                let chosen: Vec<_> = others.into_iter().filter(|_| self.random.once_in(2)).collect();
                self.forget_these(&chosen);
            }
            _ => self.snapshot((line + 1) % self.lines.len()),
        }
        compare(&self.repository, &self.model, &mut self.random);
        match self.commit(line, ingest) {
            Ok(()) => {}
            Err(Error::Busy(why)) => {
                self.seen.busy += 1;
                self.say(format!("line {line}: {why}"));
            }
            Err(error) => panic!("a commit: {error}"),
        }
    }

    fn forget(&mut self) {
        self.measure = invariants(&self.repository);
        let ids: Vec<SnapshotId> = self.model.iter().map(|(snapshot, _)| snapshot.id).collect();
        let lines = (0..self.lines.len())
            .filter(|line| self.newest(*line).is_some())
            .collect::<Vec<_>>();
        let favoured = if self.random.once_in(2) {
            &lines[..]
        } else {
            &lines[..lines.len().min(1)]
        };
        let Some(line) = self.random.pick(favoured).copied() else {
            return;
        };
        let of_line: Vec<SnapshotId> = self.of_line(line).map(|at| ids[at]).collect();
        let middle = of_line.get(1..of_line.len().saturating_sub(1)).unwrap_or_default();
        let chosen: Vec<SnapshotId> = match self.random.below(12) {
            0..=2 => self.random.pick(middle).copied().into_iter().collect(),
            3 => middle.to_vec(),
            4 => of_line.first().copied().into_iter().collect(),
            5..=7 => of_line.last().copied().into_iter().collect(),
            8 => of_line[of_line.len() / 2..].to_vec(),
            9 if self.random.once_in(2) => of_line.clone(),
            _ => ids.iter().copied().filter(|_| self.random.once_in(3)).collect(),
        };
        let before = self.measure.clone();
        self.forget_these(&chosen);
        let after = invariants(&self.repository);
        repacked(&self.repository);
        let (mut made_whole, mut rebased, mut rebased_bytes) = (0, 0, 0);
        for (content, length) in &after.chains {
            let earlier = before
                .chains
                .get(content)
                .unwrap_or_else(|| panic!("forgetting made content {content}"));
            assert!(
                length <= earlier,
                "the chain of content {content} went from {earlier} to {length}"
            );
            made_whole += u64::from(*length == 0 && *earlier > 0);
            if *length > 0 && length < earlier {
                rebased += 1;
                rebased_bytes += after.sizes[content];
            }
        }
        self.seen.made_whole += made_whole;
        self.seen.rebased += rebased;
        // A content that is whole now may take more than the one that it was told against; and
        // bytes of the base that a rebased delta has twice, or two of them have, are copied twice.
        if made_whole == 0 {
            let (before, after) = (before.stored, after.stored);
            assert!(
                after <= before + MARGIN + rebased_bytes,
                "forgetting took {before} to {after} bytes"
            );
        }
    }

    fn forget_these(&mut self, chosen: &[SnapshotId]) {
        let chosen_names: Vec<_> = self
            .model
            .iter()
            .filter(|(s, _)| chosen.contains(&s.id))
            .map(|(s, _)| s.name.clone())
            .collect();
        self.say(format!("forget {chosen_names:?}"));
        let forgotten = self.repository.forget(chosen).expect("forgetting");
        assert_eq!(forgotten.snapshots, chosen.len() as u64, "snapshots forgotten");
        self.model.retain(|(snapshot, _)| !chosen.contains(&snapshot.id));
    }
}
