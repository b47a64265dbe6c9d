//! The first restored name of each group of hard links, to which the others are linked.
//!
//! Where it is, is a way through folders that many groups share: each folder is kept once, and knows the one above.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, linkat, unlinkat};
use yore_store::Entry;

use crate::folder::{Chain, How, open_folder};
use crate::metadata::Stat;

/// The first restored name of each group of hard links.
#[derive(Default)]
pub(super) struct Links {
    groups: HashMap<i64, Linked>,
    folders: Vec<Folder>,
    /// The way that was kept last, by its folders' numbers.
    way: Vec<usize>,
}

/// A folder below the destination.
struct Folder {
    name: Vec<u8>,
    above: Option<usize>,
}

struct Linked {
    /// The folder that it is in; `None` in the destination itself.
    folder: Option<usize>,
    name: Vec<u8>,
    /// Device and inode.
    identity: (u64, u64),
}

impl Links {
    /// Remembers an entry in the chain's current folder, if it has a group.
    pub fn remember(&mut self, chain: &Chain, entry: &Entry, identity: (u64, u64)) {
        if let Some(link) = entry.link {
            let linked = Linked {
                folder: self.keep(chain),
                name: entry.name.clone(),
                identity,
            };
            self.groups.insert(link, linked);
        }
    }

    /// The number of the chain's current folder. What a restore has left it does not come to again, so only the way
    /// that was kept last is compared.
    fn keep(&mut self, chain: &Chain) -> Option<usize> {
        let is_same = |(folder, name): &(&usize, &[u8])| self.folders[**folder].name == *name;
        let same = self.way.iter().zip(chain.names()).take_while(is_same).count();
        self.way.truncate(same);
        for name in chain.names().skip(same) {
            self.folders.push(Folder {
                name: name.to_vec(),
                above: self.way.last().copied(),
            });
            self.way.push(self.folders.len() - 1);
        }
        self.way.last().copied()
    }

    /// Makes `temporary` another name of the entry's group, if it can; if not,
    /// the entry gets bytes of its own.
    pub fn link(&self, chain: &mut Chain, entry: &Entry, temporary: &[u8]) -> bool {
        entry
            .link
            .and_then(|link| self.groups.get(&link))
            .is_some_and(|first| self.link_to(first, chain, temporary).is_ok())
    }

    fn link_to(&self, first: &Linked, chain: &mut Chain, temporary: &[u8]) -> io::Result<()> {
        let mut from = chain.base().try_clone_to_owned()?;
        for name in self.names_down_to(first.folder) {
            from = open_folder(from.as_fd(), name, How::Search)?;
        }
        let dir = chain.top()?;
        linkat(from, first.name.as_slice(), dir, temporary, AtFlags::empty())?;
        let stat = Stat::at(dir, temporary)?;
        if (stat.dev, stat.ino) != first.identity {
            unlinkat(dir, temporary, AtFlags::empty())?;
            return Err(io::Error::other("the first of the links was replaced"));
        }
        Ok(())
    }

    fn names_down_to(&self, folder: Option<usize>) -> Vec<&[u8]> {
        let up = std::iter::successors(folder, |number| self.folders[*number].above);
        let mut names: Vec<_> = up.map(|number| self.folders[number].name.as_slice()).collect();
        names.reverse();
        names
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, create_dir_all};

    use super::*;

    #[test]
    fn folders_on_the_way_are_kept_once() {
        let base = tempfile::tempdir().unwrap();
        create_dir_all(base.path().join("a/b/c")).unwrap();
        create_dir_all(base.path().join("a/d")).unwrap();
        let mut chain = Chain::new(File::open(base.path()).unwrap().into()).unwrap();
        let mut links = Links::default();
        assert_eq!(links.keep(&chain), None);
        let mut kept = Vec::new();
        for step in [&b"a"[..], b"b", b"c", b"..", b"..", b"d"] {
            match step {
                b".." => chain.pop(),
                name => {
                    let folder = open_folder(chain.top().unwrap(), name, How::Read).unwrap();
                    chain.push(name, How::Read, folder).unwrap();
                }
            }
            kept.push(links.keep(&chain).unwrap());
        }
        let d = kept.pop();
        assert_eq!((kept, links.folders.len()), (vec![0, 1, 2, 1, 0], 4));
        assert_eq!(links.names_down_to(d), [&b"a"[..], b"d"]);
    }
}
