//! A history on a disk that loses power again and again, against what was said to be committed.
//!
//! ```text
//!   work ── cut ──▶ power on ─┬─────────────────▶ read, verify ──▶ push ──▶ sweep, look for strays ──▶ work …
//!    ▲  │                     └▶ sweep ── cut ──▶ power on ┘
//!    └──┘ the worker dies, the disk does not
//! ```
//!
//! What a worker was at when the power went may be done or not, and nothing in between; all that it had said before is
//! there. The files that are pushed lie elsewhere and lose nothing; what the agent remembers of them lies on the disk in
//! one of two histories, and elsewhere in the other: a machine and its disk do not always fail together.

mod filled;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub use self::filled::Filled;
use super::PowerDisk;
use super::conductor::{Answer, Conductor};
use super::source::{Manifest, Source};
use crate::model::random::Random;

/// Orders that a worker gets before the power is cut anyway.
const ORDERS: usize = 8;

/// What the clock goes on by from one worker to the next: the catalog is copied once a day.
const NIGHT: i64 = 2 * 24 * 60 * 60;

/// What a snapshot has: its line, and its files.
type Told = (String, Manifest);

/// What the power's going left open.
enum Doubt {
    Nothing,
    Push(Told),
    Forget(Vec<i64>),
}

/// What histories came across. Without these, they would pass whatever the store did.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Cuts, by what the worker was at.
    pub cuts: BTreeMap<String, u64>,
    /// Operations of the disk.
    pub operations: u64,
    /// Snapshots that were said to be committed.
    pub committed: u64,
    /// Workers that died by themselves.
    pub died: u64,
    /// Pushes that had committed when they were cut, but not said so.
    pub unsaid: u64,
}

/// A history, its disk, and the model of both.
pub struct PowerHistory {
    random: Random,
    folder: TempDir,
    program: PathBuf,
    disk: PowerDisk,
    cache: PathBuf,
    sources: BTreeMap<String, Source>,
    /// Snapshots that must be there, by number.
    kept: BTreeMap<i64, Told>,
    doubt: Doubt,
    is_made: bool,
    workers: i64,
    seen: Seen,
}

impl Seen {
    /// Adds what another history saw.
    pub fn add(&mut self, other: &Seen) {
        for (order, cuts) in &other.cuts {
            *self.cuts.entry(order.clone()).or_default() += cuts;
        }
        self.operations += other.operations;
        self.committed += other.committed;
        self.died += other.died;
        self.unsaid += other.unsaid;
    }
}

impl PowerHistory {
    /// Lives through so many cuts; `program` is the worker.
    ///
    /// # Panics
    /// If anything was lost that was committed, or is not as it was, or is in the way afterwards.
    pub fn live(seed: u64, cuts: usize, program: &Path) -> Seen {
        let mut history = PowerHistory::begin(seed, program);
        for cut in 0..cuts {
            println!("seed {seed}, cut {cut}:");
            if history.is_made && history.random.once_in(3) {
                history.lose_a_worker();
            }
            history.work_until_cut();
            history.recover();
        }
        history.seen.operations = history.disk.operations();
        history.seen
    }

    fn begin(seed: u64, program: &Path) -> Self {
        let mut random = Random::new(seed);
        let folder = tempfile::Builder::new()
            .prefix("yore-power-")
            .tempdir()
            .expect("a folder");
        let mountpoint = folder.path().join("disk");
        std::fs::create_dir(&mountpoint).expect("a mountpoint");
        let lines = &["one", "two"][..random.within(1..3)];
        let source = |line: &&str| {
            (
                (*line).to_owned(),
                Source::plant(&folder.path().join("sources").join(line), &mut random),
            )
        };
        PowerHistory {
            sources: lines.iter().map(source).collect(),
            cache: if random.once_in(2) { &mountpoint } else { folder.path() }.join("cache"),
            disk: PowerDisk::new(&mountpoint),
            program: program.to_owned(),
            kept: BTreeMap::new(),
            doubt: Doubt::Nothing,
            is_made: false,
            workers: 0,
            seen: Seen::default(),
            folder,
            random,
        }
    }

    fn worker(&mut self) -> Conductor {
        self.workers += 1;
        let repository = self.folder.path().join("disk/repository");
        let sources = self.folder.path().join("sources");
        let seconds = 1_700_000_000 + self.workers * NIGHT;
        Conductor::start(&self.program, &repository, &sources, &self.cache, seconds)
    }

