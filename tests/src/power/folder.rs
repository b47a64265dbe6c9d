//! A folder of the disk that loses power: names, and the changes of them that its fsync has not made durable yet.
//!
//! An fsync of a file is no promise for its name. What survives of the pending changes is any subset in which each name
//! went through its own changes in their order: a journal that keeps less than that would break itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use crate::model::random::Random;

/// The number of a node.
pub(super) type Number = u64;

/// What a folder says: names, and what they stand for.
pub(super) type Names = BTreeMap<OsString, Number>;

/// One change that was not fsynced yet.
enum Change {
    Link(OsString, Number),
    Unlink(OsString),
    /// Within the folder, in one: whoever looks finds one of the two names, and at `to` the old or the new.
    Rename {
        from: OsString,
        to: OsString,
    },
}

/// The names of one folder.
#[derive(Default)]
pub(super) struct Folder {
    live: Names,
    durable: Names,
    pending: Vec<Change>,
}

impl Folder {
    /// A folder that the disk has.
    pub fn durable(names: Names) -> Self {
        Folder {
            live: names.clone(),
            durable: names,
            pending: Vec::new(),
        }
    }

    /// What programs see.
    pub fn names(&self) -> &Names {
        &self.live
    }

    pub fn get(&self, name: &OsStr) -> Option<Number> {
        self.live.get(name).copied()
    }

    pub fn link(&mut self, name: &OsStr, node: Number) {
        self.change(Change::Link(name.into(), node));
    }

    pub fn unlink(&mut self, name: &OsStr) {
        self.change(Change::Unlink(name.into()));
    }

    pub fn rename(&mut self, from: &OsStr, to: &OsStr) {
        let (from, to) = (from.into(), to.into());
        self.change(Change::Rename { from, to });
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    /// From now on the disk has what programs see.
    pub fn fsync(&mut self) {
        self.durable.clone_from(&self.live);
        self.pending.clear();
    }

    /// Nodes that have a name here, or may have one after a cut.
    pub fn reached(&self) -> impl Iterator<Item = Number> {
        let linked = self.pending.iter().filter_map(|change| match change {
            Change::Link(_, node) => Some(*node),
            _ => None,
        });
        self.live.values().chain(self.durable.values()).copied().chain(linked)
    }

    /// What is found after a cut: what was fsynced, and of the changes since then none, all, or any.
    pub fn survivor(&self, random: &mut Random) -> Names {
        let mut names = self.durable.clone();
        let mut lost: BTreeSet<&OsStr> = BTreeSet::new();
        let fate = random.below(4);
        for change in &self.pending {
            let is_lost = match fate {
                0 => true,
                1 => false,
                _ => random.once_in(2),
            };
            if is_lost || change.names().any(|name| lost.contains(name)) {
                lost.extend(change.names());
            } else {
                change.apply(&mut names);
            }
        }
        names
    }
}

impl Change {
    fn apply(&self, names: &mut Names) {
        match self {
            Change::Link(name, node) => drop(names.insert(name.clone(), *node)),
            Change::Unlink(name) => drop(names.remove(name)),
            Change::Rename { from, to } => {
                let node = names.remove(from).expect("what led to this name came before");
                names.insert(to.clone(), node);
            }
        }
    }

    /// The names that it bears on.
    fn names(&self) -> impl Iterator<Item = &OsStr> {
        let (one, other) = match self {
            Change::Link(name, _) | Change::Unlink(name) => (name, None),
            Change::Rename { from, to } => (from, Some(to)),
        };
        [Some(one), other].into_iter().flatten().map(OsString::as_os_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survivors(folder: &Folder) -> BTreeSet<Vec<(&str, Number)>> {
        let all = (0..200).map(|seed| folder.survivor(&mut Random::new(seed)));
        let known = ["a", "b", "c"];
        let told = |names: Names| {
            let of = |name: &&'static str| names.get(OsStr::new(name)).map(|node| (*name, *node));
            known.iter().filter_map(of).collect()
        };
        all.map(told).collect()
    }

    fn set(names: &[&[(&'static str, Number)]]) -> BTreeSet<Vec<(&'static str, Number)>> {
        names.iter().map(|names| names.to_vec()).collect()
    }

    #[test]
    fn names_come_and_go_each_by_itself_until_the_folder_is_fsynced() {
        let mut folder = Folder::durable(Names::from([("a".into(), 1)]));
        folder.unlink(OsStr::new("a"));
        folder.link(OsStr::new("b"), 2);
        let any = set(&[&[("a", 1)], &[("a", 1), ("b", 2)], &[], &[("b", 2)]]);
        assert_eq!(survivors(&folder), any);
        folder.fsync();
        assert_eq!(survivors(&folder), set(&[&[("b", 2)]]));
    }

    #[test]
    fn a_rename_is_one_change_and_needs_what_led_to_it() {
        let mut folder = Folder::durable(Names::from([("b".into(), 1)]));
        folder.link(OsStr::new("a"), 2);
        folder.rename(OsStr::new("a"), OsStr::new("b"));
        let any = set(&[&[("b", 1)], &[("a", 2), ("b", 1)], &[("b", 2)]]);
        assert_eq!(survivors(&folder), any);
    }

    #[test]
    fn one_name_goes_through_its_changes_in_order() {
        let mut folder = Folder::durable(Names::from([("a".into(), 1)]));
        folder.rename(OsStr::new("a"), OsStr::new("c"));
        folder.link(OsStr::new("a"), 2);
        // Never the new `a` alone: node 1 would have lost its name without being unlinked.
        let any = set(&[&[("a", 1)], &[("c", 1)], &[("a", 2), ("c", 1)]]);
        assert_eq!(survivors(&folder), any);
    }
}
