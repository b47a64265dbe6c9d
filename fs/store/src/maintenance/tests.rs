//! Forgetting and collecting, where something is not as it should be.

use crate::testing::{Bench, file, noise};
use crate::{Hash, SnapshotId};

/// Bytes that differ from those of another version at one place.
fn version(seed: u8, number: u8) -> Vec<u8> {
    let mut bytes = noise(seed, 200_000);
    bytes[usize::from(number) * 20_000..][..100].fill(number);
    bytes
}

fn count_of(bench: &Bench, bytes: &[u8]) -> i64 {
    bench.number(&format!(
        "SELECT count(*) FROM contents WHERE hash = x'{}'",
        Hash::of(bytes)
    ))
}

#[test]
fn what_cannot_be_read_stays_and_stands_in_nobodys_way() {
    let bench = Bench::new();
    let snapshots: Vec<SnapshotId> = (1..=3)
        .map(|number| {
            let push = bench.push("host", |push| {
                file(push, "damaged", &version(1, number));
                file(push, "sound", &version(2, number));
            });
            push.id
        })
        .collect();
    // The one of which the others are deltas.
    let hash = Hash::of(&version(1, 3));
    let damage = format!(
        "UPDATE runs SET frames = zeroblob(length(frames))
         WHERE id = (SELECT run FROM contents WHERE hash = x'{hash}')"
    );
    assert_eq!(bench.sql(&damage), 1);
    let repository = bench.reopened();
    let forgotten = repository.forget(&[snapshots[1]]).unwrap();
    assert_eq!(forgotten.snapshots, 1);
    assert_eq!(count_of(&bench, &version(2, 2)), 0);
    assert_eq!(count_of(&bench, &version(2, 1)), 1);
    // And once more, with nothing to do but what is left.
    repository.forget(&[]).unwrap();
}

#[test]
fn a_snapshot_that_was_forgotten_is_not_listed_in_part() {
    let bench = Bench::new();
    let old = bench.push("host", |push| file(push, "only-then", b"bytes"));
    bench.push("host", |push| {
        file(push, "file", b"bytes");
        push.remove(b"only-then").unwrap();
    });
    let reading = bench.reopened();
    let root = reading.root(old.id).unwrap().child.unwrap();
    bench.repository.forget(&[old.id]).unwrap();
    let gone = |result: crate::Result<bool>| matches!(result, Err(crate::Error::NoSuchSnapshot(_)));
    assert!(gone(reading.list(old.id, root).map(|list| list.is_empty())));
    assert!(gone(reading.folder(old.id, root).map(|entry| entry.is_some())));
    assert!(gone(reading.links(old.id, 1).map(|links| links.is_empty())));
}

#[test]
fn a_counter_that_went_back_gives_out_no_number_twice() {
    let bench = Bench::new();
    let old = noise(1, 300_000);
    let first = bench.push("host", |push| file(push, "old", &old));
    let before = bench.number("SELECT max(id) FROM runs");
    bench.sql("UPDATE next_ids SET next = 1 WHERE name NOT LIKE 'snapshot %'");
    let second = bench.push("host", |push| file(push, "new", &noise(2, 300_000)));
    assert!(second.id > first.id);
    assert!(bench.number("SELECT max(id) FROM runs") > before);
    let verified = bench.reopened().verify(true, &mut |_, _| Ok(())).unwrap();
    assert_eq!(verified.damages, vec![]);
}

#[test]
fn a_forgetting_that_was_killed_is_finished_by_the_next_one() {
    let bench = Bench::new();
    let snapshots: Vec<SnapshotId> = (1..=4)
        .map(|number| bench.push("host", |push| file(push, "file", &version(1, number))).id)
        .collect();
    // As it is left after its first transaction.
    bench.sql(&format!(
        "INSERT INTO going (line, snapshot) SELECT line, id FROM snapshots WHERE id = {}",
        snapshots[1]
    ));
    bench.sql(&format!("DELETE FROM snapshots WHERE id = {}", snapshots[1]));
    let repository = bench.reopened();
    let of_the_gap = repository.forget(&[snapshots[3]]).unwrap();
    assert_eq!((of_the_gap.snapshots, of_the_gap.entries), (1, 2));
    assert_eq!(bench.number("SELECT count(*) FROM going"), 0);
    assert_eq!(count_of(&bench, &version(1, 2)), 0);
    assert_eq!(repository.verify(true, &mut |_, _| Ok(())).unwrap().damages, vec![]);
}