    /// A worker that the power fails: mostly it dies with it, but at times it lives on and only sees errors.
    fn doomed_worker(&mut self, within: usize) -> Conductor {
        let worker = self.worker();
        let kill = worker.killer();
        let dies = !self.random.once_in(4);
        let after = self.random.within(1..within) as u64;
        self.disk.cut_after(after, move || {
            if dies {
                kill();
            }
        });
        worker
    }

    fn work_until_cut(&mut self) {
        let within = [20, 100, 400][self.random.below(3)];
        let mut worker = self.doomed_worker(within);
        let mut last = "nothing".to_owned();
        for _ in 0..ORDERS {
            if self.disk.is_dead() {
                break;
            }
            let order = self.next_order();
            last = order.split(' ').next().expect("split gives one").to_owned();
            self.work(&mut worker, &order);
        }
        self.cut(worker, &last);
    }

    /// A worker dies in the midst of a push, and the next one goes on on the same disk, where names may be seen that
    /// no fsync has made durable.
    fn lose_a_worker(&mut self) {
        println!("  a worker dies");
        let lines: Vec<String> = self.sources.keys().cloned().collect();
        let line = self.random.pick(&lines).expect("there is one").clone();
        self.sources.get_mut(&line).expect("of its name").grow(&mut self.random);
        let mut worker = self.worker();
        self.disk.call_after(self.random.within(1..80) as u64, worker.killer());
        let order = self.push_of(&line);
        match worker.order(&order) {
            Answer::Done(found) => self.believe(&found),
            Answer::Failed(why) => panic!("{order}: {why}"),
            Answer::Silence => self.seen.died += 1,
        }
        self.disk.be_quiet();
        drop(worker);
        let mut next = self.worker();
        self.settle(&mut next);
        let order = self.push_of(&line);
        self.work(&mut next, &order);
    }

    fn cut(&mut self, worker: Conductor, order: &str) {
        let order = if self.disk.is_dead() { order } else { "nothing" };
        println!("  cut at operation {}, while at {order}", self.disk.operations());
        *self.seen.cuts.entry(order.to_owned()).or_default() += 1;
        self.disk.cut();
        drop(worker);
        self.disk.power_on(&mut self.random);
    }

    fn next_order(&mut self) -> String {
        if !self.is_made {
            return "init".into();
        }
        match self.random.below(14) {
            0..=3 if !self.kept.is_empty() => self.forget(),
            4 | 5 => "copy".into(),
            6 | 7 => "sweep".into(),
            _ => self.push(),
        }
    }

    /// Some of the snapshots, from anywhere, at times the newest too.
    fn forget(&mut self) -> String {
        let kept: Vec<i64> = self.kept.keys().copied().collect();
        let mut goes: Vec<i64> = kept.iter().copied().filter(|_| self.random.once_in(3)).collect();
        if goes.is_empty() || self.random.once_in(4) {
            goes.extend(kept.last().filter(|last| !goes.contains(last)));
        }
        let words: Vec<String> = goes.iter().map(i64::to_string).collect();
        self.doubt = Doubt::Forget(goes);
        format!("forget {}", words.join(" "))
    }

    fn push(&mut self) -> String {
        let lines: Vec<String> = self.sources.keys().cloned().collect();
        let line = self.random.pick(&lines).expect("there is one").clone();
        let source = self.sources.get_mut(&line).expect("of its name");
        source.work(&mut self.random);
        self.push_of(&line)
    }

    fn push_of(&mut self, line: &str) -> String {
        self.doubt = Doubt::Push((line.to_owned(), self.sources[line].manifest()));
        format!("push {line}")
    }

    /// Gives an order. Whatever is done is certain; only the power's going may keep it from being done.
    fn work(&mut self, worker: &mut Conductor, order: &str) {
        println!("  {order}");
        match worker.order(order) {
            Answer::Done(found) => self.believe(&found),
            Answer::Failed(why) => assert!(self.disk.is_dead(), "{order}: {why}"),
            Answer::Silence => assert!(self.disk.is_dead(), "{order}: the worker died by itself"),
        }
    }

