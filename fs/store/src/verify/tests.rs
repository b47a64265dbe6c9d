//! A matrix of damage: each kind is found, says what it reaches, and reaches nothing else.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::*;
use crate::layout::{FileKind, stored_file};
use crate::testing::{Bench, file, folder, noise};

/// `/d/medium` has three versions, two of them deltas; `/small` and `/d/large` do not change.
/// The names of the snapshots come last.
pub(super) fn history() -> (Bench, Vec<String>) {
    let bench = Bench::new();
    let version = |number: u8| {
        let mut bytes = noise(7, 200_000);
        // Version 2 has its own bytes at the end, the others at the front.
        bytes[if number == 2 {
            190_000
        } else {
            1000 * usize::from(number)
        }] ^= 1;
        bytes
    };
    let snapshots = (0..3).map(|number| {
        bench.push("host", |ingest| {
            folder(ingest, "d", 0o755);
            if number == 0 {
                file(ingest, "large", &noise(9, 9 << 20));
            }
            file(ingest, "medium", &version(number));
            ingest.leave().unwrap();
            if number == 0 {
                file(ingest, "small", b"a small file");
            }
        })
    });
    let names = snapshots.map(|snapshot| snapshot.name).collect();
    assert_eq!(bench.number("SELECT count(*) FROM contents WHERE base IS NOT NULL"), 2);
    (bench, names)
}

fn verify(bench: &Bench, read_data: bool) -> Verified {
    let mut last = (0, 0);
    let verified = bench
        .reopened()
        .verify(read_data, &mut |done, total| {
            last = (done, total);
            Ok(())
        })
        .unwrap();
    assert_eq!(last.0, last.1, "progress ends at its end");
    verified
}

/// The paths that damage reaches, `path@index of the snapshot`.
pub(super) fn reached(verified: &Verified, names: &[String]) -> Vec<String> {
    let index = |name: &String| names.iter().position(|known| known == name).unwrap();
    let paths = verified.damages.iter().flat_map(|damage| &damage.paths);
    let mut all: Vec<_> = paths
        .map(|(path, name)| format!("{}@{}", String::from_utf8_lossy(path), index(name)))
        .collect();
    all.sort();
    all
}

pub(super) fn file_of_run(bench: &Bench, run: i64) -> (PathBuf, u64) {
    let number = |column: &str| {
        bench.number(&format!(
            "SELECT {column} FROM runs r JOIN files f ON f.id = r.file WHERE r.id = {run}"
        ))
    };
    let kind = FileKind::from_code(number("f.kind")).unwrap();
    (
        stored_file(bench.repository.path(), kind, crate::FileId(number("f.id"))),
        number("r.offset") as u64,
    )
}

