//! A real folder in, the same folder out.

use std::fs;

use yore_tests::{Stage, differences, noise};

#[test]
fn a_changing_tree_comes_back_as_it_was_each_time() {
    let stage = Stage::new();
    let source = stage.source();
    fs::create_dir_all(source.join("a/b")).unwrap();
    fs::write(source.join("a/b/small"), "one").unwrap();
    fs::write(source.join("empty"), "").unwrap();
    fs::write(source.join("medium"), noise(1, 300_000)).unwrap();
    fs::write(source.join("large"), noise(2, 9_000_000)).unwrap();
    let first = stage.snapshot().snapshot.unwrap();
    assert_eq!(differences(&source, &stage.restored(&first, "out1")), "");

    fs::remove_file(source.join("a/b/small")).unwrap();
    fs::write(source.join("a/new"), "two").unwrap();
    let mut medium = noise(1, 300_000);
    medium[1000] ^= 1;
    fs::write(source.join("medium"), medium).unwrap();
    let mut large = noise(2, 9_000_000);
    large.insert(0, 7);
    fs::write(source.join("large"), &large).unwrap();
    let before = stage.restored(&first, "kept");
    let outcome = stage.snapshot();
    assert_eq!(outcome.deltas, 2);
    let second = outcome.snapshot.unwrap();
    assert_eq!(differences(&source, &stage.restored(&second, "out2")), "");
    assert_eq!(differences(&before, &stage.restored(&first, "out1-again")), "");
}

#[test]
fn the_name_of_a_forgotten_snapshot_is_not_given_again() {
    let stage = Stage::new();
    // Most of these fall in the same second.
    let mut names = std::collections::HashSet::new();
    for _ in 0..5 {
        let snapshot = stage.snapshot().snapshot.unwrap();
        assert!(names.insert(snapshot.name.clone()), "{} again", snapshot.name);
        stage.repository.forget(&[snapshot.id]).unwrap();
    }
}
