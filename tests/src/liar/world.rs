//! A small repository that a [`Liar`](super::Liar) serves: honest, until a test changes it.
//!
//! ```text
//! /  1 ── docs  2 ── a.txt, b.txt      snapshots 1 and 2 have the same tree
//!      └─ top.txt
//! ```

use std::collections::BTreeMap;

use yore_store::{
    Compression, ContentId, Entry, EntryId, FolderId, Hash, Kind, LineId, Meta, Snapshot, SnapshotId, Space, Stats,
    StoredAs, Verified, Version,
};
use yore_wire::{Answer, Opened, Question};

/// What there is.
#[derive(Clone)]
pub struct World {
    /// All snapshots, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// The entry of `/`.
    pub root: Entry,
    /// What is in which folder.
    pub folders: BTreeMap<i64, Vec<Entry>>,
    /// Bytes.
    pub contents: BTreeMap<i64, Vec<u8>>,
}

impl World {
    /// The one that is drawn above.
    pub fn new() -> Self {
        let mut world = World {
            snapshots: vec![snapshot(1), snapshot(2)],
            root: folder(0, "", 1),
            folders: BTreeMap::new(),
            contents: BTreeMap::new(),
        };
        let docs = vec![
            world.file(2, "a.txt", b"bytes of a\n"),
            world.file(2, "b.txt", b"bytes of b\n"),
        ];
        let top = world.file(1, "top.txt", b"at the top\n");
        world.folders.insert(2, docs);
        world.folders.insert(1, vec![folder(1, "docs", 2), top]);
        world
    }

    /// A file of these bytes, to be put into a folder.
    pub fn file(&mut self, within: i64, name: &str, bytes: &[u8]) -> Entry {
        let content = self.contents.len() as i64 + 1;
        self.contents.insert(content, bytes.to_vec());
        Entry {
            size: bytes.len() as u64,
            content: Some(ContentId(content)),
            ..entry(within, name.as_bytes(), Kind::File)
        }
    }

    /// The honest answer.
    pub fn answer(&self, question: &Question) -> Vec<Answer> {
        match question {
            Question::Open { .. } => vec![Answer::Opened(Opened {
                id: "0123456789abcdef0123456789abcdef".into(),
                compression: Compression::Off,
                may_prune: true,
            })],
            Question::Version => vec![Answer::Number(1)],
            Question::Snapshots => self.snapshots.iter().cloned().map(Answer::Snapshot).collect(),
            Question::Root { .. } => vec![Answer::Entry(self.root.clone())],
            Question::Folder { folder, .. } => self.found(|entry| entry.child == Some(*folder)),
            Question::Entry { id } => self.found(|entry| entry.id == *id),
            Question::Links { link, .. } => self.found(|entry| entry.link == Some(*link)),
            Question::List { folder, .. } => self.within(folder.0).cloned().map(Answer::Entry).collect(),
            Question::ListBelow { folder, .. } => {
                let entries = self.within(folder.0).cloned().map(Answer::Entry);
                std::iter::once(Answer::Listing(*folder)).chain(entries).collect()
            }
            Question::Read {
                content,
                offset,
                length,
            } => {
                let bytes = self.bytes(content.0);
                let from = (*offset as usize).min(bytes.len());
                let to = bytes.len().min(from + *length as usize);
                vec![Answer::Bytes(bytes[from..to].to_vec())]
            }
            Question::ReadSmall { contents } => {
                let small = |content: &ContentId| Answer::Small {
                    content: *content,
                    bytes: self.bytes(content.0).to_vec(),
                };
                contents.iter().map(small).collect()
            }
            Question::Space => vec![Answer::Space(Space {
                block: 4096,
                blocks: 1000,
                free: 500,
                available: 500,
                files: 1000,
                files_free: 500,
            })],
            Question::Versions { .. } => vec![Answer::Version(self.version())],
            Question::Find { .. } => Vec::new(),
            Question::Stats => vec![Answer::Stats(Stats::default())],
            Question::Verify { .. } => vec![Answer::Verified(Verified::default())],
            Question::Repair { .. } => vec![Answer::Healed(0), Answer::Verified(Verified::default())],
            Question::Hashes { contents } => {
                let name = |content: &ContentId| Some(Hash::of(self.bytes(content.0)));
                vec![Answer::Hashes(contents.iter().map(name).collect())]
            }
            Question::Push(_) => vec![Answer::Begun {
                base: None,
                line: "1".into(),
            }],
            Question::Commit { .. } => vec![Answer::Committed {
                snapshot: snapshot(3),
                deltas: 0,
            }],
            _ => Vec::new(),
        }
    }

    /// A version of `a.txt`.
    pub fn version(&self) -> Version {
        Version {
            snapshot: self.snapshots[0].clone(),
            until: None,
            entry: self.folders[&2][0].clone(),
            stored_as: StoredAs::Whole,
        }
    }

    fn within(&self, folder: i64) -> impl Iterator<Item = &Entry> {
        self.folders.get(&folder).into_iter().flatten()
    }

    fn bytes(&self, content: i64) -> &[u8] {
        self.contents.get(&content).map_or(&[], Vec::as_slice)
    }

    fn found(&self, is_it: impl Fn(&Entry) -> bool) -> Vec<Answer> {
        let all = self.folders.values().flatten();
        all.filter(|entry| is_it(entry)).cloned().map(Answer::Entry).collect()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// The snapshot of this number.
pub fn snapshot(number: i64) -> Snapshot {
    Snapshot {
        id: SnapshotId(number),
        line: LineId(1),
        name: format!("2026-11-25_12-00-0{number}"),
        time: 1_795_608_000 + number,
        host: "laptop".into(),
        tags: vec![],
        roots: vec![b"/".to_vec()],
        root: FolderId(1),
        files: 3,
        folders: 2,
        others: 0,
        bytes: 33,
        new_bytes: 33,
        unread: 0,
        check: 0,
    }
}

/// An entry without bytes; its number is made of its name.
pub fn entry(within: i64, name: &[u8], kind: Kind) -> Entry {
    let number = u32::from_le_bytes(Hash::of(name).0[..4].try_into().expect("4 bytes"));
    Entry {
        id: EntryId(number.into()),
        folder: FolderId(within),
        name: name.to_vec(),
        first: SnapshotId(1),
        last: SnapshotId(2),
        meta: Meta::plain(kind, if kind == Kind::Folder { 0o755 } else { 0o644 }),
        size: 0,
        content: None,
        child: None,
        link: None,
    }
}

/// A folder of this number.
pub fn folder(within: i64, name: &str, number: i64) -> Entry {
    Entry {
        child: Some(FolderId(number)),
        ..entry(within, name.as_bytes(), Kind::Folder)
    }
}
