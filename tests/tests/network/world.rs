//! A machine whose way to its server is bad, and all that its snapshots have to be.
//!
//! Each state of its tree is kept as a [`Shape`]. Snapshots have to be states, in the order in which these were, and the
//! newest one has to be the last state once a push has said that it is done.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::Signal;
use yore_tests::daemon::Daemon;
use yore_tests::machine::Machine;
use yore_tests::model::random::Random;
use yore_tests::proxy::{Fate, Fault, Proxy};
use yore_tests::{SOON, differences, until, until_still};

use crate::plan::{self, Reach};
use crate::source::{Reader, Shape, Source, difference};

/// How long a push may take, whatever it meets: less than what TCP or SSH take to find out that nobody is there.
const HUNG: Duration = Duration::from_secs(150);

/// What each connection of a push may send beside what changed, in bytes: a content of up to 1 MiB that had not arrived
/// whole, what was on the way, a login, names.
const A_CONNECTION: u64 = 1_677_722; // 1.6 MiB

/// Pushes that may be refused in a row because the one before them is not seen to have ended.
const MOST_BUSY: usize = 5;

/// What is counted.
#[derive(Debug, Default)]
pub struct Tally {
    /// Faults met, by what they are called.
    pub faults: BTreeMap<&'static str, usize>,
    /// Pushes, and attempts that they took.
    pub pushes: usize,
    attempts: usize,
    /// Pushes of one process that met faults and got through, and those that had to be begun again.
    by_themselves: usize,
    repeated: usize,
    /// Times that a snapshot was compared with its state.
    compared: usize,
    /// Snapshots whose agent did not hear that they were made.
    unheard: usize,
    /// Bytes that had changed, that were sent, and the most that a connection added.
    changed: u64,
    sent: u64,
    most_again: u64,
}

/// A machine, its server, and the network between them.
pub struct World {
    daemon: Daemon,
    proxy: Proxy,
    laptop: Machine,
    source: Source,
    states: Vec<Shape>,
    /// The snapshots that there are, and the states that they are of.
    known: Vec<(String, usize)>,
    /// Faults of the proxy that were seen to.
    seen_to: usize,
    /// Threads and descriptors of the server at rest.
    at_rest: [usize; 2],
    reach: Reach,
    /// What has happened.
    pub tally: Tally,
}

/// What an attempt of a push came to.
struct Ended {
    is_done: bool,
    said: String,
}

impl World {
    /// A first snapshot, by a network that is in order.
    pub fn new(random: &mut Random) -> Self {
        let daemon = Daemon::configured("stale_after = \"1s\"\nlogin_timeout = \"10s\"\n");
        daemon.add("ann", &[]);
        let proxy = Proxy::to(daemon.port);
        let laptop = daemon.linked_by(proxy.port, "ann", "laptop");
        let source = Source::plant(&laptop.source(), random);
        let mut world = World {
            states: vec![source.shape()],
            daemon,
            proxy,
            laptop,
            source,
            known: Vec::new(),
            seen_to: 0,
            at_rest: [0; 2],
            reach: Reach { up: 0, down: 0 },
            tally: Tally::default(),
        };
        world.laptop.snapshotted();
        world.settle(false);
        world.compare_new(1);
        world.at_rest = world.held_by_the_server();
        world
    }

    /// Changes the tree and pushes it by a bad network, until that has worked.
    pub fn push(&mut self, random: &mut Random) {
        let mut changed = self.change(random);
        let faults = plan::faults(self.reach, random);
        eprintln!("push {}: {changed} bytes changed; {faults:?}", self.tally.pushes);
        faults.into_iter().for_each(|fault| self.proxy.plan(fault));
        let (before, down) = (self.proxy.up(), self.proxy.down());
        let (accepted, met) = (self.proxy.accepted(), self.seen_to);
        let goes_on = random.once_in(3);
        let (mut attempts, mut busy) = (0, 0);
        loop {
            let ended = self.attempt(goes_on, random);
            attempts += 1;
            if ended.is_done {
                break;
            }
            eprintln!("  {}", ended.said.trim_end());
            assert!(!goes_on, "a push that goes on by itself gave up: {}", ended.said);
            busy = if ended.said.contains("another push") {
                busy + 1
            } else {
                0
            };
            assert!(busy <= MOST_BUSY, "the old connection keeps the new one out");
            if random.once_in(4) {
                changed += self.change(random);
            }
        }
        let (sent, connections) = (self.proxy.up() - before, self.proxy.accepted() - accepted);
        eprintln!("  {attempts} attempts, {connections} connections: {sent} bytes sent");
        match attempts {
            1 => self.tally.by_themselves += usize::from(self.seen_to > met),
            _ => self.tally.repeated += 1,
        }
        self.settle(random.once_in(2));
        self.compare_new(connections as usize);
        self.count(changed, sent, connections);
        self.reach.down = (self.proxy.down() - down) / connections;
        (self.tally.pushes, self.tally.attempts) = (self.tally.pushes + 1, self.tally.attempts + attempts);
    }

