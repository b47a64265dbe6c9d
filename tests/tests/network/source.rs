//! The tree that is pushed: small files in many folders, some of a few MiB, odd names; and what it looks like.
//!
//! ```text
//! folder-0/ … folder-7/    small files, symlinks, empty files, names that nobody would choose
//! medium-0 … medium-2      one to two MiB, edited in place
//! large                    over four MiB, so that it is stored in segments
//! new-0 … new-2            noise that no earlier version helps with
//! ```

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use yore_store::{ContentId, Entry, Hash, Kind, Repository, Snapshot};
use yore_tests::model::random::Random;

/// Folders of small files.
const FOLDERS: usize = 8;

/// What an edit of a large file costs beside its bytes.
const EDIT: usize = 2_000;

/// What a name costs.
const NAME: usize = 300;

/// The longest that the large file may become.
const LONGEST: usize = 6 << 20;

/// Names of small files.
const NAMES: [&[u8]; 12] = [
    b"a",
    b"b",
    b"c",
    b"notes.txt",
    b"new\nline",
    b"\xff\xfe raw",
    b"-rf",
    b" blanks ",
    "späť".as_bytes(),
    b"*?\\",
    b".hidden",
    &[b'x'; 250],
];

/// An entry as it is on the disk, or as a snapshot has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    kind: Kind,
    mode: u32,
    mtime: (i64, u32),
    size: u64,
    target: Vec<u8>,
    content: Option<Hash>,
}

/// Entries by their paths below the root, which is the empty path.
pub type Shape = BTreeMap<Vec<u8>, Item>;

/// A folder that is backed up.
pub struct Source(PathBuf);

impl Source {
    /// Fills a folder.
    pub fn plant(folder: &Path, random: &mut Random) -> Self {
        let source = Source(folder.to_owned());
        for number in 0..FOLDERS {
            let folder = folder.join(format!("folder-{number}"));
            fs::create_dir(&folder).expect("a folder");
            for name in &NAMES[..NAMES.len() / 2] {
                let length = random.below(6000);
                fs::write(folder.join(OsStr::from_bytes(name)), random.bytes(length)).expect("a file");
            }
        }
        for number in 0..3 {
            let bytes = random.noise((1 << 20) + number * 400_000);
            fs::write(source.0.join(format!("medium-{number}")), bytes).expect("a file");
        }
        fs::write(source.0.join("large"), random.noise(5 << 20)).expect("a file");
        source
    }

    /// Changes some of it; gives about how many bytes a push has to send of that.
    pub fn change(&self, random: &mut Random) -> u64 {
        let mut cost = 0;
        if !random.once_in(4) {
            let length = random.within(300_000..6_000_000);
            fs::write(self.0.join(format!("new-{}", random.below(3))), random.noise(length)).expect("a file");
            cost += length;
        }
        for _ in 0..random.within(1..10) {
            cost += match random.below(12) {
                0..=5 => self.small(random),
                6 | 7 => self.edit(&format!("medium-{}", random.below(3)), random),
                8 => self.edit("large", random),
                _ => self.touch(random),
            };
        }
        cost as u64
    }

    /// A place for a small file.
    fn place(&self, random: &mut Random) -> PathBuf {
        let folder = self.0.join(format!("folder-{}", random.below(FOLDERS)));
        fs::create_dir_all(&folder).expect("a folder");
        folder.join(OsStr::from_bytes(random.pick(&NAMES).expect("there are some")))
    }

    /// Makes something, in place of whatever is there.
    fn small(&self, random: &mut Random) -> usize {
        let place = self.place(random);
        remove(&place);
        match random.below(8) {
            0 => {
                let target: Vec<u8> = random.noise(15).iter().map(|byte| byte | 1).collect();
                symlink(OsStr::from_bytes(&target), place).expect("a symlink");
            }
            1 => fs::write(place, "").expect("a file"),
            2 => {
                fs::create_dir(&place).expect("a folder");
                fs::write(place.join("inside"), random.noise(100)).expect("a file");
            }
            _ => {
                let length = random.below(30_000);
                fs::write(place, random.bytes(length)).expect("a file");
                return length + NAME;
            }
        }
        100 + 2 * NAME
    }

    /// Changes a part of a file: its bytes, its length, where the rest is.
    fn edit(&self, name: &str, random: &mut Random) -> usize {
        let path = self.0.join(name);
        let mut bytes = fs::read(&path).expect("it is there");
        let at = if random.once_in(4) {
            0
        } else {
            random.below(bytes.len() - 20_000)
        };
        let length = random.within(1..20_000);
        match random.below(4) {
            0 => drop(bytes.splice(at..at, random.noise(length))),
            1 => drop(bytes.drain(at..at + length)),
            2 => bytes.extend(random.noise(length)),
            _ => bytes[at..at + length].copy_from_slice(&random.noise(length)),
        }
        bytes.truncate(LONGEST);
        fs::write(path, bytes).expect("it can be written");
        length + EDIT
    }

