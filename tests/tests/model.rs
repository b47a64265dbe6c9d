//! Random histories against the reference model, and the regressions that they gave.
//!
//! The quick run has fixed seeds. `YORE_MODEL_SEED=N` and `YORE_MODEL_STEPS=N` run another
//! history of each flavour, however long, instead.

use std::sync::Arc;

use yore_store::{Body, Compression, Frame, Hash, Ingest, Kind, Meta, PushOptions, Repository, Unlimited};
use yore_tests::asked;
use yore_tests::model::tree::Flavour;
use yore_tests::model::{LARGE_FILES, MEDIUM_FILES, SMALL_FILES, histories, invariants};

/// The quick run, or what the environment asks for.
fn run(flavour: Flavour, seeds: std::ops::Range<u64>, steps: usize) {
    let (seed, asked_steps) = (asked("YORE_MODEL_SEED"), asked("YORE_MODEL_STEPS"));
    let is_quick = seed.is_none() && asked_steps.is_none();
    let seeds = seed.map_or(seeds, |seed| seed..seed + 1);
    let seen = histories(flavour, seeds, asked_steps.map_or(steps, |steps| steps as usize));
    // Histories without these would pass whatever the store did.
    let is_enough = seen.deltas >= 20 && seen.deepest >= 3 && seen.rebased >= 2 && seen.made_whole >= 2;
    assert!(is_enough || !is_quick, "the histories are too poor: {seen:?}");
    println!("{seen:?}");
}

#[test]
fn histories_of_small_files() {
    run(SMALL_FILES, 0..8, 30);
}

#[test]
fn histories_of_medium_files() {
    run(MEDIUM_FILES, 0..10, 30);
}

#[test]
fn histories_of_large_files() {
    run(LARGE_FILES, 0..6, 30);
}

/// A file that changes while it is read is sent twice; the first content stayed for ever.
#[test]
fn what_was_sent_and_that_no_entry_names_does_not_stay() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Arc::new(Repository::init(&folder.path().join("r"), Compression::Zstd(1)).unwrap());
    let options = PushOptions {
        host: "h".into(),
        roots: vec![b"/".to_vec()],
        tags: vec![],
        made: None,
    };
    let mut ingest = Ingest::begin(&repository, options, Box::new(Unlimited)).unwrap();
    for bytes in [b"while it changed", b"as it was at end"] {
        ingest
            .contents(&[(Hash::of(bytes), 16)], vec![Frame::encode(bytes, Compression::Off)])
            .unwrap();
    }
    ingest.enter(b"", Some(Meta::plain(Kind::Folder, 0o755))).unwrap();
    let body = Body {
        hash: Hash::of(b"as it was at end"),
        size: 16,
    };
    ingest
        .put(b"file", Meta::plain(Kind::File, 0o644), Some(body), None)
        .unwrap();
    ingest.leave().unwrap();
    ingest.commit(0).unwrap();
    assert_eq!(invariants(&repository).chains.len(), 1);
}