    fn change(&mut self, random: &mut Random) -> u64 {
        let changed = self.source.change(random);
        let shape = self.source.shape();
        // Some changes are none.
        if self.states.last() != Some(&shape) {
            self.states.push(shape);
        }
        self.reach.up = changed + 5_000;
        changed
    }

    /// What had arrived is not sent again.
    fn count(&mut self, changed: u64, sent: u64, connections: u64) {
        let again = sent.saturating_sub(changed) / connections;
        self.tally.most_again = self.tally.most_again.max(again);
        (self.tally.changed, self.tally.sent) = (self.tally.changed + changed, self.tally.sent + sent);
        assert!(
            again <= A_CONNECTION,
            "{sent} bytes were sent of {changed} by {connections} connections"
        );
    }

    /// Pushes, and sees to what the network does meanwhile.
    fn attempt(&mut self, goes_on: bool, random: &mut Random) -> Ended {
        let mut words = vec![
            "snapshot",
            "source",
            "--json",
            "--retry-for",
            if goes_on { "5m" } else { "off" },
        ];
        // Otherwise the estimate for the progress goes by a connection of its own, and may be the one that has bad luck.
        words.extend((!random.once_in(5)).then_some("--quiet"));
        let mut command = self.laptop.command(&words);
        let mut push = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("yore");
        let begun = Instant::now();
        while push.try_wait().expect("a child").is_none() {
            match self.proxy.met(self.seen_to).first() {
                Some((number, fault)) => self.see_to(*number, *fault, &mut push, random),
                None => thread::sleep(Duration::from_millis(5)),
            }
            if begun.elapsed() > HUNG {
                let _ = push.kill();
                panic!("it hung: {:?}", push.wait_with_output());
            }
        }
        while let Some((number, fault)) = self.proxy.met(self.seen_to).first() {
            self.see_to(*number, *fault, &mut push, random);
        }
        let output = push.wait_with_output().expect("a child");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = said.lines().last().unwrap_or_default();
        // Nobody is to enrol a key again because the network was bad.
        let is_clear = last.starts_with("yore: ") && last.contains("127.0.0.1") && !last.contains("not let in");
        match output.status.code() {
            Some(0) => {}
            Some(1) => assert!(is_clear && !said.contains("panicked"), "{said}"),
            other => panic!("{other:?}: {said}"),
        }
        Ended {
            is_done: output.status.success(),
            said,
        }
    }

    /// Does what follows after a fault.
    fn see_to(&mut self, number: u64, fault: Fault, push: &mut Child, random: &mut Random) {
        self.seen_to += 1;
        let mut name = plan::name(&fault);
        match fault.fate {
            Fate::Held => {
                // Others are served meanwhile.
                self.daemon.json(&["status"]);
                assert!(self.known.len() <= self.snapshots_by_another_way());
                if random.once_in(2) {
                    name = "stalled, and went on";
                    self.proxy.release(number);
                } else {
                    name = "stalled, and was cut";
                    self.proxy.end(number);
                }
            }
            Fate::ServerLost => {
                // The agent may have another one, or open it now.
                until("the server notices", || self.sessions() < self.proxy.connections());
                self.proxy.end(number);
            }
            Fate::Unanswered => {
                let mut has_ended = false;
                until_still(|| {
                    has_ended |= push.try_wait().expect("a child").is_some();
                    (!has_ended).then(|| (self.proxy.up(), self.daemon.processor_time()))
                });
                self.proxy.end(number);
            }
            Fate::SlowlyAnswered(_) => {
                let before = self.known.len();
                until("it is committed, or over", || {
                    let is_over = !self.proxy.has(number) || push.try_wait().expect("a child").is_some();
                    is_over || self.snapshots_by_another_way() > before
                });
                self.proxy.end(number);
            }
            Fate::Cut | Fate::ClientLost | Fate::Pieces(_) | Fate::OthersReleased => {}
        }
        *self.tally.faults.entry(name).or_default() += 1;
    }

    /// How many there are, read where they lie.
    fn snapshots_by_another_way(&self) -> usize {
        self.reader().snapshots().len()
    }

