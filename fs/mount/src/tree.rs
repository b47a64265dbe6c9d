//! The tree of a repository's snapshots by node id: every question that the kernel
//! asks about it, answered from the store. Nothing here knows of replies or of a mount.

use std::sync::Arc;
use std::time::Duration;

use fuser::{Errno, FileAttr, INodeNo, Notifier};
use yore_store::{Entry, EntryId, Error, FolderId, History, Kind, Listed, OpenContent, Snapshot, SnapshotId};

use crate::attr::Look;
use crate::cookie;
use crate::fault::Fault;
use crate::live::{LATEST, Live};
use crate::node::{Node, Numbering};
use crate::passthrough::verifies_itself;

/// How long the kernel may keep what cannot change: what is below a snapshot.
pub(crate) const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long it may keep the root's attributes, that is, its modification time.
pub(crate) const BRIEFLY: Duration = Duration::from_secs(1);
/// What is asked for anew each time: where `latest` points, what the root lacks.
pub(crate) const NEVER: Duration = Duration::ZERO;

/// The most names of a path in a message.
const MOST_NAMES: usize = 256;

/// A node's attributes, and for how long name and attributes may be kept.
pub(crate) struct Seen {
    /// The attributes; node 0 where there is nothing of that name.
    pub(crate) attr: FileAttr,
    /// How long this stays true.
    pub(crate) ttl: Duration,
}

/// A line of a listing.
pub(crate) struct Child<'a> {
    /// Its name in the folder.
    pub(crate) name: &'a [u8],
    /// Where a listing goes on after it.
    pub(crate) cookie: u64,
    /// What it is.
    pub(crate) seen: Seen,
}

/// Where in a mount a tree hangs, and how it looks there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    /// How its nodes are numbered.
    pub(crate) numbering: Numbering,
    /// What `..` of its root is.
    pub(crate) above: INodeNo,
    /// The path of its root below the mountpoint, with a slash at the end unless it
    /// is the mountpoint itself.
    pub(crate) path: String,
    /// How owners and modes are shown.
    pub(crate) look: Look,
    /// How long the kernel may keep the names of snapshots: [`FOREVER`] where the
    /// tree is watched for as long as the mount lives.
    pub(crate) names: Duration,
    /// Whether the kernel may read past us wherever the files lie.
    pub(crate) trust_disk: bool,
}

impl Hook {
    /// The name of its root in the folder above.
    pub(crate) fn name(&self) -> &str {
        self.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
    }
}

/// The snapshots of a repository as a tree of nodes.
pub(crate) struct Tree {
    /// What is shown.
    pub(crate) repository: Arc<dyn History>,
    /// The snapshots in the root.
    pub(crate) live: Live,
    /// Where it hangs.
    pub(crate) hook: Hook,
    /// Whether the kernel may read whole files past us.
    pub(crate) passthrough: bool,
}

impl Tree {
    /// A tree over a repository, whose list of snapshots is read first.
    pub(crate) fn new(repository: Arc<dyn History>, hook: Hook) -> Result<Self, Error> {
        Ok(Tree {
            live: Live::new(repository.clone())?,
            passthrough: hook.trust_disk || repository.folder_here().is_some_and(verifies_itself),
            repository,
            hook,
        })
    }

    /// Tells the kernel which snapshots came and went since the last time.
    pub(crate) fn tell(&self, kernel: &Notifier) {
        if let Ok(root) = self.pack(Node::Root) {
            self.live.tell(kernel, root);
        }
    }