pub(super) fn flip(path: &PathBuf, offset: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

#[test]
fn a_sound_repository_has_no_damage() {
    let (bench, _) = history();
    let mut pending = bench.begin("host");
    pending.enter(b"", None).unwrap();
    file(&mut pending, "new", b"of a push that is running");
    file(&mut pending, "new-large", &noise(1, 2 << 20));
    for read_data in [false, true] {
        let verified = verify(&bench, read_data);
        assert_eq!(verified.damages, []);
        assert_eq!((verified.snapshots, verified.contents), (3, 5));
        assert_eq!(verified.entries, 7);
        assert_eq!(verified.bytes, if read_data { 3 * 200_000 + (9 << 20) + 12 } else { 0 });
    }
}

#[test]
fn what_forgetting_leaves_is_sound() {
    for forgotten in [&[0][..], &[1], &[2], &[0, 1], &[1, 2]] {
        let (bench, names) = history();
        let snapshots = bench.repository.snapshots().unwrap();
        let ids: Vec<_> = forgotten.iter().map(|&index: &usize| snapshots[index].id).collect();
        bench.repository.forget(&ids).unwrap();
        assert_eq!(verify(&bench, true).damages, [], "without {forgotten:?}");
        let versions = bench.repository.versions(b"/d/medium").unwrap();
        let left: Vec<_> = (0..3)
            .filter(|index| !forgotten.contains(index))
            .map(|index| names[index].clone())
            .collect();
        assert_eq!(
            versions
                .iter()
                .map(|version| version.snapshot.name.clone())
                .collect::<Vec<_>>(),
            left
        );
        assert!(versions.last().unwrap().until.is_none());
    }
}

#[test]
fn a_content_that_comes_back_is_sound() {
    let (bench, _) = history();
    bench.push("host", |ingest| {
        ingest.enter(b"d", None).unwrap();
        let mut bytes = noise(7, 200_000);
        bytes[0] ^= 1;
        file(ingest, "medium", &bytes);
        ingest.leave().unwrap();
    });
    assert_eq!(verify(&bench, true).damages, []);
}

#[test]
fn a_flipped_byte_in_a_pack_is_found_by_reading() {
    let (bench, names) = history();
    let run = bench.number("SELECT c.run FROM contents c WHERE c.size = 12");
    let (path, offset) = file_of_run(&bench, run);
    flip(&path, offset + 5);
    assert_eq!(verify(&bench, false).damages, []);
    let verified = verify(&bench, true);
    assert_eq!(reached(&verified, &names), ["/small@0", "/small@1", "/small@2"]);
    assert!(verified.damages[0].what.contains("packs/"), "{:?}", verified.damages);
}

#[test]
fn a_damaged_base_shows_in_the_deltas_that_need_it() {
    let (bench, names) = history();
    let run = bench.number("SELECT run FROM contents WHERE size = 200000 AND base IS NULL");
    let (path, offset) = file_of_run(&bench, run);
    // In the second of two frames: all three versions need bytes of it.
    flip(&path, offset + 150_000);
    let verified = verify(&bench, true);
    assert_eq!(
        reached(&verified, &names),
        ["/d/medium@0", "/d/medium@1", "/d/medium@2"]
    );
    assert_eq!(verified.damages.len(), 3);
}

#[test]
fn a_damaged_delta_leaves_its_base_alone() {
    let (bench, names) = history();
    let run = bench.number("SELECT run FROM contents WHERE base IS NOT NULL ORDER BY id LIMIT 1");
    let (path, offset) = file_of_run(&bench, run);
    flip(&path, offset + 12);
    assert_eq!(reached(&verify(&bench, true), &names), ["/d/medium@0"]);
}

#[test]
fn a_missing_segment_is_found_without_reading_all() {
    let (bench, names) = history();
    let run = bench.number("SELECT run FROM parts WHERE segment = 1");
    std::fs::remove_file(file_of_run(&bench, run).0).unwrap();
    let verified = verify(&bench, false);
    assert_eq!(reached(&verified, &names), ["/d/large@0", "/d/large@1", "/d/large@2"]);
    assert!(
        verified.damages[0].what.contains("is missing"),
        "{:?}",
        verified.damages
    );
}

#[test]
fn a_pack_cut_short_is_found_without_reading_all() {
    let (bench, names) = history();
    let run = bench.number("SELECT max(run) FROM contents WHERE base IS NOT NULL");
    let (path, offset) = file_of_run(&bench, run);
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(offset + 3)
        .unwrap();
    let verified = verify(&bench, false);
    assert!(
        verified.damages[0].what.contains("it should have"),
        "{:?}",
        verified.damages
    );
    assert!(reached(&verified, &names).contains(&"/d/medium@1".to_owned()));
    assert!(!reached(&verified, &names).contains(&"/small@0".to_owned()));
}

#[test]
fn a_flipped_bit_in_an_entry_names_the_path() {
    for column in ["mtime", "mode", "size", "content", "sum"] {
        let (bench, names) = history();
        assert_eq!(
            bench.sql(&format!(
                "UPDATE entries SET {column} = {column} + 1 WHERE name = x'736d616c6c'"
            )),
            1
        );
        let verified = verify(&bench, false);
        assert_eq!(
            reached(&verified, &names),
            ["/small@0", "/small@1", "/small@2"],
            "{column}"
        );
        assert_eq!(verified.damages.len(), 1, "{:?}", verified.damages);
    }
}

#[test]
fn lifetimes_and_missing_rows_are_found_by_the_sums() {
    for statement in [
        "UPDATE entries SET last = 9223372036854775807 WHERE last < 9223372036854775807",
        "UPDATE entries SET last = first WHERE name = x'736d616c6c'",
        "DELETE FROM entries WHERE name = x'736d616c6c'",
        "UPDATE snapshots SET root = root + 1",
        "UPDATE snapshots SET bytes = bytes + 1",
    ] {
        let (bench, names) = history();
        assert!(bench.sql(statement) > 0);
        assert!(
            reached(&verify(&bench, false), &names)
                .iter()
                .any(|path| path.starts_with("/@")),
            "{statement}"
        );
    }
}

#[test]
fn rows_about_places_are_compared_with_each_other() {
    for (statement, victim) in [
        (
            "UPDATE runs SET offset = offset + 1 WHERE id = (SELECT run FROM contents WHERE size = 12)",
            "/small@0",
        ),
        ("UPDATE contents SET skip = 1 WHERE size = 12", "/small@0"),
        ("DELETE FROM contents WHERE size = 12", "/small@0"),
        ("DELETE FROM parts WHERE segment = 1", "/d/large@0"),
        ("UPDATE parts SET value = zeroblob(32) WHERE segment = 1", "/d/large@0"),
        ("UPDATE contents SET base = id WHERE base IS NOT NULL", "/d/medium@0"),
        (
            "UPDATE contents SET base = 999999 WHERE base IS NOT NULL",
            "/d/medium@1",
        ),
        (
            "UPDATE contents SET base = (SELECT id FROM contents WHERE size = 12), stream = 1 WHERE size > 1000000",
            "/d/large@2",
        ),
    ] {
        let (bench, names) = history();
        assert!(bench.sql(statement) > 0);
        let verified = verify(&bench, false);
        assert!(
            reached(&verified, &names).contains(&victim.to_owned()),
            "{statement}: {:?}",
            verified.damages
        );
    }
}

#[test]
fn stats_add_up() {
    let (bench, names) = history();
    let stats = bench.repository.stats().unwrap();
    assert_eq!((stats.snapshots, stats.entries, stats.contents), (3, 7, 5));
    assert_eq!((stats.heads, stats.deltas.count, stats.deltas.longest_chain), (3, 2, 2));
    assert_eq!(stats.deltas.mean_chain, 1.5);
    assert_eq!(stats.deltas.content_bytes, 400_000);
    assert!(
        stats.deltas.stored_bytes < 10_000 && stats.deltas.stream_bytes < 10_000,
        "{:?}",
        stats.deltas
    );
    assert_eq!(stats.logical_bytes, 3 * (200_000 + (9 << 20) + 12));
    assert!(stats.file_bytes > 9 << 20 && stats.catalog_bytes > 0);
    // Two versions were whole in packs that also hold something else.
    assert!(stats.dead_bytes > 0, "{stats:?}");
    assert_eq!(
        stats.each.iter().map(|each| each.name.clone()).collect::<Vec<_>>(),
        names
    );
}
