//! What changes in a file costs about the change, and reading an old version costs about the read.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use yore_store::{Repository, Snapshot};
use yore_tests::{Stage, differences, disk_usage, noise};

const MIB: usize = 1 << 20;

/// The bytes of `source/NAME` in a snapshot.
fn read(stage: &Stage, snapshot: &Snapshot, name: &str, offset: u64, length: usize) -> Vec<u8> {
    let path = format!("{}/{name}", stage.source().display());
    let entry = stage.repository.lookup(snapshot, path.as_bytes()).unwrap();
    let reader = stage.repository.open_content(entry.content.unwrap()).unwrap();
    let mut bytes = vec![0; length];
    let got = reader.read_at(offset, &mut bytes).unwrap();
    bytes.truncate(got);
    bytes
}

fn all(stage: &Stage, snapshot: &Snapshot, name: &str) -> Vec<u8> {
    read(stage, snapshot, name, 0, 300 * MIB)
}

#[test]
fn ten_snapshots_of_a_large_file_with_a_few_blocks_changed() {
    let stage = Stage::new();
    let path = stage.source().join("image");
    let mut bytes = noise(1, 200 * MIB);
    let mut versions = Vec::new();
    let mut snapshots = Vec::new();
    let mut added = Vec::new();
    for version in 0..10u64 {
        for block in 0..5 {
            let at = (version as usize * 7 + block * 41) * 100_003 % (bytes.len() - 4096);
            bytes[at..at + 4096].copy_from_slice(&noise(100 + version * 5 + block as u64, 4096));
        }
        fs::write(&path, &bytes).unwrap();
        let before = disk_usage(stage.repository.path());
        let outcome = stage.snapshot();
        assert_eq!(outcome.deltas, u64::from(version > 0));
        added.push(disk_usage(stage.repository.path()).saturating_sub(before));
        // What the snapshot is said to have cost is what it cost.
        let told = outcome.bytes_new;
        assert!(
            version == 0 || told.abs_diff(added[version as usize]) < 200_000,
            "{told}: {added:?}"
        );
        versions.push(bytes[..MIB].to_vec());
        snapshots.push(outcome.snapshot.unwrap());
    }
    // Twenty kilobytes changed a day; the rest is rows and the rounding of files to blocks.
    assert!(added[1..].iter().all(|bytes| *bytes < 300_000), "{added:?}");
    for (snapshot, version) in snapshots.iter().zip(&versions) {
        assert!(read(&stage, snapshot, "image", 0, MIB) == *version, "{}", snapshot.name);
    }

    // Another process would have nothing in memory yet.
    let fresh = Arc::new(Repository::open(stage.repository.path()).unwrap());
    let mountpoint = stage.folder.path().join("mnt");
    fs::create_dir(&mountpoint).unwrap();
    let _mounted = yore_mount::mount(
        std::sync::Arc::new(fresh.clone()),
        &mountpoint,
        yore_mount::Options::default(),
    )
    .unwrap();
    let oldest = File::open(
        mountpoint
            .join(&snapshots[0].name)
            .join(path.strip_prefix("/").unwrap()),
    )
    .unwrap();
    let mut block = [0; 4096];
    let read = oldest.read_exact_at(&mut block, 150 * MIB as u64);
    let touched = fresh.bytes_read();
    drop(oldest);
    yore_mount::detach(&mountpoint).unwrap();
    read.unwrap();
    // What the kernel reads ahead is in it too.
    assert!(touched < 900_000, "4 KiB of the oldest read {touched} bytes");
}

#[test]
fn an_inserted_byte_an_appended_log_a_rotated_log_and_copies_cost_little() {
    let stage = Stage::new();
    let source = stage.source();
    fs::write(source.join("front"), noise(1, 20 * MIB)).unwrap();
    fs::write(source.join("log"), noise(2, 20 * MIB)).unwrap();
    fs::write(source.join("moved"), noise(3, 10 * MIB)).unwrap();
    let first = stage.snapshot().snapshot.unwrap();

    let mut front = noise(1, 20 * MIB);
    front.insert(0, b'!');
    fs::write(source.join("front"), &front).unwrap();
    let mut log = noise(2, 20 * MIB);
    log.extend(noise(4, 10_000));
    fs::write(source.join("log"), &log).unwrap();
    fs::rename(source.join("moved"), source.join("renamed")).unwrap();
    fs::copy(source.join("renamed"), source.join("copied")).unwrap();
    let before = disk_usage(stage.repository.path());
    let second = stage.snapshot().snapshot.unwrap();
    let grown = disk_usage(stage.repository.path()) - before;
    assert!(
        grown < MIB as u64,
        "insertion, append, rename and copy took {grown} bytes"
    );

    // Rotation: the content lives on under another name, so it stays whole and nothing is stored.
    fs::rename(source.join("log"), source.join("log.1")).unwrap();
    fs::write(source.join("log"), "begun\n").unwrap();
    let before = disk_usage(stage.repository.path());
    let third = stage.snapshot();
    assert_eq!(third.deltas, 0);
    let grown = disk_usage(stage.repository.path()).saturating_sub(before);
    assert!(grown < 200_000, "rotation took {grown} bytes");
    assert!(all(&stage, &first, "front") == noise(1, 20 * MIB));
    assert!(all(&stage, &second, "front") == front);
    assert!(all(&stage, &first, "log") == noise(2, 20 * MIB));
    assert!(all(&stage, &third.snapshot.unwrap(), "log.1") == log);
}

