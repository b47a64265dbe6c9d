//! `contrib/recover-by-hand` gives back what yore does: with sqlite3, zstd and rdiff alone.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use yore_store::Snapshot;
use yore_tests::{Stage, differences, run};

/// Runs the script; fails with what is missing if it cannot.
fn by_hand(repository: &Path, snapshot: &str, dest: &Path) -> Output {
    for tool in ["sqlite3", "zstd", "rdiff", "setfattr"] {
        run(Command::new(tool).arg("--version"));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/recover-by-hand");
    Command::new(&script)
        .arg(repository)
        .arg(snapshot)
        .arg(dest)
        .output()
        .unwrap_or_else(|error| panic!("{script:?}: {error}"))
}

/// What the script makes of a snapshot, beside what yore makes of it.
fn assert_same(stage: &Stage, snapshot: &Snapshot, name: &str) {
    let dest = stage.folder.path().join(format!("by-hand of {name}"));
    let output = by_hand(stage.repository.path(), name, &dest);
    assert!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let top: Vec<_> = fs::read_dir(&dest)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(top.len(), 1, "nothing is left beside the tree: {top:?}");
    let ours = stage.restored(snapshot, &format!("by-yore of {name}"));
    let source = stage.source();
    assert_eq!(
        differences(&ours, &dest.join(source.strip_prefix("/").unwrap())),
        "",
        "{name}"
    );
    // The folders above the source too, which `restored` gives back as they were.
    assert_eq!(
        fs::metadata(dest.join("tmp"))
            .ok()
            .map(|meta| meta.permissions().mode()),
        fs::metadata("/tmp").ok().map(|meta| meta.permissions().mode())
    );
}

/// Bytes that do not compress, the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Bytes that do compress.
fn text(seed: u64, length: usize) -> Vec<u8> {
    (seed..)
        .flat_map(|line| format!("line {line} of {}\n", line * line % 977).into_bytes())
        .take(length)
        .collect()
}

fn odd_names() -> [&'static [u8]; 9] {
    [
        b"new\nline\n",
        b"\n",
        b"it's \"quoted\" `here` $HOME \\0101 %s",
        b"\xff\xfe not UTF-8 \x80",
        b"-rf",
        b"  spaces  ",
        b"*?[a]",
        b"tab\tbell\x07",
        "gr\u{fc}n".as_bytes(),
    ]
}

fn first_tree(source: &Path) {
    for (index, name) in odd_names().into_iter().enumerate() {
        let folder = source.join(OsStr::from_bytes(name));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(OsStr::from_bytes(name)), format!("small {index}")).unwrap();
    }
    fs::create_dir_all(source.join("deep/er/and/deeper")).unwrap();
    fs::write(source.join("deep/er/and/deeper/file"), text(3, 20_000)).unwrap();
    fs::write(source.join("empty"), "").unwrap();
    fs::create_dir(source.join("empty folder")).unwrap();
    fs::write(source.join("medium"), noise(1, 300_000)).unwrap();
    fs::write(source.join("medium text"), text(1, 700_000)).unwrap();
    fs::write(source.join("twin"), noise(1, 300_000)).unwrap();
    fs::write(source.join("large"), noise(2, 9_000_000)).unwrap();
    fs::write(source.join("large text"), text(2, 6_000_000)).unwrap();
    let mixed = [text(5, 3_000_000), noise(5, 3_000_000)].concat();
    fs::write(source.join("large mixed"), mixed).unwrap();
    symlink(OsStr::from_bytes(b"to \xff\nnowhere\n"), source.join("symlink")).unwrap();
    fs::hard_link(source.join("large"), source.join("deep/large too")).unwrap();
    fs::hard_link(source.join("symlink"), source.join("symlink too")).unwrap();
    run(Command::new("mkfifo").arg(source.join("fifo")));
    fs::write(source.join("setuid"), "#!/bin/sh").unwrap();
    fs::set_permissions(source.join("setuid"), Permissions::from_mode(0o4711)).unwrap();
    fs::set_permissions(source.join("deep/er"), Permissions::from_mode(0o1555)).unwrap();
    run(Command::new("setfattr")
        .args(["-n", "user.odd name", "-v", "0x000aff22"])
        .arg(source.join("medium")));
    run(Command::new("setfattr")
        .args(["-n", "user.empty"])
        .arg(source.join("deep")));
    run(Command::new("setfattr")
        .args(["-n", "user.long", "-v", &"x".repeat(3000)])
        .arg(source.join("deep")));
    let sparse = File::create(source.join("sparse")).unwrap();
    sparse.set_len(21_000_000).unwrap();
    sparse.write_all_at(b"island", 9_000_000).unwrap();
    for (time, name) in [
        ("@-0.25", "setuid"),
        ("@-86400.000000001", "fifo"),
        ("@-7", "symlink"),
        ("@1.000000009", "deep"),
    ] {
        run(Command::new("touch").args(["-h", "-d", time]).arg(source.join(name)));
    }
}