    fn believe(&mut self, found: &[String]) {
        match std::mem::replace(&mut self.doubt, Doubt::Nothing) {
            Doubt::Push(told) => {
                self.kept.insert(found[0].parse().expect("a number"), told);
                self.seen.committed += 1;
            }
            Doubt::Forget(gone) => self.kept.retain(|number, _| !gone.contains(number)),
            Doubt::Nothing => self.is_made = true,
        }
    }

    fn recover(&mut self) {
        if self.is_made && self.random.once_in(3) {
            self.cut_again();
        }
        let mut worker = self.worker();
        if !self.is_made {
            self.demand(&mut worker, "init");
            self.is_made = true;
        }
        self.settle(&mut worker);
        self.is_clean(&mut worker);
        self.push_again(&mut worker);
        self.demand(&mut worker, "sweep");
        let strays = self.demand(&mut worker, "strays");
        assert_eq!(
            strays,
            Vec::<String>::new(),
            "what no row names, or is broken, after a sweep"
        );
        self.settle(&mut worker);
        if self.random.once_in(2) {
            worker.finish();
        }
    }

    /// The power goes while the last cut is being recovered from.
    fn cut_again(&mut self) {
        let mut worker = self.doomed_worker(40);
        for order in ["sweep", "copy"] {
            if !self.disk.is_dead() {
                // Nothing that is in doubt is decided by these.
                let doubt = std::mem::replace(&mut self.doubt, Doubt::Nothing);
                self.work(&mut worker, order);
                self.doubt = doubt;
            }
        }
        self.cut(worker, "recovery");
    }

    /// Gives an order that must be done.
    fn demand(&mut self, worker: &mut Conductor, order: &str) -> Vec<String> {
        println!("  {order}");
        match worker.order(order) {
            Answer::Done(found) => found,
            Answer::Failed(why) => panic!("{order}: {why}"),
            Answer::Silence => panic!("{order}: the worker died"),
        }
    }

    fn is_clean(&mut self, worker: &mut Conductor) {
        let damages = self.demand(worker, "verify");
        assert_eq!(damages, Vec::<String>::new(), "what verify --read-data says");
    }

    /// The next push of the line that was cut, at times of the very same files: it goes on where that one was.
    fn push_again(&mut self, worker: &mut Conductor) {
        let lines: Vec<String> = self.sources.keys().cloned().collect();
        for line in lines {
            let source = self.sources.get_mut(&line).expect("of its name");
            if self.random.once_in(2) {
                source.work(&mut self.random);
            }
            let order = self.push_of(&line);
            let found = self.demand(worker, &order);
            self.believe(&found);
        }
    }

    /// Reads everything, and finds out what became of what was in doubt.
    fn settle(&mut self, worker: &mut Conductor) {
        let mut found = snapshots(&self.demand(worker, "read"));
        match std::mem::replace(&mut self.doubt, Doubt::Nothing) {
            Doubt::Push(told) => {
                let new = found.iter().find(|(number, _)| !self.kept.contains_key(number));
                if let Some((number, told_now)) = new {
                    assert_eq!(*told_now, told, "snapshot {number}, whose push was cut");
                    self.kept.insert(*number, told);
                    self.seen.unsaid += 1;
                }
            }
            Doubt::Forget(goes) => {
                let is_done = goes.iter().all(|number| !found.contains_key(number));
                self.kept.retain(|number, _| !is_done || !goes.contains(number));
            }
            Doubt::Nothing => {}
        }
        for (number, told) in &self.kept {
            let there = found
                .remove(number)
                .unwrap_or_else(|| panic!("snapshot {number} was committed and is gone"));
            assert_eq!(there, *told, "snapshot {number}");
        }
        assert!(found.is_empty(), "nobody committed these: {:?}", found.keys());
    }
}

/// What a worker read.
fn snapshots(lines: &[String]) -> BTreeMap<i64, Told> {
    let mut all: BTreeMap<i64, Told> = BTreeMap::new();
    let mut number = 0;
    for line in lines {
        if let Some((id, of)) = line.strip_prefix("snapshot ").and_then(|rest| rest.split_once(' ')) {
            number = id.parse().expect("a number");
            all.insert(number, (of.to_owned(), Manifest::new()));
        } else {
            let (path, is) = line.split_once(' ').expect("two words");
            all.get_mut(&number)
                .expect("after its snapshot")
                .1
                .insert(path.to_owned(), is.to_owned());
        }
    }
    all
}