#[test]
fn a_file_of_which_an_older_version_is_damaged_is_kept_all_the_same() {
    let stage = Stage::new();
    let path = stage.source().join("image");
    let mut bytes = noise(1, 6 * MIB);
    fs::write(&path, &bytes).unwrap();
    let first = stage.snapshot().snapshot.unwrap();
    let head = files_below(&stage.repository.path().join("heads")).pop().unwrap();
    let stored = File::options().read(true).write(true).open(head).unwrap();
    let mut byte = [0];
    stored.read_exact_at(&mut byte, MIB as u64).unwrap();
    stored.write_all_at(&[!byte[0]], MIB as u64).unwrap();
    // Everything moves, so all of the older version is looked at.
    bytes.insert(0, 7);
    fs::write(&path, &bytes).unwrap();
    fs::write(stage.source().join("other"), "of the same day").unwrap();
    let second = stage.snapshot().snapshot.unwrap();
    assert!(all(&stage, &second, "image") == bytes);
    assert_eq!(all(&stage, &second, "other"), b"of the same day");
    let damages = stage.repository.verify(true, &mut |_, _| Ok(())).unwrap().damages;
    assert_eq!(damages.len(), 1, "{damages:?}");
    assert!(
        damages[0].paths.iter().all(|(_, snapshot)| *snapshot == first.name),
        "{damages:?}"
    );
}

/// Every file below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| match path.is_dir() {
        true => files_below(&path),
        false => vec![path],
    };
    entries.flat_map(below).collect()
}

#[test]
fn there_and_back_again() {
    let stage = Stage::new();
    let path = stage.source().join("file");
    let (a, mut b) = (noise(1, 5 * MIB), noise(1, 5 * MIB));
    b[3 * MIB] ^= 1;
    let mut snapshots = Vec::new();
    for bytes in [&a, &b, &a, &b, &a] {
        fs::write(&path, bytes).unwrap();
        snapshots.push(stage.snapshot().snapshot.unwrap());
    }
    for (snapshot, bytes) in snapshots.iter().zip([&a, &b, &a, &b, &a]) {
        assert!(all(&stage, snapshot, "file") == *bytes, "{}", snapshot.name);
    }
    let used = disk_usage(stage.repository.path());
    assert!(used < 6 * MIB as u64, "{used}");
}

#[test]
fn any_snapshot_can_go() {
    let stage = Stage::new();
    let source = stage.source();
    let mut bytes = noise(1, 8 * MIB);
    let mut medium = noise(9, 200_000);
    let mut kept = Vec::new();
    for version in 0..8u64 {
        let at = version as usize * MIB;
        bytes[at..at + 100_000].copy_from_slice(&noise(50 + version, 100_000));
        medium[version as usize * 1000] ^= 1;
        fs::write(source.join("large"), &bytes).unwrap();
        fs::write(source.join("medium"), &medium).unwrap();
        fs::write(source.join(format!("only-{version}")), noise(70 + version, 50_000)).unwrap();
        if version > 0 {
            fs::remove_file(source.join(format!("only-{}", version - 1))).unwrap();
        }
        let snapshot = stage.snapshot().snapshot.unwrap();
        let copy = stage.restored(&snapshot, &format!("kept-{version}"));
        kept.push((snapshot, copy));
    }
    // From the middle, the oldest, the newest, and then all but one.
    for (round, at) in [3, 0, 5, 2, 1, 1, 0].into_iter().enumerate() {
        let before = disk_usage(stage.repository.path());
        let (gone, _) = kept.remove(at);
        let forgotten = stage.repository.forget(&[gone.id]).unwrap();
        assert_eq!(forgotten.snapshots, 1);
        let after = disk_usage(stage.repository.path());
        assert!(after <= before, "round {round} grew from {before} to {after}");
        for (snapshot, copy) in &kept {
            let again = stage.restored(snapshot, &format!("again-{round}-{}", snapshot.name));
            assert_eq!(differences(copy, &again), "", "round {round}, {}", snapshot.name);
        }
    }
    // What is left goes on.
    fs::write(source.join("large"), noise(3, 2 * MIB)).unwrap();
    let last = stage.snapshot().snapshot.unwrap();
    assert_eq!(differences(&source, &stage.restored(&last, "last")), "");
}

