//! The folders above the repositories of a mount of many, and the way down.
//!
//! ```text
//! MOUNTPOINT/              node 1: the users on the shelf            root, 0555
//! └── ann/                 Above::User: what ann has                 ann, 0500
//!     └── laptop/          the root of a `Tree`, opened when somebody looks into it
//!         ├── 2026-03-01_02-00-00/
//!         └── latest -> 2026-03-01_02-00-00
//! ```
//!
//! All of it lives. Names are good for a second at most, so what goes is gone by
//! then; those of snapshots for a minute, as a repository that is not open is not
//! watched either.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fuser::{Errno, FileAttr, INodeNo, Notifier};
use yore_store::Space;

use crate::attr::Look;
use crate::cookie;
use crate::fault::Fault;
use crate::node::{Above, Node, Numbering};
use crate::opened::{Opened, Unopened};
use crate::shelf::{Shelf, ShelfRepository, ShelfUser, UnixUser};
use crate::tree::{BRIEFLY, Child, Hook, NEVER, Seen, Tree};
use crate::view::Place;
use crate::{complain, lock};

/// How long the kernel may keep the name of a snapshot.
const A_MINUTE: Duration = Duration::from_secs(60);

/// A shelf of repositories as a tree of nodes.
pub(crate) struct Many {
    shelf: Arc<dyn Shelf>,
    opened: Opened<Tree>,
    /// How looks what is nobody's in particular.
    look: Look,
    trust_disk: bool,
    known: Mutex<Known>,
}

/// The shelf as it was when it was asked last.
struct Known {
    users: Arc<Vec<ShelfUser>>,
    /// The names, with their folders, that changed since the kernel was told.
    changed: BTreeSet<(INodeNo, String)>,
}

impl Many {
    /// The shelf, which is asked what is on it; nothing is opened.
    pub(crate) fn new(shelf: Arc<dyn Shelf>, look: Look, trust_disk: bool) -> yore_store::Result<Self> {
        let users = Arc::new(shelf.users()?);
        Ok(Many {
            shelf,
            opened: Opened::default(),
            look,
            trust_disk,
            known: Mutex::new(Known {
                users,
                changed: BTreeSet::new(),
            }),
        })
    }

    /// Whether [`place`](Self::place) will answer at once.
    pub(crate) fn is_ready(&self, id: INodeNo) -> bool {
        Numbering::repository(id).is_none_or(|number| self.opened.is_ready(number))
    }

    /// Who answers for a node: its repository. What is above them is answered here,
    /// and so is the folder of one that cannot be opened.
    pub(crate) fn place(self: &Arc<Self>, id: INodeNo) -> Result<Place, Fault> {
        let Some(number) = Numbering::repository(id) else {
            return Ok(Place::Above(self.clone()));
        };
        match self.open(number) {
            Ok(tree) => Ok(Place::Tree(tree)),
            Err(_) if Self::is_root(id) => Ok(Place::Above(self.clone())),
            Err(fault) => Err(fault),
        }
    }

    /// Whether a node is a folder whose listing changes while the mount lives.
    pub(crate) fn is_alive(id: INodeNo) -> bool {
        Self::is_root(id) || Above::unpack(id).is_some()
    }

    /// What a name in a folder above the repositories is.
    pub(crate) fn lookup(&self, parent: INodeNo, name: &[u8]) -> Result<Seen, Fault> {
        let users = self.ask()?;
        match (above(parent)?, name) {
            (_, b".") => self.attributes(parent),
            (_, b"..") => self.attributes(INodeNo::ROOT),
            (Above::Root, name) => {
                let user = users.iter().find(|user| user.name.as_bytes() == name);
                Ok(user.map_or_else(|| self.absent(), |user| self.user_seen(user)))
            }
            (Above::User(number), name) => {
                let user = user(&users, number)?;
                let mut has = user.repositories.iter();
                match has.find(|repository| repository.name.as_bytes() == name) {
                    Some(repository) => self.repository_seen(user, repository),
                    None => Ok(self.absent()),
                }
            }
        }
    }

    /// What the attributes of a folder are.
    pub(crate) fn attributes(&self, id: INodeNo) -> Result<Seen, Fault> {
        let users = self.ask()?;
        match Above::unpack(id) {
            Some(Above::Root) => Ok(seen(self.look.folder(id, None), BRIEFLY)),
            Some(Above::User(number)) => Ok(self.user_seen(user(&users, number)?)),
            None => {
                let number = Numbering::repository(id).ok_or(Errno::ESTALE)?;
                let (user, repository) = find(&users, number).ok_or(Errno::ESTALE)?;
                self.repository_seen(user, repository)
            }
        }
    }

