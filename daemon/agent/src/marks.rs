//! Where something changed: what a push has to look at instead of everything.
//!
//! ```text
//! /            way
//! └ home       way      of a folder on the way only the marked names are visited
//!   └ ann      way      and nothing is listed: its other names stay as remembered
//!     ├ a.txt           a touched name
//!     ├ mail   dirty    listed, all its names compared; its folders are not entered
//!     └ new    deep     everything below it is walked
//! ```
//!
//! A folder that the agent's state does not know, or that is another one now, is walked as
//! deep, whatever is marked. Marks are good for one thing: a state that mirrors the newest
//! snapshot. Where it had to be filled anew they are ignored.

mod links;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use links::widen;

/// More touched names than this in a folder, and it is listed.
const MOST_NAMES: usize = 1000;

/// Marks lie no deeper than this many names, so that what goes through them by recursion ends on
/// any stack; instead, the folder at that depth is deep.
const DEEPEST: usize = 512;

/// How far a marked folder is looked into; later ones include earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// The marked names in it.
    #[default]
    Way,
    /// All names in it.
    Dirty,
    /// Everything below it.
    Deep,
}

/// What is marked at one path and below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub reach: Reach,
    pub inside: BTreeMap<Vec<u8>, Mark>,
}

/// A tree of marks over absolute paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Above `/`, whose name is empty.
    pub(crate) above: Mark,
    /// (device, inode) of files that got another name.
    pub(crate) inodes: BTreeSet<(u64, u64)>,
}

impl Marks {
    /// Marks one name: it is looked at, or found to be gone. Of a folder that is known, only
    /// its metadata.
    pub fn touch(&mut self, path: &[u8]) {
        self.mark(path, Reach::Way);
    }

    /// Marks a folder: all names in it are compared.
    pub fn dirty(&mut self, folder: &[u8]) {
        self.mark(folder, Reach::Dirty);
    }

    /// Marks a folder and everything below it.
    pub fn deep(&mut self, folder: &[u8]) {
        self.mark(folder, Reach::Deep);
    }

    /// Notes that a file got another name, so that all of its names have to be looked at.
    pub fn linked(&mut self, dev: u64, ino: u64) {
        self.inodes.insert((dev, ino));
    }

    /// Adds the marks of another push, such as one that failed.
    pub fn merge(&mut self, other: Marks) {
        self.above.merge(other.above);
        self.inodes.extend(other.inodes);
    }

    /// Whether nothing is marked.
    pub fn is_empty(&self) -> bool {
        self.above.inside.is_empty() && self.inodes.is_empty()
    }

    /// How many names and folders are marked for their own sake.
    pub fn len(&self) -> usize {
        self.above.count()
    }

    fn mark(&mut self, path: &[u8], reach: Reach) {
        let mut at = &mut self.above;
        let mut names = names(path).peekable();
        for depth in 0.. {
            let Some(name) = names.next() else { break };
            if depth == DEEPEST {
                return at.widen(Reach::Deep);
            }
            let is_name = names.peek().is_none() && reach == Reach::Way;
            // All there is to see of it is seen already.
            if at.reach == Reach::Deep || (is_name && at.reach == Reach::Dirty) {
                return;
            }
            if is_name && at.inside.len() >= MOST_NAMES && !at.inside.contains_key(name) {
                return at.widen(Reach::Dirty);
            }
            at = at.inside.entry(name.to_vec()).or_default();
        }
        at.widen(reach);
    }
}

/// The names of an absolute path, from `/`'s, which is empty, on.
pub(crate) fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let below = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    std::iter::once(&b""[..]).chain(below)
}

impl Mark {
    fn widen(&mut self, reach: Reach) {
        self.reach = self.reach.max(reach);
        match self.reach {
            Reach::Way => {}
            // What was touched in it is compared with the rest.
            Reach::Dirty => self.inside.retain(|_, mark| !mark.is_name()),
            Reach::Deep => self.inside.clear(),
        }
    }

    /// Whether it marks a name and no more.
    pub fn is_name(&self) -> bool {
        self.reach == Reach::Way && self.inside.is_empty()
    }

    fn merge(&mut self, other: Mark) {
        for (name, mark) in other.inside {
            self.inside.entry(name).or_default().merge(mark);
        }
        self.widen(other.reach);
    }

    fn count(&self) -> usize {
        let own = usize::from(self.reach != Reach::Way);
        let inside = self.inside.values().map(|mark| match mark.is_name() {
            true => 1,
            false => mark.count(),
        });
        own + inside.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(marks: &Marks, path: &[u8]) -> Option<Reach> {
        let mut at = &marks.above;
        for name in names(path) {
            at = at.inside.get(name)?;
        }
        Some(at.reach)
    }

    #[test]
    fn a_wider_mark_takes_the_narrower_ones_in() {
        let mut marks = Marks::default();
        assert!(marks.is_empty());
        marks.touch(b"/a/b/file");
        marks.dirty(b"/a/b/c");
        assert_eq!((marks.len(), reach(&marks, b"/a/b")), (2, Some(Reach::Way)));
        marks.dirty(b"/a/b/");
        // The touched name is one of those compared; the folder is still to be listed itself.
        assert_eq!(reach(&marks, b"/a/b/file"), None);
        assert_eq!(reach(&marks, b"/a/b/c"), Some(Reach::Dirty));
        marks.touch(b"/a/b/other");
        assert_eq!(marks.len(), 2);
        marks.deep(b"/a");
        marks.dirty(b"/a/b");
        assert_eq!(
            (marks.len(), reach(&marks, b"/a"), reach(&marks, b"/a/b")),
            (1, Some(Reach::Deep), None)
        );
        marks.touch(b"/");
        assert_eq!(reach(&marks, b"/"), Some(Reach::Way));
    }

    #[test]
    fn many_names_are_one_listing() {
        let mut marks = Marks::default();
        for number in 0..=MOST_NAMES {
            marks.touch(format!("/a/{number}").as_bytes());
        }
        assert_eq!((marks.len(), reach(&marks, b"/a")), (1, Some(Reach::Dirty)));
    }

    #[test]
    fn marks_are_no_deeper_than_a_stack() {
        let mut marks = Marks::default();
        marks.touch(&b"/a".repeat(100_000));
        marks.touch(&[&b"/a".repeat(DEEPEST - 1)[..], b"/b/c"].concat());
        assert_eq!(marks.len(), 1);
        assert_eq!(reach(&marks, &b"/a".repeat(DEEPEST - 1)), Some(Reach::Deep));
        let mut other = marks.clone();
        other.merge(marks);
        assert_eq!(other.len(), 1);
    }

    #[test]
    fn merged_marks_mark_what_both_did() {
        let mut marks = Marks::default();
        marks.touch(b"/a/x");
        marks.deep(b"/b");
        let mut other = Marks::default();
        other.dirty(b"/a");
        other.touch(b"/b/c");
        other.touch(b"/d");
        other.linked(1, 2);
        marks.merge(other);
        assert_eq!(reach(&marks, b"/a"), Some(Reach::Dirty));
        assert_eq!(
            (reach(&marks, b"/b"), reach(&marks, b"/b/c")),
            (Some(Reach::Deep), None)
        );
        assert_eq!((marks.len(), marks.inodes.len()), (3, 1));
    }
}
