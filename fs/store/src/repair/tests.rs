//! Damage of each kind, and what a repair makes of it.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::testing::{Bench, file, folder, noise};
use crate::{Kind, Snapshot, StepClock};

/// Three snapshots of a hundred files, a copy of the catalog after the second.
fn history() -> (Bench, Vec<Snapshot>) {
    let bench = Bench::new();
    let push = |number: u8| {
        bench.push("host", |push| {
            for at in 0..10 {
                folder(push, &format!("folder-{at}"), 0o755);
                for name in 0..10 {
                    let changes = name % 3 == number % 3;
                    file(
                        push,
                        &format!("file-{name}"),
                        &noise(if changes { number } else { 0 } + at * 10 + name, 5_000),
                    );
                }
                push.leave().unwrap();
            }
            file(push, "large", &noise(number, 5 << 20));
        })
    };
    let mut made = vec![push(1), push(2)];
    bench.repository.copy_catalog().unwrap();
    made.push(push(3));
    bench.repository.checkpoint().unwrap();
    (bench, made)
}

/// Each file of each snapshot, by its path, or why it cannot be read.
fn read_all(repository: &Arc<Repository>) -> Vec<(String, Result<Vec<u8>>)> {
    let mut found = Vec::new();
    for snapshot in repository.snapshots().unwrap() {
        let root = repository.root(snapshot.id).unwrap().child.unwrap();
        let mut folders = vec![(snapshot.name.clone(), root)];
        while let Some((path, folder)) = folders.pop() {
            for entry in repository.list(snapshot.id, folder).unwrap().iter() {
                let path = format!("{path}/{}", String::from_utf8_lossy(&entry.name));
                if let Some(child) = entry.child {
                    folders.push((path, child));
                    continue;
                }
                let mut bytes = vec![0; entry.size as usize];
                let read = repository.open_content(entry.content.unwrap());
                let read = read.and_then(|reader| reader.read_at(0, &mut bytes));
                found.push((path, read.map(|_| bytes)));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn all_of(bench: &Bench) -> Vec<(String, Vec<u8>)> {
    let all = read_all(&bench.reopened()).into_iter();
    all.map(|(path, bytes)| (path, bytes.unwrap())).collect()
}

fn repair(bench: &Bench) -> Repaired {
    Repository::repair(bench.repository.path(), false, &mut |_, _| Ok(())).unwrap()
}

/// Whether it says of the catalog that not all has come back.
fn is_told(repaired: &Repaired) -> bool {
    repaired
        .catalog
        .is_some_and(|catalog| catalog.lost + catalog.revived > 0)
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_sound_repository_needs_nothing() {
    let (bench, _) = history();
    let before = all_of(&bench);
    assert_eq!(repair(&bench), Repaired::default());
    assert_eq!(all_of(&bench), before);
    assert!(!bench.repository.path().join("catalog.damaged").exists());
}

#[test]
fn rows_that_have_changed_come_from_the_copy() {
    for damage in [
        "UPDATE entries SET size = size + 1 WHERE id = (SELECT min(id) + 5 FROM entries)",
        "UPDATE entries SET name = x'00' WHERE kind = 0 AND id < 50",
        "UPDATE contents SET run = run + 1 WHERE id < 9",
        "UPDATE runs SET frames = zeroblob(48) WHERE id = 1",
        "UPDATE parts SET value = zeroblob(32) WHERE segment = 0 AND content = (SELECT min(content) FROM parts)",
        "UPDATE snapshots SET time = time + 5 WHERE id = 1",
        "UPDATE owners SET uid = uid + 1",
        "DELETE FROM owners",
        "UPDATE lines SET root = root + 1",
        "DELETE FROM lines",
        "UPDATE files SET kind = 2 WHERE id = 1",
    ] {
        let (bench, made) = history();
        let before = all_of(&bench);
        assert!(bench.sql(damage) > 0, "{damage}");
        let dry = Repository::repair(bench.repository.path(), true, &mut |_, _| Ok(())).unwrap();
        assert!(dry.catalog.is_some(), "{damage}: {dry:?}");
        let repaired = repair(&bench);
        assert_eq!(repaired.damages, vec![], "{damage}");
        assert_eq!(repaired.catalog, dry.catalog, "{damage}");
        assert!(all_of(&bench) == before, "{damage}");
        assert_eq!(bench.reopened().snapshots().unwrap(), made);
        assert_eq!(repair(&bench), Repaired::default(), "{damage}");
    }
}

#[test]
fn pages_that_cannot_be_read_come_from_the_copy() {
    let (bench, _) = history();
    let catalog = layout::catalog(bench.repository.path());
    let pages = std::fs::metadata(&catalog).unwrap().len() as usize / 4096;
    let good = std::fs::read(&catalog).unwrap();
    let before = all_of(&bench);
    let (mut whole, mut partly) = (0, 0);
    for page in (2..pages).step_by(3) {
        for beside in ["sqlite3-wal", "sqlite3-shm"] {
            let _ = std::fs::remove_file(catalog.with_extension(beside));
        }
        std::fs::write(&catalog, &good).unwrap();
        change(&catalog, |bytes| bytes[page * 4096..(page + 1) * 4096].fill(0x5a));
        let repaired = repair(&bench);
        let after = read_all(&bench.reopened());
        // What is there is right, whatever it is.
        for (path, bytes) in &after {
            let wanted = before.iter().find(|(other, _)| other == path);
            assert!(
                bytes.as_ref().is_err() || wanted.is_some_and(|wanted| bytes.as_ref().unwrap() == &wanted.1),
                "page {page}: {path}"
            );
        }
        let is_whole = after.len() == before.len() && after.iter().all(|(_, bytes)| bytes.is_ok());
        match is_whole && repaired.damages.is_empty() {
            true => whole += 1,
            false => partly += 1,
        }
        // What is not whole is said.
        assert!(
            is_whole || !repaired.damages.is_empty() || is_told(&repaired),
            "page {page}: {repaired:?}"
        );
    }
    // Only what came after the copy can be lost.
    assert!(whole > partly, "{whole} whole, {partly} partly");
}

#[test]
fn a_catalog_that_is_gone_is_that_of_the_copy() {
    let (bench, made) = history();
    let path = bench.repository.path().to_owned();
    let before = all_of(&bench);
    for beside in ["sqlite3", "sqlite3-wal", "sqlite3-shm"] {
        let _ = std::fs::remove_file(layout::catalog(&path).with_extension(beside));
    }
    std::fs::remove_file(layout::config(&path)).unwrap();
    let repaired = repair(&bench);
    assert!(repaired.config && repaired.catalog.is_some(), "{repaired:?}");
    assert_eq!(repaired.damages, vec![]);
    let of_copy: Vec<_> = before
        .into_iter()
        .filter(|(path, _)| !path.starts_with(&made[2].name))
        .collect();
    assert!(all_of(&bench) == of_copy);
    // And it goes on.
    let clock = Arc::new(StepClock::new(1_700_100_000));
    let repository = Arc::new(Repository::open_with_clock(&path, clock).unwrap());
    let next = Bench::over(repository).push("host", |push| file(push, "another", b"bytes"));
    assert!(next.id > made[1].id && next.name > made[1].name);
}

#[test]
fn what_was_forgotten_before_the_newest_copy_does_not_come_back_from_an_older_one() {
    let (bench, made) = history();
    let path = bench.repository.path().to_owned();
    bench.repository.forget(&[made[0].id]).unwrap();
    let before = all_of(&bench);
    let clock = Arc::new(StepClock::new(1_700_000_000 + 3 * 24 * 60 * 60));
    let later = Repository::open_with_clock(&path, clock).unwrap();
    assert!(later.copy_catalog().unwrap(), "there are two copies now");
    drop(later);
    for beside in ["sqlite3", "sqlite3-wal", "sqlite3-shm"] {
        let _ = std::fs::remove_file(layout::catalog(&path).with_extension(beside));
    }
    let repaired = repair(&bench);
    assert_eq!(repaired.damages, vec![]);
    assert!(all_of(&bench) == before);
    assert_eq!(bench.reopened().snapshots().unwrap(), made[1..]);
}

#[test]
fn without_catalog_and_copies_nothing_is_made_up() {
    let (bench, _) = history();
    let path = bench.repository.path();
    std::fs::remove_dir_all(path.join("catalog.old")).unwrap();
    std::fs::write(layout::catalog(path), b"no catalog").unwrap();
    let repaired = Repository::repair(path, false, &mut |_, _| Ok(()));
    assert!(matches!(repaired, Err(Error::Damaged(_))), "{repaired:?}");
    assert_eq!(std::fs::read(layout::catalog(path)).unwrap(), b"no catalog");
    let nowhere = Repository::repair(&path.join("locks"), false, &mut |_, _| Ok(()));
    assert!(matches!(nowhere, Err(Error::NotARepository(_))), "{nowhere:?}");
}

#[test]
fn a_running_push_is_not_cut_off() {
    let (bench, _) = history();
    let push = bench.begin("host");
    let repaired = Repository::repair(bench.repository.path(), false, &mut |_, _| Ok(()));
    assert!(matches!(repaired, Err(Error::Busy(_))), "{repaired:?}");
    drop(push);
    assert_eq!(repair(&bench), Repaired::default());
}

#[test]
fn a_line_that_no_copy_has_is_told() {
    let (bench, _) = history();
    std::fs::remove_dir_all(bench.repository.path().join("catalog.old")).unwrap();
    bench.sql("DELETE FROM lines");
    assert!(is_told(&repair(&bench)));
    bench.reopened().snapshots().unwrap();
}

#[test]
fn a_version_that_only_one_says_is_damage_and_one_that_both_say_is_another_yores() {
    let later = b"format = 3\nnew = true\n";
    for config in [&b"\xff\xfe no text"[..], later] {
        let (bench, _) = history();
        let before = all_of(&bench);
        std::fs::write(layout::config(bench.repository.path()), config).unwrap();
        assert!(Repository::open(bench.repository.path()).is_err());
        assert!(repair(&bench).config);
        assert!(all_of(&bench) == before);
    }
    let (bench, _) = history();
    let before = all_of(&bench);
    bench.sql("PRAGMA user_version = 3");
    let repaired = repair(&bench);
    assert!(repaired.catalog.is_some() && !repaired.config, "{repaired:?}");
    assert!(all_of(&bench) == before);
    for config in [&b"\xff\xfe no text"[..], later] {
        let (bench, _) = history();
        bench.sql("PRAGMA user_version = 3");
        std::fs::write(layout::config(bench.repository.path()), config).unwrap();
        let repaired = Repository::repair(bench.repository.path(), false, &mut |_, _| Ok(()));
        assert!(matches!(repaired, Err(Error::Future { found: 3, .. })), "{repaired:?}");
        assert_eq!(std::fs::read(layout::config(bench.repository.path())).unwrap(), config);
    }
}

/// Copies whose names are mixed up: what the newest snapshot had was ended with it, and the next push, told against it,
/// left it out.
#[test]
fn what_the_newest_snapshot_has_goes_on_in_the_next() {
    let (bench, _) = history();
    let path = bench.repository.path().to_owned();
    let plain = path.join("plain");
    bench.sql(&format!("VACUUM INTO '{}'", plain.display()));
    let newer = zstd::encode_all(std::fs::read(&plain).unwrap().as_slice(), 1).unwrap();
    std::fs::write(path.join("catalog.old/2020-01-01_00-00-00.zst"), newer).unwrap();
    for beside in ["sqlite3", "sqlite3-wal", "sqlite3-shm"] {
        let _ = std::fs::remove_file(layout::catalog(&path).with_extension(beside));
    }
    repair(&bench);
    let shown = |snapshot: &Snapshot| -> Vec<String> {
        let all = read_all(&bench.reopened()).into_iter();
        let of = all.filter_map(|(path, _)| path.strip_prefix(&format!("{}/", snapshot.name)).map(str::to_owned));
        of.collect()
    };
    let clock = Arc::new(StepClock::new(1_700_100_000));
    let repository = Arc::new(Repository::open_with_clock(&path, clock).unwrap());
    let newest = repository.snapshots().unwrap().pop().unwrap();
    let before = shown(&newest);
    let next = Bench::over(repository).push("host", |push| file(push, "zzz", b"bytes"));
    assert_eq!(shown(&next), [before, vec!["zzz".to_owned()]].concat());
}

#[test]
fn a_snapshot_whose_root_is_lost_gets_another_and_is_pushed_against() {
    let (bench, made) = history();
    std::fs::remove_dir_all(bench.repository.path().join("catalog.old")).unwrap();
    bench.sql("DELETE FROM entries WHERE folder = 0 AND last = 9223372036854775807");
    let newest = made.last().unwrap();
    assert!(bench.repository.root(newest.id).is_err());
    assert!(is_told(&repair(&bench)));
    let repository = bench.reopened();
    let newest = repository.snapshots().unwrap().pop().unwrap();
    assert_eq!(newest.tags, ["recovered"]);
    assert_eq!(repository.root(newest.id).unwrap().meta.kind, Kind::Folder);
    assert_eq!(repository.verify(true, &mut |_, _| Ok(())).unwrap().damages, vec![]);
    let clock = Arc::new(StepClock::new(1_700_100_000));
    let repository = Arc::new(Repository::open_with_clock(repository.path(), clock).unwrap());
    Bench::over(repository).push("host", |push| file(push, "zzz", b"bytes"));
}

/// The journal mode that a copy of the catalog has, unpacked and put in place by hand.
#[test]
fn a_header_of_the_older_journal_mode_is_sound() {
    let (bench, _) = history();
    let before = all_of(&bench);
    bench.repository.checkpoint().unwrap();
    let path = layout::catalog(bench.repository.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[18..20].copy_from_slice(&[1, 1]);
    std::fs::write(&path, bytes).unwrap();
    let verified = bench.reopened().verify(true, &mut |_, _| Ok(())).unwrap();
    assert_eq!(verified.damages, vec![]);
    assert_eq!(repair(&bench), Repaired::default());
    assert!(all_of(&bench) == before);
}

/// A number in SQLite's header that it takes for a later format, which it only reads.
#[test]
fn a_header_that_forbids_writing_is_damage() {
    let (bench, _) = history();
    let before = all_of(&bench);
    bench.repository.checkpoint().unwrap();
    let path = layout::catalog(bench.repository.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[18] = 0x42;
    std::fs::write(&path, bytes).unwrap();
    let damages = bench.reopened().verify(false, &mut |_, _| Ok(())).unwrap().damages;
    assert!(
        damages.iter().any(|damage| damage.what.contains("header")),
        "{damages:?}"
    );
    assert!(repair(&bench).catalog.is_some());
    assert!(all_of(&bench) == before);
    Bench::over(Arc::new(Repository::open(bench.repository.path()).unwrap()))
        .push("other", |push| file(push, "a", b"b"));
}