    /// Hands the children of a folder that come after a cookie to `full`, until
    /// there are no more or it says that it is.
    pub(crate) fn list(&self, id: INodeNo, after: u64, mut full: impl FnMut(Child<'_>) -> bool) -> Result<(), Fault> {
        let (users, place) = (self.ask()?, above(id)?);
        let mut children = Vec::new();
        if after < cookie::DOT {
            children.push((b".".as_slice(), cookie::DOT, seen(self.look.folder(id, None), NEVER)));
        }
        if after < cookie::DOT_DOT {
            let root = seen(self.look.folder(INodeNo::ROOT, None), NEVER);
            children.push((b"..", cookie::DOT_DOT, root));
        }
        // By number: where a listing goes on must not depend on what comes and goes.
        let first = children.len();
        match place {
            Above::Root => children.extend(users.iter().map(|user| {
                let cookie = cookie::of_row(user.number.into());
                (user.name.as_bytes(), cookie, self.user_seen(user))
            })),
            Above::User(number) => {
                let user = user(&users, number)?;
                for repository in &user.repositories {
                    let cookie = cookie::of_row(repository.number.into());
                    // One whose number is too large is told to who asks for it.
                    if let Ok(seen) = self.repository_seen(user, repository) {
                        children.push((repository.name.as_bytes(), cookie, seen));
                    }
                }
            }
        }
        children[first..].sort_by_key(|(_, cookie, _)| *cookie);
        for (name, cookie, seen) in children.into_iter().filter(|(_, cookie, _)| *cookie > after) {
            if full(Child { name, cookie, seen }) {
                break;
            }
        }
        Ok(())
    }

    /// The folder above a repository's root, of which its tree knows only the node.
    pub(crate) fn above(&self, root: INodeNo) -> Result<Seen, Fault> {
        let number = Numbering::repository(root).ok_or(Errno::ESTALE)?;
        let users = self.ask()?;
        let (user, _) = find(&users, number).ok_or(Errno::ESTALE)?;
        Ok(self.user_seen(user))
    }

    /// Room on the disk that the shelf stands on.
    pub(crate) fn space(&self) -> Result<Space, Fault> {
        Ok(self.shelf.space()?)
    }

    /// A node's path below the mountpoint, for a message. Opens nothing.
    pub(crate) fn describe(&self, id: INodeNo) -> String {
        let users = lock(&self.known).users.clone();
        let Some(number) = Numbering::repository(id) else {
            return match Above::unpack(id) {
                Some(Above::User(number)) => {
                    user(&users, number).map_or_else(|_| String::new(), |user| user.name.clone())
                }
                _ => ".".to_owned(),
            };
        };
        match (self.opened.peek(number), self.hook(&users, number)) {
            (Some(tree), _) => tree.describe(id),
            (None, Some(hook)) => hook.path,
            (None, None) => format!("repository {number}"),
        }
    }

    /// Tells the kernel which users, repositories and snapshots of open repositories
    /// came and went, and closes what is not on the shelf any more or out of use.
    pub(crate) fn tell(&self, kernel: &Notifier) {
        // A shelf that cannot be asked is reported by whoever looks.
        if let Ok(now) = self.ask() {
            self.close_changed(&now, kernel);
            let changed = std::mem::take(&mut lock(&self.known).changed);
            for (folder, name) in changed {
                let _ = kernel.inval_entry(folder, OsStr::new(&name));
                let _ = kernel.inval_inode(folder, 0, 0);
            }
        }
        self.opened.close_idle();
        for (_, tree) in self.opened.all() {
            tree.tell(kernel);
        }
    }

    /// Closes what is not on the shelf any more, or under another name or owner; then
    /// the kernel forgets all that it was told of it, and asks anew.
    fn close_changed(&self, now: &[ShelfUser], kernel: &Notifier) {
        for (number, tree) in self.opened.all() {
            if self.hook(now, number).as_ref() != Some(&tree.hook) {
                self.opened.forget(number);
                let _ = kernel.inval_entry(tree.hook.above, OsStr::new(tree.hook.name()));
            }
        }
        self.opened.keep_only(|number| find(now, number).is_some());
    }

    /// Asks the shelf. Nothing is locked meanwhile.
    fn ask(&self) -> Result<Arc<Vec<ShelfUser>>, Fault> {
        let users = Arc::new(self.shelf.users()?);
        let mut known = lock(&self.known);
        if known.users != users {
            let changes = changes(&known.users, &users);
            known.changed.extend(changes);
            known.users = users;
        }
        Ok(known.users.clone())
    }

    fn open(&self, number: u32) -> Result<Arc<Tree>, Fault> {
        if let Some(tree) = self.opened.used(number) {
            return Ok(tree);
        }
        let known = lock(&self.known).users.clone();
        let hook = match self.hook(&known, number) {
            Some(hook) => hook,
            None => self.hook(&self.ask()?, number).ok_or(Errno::ESTALE)?,
        };
        let path = hook.path.clone();
        let opened = self.opened.get(number, || Tree::new(self.shelf.open(number)?, hook));
        opened.map_err(|unopened| {
            if let Unopened::News(why) = unopened {
                complain(format_args!("{path}: {why}"));
            }
            Fault::Errno(Errno::EIO)
        })
    }

    /// Where the tree of a repository hangs, if it is on the shelf.
    fn hook(&self, users: &[ShelfUser], number: u32) -> Option<Hook> {
        let (user, repository) = find(users, number)?;
        Some(Hook {
            numbering: Numbering::of(number)?,
            above: Above::User(user.number).pack(),
            path: format!("{}/{}/", user.name, repository.name),
            look: self.look_of(user),
            names: A_MINUTE,
            trust_disk: self.trust_disk,
        })
    }

    fn look_of(&self, user: &ShelfUser) -> Look {
        let owned = |UnixUser { uid, gid }| Look { uid, gid, own: true };
        user.owner.map_or(self.look, owned)
    }

    fn user_seen(&self, user: &ShelfUser) -> Seen {
        let folder = self.look_of(user).folder(Above::User(user.number).pack(), None);
        seen(FileAttr { perm: 0o500, ..folder }, BRIEFLY)
    }

    /// A repository's folder, seen from above. It has the time of the newest snapshot
    /// if it is open: to open each would be much for an `ls`. As long as it is not,
    /// nothing of this is kept, and who asks for the folder itself asks its tree.
    fn repository_seen(&self, user: &ShelfUser, repository: &ShelfRepository) -> Result<Seen, Fault> {
        let numbering = Numbering::of(repository.number).ok_or(Errno::EOVERFLOW)?;
        let id = numbering.pack(Node::Root).ok_or(Errno::EOVERFLOW)?;
        let open = self.opened.peek(repository.number);
        match open.map(|tree| tree.attributes(id)) {
            Some(Ok(seen)) => Ok(seen),
            _ => Ok(seen(self.look_of(user).folder(id, None), NEVER)),
        }
    }

    fn absent(&self) -> Seen {
        seen(self.look.absent(), NEVER)
    }

    /// Whether a node is the root of a repository.
    pub(crate) fn is_root(id: INodeNo) -> bool {
        let numbering = Numbering::repository(id).and_then(Numbering::of);
        numbering.is_some_and(|numbering| numbering.unpack(id) == Some(Node::Root))
    }
}

fn seen(attr: FileAttr, ttl: Duration) -> Seen {
    Seen { attr, ttl }
}

/// A place above the repositories; the folder of one that cannot be opened is asked
/// for in vain.
fn above(id: INodeNo) -> Result<Above, Fault> {
    Ok(Above::unpack(id).ok_or(Errno::EIO)?)
}

fn user(users: &[ShelfUser], number: u32) -> Result<&ShelfUser, Fault> {
    let found = users.iter().find(|user| user.number == number);
    Ok(found.ok_or(Errno::ESTALE)?)
}

/// The repository with this number, and whose it is.
fn find(users: &[ShelfUser], number: u32) -> Option<(&ShelfUser, &ShelfRepository)> {
    users.iter().find_map(|user| {
        let mut has = user.repositories.iter();
        Some((user, has.find(|repository| repository.number == number)?))
    })
}

/// The names, with their folders, that mean something else now.
fn changes(told: &[ShelfUser], now: &[ShelfUser]) -> BTreeSet<(INodeNo, String)> {
    let [told, now] = [told, now].map(|users| {
        let names = users.iter().flat_map(|user| {
            let own = (INodeNo::ROOT, user.name.clone(), user.number, user.owner);
            let folder = Above::User(user.number).pack();
            let has = user.repositories.iter();
            let has = has.map(move |repository| (folder, repository.name.clone(), repository.number, None));
            has.chain([own])
        });
        names.collect::<BTreeSet<_>>()
    });
    let changed = told.symmetric_difference(&now);
    changed.map(|(folder, name, ..)| (*folder, name.clone())).collect()
}
