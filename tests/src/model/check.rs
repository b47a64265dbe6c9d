//! Compares a repository with the model, whole, and looks at what must always be true of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use yore_store::{ContentId, Entry, Kind, Repository, Snapshot};

use crate::model::random::Random;
use crate::model::tree::{Node, Path, Tree};

/// Panics unless every snapshot is what it was when it was made.
pub fn compare(repository: &Arc<Repository>, model: &[(Snapshot, Tree)], random: &mut Random) {
    let mut wanted: Vec<&Snapshot> = model.iter().map(|(snapshot, _)| snapshot).collect();
    wanted.sort_by_key(|snapshot| (snapshot.time, snapshot.id));
    let there = repository.snapshots().expect("a list of snapshots");
    assert_eq!(there.iter().collect::<Vec<_>>(), wanted, "the list of snapshots");
    let mut comparison = Comparison {
        repository,
        random,
        read: HashMap::new(),
    };
    for (snapshot, tree) in model {
        comparison.snapshot(snapshot, tree);
    }
}

struct Comparison<'a> {
    repository: &'a Arc<Repository>,
    random: &'a mut Random,
    /// Contents that were read, and what they were.
    read: HashMap<ContentId, Arc<Vec<u8>>>,
}

impl Comparison<'_> {
    fn snapshot(&mut self, snapshot: &Snapshot, tree: &Tree) {
        let name = &snapshot.name;
        let root = self
            .repository
            .root(snapshot.id)
            .unwrap_or_else(|error| panic!("{name}: the root: {error}"));
        let mut sum = 0i64;
        let mut links: BTreeMap<u64, i64> = BTreeMap::new();
        self.entry(snapshot, tree, &Path::new(), &root, &mut sum, &mut links);
        assert_eq!(sum, snapshot.check, "{name}: the sum of its rows");
        let count =
            |wanted: &dyn Fn(Kind) -> bool| tree.0.values().filter(|node| wanted(node.meta.kind)).count() as u64;
        let files = count(&|kind| kind == Kind::File);
        let folders = count(&|kind| kind == Kind::Folder);
        let bytes: u64 = tree.0.values().map(|node| node.bytes.len() as u64).sum();
        let totals = (snapshot.files, snapshot.folders, snapshot.others, snapshot.bytes);
        assert_eq!(
            totals,
            (files, folders, tree.0.len() as u64 - files - folders, bytes),
            "{name}: totals"
        );
        if let Some((path, node)) = tree.0.iter().nth(self.random.below(tree.0.len())) {
            let path: Vec<u8> = path.iter().flat_map(|name| [b"/", &name[..]].concat()).collect();
            assert_eq!(
                self.repository.lookup(snapshot, &path).expect("a path of it").meta,
                node.meta,
                "{name}: looked up"
            );
        }
    }

    fn entry(
        &mut self,
        snapshot: &Snapshot,
        tree: &Tree,
        path: &Path,
        entry: &Entry,
        sum: &mut i64,
        links: &mut BTreeMap<u64, i64>,
    ) {
        let place = || format!("{}: {:?}", snapshot.name, lossy(path));
        let node = &tree.0[path];
        *sum = sum.wrapping_add(entry.sum());
        assert_eq!(entry.meta, node.meta, "{}", place());
        assert_eq!(entry.size, node.bytes.len() as u64, "{}: size", place());
        assert_eq!(entry.link.is_some(), node.link.is_some(), "{}: hard link", place());
        if let (Some(link), Some(wanted)) = (entry.link, node.link) {
            assert_eq!(
                *links.entry(wanted).or_insert(link),
                link,
                "{}: its links are apart",
                place()
            );
            let names = self.repository.links(snapshot.id, link).expect("links");
            assert_eq!(names.len(), tree.links(wanted).len(), "{}: links", place());
        }
        self.content(&place, entry, node);
        let Some(child) = entry.child else {
            return assert!(!node.is_folder(), "{}: lacks its folder", place());
        };
        let listing = self
            .repository
            .list(snapshot.id, child)
            .unwrap_or_else(|error| panic!("{}: {error}", place()));
        let names: Vec<&[u8]> = listing.iter().map(|entry| &entry.name[..]).collect();
        let wanted = tree.children(path);
        assert_eq!(
            names,
            wanted.iter().map(|name| &name[..]).collect::<Vec<_>>(),
            "{}: names",
            place()
        );
        for entry in listing.iter() {
            self.entry(
                snapshot,
                tree,
                &[&path[..], std::slice::from_ref(&entry.name)].concat(),
                entry,
                sum,
                links,
            );
        }
    }

    fn content(&mut self, place: &dyn Fn() -> String, entry: &Entry, node: &Node) {
        let Some(id) = entry.content else {
            return assert!(node.bytes.is_empty(), "{}: lacks its bytes", place());
        };
        if let Some(bytes) = self.read.get(&id) {
            return assert!(*bytes == node.bytes, "{}: content {id} is another one", place());
        }
        let reader = self
            .repository
            .open_content(id)
            .unwrap_or_else(|error| panic!("{}: {error}", place()));
        assert_eq!(reader.size(), node.bytes.len() as u64, "{}: content {id}", place());
        let mut bytes = vec![1; node.bytes.len() + 1];
        let length = reader
            .read_at(0, &mut bytes)
            .unwrap_or_else(|error| panic!("{}: content {id}: {error}", place()));
        assert!(
            bytes[..length] == node.bytes[..],
            "{}: content {id} has other bytes",
            place()
        );
        for _ in 0..2 {
            let at = self.random.below(bytes.len());
            let mut part = vec![2; self.random.below(bytes.len())];
            let length = reader.read_at(at as u64, &mut part).expect("a part of what was read");
            let wanted = &node.bytes[at.min(node.bytes.len())..(at + part.len()).min(node.bytes.len())];
            assert!(
                &part[..length] == wanted,
                "{}: content {id}: {length} bytes at {at}",
                place()
            );
        }
        self.read.insert(id, node.bytes.clone());
    }
}

