//! The format is a promise: a repository that was written by version 1 is read for ever.
//!
//! ```text
//! tests/fixtures/repository-1/repository.tar.zst    a repository of three snapshots, with everything that one can have
//!                             expected.txt          what each of them shows: metadata, and the BLAKE3 of its bytes
//! ```
//!
//! Never made anew for a change of the code. A new version of the format gets a folder of its own, by
//! `cargo test -p yore-tests --test fixture -- --ignored`, and this one stays.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use yore_store::{
    Body, Compression, Entry, Error, FolderId, Frame, GROUP, Hash, Ingest, Kind, LargeOp, MEDIUM, Meta, Owner,
    PushOptions, Repository, Snapshot, StepClock, Unlimited,
};
use yore_tests::run;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/repository-1")
}

/// Unpacks the repository; it goes with the folder.
fn unpacked() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("tar")
        .args(["--zstd", "-xf"])
        .arg(fixture().join("repository.tar.zst"))
        .arg("-C")
        .arg(folder.path()));
    let repository = folder.path().join("repository");
    (folder, repository)
}

/// What all snapshots show, a line a path.
fn shown(repository: &Arc<Repository>) -> String {
    let mut text = String::new();
    for snapshot in repository.snapshots().unwrap() {
        let Snapshot { name, host, tags, .. } = &snapshot;
        writeln!(text, "{name} of {host}, {tags:?}, {} bytes", snapshot.bytes).unwrap();
        let root = repository.root(snapshot.id).unwrap();
        describe(repository, &snapshot, "", &root, &mut text);
    }
    text
}

fn describe(repository: &Arc<Repository>, snapshot: &Snapshot, path: &str, entry: &Entry, text: &mut String) {
    let Meta {
        mode,
        owner,
        mtime,
        mtime_ns,
        rdev,
        target,
        xattrs,
        data,
        ..
    } = &entry.meta;
    let (target, links) = (
        String::from_utf8_lossy(target),
        entry
            .link
            .map_or(1, |link| repository.links(snapshot.id, link).unwrap().len()),
    );
    let path = format!("{path}{}", entry.name.escape_ascii());
    let letter = entry.meta.kind.letter();
    writeln!(
        text,
        "  {letter} {mode:o} {}:{} {}:{} {mtime}.{mtime_ns:09} {rdev} {links} {target:?} {xattrs:?} {data:?} {} {} /{path}",
        owner.uid,
        owner.gid,
        owner.user,
        owner.group,
        entry.size,
        content(repository, entry),
    )
    .unwrap();
    if let Some(child) = entry.child {
        in_folder(repository, snapshot, &path, child, text);
    }
}

fn in_folder(repository: &Arc<Repository>, snapshot: &Snapshot, path: &str, folder: FolderId, text: &mut String) {
    let path = if path.is_empty() {
        String::new()
    } else {
        format!("{path}/")
    };
    for entry in repository.list(snapshot.id, folder).unwrap().iter() {
        describe(repository, snapshot, &path, entry, text);
    }
}

fn content(repository: &Arc<Repository>, entry: &Entry) -> String {
    let Some(id) = entry.content else { return "-".into() };
    let mut bytes = vec![0; entry.size as usize];
    let length = repository.open_content(id).unwrap().read_at(0, &mut bytes).unwrap();
    assert_eq!(length, bytes.len());
    Hash::of(&bytes).to_string()
}

#[test]
fn a_repository_of_version_1_is_read_as_it_was_written() {
    let (_folder, path) = unpacked();
    let repository = Arc::new(Repository::open(&path).unwrap());
    assert_eq!(
        shown(&repository),
        fs::read_to_string(fixture().join("expected.txt")).unwrap()
    );
    let verified = repository.verify(true, &mut |_, _| Ok(())).unwrap();
    assert_eq!((verified.snapshots, verified.damages), (3, vec![]));
    // Each sort of stored file is in it, or the test says nothing of it.
    let stats = repository.stats().unwrap();
    assert!(stats.deltas.count > 1, "{stats:?}");
    for kind in ["packs", "heads"] {
        assert!(fs::read_dir(path.join(kind)).unwrap().next().is_some(), "{kind}");
    }
}