    fn sessions(&self) -> usize {
        let status = self.daemon.json(&["status"]);
        status["sessions"].as_array().expect("an array").len()
    }

    fn reader(&self) -> Reader {
        Reader::new(&self.daemon.user_folder("ann/laptop"), &self.laptop.source())
    }

    /// Puts the network in order; what old connections hold arrives now, or never.
    fn settle(&self, is_late: bool) {
        self.proxy.plan_nothing();
        if is_late {
            self.proxy.release_all();
            until("what was late has come to its end", || self.proxy.connections() == 0);
        }
        self.proxy.cut();
        until("the sessions have ended", || self.sessions() == 0);
    }

    /// Compares the snapshots that are new with the states of the tree: at most so many.
    fn compare_new(&mut self, most: usize) {
        let mut reader = self.reader();
        let all = reader.snapshots();
        let names: Vec<&str> = all.iter().map(|snapshot| &snapshot.name[..]).collect();
        let known: Vec<&str> = self.known.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(names[..known.len()], known, "older snapshots are there");
        let (mut from, count) = (self.known.last().map_or(0, |(_, state)| *state), known.len());
        for snapshot in &all[count..] {
            let shape = reader.shape(snapshot);
            let state = self.states[from..].iter().position(|state| *state == shape);
            let last = self.states.last().expect("there is one");
            from += state.unwrap_or_else(|| {
                panic!(
                    "{} is no state of the tree; to the last one:\n{}",
                    snapshot.name,
                    difference(last, &shape)
                )
            });
            self.known.push((snapshot.name.clone(), from));
        }
        let new = self.known.len() - count;
        assert_eq!(from, self.states.len() - 1, "the newest snapshot is of an older state");
        assert!((1..=most).contains(&new), "{new} snapshots of {most} attempts");
        self.tally.compared += new;
        self.tally.unheard += new - 1;
    }

    /// Compares every snapshot with its state.
    pub fn compare_all(&mut self) {
        let mut reader = self.reader();
        let all = reader.snapshots();
        assert_eq!(all.len(), self.known.len());
        for (snapshot, (name, state)) in all.iter().zip(&self.known) {
            let difference = difference(&self.states[*state], &reader.shape(snapshot));
            assert_eq!((&snapshot.name, &difference[..]), (name, ""), "it is not what it was");
        }
        self.tally.compared += all.len();
    }

    /// Threads and descriptors that the server has.
    fn held_by_the_server(&self) -> [usize; 2] {
        ["task", "fd"].map(|what| {
            let folder = format!("/proc/{}/{what}", self.daemon.pid());
            std::fs::read_dir(folder).expect("it lives").count()
        })
    }

    /// Waits until the server has no more of them than after its first push.
    fn until_at_rest(&self) {
        let begun = Instant::now();
        loop {
            let now = self.held_by_the_server();
            if now.iter().zip(self.at_rest).all(|(now, then)| *now <= then) {
                return;
            }
            let then = self.at_rest;
            assert!(
                begun.elapsed() < SOON,
                "threads and descriptors: {now:?}, were {then:?}"
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// One push by a network that is in order leaves nothing of what there was before.
    pub fn finish(&mut self) {
        self.laptop.snapshotted();
        self.settle(false);
        self.compare_new(1);
        self.compare_all();
        assert_eq!(
            differences(&self.laptop.source(), &self.laptop.restored("latest", "out")),
            ""
        );
        self.settle(false);
        self.no_push_left();
        self.until_at_rest();
        self.daemon.assert_well("ann", "laptop");
        let (said, ended_well) = self.daemon.end(Signal::TERM);
        assert!(
            ended_well && !said.contains("panicked") && !said.contains("a bug"),
            "{said}"
        );
        let repository = yore_store::Repository::open(&self.daemon.user_folder("ann/laptop"));
        yore_tests::model::invariants(&repository.expect("a repository").into());
    }

    /// No row of the catalog is of a push that is under way.
    fn no_push_left(&self) {
        let catalog = self.daemon.user_folder("ann/laptop/catalog.sqlite3");
        let catalog = Connection::open(catalog).expect("the catalog");
        for rows in [
            "pushes",
            "partials",
            "closings",
            "files WHERE push IS NOT NULL",
            "contents WHERE push IS NOT NULL",
        ] {
            let query = format!("SELECT count(*) FROM {rows}");
            let count: i64 = catalog.query_row(&query, [], |row| row.get(0)).expect(rows);
            assert_eq!(count, 0, "{rows}");
        }
    }
}
