//! A real folder in, the same folder out.

use std::fs;

use yore_agent::snapshot::{AgentError, snapshot};
use yore_store::Error;
use yore_tests::{Stage, differences, disk_usage, noise};

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

#[test]
fn a_budget_that_is_used_up_ends_the_push_and_nothing_else() {
    let stage = Stage::new();
    fs::write(stage.source().join("first"), noise(1, 2_000_000)).unwrap();
    stage.snapshot();
    let before = disk_usage(stage.repository.path());
    fs::write(stage.source().join("second"), noise(2, 20_000_000)).unwrap();
    let limit = 10_000_000;
    let mut request = stage.request(&[&stage.source()]);
    request.limit = Some(limit);
    let error = snapshot(&stage.target(), request, &()).unwrap_err();
    assert!(
        matches!(error, AgentError::Store(Error::OverBudget { limit: 10_000_000, .. })),
        "{error}"
    );
    // What was sent waits for the next push of the same, unless room is wanted.
    assert!(disk_usage(stage.repository.path()) > before + limit / 2);
    assert!(stage.repository.sweep_all().unwrap().bytes > limit / 2);
    assert!(disk_usage(stage.repository.path()) < before + 400_000);
    assert_eq!(stage.repository.snapshots().unwrap().len(), 1);
    assert_eq!(
        stage.repository.verify(true, &mut |_, _| Ok(())).unwrap().damages.len(),
        0
    );
    assert_eq!(stage.snapshot().files_new, 1);
}

#[test]
fn a_file_that_grows_while_it_is_read_is_in_the_snapshot() {
    let stage = Stage::new();
    let path = stage.source().join("log");
    fs::write(&path, noise(1, 3_000_000)).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut log = fs::File::options().append(true).open(&path).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::io::Write::write_all(&mut log, b"one more line\n").unwrap();
            }
        });
        for _ in 0..5 {
            let taken = stage.snapshot().snapshot.unwrap();
            let entry = stage
                .repository
                .lookup(&taken, path.to_str().unwrap().as_bytes())
                .unwrap();
            let mut bytes = vec![0; entry.size as usize];
            let reader = stage.repository.open_content(entry.content.unwrap()).unwrap();
            assert_eq!(reader.read_at(0, &mut bytes).unwrap(), bytes.len());
            assert!(bytes.starts_with(&noise(1, 3_000_000)));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(
        stage.repository.verify(true, &mut |_, _| Ok(())).unwrap().damages.len(),
        0
    );
}

#[test]
fn what_a_dead_push_left_and_nobody_wants_goes_where_room_is_wanted() {
    let stage = Stage::new();
    let before = disk_usage(stage.repository.path());
    // Complete large contents, and one in whose midst the push ends.
    for (seed, name) in (1..).zip(["a", "b", "c"]) {
        fs::write(stage.source().join(name), noise(seed, 6_000_000)).unwrap();
    }
    let mut request = stage.request(&[&stage.source()]);
    request.limit = Some(17_000_000);
    snapshot(&stage.target(), request, &()).unwrap_err();
    assert!(disk_usage(stage.repository.path()) > before + 12_000_000);
    // All of that is kept: what is complete is not sent again.
    let mut request = stage.request(&[&stage.source()]);
    request.limit = Some(1_000_000);
    snapshot(&stage.target(), request, &()).unwrap_err();
    assert!(disk_usage(stage.repository.path()) > before + 12_000_000);

    // Another push of the same paths wants none of it, and has no room for a row.
    for name in ["a", "b", "c"] {
        fs::remove_file(stage.source().join(name)).unwrap();
    }
    fs::write(stage.source().join("d"), "small").unwrap();
    let mut request = stage.request(&[&stage.source()]);
    request.limit = Some(10);
    let error = snapshot(&stage.target(), request, &()).unwrap_err();
    assert!(matches!(error, AgentError::Store(Error::OverBudget { .. })), "{error}");
    assert!(disk_usage(stage.repository.path()) < before + 2_000_000);
    let taken = stage.snapshot().snapshot.unwrap();
    assert_eq!(
        differences(&stage.source(), &stage.restored(&taken, "out")),
        "",
        "and the next push is as if nothing had been"
    );
    assert_eq!(stage.repository.verify(true, &mut |_, _| Ok(())).unwrap().damages, []);
}