#[test]
fn a_repository_of_version_1_goes_on() {
    let (_folder, path) = unpacked();
    let clock = Arc::new(StepClock::new(2_000_000_000));
    let repository = Arc::new(Repository::open_with_clock(&path, clock).unwrap());
    let before = shown(&repository);
    let made = push(&repository, "later", |push| {
        file(push, "new", plain(Kind::File), b"new\n", &[])
    });
    assert!(shown(&repository).starts_with(&before));
    assert_eq!(repository.forget(&[made.id]).unwrap().snapshots, 1);
    assert_eq!(shown(&repository), before);
}

#[test]
fn a_catalog_of_version_1_comes_back_from_its_copy() {
    let (_folder, path) = unpacked();
    fs::remove_file(path.join("catalog.sqlite3")).unwrap();
    let repaired = Repository::repair(&path, false, &mut |_, _| Ok(())).unwrap();
    assert!(
        repaired.catalog.is_some() && repaired.damages.is_empty(),
        "{repaired:?}"
    );
    let expected = fs::read_to_string(fixture().join("expected.txt")).unwrap();
    assert_eq!(shown(&Arc::new(Repository::open(&path).unwrap())), expected);
}

#[test]
fn a_repository_from_the_future_is_refused_and_left_alone() {
    let (_folder, path) = unpacked();
    let config = path.join("yore.toml");
    let known = fs::read_to_string(&config).unwrap();
    for later in [
        known.replace("format = 1", "format = 2"),
        "format = 99\nnothing = [\"of this\"]\n".into(),
    ] {
        fs::write(&config, &later).unwrap();
        let Err(error) = Repository::open(&path) else {
            panic!("it was opened")
        };
        assert!(matches!(error, Error::Future { known: 1, .. }), "{error}");
        assert!(error.to_string().contains("install a newer yore"), "{error}");
        assert_eq!(fs::read_to_string(&config).unwrap(), later);
    }
    fs::write(&config, known).unwrap();
    let catalog = rusqlite::Connection::open(path.join("catalog.sqlite3")).unwrap();
    catalog.pragma_update(None, "user_version", 2).unwrap();
    assert!(matches!(Repository::open(&path), Err(Error::Future { found: 2, .. })));
}

/// Text of which each version has some lines of its own.
fn text(version: usize, length: usize) -> Vec<u8> {
    let line = |line: usize| match line % 997 == 5 {
        true => format!("line {line} of version {version}\n"),
        false => format!("line {line} of all\n"),
    };
    (0..)
        .flat_map(|number| line(number).into_bytes())
        .take(length)
        .collect()
}

fn plain(kind: Kind) -> Meta {
    let owner = Owner {
        uid: 1000,
        gid: 100,
        user: "ann".into(),
        group: "users".into(),
    };
    Meta {
        owner,
        mtime: 1_700_000_000,
        mtime_ns: 123_456_789,
        ..Meta::plain(kind, 0o644)
    }
}

fn push(repository: &Arc<Repository>, tag: &str, tell: impl FnOnce(&mut Ingest)) -> Snapshot {
    let options = PushOptions {
        host: "laptop".into(),
        roots: vec![b"/home/ann".to_vec()],
        tags: vec![tag.into()],
        made: None,
    };
    let mut ingest = Ingest::begin(repository, options, Box::new(Unlimited)).unwrap();
    ingest.enter(b"", Some(Meta::plain(Kind::Folder, 0o755))).unwrap();
    tell(&mut ingest);
    ingest.leave().unwrap();
    ingest.commit(0).unwrap().snapshot
}

/// Puts a file; a large one against `base`, with whose groups it shares what is the same.
fn file(push: &mut Ingest, name: &str, meta: Meta, bytes: &[u8], base: &[u8]) {
    let body = Body {
        hash: Hash::of(bytes),
        size: bytes.len() as u64,
    };
    let frame = |group: &[u8]| Frame::encode(group, Compression::Zstd(9));
    let frames: Vec<Frame> = bytes.chunks(GROUP as usize).map(frame).collect();
    if body.size > MEDIUM {
        push.large_begin((!base.is_empty()).then(|| Hash::of(base)), [1; 16])
            .unwrap();
        let mut old = base.chunks(GROUP as usize);
        for (group, frame) in bytes.chunks(GROUP as usize).zip(frames) {
            let is_same = old.next() == Some(group);
            let op = if is_same {
                LargeOp::Same { groups: 1 }
            } else {
                LargeOp::Frame(frame)
            };
            push.large_op(op).unwrap();
        }
        push.large_end(body.hash, body.size).unwrap();
    } else if body.size > 0 {
        push.contents(&[(body.hash, body.size)], frames).unwrap();
    }
    push.put(name.as_bytes(), meta, (body.size > 0).then_some(body), None)
        .unwrap();
}

