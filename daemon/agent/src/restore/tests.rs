use std::collections::HashMap;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::sync::Mutex;

use yore_store::{EntryId, Kind, Meta, SnapshotId};

use super::*;
use crate::metadata::{OwnerNames, Stat, read_meta};

mod strange;

/// A snapshot in memory.
#[derive(Default)]
struct Memory {
    roots: Vec<Vec<u8>>,
    folders: Vec<Listing>,
    contents: HashMap<i64, Vec<u8>>,
    /// What its root is, if not a folder.
    root: Option<Kind>,
    /// What cannot be read ahead.
    shy: Vec<i64>,
    /// Contents that were opened one by one.
    opened: Mutex<Vec<i64>>,
}

struct Bytes(Vec<u8>);

impl OpenContent for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> yore_store::Result<usize> {
        let rest = &self.0[(offset as usize).min(self.0.len())..];
        // Short reads, which a caller has to put up with.
        let length = rest.len().min(buffer.len()).min(100_000);
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

impl Source for Memory {
    fn name(&self) -> &str {
        "test"
    }
    fn roots(&self) -> &[Vec<u8>] {
        &self.roots
    }
    fn root(&self) -> yore_store::Result<Entry> {
        let kind = self.root.unwrap_or(Kind::Folder);
        Ok(entry(
            b"",
            Meta::plain(kind, 0o755),
            (kind == Kind::Folder).then_some(0),
        ))
    }
    fn list(&self, folder: FolderId) -> yore_store::Result<Arc<Listing>> {
        Ok(Arc::new(self.folders[folder.0 as usize].clone()))
    }
    fn open(&self, content: ContentId, _size: u64) -> yore_store::Result<Box<dyn OpenContent>> {
        self.opened.lock().unwrap().push(content.0);
        Ok(Box::new(Bytes(self.contents[&content.0].clone())))
    }
    fn read(&self, next: &mut NextPassage<'_>, tell: &mut TellPassage<'_>) {
        let open = |content: ContentId, _| match self.shy.contains(&content.0) {
            true => Err(yore_store::Error::Damaged("not ahead".into())),
            false => Ok(Box::new(Bytes(self.contents[&content.0].clone())) as Box<dyn OpenContent>),
        };
        yore_store::read_passages(&open, next, tell);
    }
}

fn entry(name: &[u8], meta: Meta, child: Option<usize>) -> Entry {
    Entry {
        id: EntryId(0),
        folder: FolderId(0),
        name: name.to_vec(),
        first: SnapshotId(1),
        last: SnapshotId(1),
        meta,
        size: 0,
        content: None,
        child: child.map(|at| FolderId(at as i64)),
        link: None,
    }
}

impl Memory {
    fn new(root: &str) -> Self {
        Memory {
            roots: vec![root.into()],
            folders: vec![vec![]],
            ..Memory::default()
        }
    }

    fn put(&mut self, folder: usize, new: Entry) -> &mut Entry {
        let listing = &mut self.folders[folder];
        let at = listing.binary_search_by(|old| old.name.cmp(&new.name)).unwrap_err();
        listing.insert(at, new);
        &mut listing[at]
    }

    fn folder(&mut self, folder: usize, name: &str, mode: u32) -> usize {
        self.folders.push(vec![]);
        let made = self.folders.len() - 1;
        let mut meta = Meta::plain(Kind::Folder, mode);
        meta.mtime = 1_000_000_000;
        self.put(folder, entry(name.as_bytes(), meta, Some(made)));
        made
    }

    fn file(&mut self, folder: usize, name: &[u8], bytes: &[u8]) -> &mut Entry {
        let id = self.contents.len() as i64;
        self.contents.insert(id, bytes.to_vec());
        let mut file = entry(name, Meta::plain(Kind::File, 0o640), None);
        (file.size, file.content, file.meta.mtime) = (bytes.len() as u64, Some(ContentId(id)), 1_500_000_000);
        self.put(folder, file)
    }