/// An edit of everything that has versions, another one each time.
fn edit(source: &Path, round: u8) {
    let change = |name: &str, edit: &dyn Fn(&mut Vec<u8>)| {
        let path = source.join(name);
        let mut bytes = fs::read(&path).unwrap();
        edit(&mut bytes);
        // In place, so that hard links stay.
        fs::write(&path, bytes).unwrap();
    };
    let at = usize::from(round) * 1000;
    change("medium", &|bytes| bytes[at] ^= round);
    change("medium text", &|bytes| {
        bytes.splice(at..at, *b"inserted").for_each(drop)
    });
    change("large", &|bytes| bytes.insert(at, round));
    change("large text", &|bytes| bytes.drain(at..at + 100).for_each(drop));
    change("large mixed", &|bytes| bytes[at * 700] ^= round);
    change("deep/er/and/deeper/file", &|bytes| bytes.push(round));
    let sparse = File::options().write(true).open(source.join("sparse")).unwrap();
    sparse.write_all_at(&[round], u64::from(round) * 4_000_000).unwrap();
    match round {
        1 => fs::remove_file(source.join("twin")).unwrap(),
        2 => fs::rename(source.join("deep"), source.join("moved"))
            .and_then(|()| symlink("moved", source.join("deep")))
            .unwrap(),
        3 => fs::write(source.join("twin"), noise(1, 300_000)).unwrap(),
        _ => fs::write(source.join("empty"), "no more").unwrap(),
    }
}

#[test]
fn every_snapshot_comes_back_without_yore() {
    let stage = Stage::new();
    first_tree(&stage.source());
    let mut snapshots = vec![stage.snapshot().snapshot.unwrap()];
    let mut deltas = 0;
    for round in 1..=4 {
        edit(&stage.source(), round);
        let outcome = stage.snapshot();
        deltas += outcome.deltas;
        snapshots.push(outcome.snapshot.unwrap());
    }
    assert!(deltas >= 15, "there are chains to follow: {deltas} deltas");
    let repository = stage.repository.path();
    assert!(
        repository.join("catalog.sqlite3-wal").exists(),
        "a repository in use has a log"
    );
    for snapshot in [&snapshots[0], &snapshots[2]] {
        assert_same(&stage, snapshot, &snapshot.name);
    }
    // The same repository as a disk that can only be read has it: the log written back, nothing else.
    run(Command::new("sqlite3")
        .arg(repository.join("catalog.sqlite3"))
        .arg("PRAGMA wal_checkpoint(TRUNCATE)"));
    let frozen = stage.folder.path().join("a copy? of 100%41");
    run(Command::new("rsync")
        .args(["-a", "--exclude=catalog.sqlite3-*"])
        .arg(format!("{}/", repository.display()))
        .arg(&frozen));
    let dest = stage.folder.path().join("newest");
    let output = by_hand(&frozen, "latest", &dest);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        differences(&stage.source(), &dest.join(stage.source().strip_prefix("/").unwrap())),
        ""
    );
    assert!(!frozen.join("catalog.sqlite3-wal").exists(), "nothing was written");
}

#[test]
fn what_cannot_be_restored_is_listed_and_the_rest_is_there() {
    let stage = Stage::new();
    fs::write(stage.source().join("large"), noise(1, 2_000_000)).unwrap();
    fs::write(stage.source().join("small"), "small").unwrap();
    stage.snapshot();
    for folder in fs::read_dir(stage.repository.path().join("heads")).unwrap() {
        fs::remove_dir_all(folder.unwrap().path()).unwrap();
    }
    let dest = stage.folder.path().join("dest");
    let output = by_hand(stage.repository.path(), "latest", &dest);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("source/large: its content is missing or damaged"),
        "{said}"
    );
    let restored = dest.join(stage.source().strip_prefix("/").unwrap());
    assert_eq!(fs::read(restored.join("small")).unwrap(), b"small");
    assert!(!restored.join("large").exists());
    assert_eq!(
        by_hand(stage.repository.path(), "latest", &dest).status.code(),
        Some(2),
        "a full folder is refused"
    );
    let unknown = by_hand(
        stage.repository.path(),
        "2001-01-01_00-00-00",
        &stage.folder.path().join("other"),
    );
    assert_eq!(unknown.status.code(), Some(2));
}