#[test]
fn a_sparse_image_stays_sparse_and_its_changes_cost_little() {
    let stage = Stage::new();
    let path = stage.source().join("image");
    let file = File::create(&path).unwrap();
    file.set_len(2 << 30).unwrap();
    for at in [0u64, 700 << 20, (2 << 30) - (1 << 20)] {
        file.write_all_at(&noise(at, MIB), at).unwrap();
    }
    let first = stage.snapshot();
    assert!(disk_usage(stage.repository.path()) < 8 * MIB as u64);
    file.write_all_at(&noise(5, MIB), 1 << 30).unwrap();
    let second = stage.snapshot();
    assert!(second.bytes_new < 6 * MIB as u64, "{}", second.bytes_new);
    let copy = stage.restored(&second.snapshot.unwrap(), "out");
    assert!(disk_usage(&copy) < 8 * MIB as u64);
    assert_eq!(differences(&stage.source(), &copy), "");
    let old = first.snapshot.unwrap();
    assert!(read(&stage, &old, "image", 1 << 30, 4096) == [0; 4096]);
    assert!(read(&stage, &old, "image", 700 << 20, 4096) == noise(700 << 20, MIB)[..4096]);
}

#[test]
fn two_sets_of_paths_are_two_lines() {
    let stage = Stage::new();
    let source = stage.source();
    for name in ["one", "two"] {
        fs::create_dir(source.join(name)).unwrap();
        fs::write(source.join(name).join("file"), noise(name.len() as u64, 100_000)).unwrap();
    }
    let take = |paths: &[&Path]| yore_agent::snapshot::snapshot(&stage.target(), stage.request(paths), &()).unwrap();
    take(&[&source.join("one")]);
    take(&[&source.join("two")]);
    let again = take(&[&source.join("one")]);
    assert_eq!((again.files_new, again.files_changed, again.removed), (0, 0, 0));
    // A path given twice or inside another is taken once.
    let nested = take(&[&source, &source.join("one"), &source]);
    assert_eq!(nested.snapshot.unwrap().roots.len(), 1);
}

#[test]
fn a_root_that_has_vanished_is_an_error_and_no_deletion() {
    let stage = Stage::new();
    fs::write(stage.source().join("file"), "kept").unwrap();
    stage.snapshot();
    fs::rename(stage.source(), stage.folder.path().join("unmounted")).unwrap();
    let error = yore_agent::snapshot::snapshot(&stage.target(), stage.request(&[&stage.source()]), &()).unwrap_err();
    assert!(error.to_string().contains("source"), "{error}");
    assert_eq!(stage.repository.snapshots().unwrap().len(), 1);
}

#[test]
fn small_files_that_share_frames_give_their_room_back() {
    let stage = Stage::new();
    let mut snapshots = Vec::new();
    for version in 0..6u64 {
        for file in 0..400u64 {
            // Each version leaves a third as it was, so that dead and living share frames.
            if version == 0 || (file + version) % 3 != 0 {
                fs::write(
                    stage.source().join(format!("{file:03}")),
                    noise(version * 1000 + file, 6000),
                )
                .unwrap();
            }
        }
        snapshots.push(stage.snapshot().snapshot.unwrap());
    }
    let last = snapshots.pop().unwrap();
    let before = disk_usage(stage.repository.path());
    let ids: Vec<_> = snapshots.iter().map(|snapshot| snapshot.id).collect();
    stage.repository.forget(&ids).unwrap();
    let after = disk_usage(stage.repository.path());
    // One version of 2.4 MB is left of about four and a third.
    assert!(before - after > 5_500_000, "from {before} to {after}");
    assert_eq!(differences(&stage.source(), &stage.restored(&last, "out")), "");
    assert_eq!(
        stage.repository.verify(true, &mut |_, _| Ok(())).unwrap().damages.len(),
        0
    );
}
