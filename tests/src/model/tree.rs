//! What the model keeps of a file system, and how it changes at random.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use yore_store::{DataExtents, GROUP, Kind, Meta, Owner};

use crate::model::random::Random;

/// The names from the root down; the root itself has none. Sorts depth first, names bytewise.
pub type Path = Vec<Vec<u8>>;

/// One path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Everything but its bytes.
    pub meta: Meta,
    /// The bytes of a regular file.
    pub bytes: Arc<Vec<u8>>,
    /// The same number for all names of one hard-linked file.
    pub link: Option<u64>,
}

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<Path, Node>);

/// What sizes files have, and how many there are.
#[derive(Clone, Copy, Debug)]
pub struct Flavour {
    /// Of so many new files…
    pub of: usize,
    /// …so many are of 32 KiB to 1 MiB,
    pub medium: usize,
    /// and so many larger.
    pub large: usize,
    /// The longest file, in bytes.
    pub longest: usize,
    /// The most paths.
    pub paths: usize,
    /// Changes between two snapshots, at most.
    pub changes: usize,
}

/// Changes trees, and remembers what they had.
pub struct Gardener {
    /// What sizes there are.
    pub flavour: Flavour,
    /// Paths, and contents that they had before, to come back.
    pub remembered: Vec<(Path, Arc<Vec<u8>>)>,
    next_link: u64,
}

const NAMES: [&[u8]; 11] = [
    b"a",
    b"b",
    b"c",
    b"A",
    b"a.b",
    b"a ",
    b"\xff\xfe",
    b"d\xc3\xa4",
    b"\x01",
    b"z",
    b"zz",
];

impl Node {
    /// A file.
    pub fn file(bytes: Vec<u8>) -> Self {
        Node {
            meta: Meta::plain(Kind::File, 0o644),
            bytes: Arc::new(bytes),
            link: None,
        }
    }

    /// Anything else.
    pub fn other(meta: Meta) -> Self {
        Node {
            meta,
            bytes: Arc::default(),
            link: None,
        }
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.meta.kind == Kind::Folder
    }
}

impl Default for Tree {
    fn default() -> Self {
        Tree(BTreeMap::from([(
            Path::new(),
            Node::other(Meta::plain(Kind::Folder, 0o755)),
        )]))
    }
}

impl Tree {
    /// Names in a folder, sorted.
    pub fn children(&self, folder: &[Vec<u8>]) -> BTreeSet<Vec<u8>> {
        let below = self
            .0
            .range(folder.to_vec()..)
            .skip(1)
            .take_while(|(path, _)| path.starts_with(folder));
        below
            .filter(|(path, _)| path.len() == folder.len() + 1)
            .map(|(path, _)| path[folder.len()].clone())
            .collect()
    }

    /// The names of a hard-linked file.
    pub fn links(&self, link: u64) -> Vec<&Path> {
        self.0
            .iter()
            .filter(|(_, node)| node.link == Some(link))
            .map(|(path, _)| path)
            .collect()
    }

    /// Removes a path and everything in it.
    pub fn remove(&mut self, path: &[Vec<u8>]) {
        self.0.retain(|other, _| !other.starts_with(path));
    }

    /// Puts a node in place of whatever has its path.
    pub fn put(&mut self, path: Path, node: Node) {
        self.remove(&path);
        self.0.insert(path, node);
    }

    fn paths(&self, wanted: impl Fn(&Node) -> bool) -> Vec<Path> {
        self.0
            .iter()
            .filter(|(path, node)| !path.is_empty() && wanted(node))
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// Changes a node, under all of its names.
    fn change(&mut self, path: &Path, change: impl FnOnce(&mut Node)) {
        let Some(node) = self.0.get_mut(path) else { return };
        change(node);
        let node = node.clone();
        for other in self
            .0
            .values_mut()
            .filter(|other| node.link.is_some() && other.link == node.link)
        {
            *other = node.clone();
        }
    }
}

impl Gardener {
    /// One that has done nothing yet.
    pub fn new(flavour: Flavour) -> Self {
        Gardener {
            flavour,
            remembered: Vec::new(),
            next_link: 1,
        }
    }

    /// Fills a tree.
    pub fn plant(&mut self, tree: &mut Tree, random: &mut Random) {
        for _ in 0..self.flavour.paths / 2 {
            let node = match random.once_in(4) {
                true => Node::other(Meta::plain(Kind::Folder, 0o755)),
                false => Node::file(self.new_bytes(random)),
            };
            self.place(tree, random, node);
        }
    }