fn lossy(path: &Path) -> String {
    path.iter()
        .map(|name| format!("/{}", String::from_utf8_lossy(name)))
        .collect()
}

/// What is measured before and after.
#[derive(Clone, Debug, Default)]
pub struct Measure {
    /// Deltas on the way to a whole content, by content.
    pub chains: HashMap<i64, usize>,
    /// Length in bytes, by content.
    pub sizes: HashMap<i64, u64>,
    /// Stored bytes that are of use; packs hold dead ones beside them until they are repacked.
    pub stored: u64,
}

/// Panics unless what must always be true holds; nothing else may be at work.
pub fn invariants(repository: &Arc<Repository>) -> Measure {
    repository.sweep_all().expect("a sweep");
    // What only a push that died still named is collected by the next forgetting.
    repository.forget(&[]).expect("a collection");
    let catalog = Connection::open(repository.path().join("catalog.sqlite3")).expect("the catalog");
    const NEVER: [(&str, &str); 15] = [
        (
            "newest contents that are deltas",
            "entries e JOIN contents c ON c.id = e.content WHERE e.last = 9223372036854775807 AND c.base IS NOT NULL",
        ),
        (
            "entries whose content is gone",
            "entries WHERE content IS NOT NULL AND content NOT IN (SELECT id FROM contents)",
        ),
        (
            "entries that no snapshot has",
            "entries e JOIN folders f ON f.id = coalesce(nullif(e.folder, 0), e.child)
            WHERE NOT EXISTS (SELECT 1 FROM snapshots s WHERE s.line = f.line AND s.id BETWEEN e.first AND e.last)",
        ),
        (
            "bases that are gone",
            "contents WHERE base IS NOT NULL AND base NOT IN (SELECT id FROM contents)",
        ),
        (
            "contents of no entry and no delta",
            "contents c WHERE NOT EXISTS (SELECT 1 FROM entries WHERE content = c.id)
            AND NOT EXISTS (SELECT 1 FROM contents WHERE base = c.id)",
        ),
        (
            "contents that lie nowhere",
            "contents WHERE run IS NULL AND id NOT IN (SELECT content FROM parts)",
        ),
        (
            "contents that lie twice",
            "contents WHERE run IS NOT NULL AND id IN (SELECT content FROM parts)",
        ),
        (
            "runs that are gone",
            "(SELECT run FROM contents UNION SELECT run FROM parts) WHERE run IS NOT NULL AND run NOT IN (SELECT id FROM runs)",
        ),
        (
            "runs of nothing",
            "runs WHERE id NOT IN (SELECT run FROM contents WHERE run IS NOT NULL UNION SELECT run FROM parts WHERE run IS NOT NULL)",
        ),
        (
            "runs in files that are gone",
            "runs WHERE file NOT IN (SELECT id FROM files)",
        ),
        ("files of no run", "files WHERE id NOT IN (SELECT file FROM runs)"),
        ("files that are dead or pending", "files WHERE dead OR push IS NOT NULL"),
        ("contents of dead pushes", "contents WHERE push IS NOT NULL"),
        (
            "parts of no content",
            "parts WHERE content NOT IN (SELECT id FROM contents)",
        ),
        (
            "rows of work in hand",
            "(SELECT 1 FROM pushes UNION ALL SELECT 1 FROM closings UNION ALL SELECT 1 FROM nameless)",
        ),
    ];
    for (what, from) in NEVER {
        let count: i64 = catalog
            .query_row(&format!("SELECT count(*) FROM {from}"), [], |row| row.get(0))
            .expect(what);
        assert_eq!(count, 0, "{what}");
    }
    compare_files(&catalog, repository.path());
    let stored: i64 = catalog
        .query_row("SELECT coalesce(sum(bytes), 0) FROM runs", [], |row| row.get(0))
        .expect("runs");
    let (chains, stored) = (chains(&catalog), stored as u64);
    let mut statement = catalog.prepare("SELECT id, size FROM contents").expect("contents");
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))
        .expect("contents");
    let sizes = rows.collect::<rusqlite::Result<_>>().expect("contents");
    Measure { chains, sizes, stored }
}