    /// What a name in a folder is. The names `.` and `..` come from an NFS server
    /// that finds its way back to a node which the kernel has forgotten.
    pub(crate) fn lookup(&self, parent: INodeNo, name: &[u8]) -> Result<Seen, Fault> {
        match (self.node(parent)?, name) {
            (_, b".") => self.attributes(parent),
            (node, b"..") => self.attributes(self.parent(node)?),
            (Node::Root, name) => self.lookup_snapshot(name),
            (Node::Folder { folder, snapshot }, name) => {
                let listing = self.repository.list(snapshot, folder)?;
                match listing.binary_search_by(|entry| entry.name.as_slice().cmp(name)) {
                    Ok(index) => self.entry_seen(&listing[index], snapshot),
                    Err(_) => Ok(Seen {
                        attr: self.hook.look.absent(),
                        ttl: FOREVER,
                    }),
                }
            }
            _ => Err(Errno::ENOTDIR.into()),
        }
    }

    /// What a node's attributes are.
    pub(crate) fn attributes(&self, id: INodeNo) -> Result<Seen, Fault> {
        match self.node(id)? {
            Node::Root => Ok(Seen {
                attr: self.hook.look.folder(id, self.live.current()?.latest()),
                ttl: BRIEFLY,
            }),
            Node::Latest(target) => self.latest_seen(&self.snapshot(target)?),
            Node::Link { link, snapshot } => {
                let names = self.repository.links(snapshot, link)?;
                let entry = names.first().ok_or(Errno::ESTALE)?;
                Ok(Seen {
                    attr: self.hook.look.entry(id, entry, names.len() as u32),
                    ttl: FOREVER,
                })
            }
            node => Ok(Seen {
                attr: self.hook.look.entry(id, &*self.entry_of(node)?, 1),
                ttl: FOREVER,
            }),
        }
    }