    /// Changes a tree a few times.
    pub fn work(&mut self, tree: &mut Tree, random: &mut Random) {
        for _ in 0..random.within(1..self.flavour.changes + 1) {
            self.change(tree, random);
        }
    }

    fn change(&mut self, tree: &mut Tree, random: &mut Random) {
        let files = tree.paths(|node| node.meta.kind == Kind::File);
        let any = tree.paths(|_| true);
        // The first few are changed most, so that they get long histories.
        let favoured = &files[..files.len().min(if random.once_in(3) { files.len() } else { 3 })];
        let (file, other) = (random.pick(favoured).cloned(), random.pick(&files).cloned());
        let crowded = tree.0.len() > self.flavour.paths;
        match (random.below(32), file) {
            (0..=2, _) if !crowded => {
                let node = Node::file(self.new_bytes(random));
                self.place(tree, random, node);
            }
            (3, _) if !crowded => self.place(tree, random, Node::other(Meta::plain(Kind::Folder, 0o755))),
            (4, _) if !crowded => {
                let node = special(random);
                self.place(tree, random, node);
            }
            (0..=3, Some(file)) if crowded => tree.remove(&other.unwrap_or(file)),
            (5, _) => drop(random.pick(&any).map(|path| tree.remove(path))),
            (6, _) => self.rename(tree, random, &any),
            (7, _) => self.touch(tree, random),
            (8, Some(file)) => {
                let copy = Node {
                    link: None,
                    ..tree.0[&file].clone()
                };
                self.place(tree, random, copy);
            }
            (9, Some(file)) => {
                let link = self.next_link;
                self.next_link += 1;
                tree.change(&file, |node| node.link = node.link.or(Some(link)));
                let name = tree.0[&file].clone();
                self.place(tree, random, name);
            }
            (10 | 13, Some(file)) => {
                let earlier: Vec<_> = self.remembered.iter().filter(|(path, _)| *path == file).collect();
                let any: Vec<_> = self.remembered.iter().collect();
                let from = if random.once_in(3) { any } else { earlier };
                if let Some(bytes) = random.pick(&from).map(|(_, bytes)| bytes.clone()) {
                    self.set(tree, &file, bytes);
                }
            }
            (11, Some(file)) => {
                let other = other.expect("there is a file");
                let (a, b) = (tree.0[&file].bytes.clone(), tree.0[&other].bytes.clone());
                self.set(tree, &file, b);
                self.set(tree, &other, a);
            }
            (12, Some(file)) => {
                let (a, b) = (
                    tree.0[&file].bytes.clone(),
                    tree.0[&other.expect("there is a file")].bytes.clone(),
                );
                let (to, from) = (random.below(a.len() + 1), random.below(b.len() + 1));
                self.set(tree, &file, Arc::new([&a[..to], &b[from..], &a[to..]].concat()));
            }
            (_, Some(file)) => {
                let bytes = self.edit(&tree.0[&file].bytes, random);
                self.set(tree, &file, Arc::new(bytes));
            }
            _ => {}
        }
    }

    /// Gives a file other bytes, and remembers those that it had.
    fn set(&mut self, tree: &mut Tree, path: &Path, mut bytes: Arc<Vec<u8>>) {
        if bytes.len() > self.flavour.longest {
            bytes = Arc::new(bytes[..self.flavour.longest].to_vec());
        }
        let most = if self.flavour.large > 0 { 6 } else { 24 };
        if self.remembered.len() >= most {
            self.remembered.remove(0);
        }
        self.remembered.push((path.clone(), tree.0[path].bytes.clone()));
        tree.change(path, |node| {
            node.meta.mtime += 1;
            node.meta.data = node.meta.data.is_some().then(|| extents(&bytes));
            node.bytes = bytes;
        });
    }

    fn new_bytes(&self, random: &mut Random) -> Vec<u8> {
        let Flavour {
            of,
            medium,
            large,
            longest,
            ..
        } = self.flavour;
        let length = match random.below(of) {
            class if class < large => random.within(1 << 20..longest),
            class if class < large + medium => random.within(32 << 10..1 << 20),
            _ if random.once_in(8) => 0,
            _ => random.within(1..32 << 10),
        };
        // Exact multiples are where mistakes live.
        let length = match (random.below(6), length) {
            (0, length) if length > GROUP as usize => length - length % GROUP as usize,
            (1, length) if length > 4 << 20 => 4 << 20,
            (_, length) => length,
        };
        random.bytes(length)
    }

