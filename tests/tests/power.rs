//! Whatever was committed survives power cuts, and nothing else stays in the way.

use std::path::Path;

use yore_tests::model::random::Random;
use yore_tests::power::PowerDisk;
use yore_tests::power::conductor::{Answer, Conductor};

/// The program that works on the disk.
const WORKER: &str = env!("CARGO_BIN_EXE_power-worker");

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
