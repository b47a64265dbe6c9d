//! How much a server may say in one answer.
//!
//! What is gathered is in memory until the last of it has come, so it has a bound: far above what a repository of ours
//! has, far below what a machine has. What is not gathered (what `find` and `diff` print, bytes) needs none.

use yore_store::{Entry, FolderId, Kind, LARGEST, Snapshot, Verified, Version};
use yore_wire::Answer;

/// Of an answer that is gathered: what it has, and how many bytes of memory it may take.
#[derive(Clone, Copy)]
pub(crate) struct Most {
    what: &'static str,
    bytes: usize,
}

/// Entries of a folder, or of a few: two and a half million and more.
pub(super) const ENTRIES: Most = Most {
    what: "entries",
    bytes: 1 << 30,
};

/// Half a million.
pub(super) const SNAPSHOTS: Most = Most {
    what: "snapshots",
    bytes: 256 << 20,
};

/// Of one path: a quarter of a million.
pub(super) const VERSIONS: Most = Most {
    what: "versions",
    bytes: 256 << 20,
};

/// A million and more.
pub(super) const DAMAGES: Most = Most {
    what: "damaged paths",
    bytes: 256 << 20,
};

/// Names of the contents that were asked for, which are at most [`yore_wire::MOST_NAMED`].
pub(super) const NAMES: Most = Most {
    what: "names",
    bytes: 1 << 20,
};

/// First halves of names that are remembered of an answer: in a set, that many take 140 MB, with room for those that
/// are sent meanwhile.
pub(super) const REMEMBERED: usize = 6 << 20;

/// Chaining values that are remembered of an answer, of half a terabyte: in a map, that many take 180 MB.
pub(super) const REMEMBERED_GROUPS: usize = 7 << 19;

/// More was said than may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMuch;

impl Most {
    /// Takes something off what may still come.
    pub fn take(&mut self, bytes: usize) -> Result<(), TooMuch> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or(TooMuch)?;
        Ok(())
    }

    /// The error for more.
    pub fn error(&self) -> String {
        format!(
            "the server sends more {} in one answer than fit into {} MiB here",
            self.what,
            self.bytes >> 20
        )
    }
}

/// What takes memory until an answer has come to its end.
pub(super) trait Weigh {
    /// About how many bytes.
    fn weight(&self) -> usize;
}

/// What an allocation takes besides what is in it.
const ALLOCATION: usize = 16;

impl Weigh for Entry {
    fn weight(&self) -> usize {
        size_of::<Self>() + ALLOCATION + self.name.len() + self.meta.memory()
    }
}

impl Weigh for Snapshot {
    fn weight(&self) -> usize {
        let part = |bytes: usize| 24 + ALLOCATION + bytes;
        let roots: usize = self.roots.iter().map(|root| part(root.len())).sum();
        let tags: usize = self.tags.iter().map(|tag| part(tag.len())).sum();
        size_of::<Self>() + self.name.len() + self.host.len() + 2 * ALLOCATION + roots + tags
    }
}

impl Weigh for Version {
    fn weight(&self) -> usize {
        self.snapshot.weight() + self.entry.weight() + 128
    }
}

impl Weigh for Verified {
    fn weight(&self) -> usize {
        let of_paths = |paths: &[(Vec<u8>, String)]| -> usize {
            let one = |(path, name): &(Vec<u8>, String)| 48 + 2 * ALLOCATION + path.len() + name.len();
            paths.iter().map(one).sum()
        };
        let damages = self.damages.iter();
        damages
            .map(|damage| 48 + 2 * ALLOCATION + damage.what.len() + of_paths(&damage.paths))
            .sum()
    }
}

impl<T> Weigh for Vec<Option<T>> {
    fn weight(&self) -> usize {
        size_of::<Self>() + ALLOCATION + self.len() * size_of::<Option<T>>()
    }
}

impl Weigh for (FolderId, Vec<Entry>) {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.1.iter().map(Weigh::weight).sum::<usize>()
    }
}

impl Weigh for Answer {
    fn weight(&self) -> usize {
        match self {
            Answer::Entry(entry) => entry.weight(),
            _ => size_of::<Self>(),
        }
    }
}

/// Whether an entry is one that a repository of ours can have: what goes by it has to reckon with nothing else.
pub(super) fn is_entry(entry: &Entry) -> bool {
    let (is_folder, is_file) = (entry.meta.kind == Kind::Folder, entry.meta.kind == Kind::File);
    let has_bytes = is_file && entry.size > 0;
    entry.child.is_some() == is_folder
        && entry.content.is_some() == has_bytes
        && entry.size <= if is_file { LARGEST } else { 0 }
        && entry.meta.check().is_ok()
}

/// Whether a name is one that something in a folder can have.
pub(super) fn is_name(name: &[u8]) -> bool {
    (1..=255).contains(&name.len())
        && !matches!(name, b"." | b"..")
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

#[cfg(test)]
mod tests {
    use yore_store::{ContentId, EntryId, Meta, SnapshotId};

    use super::*;

    fn file(name: &str) -> Entry {
        Entry {
            id: EntryId(1),
            folder: FolderId(1),
            name: name.into(),
            first: SnapshotId(1),
            last: SnapshotId(1),
            meta: Meta::plain(Kind::File, 0o644),
            size: 7,
            content: Some(ContentId(1)),
            child: None,
            link: None,
        }
    }

    #[test]
    fn what_honest_repositories_have_fits() {
        let entry = file(&"x".repeat(60));
        assert!(entry.weight() * 1_000_000 < ENTRIES.bytes, "{}", entry.weight());
        let snapshot = Snapshot {
            id: SnapshotId(1),
            line: yore_store::LineId(1),
            name: "2026-11-25_12-00-00".into(),
            time: 0,
            host: "a.long.name.of.a.host.example.org".into(),
            tags: vec!["before the upgrade".into(); 4],
            roots: vec![b"/home/somebody/documents".to_vec(); 4],
            root: FolderId(1),
            files: 0,
            folders: 0,
            others: 0,
            bytes: 0,
            new_bytes: 0,
            unread: 0,
            check: 0,
        };
        assert!(snapshot.weight() * 200_000 < SNAPSHOTS.bytes, "{}", snapshot.weight());
        let version = Version {
            snapshot,
            until: None,
            entry,
            stored_as: yore_store::StoredAs::Whole,
        };
        assert!(version.weight() * 100_000 < VERSIONS.bytes, "{}", version.weight());
    }

    #[test]
    fn more_than_may_be_is_too_much() {
        let mut most = Most { what: "x", bytes: 100 };
        assert_eq!((most.take(60), most.take(41)), (Ok(()), Err(TooMuch)));
    }

    #[test]
    fn entries_are_of_one_kind() {
        assert!(is_entry(&file("a")));
        let lies: [fn(&mut Entry); 6] = [
            |entry| entry.child = Some(FolderId(2)),
            |entry| entry.content = None,
            |entry| entry.size = 0,
            |entry| entry.size = 1 << 62,
            |entry| entry.meta.kind = Kind::Folder,
            |entry| entry.meta.xattrs = vec![(vec![], vec![])],
        ];
        for lie in lies {
            let mut entry = file("a");
            lie(&mut entry);
            assert!(!is_entry(&entry), "{entry:?}");
        }
        for name in [&b""[..], b".", b"..", b"a/b", b"a\0b", &[b'x'; 256]] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