    fn edit(&self, old: &[u8], random: &mut Random) -> Vec<u8> {
        let mut bytes = old.to_vec();
        let piece = |random: &mut Random| {
            let length = [1, 10, 100, 1000, 5000, GROUP as usize][random.below(6)];
            let length = random.within(1..length + 1).min(old.len() / 6 + 10);
            random.bytes(length)
        };
        match random.below(8) {
            0..=2 => {
                for _ in 0..random.within(1..4) {
                    let (at, new) = (random.below(bytes.len()), piece(random));
                    let end = (at + new.len()).min(bytes.len());
                    bytes[at..end].copy_from_slice(&new[..end - at]);
                }
            }
            3 => drop(bytes.splice(0..0, piece(random))),
            4 => bytes.extend(piece(random)),
            5 => bytes.truncate(random.within(old.len() / 2..old.len() + 1)),
            6 => {
                let at = random.below(bytes.len());
                let end = (at + random.below(bytes.len() / 2 + 1)).min(bytes.len());
                bytes[at..end].fill(0);
            }
            _ => {
                let at = random.below(bytes.len());
                let end = (at + piece(random).len()).min(bytes.len());
                bytes.drain(at..end);
            }
        }
        bytes
    }

    fn place(&self, tree: &mut Tree, random: &mut Random, node: Node) {
        let mut path = free_place(tree, random);
        if !random.once_in(6) && tree.0.contains_key(&path) {
            path.last_mut().expect("a name").push(b'0' + random.below(9) as u8);
        }
        tree.put(path, node);
    }

    fn rename(&self, tree: &mut Tree, random: &mut Random, any: &[Path]) {
        let to = free_place(tree, random);
        let Some(from) = random.pick(any).filter(|from| !to.starts_with(from)) else {
            return;
        };
        let moved: Vec<(Path, Node)> = tree
            .0
            .range(from.clone()..)
            .take_while(|(path, _)| path.starts_with(from))
            .map(|(p, n)| (p.clone(), n.clone()))
            .collect();
        if from.starts_with(&to) {
            return;
        }
        tree.remove(from);
        tree.remove(&to);
        for (path, node) in moved {
            tree.0.insert([&to[..], &path[from.len()..]].concat(), node);
        }
    }

    fn touch(&self, tree: &mut Tree, random: &mut Random) {
        let all: Vec<Path> = tree.0.keys().cloned().collect();
        let path = random.pick(&all).expect("there is the root");
        let what = random.below(6);
        let number = random.below(1000);
        tree.change(path, |node| match what {
            0 => node.meta.mtime -= 1 << number.min(40),
            1 => node.meta.mtime_ns = 999_999_000 + number as u32,
            2 => node.meta.mode = 0o1000 + number as u32,
            3 => {
                node.meta.owner = Owner {
                    uid: number as u32,
                    gid: 7,
                    user: format!("u{number}"),
                    group: String::new(),
                }
            }
            4 => node.meta.xattrs = vec![(b"user.\xff".to_vec(), vec![number as u8; number])],
            _ if node.meta.kind == Kind::File => {
                node.meta.data = if node.meta.data.is_some() {
                    None
                } else {
                    Some(extents(&node.bytes))
                };
            }
            _ => node.meta.xattrs = Vec::new(),
        });
    }
}

fn free_place(tree: &Tree, random: &mut Random) -> Path {
    let folders: Vec<&Path> = tree
        .0
        .iter()
        .filter(|(path, node)| node.is_folder() && path.len() < 4)
        .map(|(path, _)| path)
        .collect();
    let mut path = random.pick(&folders).expect("there is the root").to_vec();
    path.push(NAMES[random.below(NAMES.len())].to_vec());
    path
}

fn special(random: &mut Random) -> Node {
    let kind = [
        Kind::Symlink,
        Kind::Fifo,
        Kind::Socket,
        Kind::CharDevice,
        Kind::BlockDevice,
    ][random.below(5)];
    let mut meta = Meta::plain(kind, 0o777);
    match kind {
        Kind::Symlink => meta.target = [b"../\xfe".to_vec(), random.noise(3)].concat(),
        Kind::CharDevice | Kind::BlockDevice => meta.rdev = random.next(),
        _ => {}
    }
    Node::other(meta)
}

/// Where blocks of 4 KiB are not all zeros.
fn extents(bytes: &[u8]) -> DataExtents {
    let mut extents = DataExtents::new();
    for (index, block) in bytes
        .chunks(4096)
        .enumerate()
        .filter(|(_, block)| block.iter().any(|&byte| byte != 0))
    {
        let (at, length) = (index as u64 * 4096, block.len() as u64);
        match extents.last_mut() {
            Some((start, so_far)) if *start + *so_far == at => *so_far += length,
            _ => extents.push((at, length)),
        }
    }
    extents
}