    fn restore(&self, path: &str, dest: &Path, options: &RestoreOptions) -> Report {
        restore_from(self, path.as_bytes(), dest, options, &()).unwrap()
    }
}

/// /home/ann with one of each kind.
fn ann() -> Memory {
    let mut snapshot = Memory::new("/home/ann");
    let home = snapshot.folder(0, "home", 0o711);
    let ann = snapshot.folder(home, "ann", 0o550);
    snapshot.file(ann, b"bad\xff\nname", &[7; 3_000_000]);
    snapshot.file(ann, b"one", b"linked").link = Some(5);
    snapshot.file(ann, b"two", b"linked").link = Some(5);
    for (name, kind) in [
        ("fifo", Kind::Fifo),
        ("socket", Kind::Socket),
        ("symlink", Kind::Symlink),
    ] {
        let mut meta = Meta::plain(kind, 0o604);
        (meta.target, meta.mtime, meta.mtime_ns) = (b"/nowhere".to_vec(), -77, 123_456_789);
        snapshot.put(ann, entry(name.as_bytes(), meta, None));
    }
    snapshot
}

#[test]
fn contents_are_read_ahead_and_those_that_cannot_be_by_themselves() {
    let mut snapshot = ann();
    let sparse = snapshot.file(0, b"sparse", &[8; 4_000_000]);
    sparse.meta.data = Some(vec![(0, 10), (2_000_000, 1_500_000)]);
    snapshot.file(0, b"zebra", b"stripes");
    let ways: [(&[i64], &[i64]); 3] = [(&[], &[]), (&[0], &[0]), (&[1, 3], &[1, 3])];
    for (shy, opened) in ways {
        snapshot.shy = shy.to_vec();
        let dest = tempfile::tempdir().unwrap();
        let report = snapshot.restore("/", dest.path(), &RestoreOptions::default());
        assert_eq!(report.errors, []);
        assert_eq!(fs::read(dest.path().join("home/ann/two")).unwrap(), b"linked");
        assert_eq!(fs::read(dest.path().join("zebra")).unwrap(), b"stripes");
        let bytes = fs::read(dest.path().join("sparse")).unwrap();
        let holes = |at: usize| !(10..2_000_000).contains(&at) && at < 3_500_000;
        assert!(
            bytes
                .iter()
                .enumerate()
                .all(|(at, byte)| *byte == if holes(at) { 8 } else { 0 })
        );
        let mut by_itself = std::mem::take(&mut *snapshot.opened.lock().unwrap());
        by_itself.dedup();
        assert_eq!(by_itself, opened);
    }
}

#[test]
fn what_is_not_asked_for_is_not_read_ahead() {
    let snapshot = ann();
    let options = RestoreOptions {
        include: Some(Filter::new::<_, &Path>("--include", &["one"], &[]).unwrap()),
        ..RestoreOptions::default()
    };
    let dest = tempfile::tempdir().unwrap();
    assert_eq!(snapshot.restore("/home", dest.path(), &options).errors, []);
    assert_eq!(fs::read(dest.path().join("home/ann/one")).unwrap(), b"linked");
    assert!(
        snapshot.opened.lock().unwrap().is_empty(),
        "what was read ahead was what was wanted"
    );
}

#[test]
fn everything_comes_back_below_the_destination() {
    let dest = tempfile::tempdir().unwrap();
    // Twice: over nothing, and over itself.
    for _ in 0..2 {
        let report = ann().restore("/home/ann", dest.path(), &RestoreOptions::default());
        assert_eq!(report.errors, []);
        assert_eq!(
            (report.files, report.folders, report.others, report.bytes),
            (3, 1, 3, 3_000_006)
        );
        let ann = dest.path().join("home/ann");
        assert_eq!(fs::read_dir(&ann).unwrap().count(), 6, "no temporary name stays");
        let (one, two) = (
            fs::metadata(ann.join("one")).unwrap(),
            fs::metadata(ann.join("two")).unwrap(),
        );
        assert_eq!((one.ino(), one.nlink(), one.mode() & 0o7777), (two.ino(), 2, 0o640));
        for folder in [&ann, &dest.path().join("home")] {
            assert_eq!(
                fs::metadata(folder).unwrap().mtime(),
                1_000_000_000,
                "{}",
                folder.display()
            );
        }
        assert_eq!(fs::metadata(&ann).unwrap().mode() & 0o7777, 0o550);
        let link = fs::symlink_metadata(ann.join("symlink")).unwrap();
        assert_eq!((link.mtime(), link.mtime_nsec()), (-77, 123_456_789));
        assert!(fs::metadata(ann.join("fifo")).unwrap().file_type().is_fifo());
        assert!(fs::metadata(ann.join("socket")).unwrap().file_type().is_socket());
    }
}

#[test]
fn stripped_and_single_paths() {
    let dest = tempfile::tempdir().unwrap();
    let with = |strip| RestoreOptions {
        strip,
        ..RestoreOptions::default()
    };
    ann().restore("/home/ann/one", dest.path(), &with(2));
    assert_eq!(fs::read(dest.path().join("one")).unwrap(), b"linked");
    assert_eq!(fs::read_dir(dest.path()).unwrap().count(), 1);
    let inside = dest.path().join("new/ann");
    ann().restore("home/ann/", &inside, &with(2));
    assert!(inside.join("fifo").exists());
    assert_eq!(
        fs::metadata(&inside).unwrap().mode() & 0o7777,
        0o550,
        "a new destination is the folder itself"
    );
    let error = restore_from(&ann(), b"/home/ann/one", dest.path(), &with(3), &()).unwrap_err();
    assert!(matches!(error, RestoreError::Strip { most: 2, .. }), "{error}");
    let error = restore_from(&ann(), b"/home/bob", dest.path(), &with(0), &()).unwrap_err();
    assert!(
        matches!(error, RestoreError::Store(yore_store::Error::NoSuchPath { .. })),
        "{error}"
    );
}

#[test]
fn what_is_there_is_overwritten_as_asked() {
    let dest = tempfile::tempdir().unwrap();
    let file = dest.path().join("home/ann/one");
    for (overwrite, newer, expected) in [
        (Overwrite::Never, true, "old"),
        (Overwrite::IfNewer, false, "old"),
        (Overwrite::IfNewer, true, "linked"),
        (Overwrite::Always, false, "linked"),
    ] {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "old").unwrap();
        if newer {
            File::open(&file).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        }
        let report = ann().restore(
            "/home/ann/one",
            dest.path(),
            &RestoreOptions {
                overwrite,
                ..Default::default()
            },
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), expected, "{overwrite:?}");
        assert_eq!(report.skipped, (expected == "old") as u64);
    }
}