/// All that an entry can have, but for what changes.
fn first(push: &mut Ingest) {
    let strange = Meta {
        mtime: -1,
        xattrs: vec![(b"user.note".to_vec(), b"kept\0".to_vec())],
        ..plain(Kind::File)
    };
    file(push, "attributes", strange, b"has attributes\n", &[]);
    let device = Meta {
        rdev: 0x103,
        ..plain(Kind::CharDevice)
    };
    push.put(b"device", device, None, None).unwrap();
    push.put(b"fifo", plain(Kind::Fifo), None, None).unwrap();
    push.enter(b"folder", Some(plain(Kind::Folder))).unwrap();
    file(push, "empty", plain(Kind::File), b"", &[]);
    push.leave().unwrap();
    let bytes = [vec![0; 5 << 20], b"behind a hole\n".to_vec()].concat();
    let sparse = Meta {
        data: Some(vec![(5 << 20, 14)]),
        ..plain(Kind::File)
    };
    file(push, "hole", sparse, &bytes, &[]);
}

fn changing(push: &mut Ingest, version: usize) {
    let before = |length| {
        if version == 1 {
            vec![]
        } else {
            text(version - 1, length)
        }
    };
    file(
        push,
        "large",
        plain(Kind::File),
        &text(version, 4_300_000),
        &before(4_300_000),
    );
    let (linked, body) = (b"linked", Hash::of(format!("linked {version}\n").as_bytes()));
    let bytes = format!("linked {version}\n").into_bytes();
    push.contents(
        &[(body, bytes.len() as u64)],
        vec![Frame::encode(&bytes, Compression::Off)],
    )
    .unwrap();
    let body = Body {
        hash: body,
        size: bytes.len() as u64,
    };
    push.put(linked, plain(Kind::File), Some(body), Some(7)).unwrap();
    push.put(b"linked too", plain(Kind::File), Some(body), Some(7)).unwrap();
    file(push, "medium", plain(Kind::File), &text(version, 150_000), &[]);
    push.put(b"no UTF-8 \xff", plain(Kind::Socket), None, None).unwrap();
    file(push, "small", plain(Kind::File), &text(version, 3_000), &[]);
    let target = Meta {
        target: format!("version-{version}").into(),
        ..plain(Kind::Symlink)
    };
    push.put(b"symlink", target, None, None).unwrap();
}

#[test]
#[ignore = "writes the fixture of a new version of the format"]
fn write_the_fixture() {
    assert!(!fixture().exists(), "{} is to be read for ever", fixture().display());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("repository");
    drop(Repository::init(&path, Compression::Zstd(9)).unwrap());
    let repository = Arc::new(Repository::open_with_clock(&path, Arc::new(StepClock::new(1_700_000_000))).unwrap());
    for version in 1..=3 {
        push(&repository, &format!("version {version}"), |push| {
            if version == 1 {
                first(push);
            }
            changing(push, version);
        });
    }
    repository.copy_catalog().unwrap();
    let text = shown(&repository);
    drop(repository);
    fs::create_dir_all(fixture()).unwrap();
    fs::write(fixture().join("expected.txt"), text).unwrap();
    // The ballast is made anew by a push.
    let mut tar = Command::new("tar");
    tar.args([
        "--exclude=repository/ballast",
        "--exclude=repository/locks/*",
        "--sort=name",
        "--owner=0",
        "--group=0",
    ]);
    run(tar
        .args(["--numeric-owner", "-I", "zstd -19", "-cf"])
        .arg(fixture().join("repository.tar.zst"))
        .arg("-C")
        .arg(folder.path())
        .arg("repository"));
}
