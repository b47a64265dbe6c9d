//! Plays the steps of a script.

use std::collections::{BTreeMap, HashSet};
use std::path::Path as FilePath;
use std::sync::Arc;

use rusqlite::Connection;
use yore_store::{Budget, Compression, Error, Ingest, Limit, PushOptions, Repository, Snapshot, StepClock, Unlimited};

use crate::killed::script::{Script, Spoil, Step};
use crate::model::random::Random;
use crate::model::sender::{Halt, Sender};
use crate::model::tree::Tree;

/// Seconds from step to step: two are a day, after which the catalog is copied again.
const PACE: i64 = 12 * 60 * 60;

/// Opens the repository at the time of a step.
///
/// # Errors
/// What the store says.
pub fn open(path: &FilePath, at: usize) -> yore_store::Result<Arc<Repository>> {
    let clock = StepClock::new(1_700_000_000 + at as i64 * PACE);
    Ok(Arc::new(Repository::open_with_clock(path, Arc::new(clock))?))
}

/// The snapshots that there are, by the steps that made them.
///
/// # Panics
/// If one was made by none.
pub fn by_step(repository: &Repository) -> BTreeMap<usize, Snapshot> {
    let snapshots = repository.snapshots().expect("a list of snapshots");
    let step = |snapshot: &Snapshot| snapshot.tags[0].parse().expect("the number of a step");
    snapshots
        .into_iter()
        .map(|snapshot| (step(&snapshot), snapshot))
        .collect()
}

/// Plays a step, or what is left of it to do; gives the snapshot, if it made one.
///
/// # Panics
/// If anything goes wrong.
pub fn play(script: &Script, path: &FilePath, at: usize) -> Option<Snapshot> {
    match &script.scenes[at].step {
        Step::Init => init(path),
        Step::Spoil(spoil) => damage(path, *spoil),
        Step::Repair => repair(path),
        step => return Stage::new(script, path, at).play(step),
    }
    None
}

fn init(path: &FilePath) {
    match Repository::init(path, Compression::Zstd(1)) {
        Ok(_) => {}
        // Made already, before whoever made it was killed.
        Err(Error::NotEmpty(_)) => drop(Repository::open(path).expect("a repository")),
        Err(error) => panic!("{error}"),
    }
}

fn damage(path: &FilePath, spoil: Spoil) {
    let catalog = path.join("catalog.sqlite3");
    match spoil {
        Spoil::Row => {
            let rows = Connection::open(&catalog).expect("the catalog");
            let changed = "UPDATE entries SET size = size + 1 WHERE id = (SELECT min(id) FROM entries)";
            rows.execute(changed, []).expect("an entry");
        }
        Spoil::Config | Spoil::Unmade => std::fs::remove_file(path.join("yore.toml")).expect("it is there"),
        Spoil::Header => {
            let mut bytes = std::fs::read(&catalog).expect("the catalog");
            bytes[..4096].fill(0);
            std::fs::write(&catalog, bytes).expect("the catalog");
        }
    }
}

fn repair(path: &FilePath) {
    let repaired = Repository::repair(path, false, &mut |_, _| Ok(())).expect("a repair");
    assert!(repaired.damages.is_empty(), "{repaired:?}");
}

/// A repository at the time of a step.
struct Stage<'a> {
    script: &'a Script,
    at: usize,
    repository: Arc<Repository>,
}

impl<'a> Stage<'a> {
    fn new(script: &'a Script, path: &FilePath, at: usize) -> Self {
        let repository = open(path, at).expect("a repository");
        Stage { script, at, repository }
    }

    fn play(&self, step: &Step) -> Option<Snapshot> {
        match step {
            Step::Push(line) => return Some(self.push(*line)),
            Step::BreakOff(line, after) => self.break_off(*line, *after),
            Step::Starve(line) => self.starve(*line),
            Step::Forget(steps) => {
                let there = by_step(&self.repository);
                let ids: Vec<_> = steps.iter().filter_map(|at| there.get(at)).map(|s| s.id).collect();
                self.repository.forget(&ids).expect("forgetting");
            }
            Step::Sweep => drop(self.repository.sweep_all().expect("a sweep")),
            Step::Verify => verify(&self.repository),
            Step::Copy => drop(self.repository.copy_catalog().expect("a copy")),
            Step::Init | Step::Spoil(_) | Step::Repair => unreachable!("these need no repository"),
        }
        None
    }

    fn push(&self, line: usize) -> Snapshot {
        if let Some(snapshot) = by_step(&self.repository).remove(&self.at) {
            return snapshot;
        }
        let (ingest, sent) = self.send(self.begin(line, Box::new(Unlimited)), None);
        sent.expect("a push is taken");
        ingest.commit(0).expect("a commit").snapshot
    }

    fn break_off(&self, line: usize, after: usize) {
        match self.send(self.begin(line, Box::new(Unlimited)), Some(after)).1 {
            Ok(()) | Err(Halt::Stopped) => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Whatever an earlier push left is swept, because room is wanted.
    fn starve(&self, line: usize) {
        let limit = Limit { limit: 500, used: 0 };
        let (ingest, sent) = self.send(self.begin(line, Box::new(limit)), Some(1000));
        let error = match sent {
            Err(Halt::Store(error)) => error,
            // All that it wanted to send was kept of an earlier one; another thing would not have fitted.
            _ => Error::OverBudget {
                used: 500,
                limit: 500,
                needed: 1,
            },
        };
        let error = ingest.fail(error);
        let wants_room = matches!(error, Error::OverBudget { .. } | Error::Again(_));
        assert!(wants_room, "{error:?}");
    }

    fn begin(&self, line: usize, budget: Box<dyn Budget>) -> Ingest {
        let options = PushOptions {
            host: ["ann", "bob"][line].into(),
            roots: vec![b"/home".to_vec()],
            tags: vec![self.at.to_string()],
            made: None,
        };
        Ingest::begin(&self.repository, options, budget).expect("a push")
    }

    fn send(&self, ingest: Ingest, left: Option<usize>) -> (Ingest, Result<(), Halt>) {
        let step = |snapshot: &Snapshot| snapshot.tags[0].parse::<usize>().expect("the number of a step");
        let tree = |at: usize| -> &Tree { &self.script.scenes[at].tree };
        let there = by_step(&self.repository).into_keys();
        let nodes = there.flat_map(|at| tree(at).0.values());
        let others: Vec<_> = nodes.map(|node| node.bytes.clone()).collect();
        let mut sender = Sender {
            base: ingest.base().map(|base| tree(step(base))),
            ingest,
            random: &mut Random::new(self.at as u64),
            tree: tree(self.at),
            others: &others,
            compression: Compression::Zstd(1),
            left,
            relinked: HashSet::new(),
        };
        let sent = sender.send();
        (sender.ingest, sent)
    }
}

/// Reads everything.
///
/// # Panics
/// If anything is damaged.
pub fn verify(repository: &Arc<Repository>) {
    let verified = repository.verify(true, &mut |_, _| Ok(())).expect("a verification");
    assert!(verified.damages.is_empty(), "{:?}", verified.damages);
}
