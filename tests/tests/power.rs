//! Whatever was committed survives power cuts, and nothing else stays in the way.
//!
//! The quick run has fixed seeds. `YORE_POWER_CUTS=N` and `YORE_POWER_SEED=N` run so many cuts, in histories from
//! another seed on, instead. Threads of a push race each other, so a seed does not give the same cut again, but one much
//! like it.

use std::path::Path;
use std::sync::Mutex;

use yore_tests::model::random::Random;
use yore_tests::power::PowerDisk;
use yore_tests::power::conductor::{Answer, Conductor};
use yore_tests::power::history::{PowerHistory, Seen};

/// The program that works on the disk.
const WORKER: &str = env!("CARGO_BIN_EXE_power-worker");

/// Cuts that one history lives through.
const CUTS: usize = 5;

/// Histories that live at the same time.
const THREADS: usize = 2;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

/// Lives through histories of these seeds.
fn histories(seeds: std::ops::Range<u64>) -> Seen {
    let (seeds, seen) = (Mutex::new(seeds), Mutex::new(Seen::default()));
    let next = || seeds.lock().expect("no panic while held").next();
    let live = || {
        while let Some(seed) = next() {
            let one = PowerHistory::live(seed, CUTS, Path::new(WORKER));
            seen.lock().expect("no panic while held").add(&one);
        }
    };
    std::thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(live))));
    seen.into_inner().expect("no panic while held")
}

#[test]
fn what_was_committed_survives_power_cuts() {
    let (cuts, seed) = (number("YORE_POWER_CUTS"), number("YORE_POWER_SEED"));
    let first = seed.unwrap_or(0);
    let seen = histories(first..first + cuts.unwrap_or(25).div_ceil(CUTS as u64));
    println!("{seen:?}");
    let is_quick = cuts.is_none() && seed.is_none();
    let is_enough = seen.cuts.get("push").is_some_and(|cuts| *cuts >= 5) && seen.committed >= 25;
    assert!(is_enough || !is_quick, "the histories are too poor: {seen:?}");
}

/// The folder of a new repository was not fsynced into the one above it: a power cut took the repository away, whole,
/// with all that had been pushed into it since.
#[test]
fn a_new_repository_keeps_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let worker = |path: &Path| Conductor::start(Path::new(WORKER), path, folder.path(), folder.path(), 1_700_000_000);
    for seed in 0..8 {
        let mut disk = PowerDisk::new(folder.path());
        let repository = folder.path().join("of/many/folders");
        assert!(matches!(worker(&repository).order("init"), Answer::Done(_)));
        disk.power_on(&mut Random::new(seed));
        let read = worker(&repository).order("read");
        assert!(matches!(read, Answer::Done(_)), "seed {seed}: it is gone");
    }
}