    /// Changes what is not content: a name, a mode, a time; or removes something.
    fn touch(&self, random: &mut Random) -> usize {
        let place = self.place(random);
        let Ok(found) = fs::symlink_metadata(&place) else {
            return 0;
        };
        match random.below(6) {
            0 if found.is_dir() => remove(place.parent().expect("a folder")),
            0 | 1 => remove(&place),
            2 | 3 => {
                let to = self.place(random);
                remove(&to);
                let _ = fs::rename(place, to);
            }
            4 if !found.is_symlink() => {
                let most = if found.is_dir() { 0o700 } else { 0o400 };
                let mode = most | random.below(0o100) as u32;
                fs::set_permissions(place, fs::Permissions::from_mode(mode)).expect("a mode");
            }
            _ if found.is_file() => {
                let time =
                    UNIX_EPOCH + Duration::new(random.below(2_000_000_000) as u64, random.below(999_999_999) as u32);
                fs::File::open(place)
                    .and_then(|file| file.set_modified(time))
                    .expect("a time");
            }
            _ => {}
        }
        4 * NAME
    }

    /// What it looks like.
    pub fn shape(&self) -> Shape {
        let mut shape = Shape::new();
        self.look(&self.0, &mut shape);
        shape
    }

    fn look(&self, path: &Path, shape: &mut Shape) {
        let found = fs::symlink_metadata(path).expect("it is there");
        let kind = Kind::from_st_mode(found.mode()).expect("a kind");
        let (is_file, is_link) = (kind == Kind::File, kind == Kind::Symlink);
        let below = path.strip_prefix(&self.0).expect("it is below").as_os_str().as_bytes();
        let target = is_link.then(|| fs::read_link(path).expect("a symlink"));
        let bytes = is_file.then(|| fs::read(path).expect("a file"));
        let item = Item {
            kind,
            mode: found.mode() & 0o7777,
            mtime: (found.mtime(), found.mtime_nsec() as u32),
            size: if is_file { found.len() } else { 0 },
            target: target
                .map(|target| target.into_os_string().as_bytes().to_vec())
                .unwrap_or_default(),
            content: bytes.filter(|bytes| !bytes.is_empty()).map(|bytes| Hash::of(&bytes)),
        };
        shape.insert(below.to_vec(), item);
        if kind == Kind::Folder {
            for inside in fs::read_dir(path).expect("a folder") {
                self.look(&inside.expect("an entry").path(), shape);
            }
        }
    }
}

fn remove(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path).expect("it can be removed");
    } else {
        let _ = fs::remove_file(path);
    }
}

/// Reads snapshots past all caches of others; each content once.
pub struct Reader {
    repository: Arc<Repository>,
    /// The folder that was pushed.
    root: Vec<u8>,
    read: BTreeMap<i64, Hash>,
}

impl Reader {
    /// A reader of what was pushed of a folder.
    pub fn new(repository: &Path, folder: &Path) -> Self {
        let folder = folder.canonicalize().expect("a folder");
        Reader {
            repository: Arc::new(Repository::open(repository).expect("a repository")),
            root: folder.as_os_str().as_bytes().to_vec(),
            read: BTreeMap::new(),
        }
    }

    /// All snapshots, in the order in which they were made.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let mut all = self.repository.snapshots().expect("a list of snapshots");
        all.sort_by_key(|snapshot| snapshot.id);
        all
    }

    /// What a snapshot looks like.
    pub fn shape(&mut self, snapshot: &Snapshot) -> Shape {
        let mut shape = Shape::new();
        let root = self.repository.lookup(snapshot, &self.root);
        let root = root.unwrap_or_else(|error| panic!("{}: {error}", snapshot.name));
        self.look(snapshot, Vec::new(), &root, &mut shape);
        shape
    }

    fn look(&mut self, snapshot: &Snapshot, path: Vec<u8>, entry: &Entry, shape: &mut Shape) {
        let meta = &entry.meta;
        let item = Item {
            kind: meta.kind,
            mode: meta.mode,
            mtime: (meta.mtime, meta.mtime_ns),
            size: entry.size,
            target: meta.target.clone(),
            content: entry.content.map(|id| self.content(id, entry.size)),
        };
        if let Some(child) = entry.child {
            let listing = self
                .repository
                .list(snapshot.id, child)
                .expect("a folder can be listed");
            for inside in listing.iter() {
                let between: &[u8] = if path.is_empty() { b"" } else { b"/" };
                self.look(snapshot, [&path, between, &inside.name].concat(), inside, shape);
            }
        }
        shape.insert(path, item);
    }

    fn content(&mut self, id: ContentId, size: u64) -> Hash {
        let repository = &self.repository;
        *self.read.entry(id.0).or_insert_with(|| {
            let mut bytes = vec![0; size as usize + 1];
            let read = repository
                .open_content(id)
                .and_then(|content| content.read_at(0, &mut bytes));
            let length = read.unwrap_or_else(|error| panic!("content {id}: {error}"));
            Hash::of(&bytes[..length])
        })
    }
}

/// How two shapes differ, in lines.
pub fn difference(wanted: &Shape, found: &Shape) -> String {
    let paths: std::collections::BTreeSet<_> = wanted.keys().chain(found.keys()).collect();
    let other = paths.into_iter().filter(|path| wanted.get(*path) != found.get(*path));
    let line = |path: &Vec<u8>| {
        let name = String::from_utf8_lossy(path);
        format!("{name:?}: wanted {:?}, found {:?}", wanted.get(path), found.get(path))
    };
    other.map(line).collect::<Vec<_>>().join("\n")
}