#[test]
fn symlinks_and_names_lead_nowhere_else() {
    let (dest, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(outside.path(), dest.path().join("home")).unwrap();
    let never = RestoreOptions {
        overwrite: Overwrite::Never,
        ..RestoreOptions::default()
    };
    assert_eq!(ann().restore("/", dest.path(), &never).errors.len(), 1);
    assert_eq!(ann().restore("/", dest.path(), &RestoreOptions::default()).errors, []);
    assert!(dest.path().join("home/ann/one").exists());

    let mut evil = Memory::new("/");
    for name in ["..", "../x", ".", "a/b"] {
        evil.file(0, name.as_bytes(), b"evil");
    }
    let inner = dest.path().join("inner");
    assert_eq!(evil.restore("/", &inner, &RestoreOptions::default()).errors.len(), 4);
    assert_eq!(fs::read_dir(&inner).unwrap().count(), 0);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    assert!(!dest.path().join("x").exists());
}

#[test]
fn deleting_stays_below_the_roots() {
    let dest = tempfile::tempdir().unwrap();
    for path in ["etc", "home/bob", "home/ann/extra/deep", "home/ann/one/in the way"] {
        fs::create_dir_all(dest.path().join(path)).unwrap();
    }
    let report = ann().restore(
        "/",
        dest.path(),
        &RestoreOptions {
            delete: true,
            ..RestoreOptions::default()
        },
    );
    assert_eq!((report.errors, report.deleted), (vec![], 4));
    assert!(dest.path().join("etc").exists() && dest.path().join("home/bob").exists());
    assert!(!dest.path().join("home/ann/extra").exists());
    // Without it, what is in the way stays and is told.
    fs::set_permissions(dest.path().join("home/ann"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::remove_file(dest.path().join("home/ann/fifo")).unwrap();
    fs::create_dir_all(dest.path().join("home/ann/fifo/thing")).unwrap();
    let report = ann().restore("/", dest.path(), &RestoreOptions::default());
    assert_eq!(report.errors.len(), 1);
    assert!(dest.path().join("home/ann/fifo/thing").exists());
    assert_eq!(
        fs::read_dir(dest.path().join("home/ann")).unwrap().count(),
        6,
        "no temporary name stays"
    );
}

#[test]
fn only_what_is_included_and_the_way_to_it() {
    let mut snapshot = ann();
    let docs = snapshot.folder(2, "docs", 0o700);
    let inner = snapshot.folder(docs, "inner", 0o700);
    snapshot.file(inner, b"one", b"1");
    snapshot.folder(2, "empty", 0o700);
    let include = |patterns: &[&str]| RestoreOptions {
        include: Some(Filter::new::<_, &str>("--include", patterns, &[]).unwrap()),
        delete: true,
        ..RestoreOptions::default()
    };
    let dest = tempfile::tempdir().unwrap();
    let report = snapshot.restore("/", dest.path(), &include(&["one"]));
    assert_eq!((report.errors, report.files, report.others), (vec![], 2, 0));
    assert!(dest.path().join("home/ann/docs/inner/one").exists() && !dest.path().join("home/ann/empty").exists());
    let dest = tempfile::tempdir().unwrap();
    let report = snapshot.restore("/home/ann", dest.path(), &include(&["/home/ann", "!one"]));
    assert_eq!((report.errors, report.files, report.others), (vec![], 2, 3));
}

#[test]
fn holes_stay_holes_and_dense_zeros_stay_dense() {
    const MIB: usize = 1 << 20;
    let mut bytes = vec![0; 8 * MIB];
    bytes[MIB..MIB + 4096].fill(9);
    let mut snapshot = Memory::new("/");
    snapshot.file(0, b"dense", &bytes);
    snapshot.file(0, b"sparse", &bytes).meta.data = Some(vec![(MIB as u64, 4096)]);
    let dest = tempfile::tempdir().unwrap();
    let report = snapshot.restore("", dest.path(), &RestoreOptions::default());
    assert_eq!((report.errors, report.bytes), (vec![], 8 * MIB as u64 + 4096));
    let blocks = |name: &str| fs::metadata(dest.path().join(name)).unwrap().blocks() * 512;
    assert!(blocks("dense") >= 8 * MIB as u64 && blocks("sparse") < MIB as u64);
    assert!(fs::read(dest.path().join("sparse")).unwrap() == bytes);
}

#[test]
fn depth_has_no_limit() {
    let mut snapshot = Memory::new("/deep");
    let mut at = 0;
    for _ in 0..2000 {
        at = snapshot.folder(at, "deep", 0o700);
        snapshot.file(at, b"later", b"x").link = Some(1);
    }
    let dest = tempfile::tempdir().unwrap();
    let report = snapshot.restore("/", dest.path(), &RestoreOptions::default());
    assert_eq!((report.errors, report.files, report.folders), (vec![], 2000, 2001));
    assert_eq!(fs::metadata(dest.path().join("deep/later")).unwrap().nlink(), 2000);
    assert_eq!(
        fs::metadata(dest.path().join("deep/deep/deep")).unwrap().mtime(),
        1_000_000_000
    );
    // And goes again, with what removes.
    let mut empty = Memory::new("/");
    empty.folders[0].clear();
    let report = empty.restore(
        "/",
        dest.path(),
        &RestoreOptions {
            delete: true,
            ..RestoreOptions::default()
        },
    );
    assert_eq!((report.errors, report.deleted), (vec![], 4000));
}

#[test]
fn metadata_is_read_as_it_was_given() {
    if !rustix::process::geteuid().is_root() {
        // What others may not give is told instead.
        return eprintln!("skipped: owners and trusted attributes want root");
    }
    let tree = tempfile::tempdir().unwrap();
    let dir = File::open(tree.path()).unwrap();
    File::create(tree.path().join("file")).unwrap();
    fs::create_dir(tree.path().join("folder")).unwrap();
    symlink("x", tree.path().join("symlink")).unwrap();
    let cap = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].to_vec();
    for (name, kind) in [
        ("file", Kind::File),
        ("folder", Kind::Folder),
        ("symlink", Kind::Symlink),
    ] {
        let mut meta = Meta::plain(kind, if kind == Kind::Symlink { 0o777 } else { 0o6751 });
        (meta.owner.uid, meta.owner.gid) = (4_000_000_001, 4_000_000_002);
        (meta.mtime, meta.mtime_ns) = (5_000_000_000, 999_999_999);
        meta.xattrs = vec![(b"trusted.t".to_vec(), b"\0\xff".to_vec())];
        match kind {
            Kind::File => meta.xattrs.insert(0, (b"security.capability".to_vec(), cap.clone())),
            Kind::Symlink => meta.target = b"x".to_vec(),
            _ => meta.xattrs.push((b"user.u".to_vec(), vec![])),
        }
        let applied = apply_meta(dir.as_fd(), name.as_bytes(), &meta).unwrap();
        assert_eq!(applied, Applied::default());
        let stat = Stat::at(dir.as_fd(), name.as_bytes()).unwrap();
        let read = read_meta(dir.as_fd(), name.as_bytes(), &stat, None, &mut OwnerNames::default())
            .unwrap()
            .meta;
        assert_eq!(read, meta);
    }
    // Attributes that the snapshot does not have go.
    apply_meta(dir.as_fd(), b"folder", &Meta::plain(Kind::Folder, 0o755)).unwrap();
    assert_eq!(
        fs::metadata(tree.path().join("folder")).unwrap().permissions().mode() & 0o7777,
        0o755
    );
    let mut meta = Meta::plain(Kind::Fifo, 0);
    meta.mtime = 1;
    assert!(
        apply_meta(dir.as_fd(), b"folder", &meta).is_err(),
        "another kind is not touched"
    );
}