/// Panics if a pack is mostly dead: forgetting should have repacked it.
pub fn repacked(repository: &Repository) {
    let catalog = Connection::open(repository.path().join("catalog.sqlite3")).expect("the catalog");
    let wasteful = "SELECT count(*) FROM (SELECT 1 FROM files f JOIN runs r ON r.file = f.id WHERE f.kind = 0
        GROUP BY f.id HAVING sum(r.bytes) * 4 < f.bytes * 3)";
    let count: i64 = catalog.query_row(wasteful, [], |row| row.get(0)).expect("packs");
    assert_eq!(count, 0, "packs of which little is alive");
    let wasteful = "SELECT count(*) FROM (SELECT 1 FROM files f JOIN runs r ON r.file = f.id WHERE f.kind = 1
        GROUP BY f.id HAVING sum(r.bytes) < f.bytes)";
    let count: i64 = catalog.query_row(wasteful, [], |row| row.get(0)).expect("heads");
    assert_eq!(count, 0, "heads that have given nothing back");
}

/// Bytes of a file, groups of zeros left out.
fn without_zeros(path: &FilePath) -> u64 {
    let bytes = std::fs::read(path).expect("a file");
    let groups = bytes.chunks(yore_store::GROUP as usize);
    groups
        .filter(|group| group.iter().any(|byte| *byte != 0))
        .map(|group| group.len() as u64)
        .sum()
}

fn compare_files(catalog: &Connection, repository: &FilePath) {
    let mut statement = catalog.prepare("SELECT id, kind, bytes FROM files").expect("files");
    let rows = statement.query_map([], |row| {
        let (id, kind, bytes): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let folder = ["packs", "heads", "deltas"][kind as usize];
        Ok((format!("{folder}/{:02x}/{id:016x}", id & 0xff).into(), bytes as u64))
    });
    let rows: BTreeMap<PathBuf, u64> = rows.expect("files").collect::<rusqlite::Result<_>>().expect("files");
    let mut there: BTreeMap<PathBuf, u64> = BTreeMap::new();
    for kind in ["packs", "heads", "deltas"] {
        for folder in std::fs::read_dir(repository.join(kind))
            .expect("a folder of files")
            .flatten()
        {
            for file in std::fs::read_dir(folder.path()).expect("a folder of files").flatten() {
                let path = file.path().strip_prefix(repository).expect("inside").to_owned();
                let status = file.metadata().expect("a file");
                let told = rows.get(&path).copied().unwrap_or(0);
                // Of a head with holes the row says what it takes.
                let has_holes = kind == "heads" && status.len() > told && without_zeros(&file.path()) <= told;
                there.insert(path, if has_holes { told } else { status.len() });
            }
        }
    }
    assert_eq!(there, rows, "files on the disk, and rows of them");
}

fn chains(catalog: &Connection) -> HashMap<i64, usize> {
    let mut statement = catalog.prepare("SELECT id, base FROM contents").expect("contents");
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("contents");
    let bases: HashMap<i64, Option<i64>> = rows.collect::<rusqlite::Result<_>>().expect("contents");
    let length = |id: i64| {
        let mut seen = HashSet::from([id]);
        let mut at = id;
        while let Some(base) = bases[&at] {
            assert!(seen.insert(base), "the chain of content {id} has a cycle");
            at = base;
        }
        seen.len() - 1
    };
    bases.keys().map(|id| (*id, length(*id))).collect()
}