    /// Hands the children of a folder that come after a cookie to `full`, until
    /// there are no more or it says that it is.
    pub(crate) fn list(&self, id: INodeNo, after: u64, mut full: impl FnMut(Child<'_>) -> bool) -> Result<(), Fault> {
        let node = self.node(id)?;
        if after < cookie::DOT && full(self.dots(b".", cookie::DOT, id)) {
            return Ok(());
        }
        if after < cookie::DOT_DOT && full(self.dots(b"..", cookie::DOT_DOT, self.parent(node)?)) {
            return Ok(());
        }
        match node {
            Node::Root => self.list_snapshots(after, full),
            Node::Folder { folder, snapshot } => {
                let listing = self.repository.list(snapshot, folder)?;
                for (index, entry) in listing.iter().enumerate().skip(cookie::index_after(after)) {
                    let seen = self.entry_seen(entry, snapshot)?;
                    if full(Child {
                        name: &entry.name,
                        cookie: cookie::of_index(index),
                        seen,
                    }) {
                        break;
                    }
                }
                Ok(())
            }
            _ => Err(Errno::ENOTDIR.into()),
        }
    }

    /// The entry behind a node; the root and `latest` have none.
    pub(crate) fn entry(&self, id: INodeNo) -> Result<Option<Listed>, Fault> {
        match self.node(id)? {
            Node::Root | Node::Latest(_) => Ok(None),
            node => self.entry_of(node).map(Some),
        }
    }

    /// Opens the bytes of a file; `None` where it has none. ESTALE if it was forgotten since it was listed: then they
    /// are not to be had, and that is no damage.
    pub(crate) fn open(&self, entry: &Entry) -> Result<Option<Box<dyn OpenContent>>, Fault> {
        let opened = entry.content.map(|content| self.repository.open(content, entry.size));
        opened.transpose().map_err(|error| self.not_read(entry.id, error))
    }

    /// Why the bytes of a file cannot be had.
    pub(crate) fn not_read(&self, entry: EntryId, error: Error) -> Fault {
        match error.is_damage().then(|| self.repository.still_has(entry)) {
            Some(Ok(false)) => Errno::ESTALE.into(),
            _ => error.into(),
        }
    }

    /// The text of a symlink.
    pub(crate) fn target(&self, id: INodeNo) -> Result<Vec<u8>, Fault> {
        if let Node::Latest(target) = self.node(id)? {
            return Ok(self.snapshot(target)?.name.into_bytes());
        }
        let entry = self.entry(id)?.filter(|entry| entry.meta.kind == Kind::Symlink);
        Ok(entry.ok_or(Errno::EINVAL)?.meta.target.clone())
    }

    /// A node's path, starting with a snapshot, for a message; if it cannot be
    /// found, what is known of the node.
    pub(crate) fn describe(&self, id: INodeNo) -> String {
        let path = self.path(id);
        let path = path.unwrap_or_else(|| format!("{:?}", self.hook.numbering.unpack(id)));
        self.hook.path.clone() + &path
    }

    fn path(&self, id: INodeNo) -> Option<String> {
        let node = self.hook.numbering.unpack(id)?;
        let entry = self.entry_of(node).ok()?;
        let snapshot = match node {
            Node::Folder { snapshot, .. } | Node::Link { snapshot, .. } => self.snapshot(snapshot).ok()?,
            _ => self.live.known().newest_within(entry.first, entry.last)?.clone(),
        };
        let above = |folder| self.repository.folder(snapshot.id, folder).ok()?;
        let below = names_down_to(entry, snapshot.root, above)?;
        Some(
            std::iter::once(snapshot.name.clone())
                .chain(below)
                .collect::<Vec<_>>()
                .join("/"),
        )
    }

    fn lookup_snapshot(&self, name: &[u8]) -> Result<Seen, Fault> {
        let snapshots = self.live.current()?;
        if name == LATEST.as_bytes()
            && let Some(newest) = snapshots.latest()
        {
            return self.latest_seen(newest);
        }
        match snapshots.by_name(name) {
            Some(snapshot) => self.snapshot_seen(snapshot),
            None => Ok(Seen {
                attr: self.hook.look.absent(),
                ttl: NEVER,
            }),
        }
    }

    fn list_snapshots(&self, after: u64, mut full: impl FnMut(Child<'_>) -> bool) -> Result<(), Fault> {
        let snapshots = self.live.current()?;
        if after < cookie::LATEST
            && let Some(newest) = snapshots.latest()
            && full(Child {
                name: LATEST.as_bytes(),
                cookie: cookie::LATEST,
                seen: self.latest_seen(newest)?,
            })
        {
            return Ok(());
        }
        for snapshot in snapshots.after(SnapshotId(cookie::row_before(after))) {
            let seen = self.snapshot_seen(snapshot)?;
            if full(Child {
                name: snapshot.name.as_bytes(),
                cookie: cookie::of_row(snapshot.id.0),
                seen,
            }) {
                break;
            }
        }
        Ok(())
    }

    /// `.` or `..`, of which a listing shows only the node.
    fn dots(&self, name: &'static [u8], cookie: u64, id: INodeNo) -> Child<'static> {
        Child {
            name,
            cookie,
            seen: Seen {
                attr: self.hook.look.folder(id, None),
                ttl: NEVER,
            },
        }
    }

    fn latest_seen(&self, newest: &Snapshot) -> Result<Seen, Fault> {
        let id = self.pack(Node::Latest(newest.id))?;
        Ok(Seen {
            attr: self.hook.look.latest(id, newest),
            ttl: NEVER,
        })
    }

    /// A snapshot's own folder. Its name may be kept: it is taken back when it goes.
    fn snapshot_seen(&self, snapshot: &Snapshot) -> Result<Seen, Fault> {
        let id = self.pack(Node::Folder {
            folder: snapshot.root,
            snapshot: snapshot.id,
        })?;
        Ok(Seen {
            attr: self.hook.look.entry(id, &self.repository.root(snapshot.id)?, 1),
            ttl: self.hook.names,
        })
    }

    fn entry_seen(&self, entry: &Entry, snapshot: SnapshotId) -> Result<Seen, Fault> {
        let node = Node::of(entry, snapshot);
        let links = match node {
            Node::Link { link, .. } => self.repository.links(snapshot, link)?.len() as u32,
            _ => 1,
        };
        Ok(Seen {
            attr: self.hook.look.entry(self.pack(node)?, entry, links),
            ttl: FOREVER,
        })
    }

    /// The entry of a node below a snapshot; ESTALE if it was forgotten since.
    fn entry_of(&self, node: Node) -> Result<Listed, Fault> {
        let entry = match node {
            Node::Root | Node::Latest(_) => None,
            Node::Entry(id) => self.repository.entry(id)?,
            Node::Link { link, snapshot } => self
                .repository
                .links(snapshot, link)?
                .into_iter()
                .next()
                .map(Listed::from),
            Node::Folder { folder, snapshot } if self.snapshot(snapshot)?.root == folder => {
                Some(self.repository.root(snapshot)?.into())
            }
            Node::Folder { folder, snapshot } => self.repository.folder(snapshot, folder)?,
        };
        Ok(entry.ok_or(Errno::ESTALE)?)
    }

    fn parent(&self, node: Node) -> Result<INodeNo, Fault> {
        match node {
            Node::Root => Ok(self.hook.above),
            Node::Folder { folder, snapshot } if self.snapshot(snapshot)?.root == folder => self.pack(Node::Root),
            Node::Folder { snapshot, .. } => self.pack(Node::Folder {
                folder: self.entry_of(node)?.folder,
                snapshot,
            }),
            _ => Err(Errno::ENOTDIR.into()),
        }
    }

    fn snapshot(&self, id: SnapshotId) -> Result<Snapshot, Fault> {
        Ok(self.live.snapshot(id)?.ok_or(Errno::ESTALE)?)
    }

    /// The node of an id that the kernel, or a program through NFS, presents.
    fn node(&self, id: INodeNo) -> Result<Node, Fault> {
        Ok(self.hook.numbering.unpack(id).ok_or(Errno::ESTALE)?)
    }

    /// The id of a node; EOVERFLOW where the catalog has outgrown node ids.
    fn pack(&self, node: Node) -> Result<INodeNo, Fault> {
        Ok(self.hook.numbering.pack(node).ok_or(Errno::EOVERFLOW)?)
    }
}

/// The names from below `root` down to an entry, found by going up. Of a way without end, which only a repository
/// that lies has, the last ones.
fn names_down_to(mut entry: Listed, root: FolderId, above: impl Fn(FolderId) -> Option<Listed>) -> Option<Vec<String>> {
    let mut names = Vec::new();
    while !entry.name.is_empty() {
        names.push(String::from_utf8_lossy(&entry.name).into_owned());
        if entry.folder == root {
            break;
        }
        if names.len() == MOST_NAMES {
            names.push("…".into());
            break;
        }
        entry = above(entry.folder)?;
    }
    names.reverse();
    Some(names)
}

#[cfg(test)]
mod tests {
    use yore_store::Meta;

    use super::*;

    /// A folder of this number in another.
    fn folder(number: i64, within: i64) -> Listed {
        let folder = Entry {
            id: EntryId(number),
            folder: FolderId(within),
            name: format!("f{number}").into_bytes(),
            first: SnapshotId(1),
            last: SnapshotId(1),
            meta: Meta::plain(Kind::Folder, 0o755),
            size: 0,
            content: None,
            child: Some(FolderId(number)),
            link: None,
        };
        folder.into()
    }

    #[test]
    fn a_way_up_ends_at_the_root_or_after_a_while() {
        let up = |FolderId(number)| Some(folder(number, number - 1));
        let names = names_down_to(folder(3, 2), FolderId(0), up).unwrap();
        assert_eq!(names, ["f1", "f2", "f3"]);
        let names = names_down_to(folder(3, 3), FolderId(0), |_| Some(folder(3, 3))).unwrap();
        assert_eq!((names.len(), &*names[0], &*names[1]), (MOST_NAMES + 1, "…", "f3"));
        assert!(names_down_to(folder(3, 2), FolderId(0), |_| None).is_none());
    }
}
