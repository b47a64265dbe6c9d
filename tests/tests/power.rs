//! Whatever was committed survives power cuts, and nothing else stays in the way.
//!
//! The quick run has fixed seeds. `YORE_POWER_CUTS=N` and `YORE_POWER_SEED=N` run so many cuts, in histories from
//! another seed on, instead. Threads of a push race each other, so a seed does not give the same cut again, but one much
//! like it.

use std::path::Path;
use std::sync::Mutex;

use yore_tests::asked;
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
    let (cuts, seed) = (asked("YORE_POWER_CUTS"), asked("YORE_POWER_SEED"));
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

/// Pushes a large file with a worker that dies at the fsync of a folder, and again with one that goes on from there.
/// Whether what that one committed reads back when the power was gone.
fn goes_on_and_survives(folder: &Path, dies_at: u64) -> bool {
    let mut disk = PowerDisk::new(&folder.join("disk"));
    let (repository, cache) = (folder.join("disk/r"), folder.join(format!("cache-{dies_at}")));
    let worker = || {
        Conductor::start(
            Path::new(WORKER),
            &repository,
            &folder.join("sources"),
            &cache,
            1_700_000_000,
        )
    };
    assert!(matches!(worker().order("init"), Answer::Done(_)));
    let mut first = worker();
    disk.call_at_folder_sync(dies_at, first.killer());
    first.order("push one");
    disk.be_quiet();
    drop(first);
    assert!(matches!(worker().order("push one"), Answer::Done(_)));
    disk.power_on(&mut Random::new(dies_at));
    matches!(worker().order("read"), Answer::Done(_))
}

/// The first worker had written down what it sent, and died before it fsynced the folders: the names that the second one
/// finds there are not durable yet.
#[test]
fn what_a_push_took_over_from_a_dead_one_survives() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("sources/one")).unwrap();
    std::fs::create_dir(folder.path().join("disk")).unwrap();
    std::fs::write(folder.path().join("sources/one/large"), Random::new(0).noise(14 << 20)).unwrap();
    let lost = (1..=6).filter(|dies_at| !goes_on_and_survives(folder.path(), *dies_at));
    let lost: Vec<u64> = lost.collect();
    assert!(lost.is_empty(), "where the first worker died: {lost:?}");
}
