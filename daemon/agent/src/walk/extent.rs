//! How far a walk goes into a folder.

use crate::marks::{Mark, Marks, Reach};

/// How far a walk goes into a folder.
#[derive(Clone, Copy)]
pub(super) enum Extent<'a> {
    /// It is listed, and everything in it visited.
    All,
    /// As the mark says.
    Marked(&'a Mark),
    /// It is looked at from outside.
    Nothing,
}

impl<'a> Extent<'a> {
    /// Of the level above `/`.
    pub fn new(marks: Option<&'a Marks>) -> Self {
        marks.map_or(Extent::All, |marks| Extent::Marked(&marks.above))
    }

    /// Of a name in the folder, should it be a folder too.
    pub fn child(self, name: &[u8]) -> Self {
        match self {
            Extent::Marked(mark) => match mark.inside.get(name) {
                Some(mark) if mark.reach == Reach::Deep => Extent::All,
                Some(mark) => Extent::Marked(mark),
                None => Extent::Nothing,
            },
            other => other,
        }
    }

    /// The only names to visit in it, if it is not to be listed.
    pub fn names(self) -> Option<Vec<Vec<u8>>> {
        match self {
            Extent::Marked(mark) if mark.reach == Reach::Way => Some(mark.inside.keys().cloned().collect()),
            _ => None,
        }
    }
}
