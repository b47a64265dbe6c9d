//! The walk over a source tree: depth first, names sorted bytewise, each folder
//! before what is in it.
//!
//! ```text
//! roots /etc and /home/ann:   enter "/"
//!                               enter "etc"  … everything …  leave
//!                               enter "home"             only a parent: of what
//!                                 enter "ann" … everything … leave   is in it,
//!                               leave                    only the root is seen
//!                             leave
//! ```
//!
//! What cannot be read is said ([`Visitor::unreadable`]) and never looks like
//! something deleted: a folder that cannot be listed is entered all the same,
//! with [`Visited::readable`] false.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::filter::Filter;
use crate::folder::raise_file_limit;
use crate::marks::Marks;
use crate::metadata::Stat;
use crate::roots::Roots;

mod extent;
mod kernel;
mod walker;

pub(crate) use kernel::is_kernels;
pub(crate) use walker::is_cache;

/// What to leave out of a walk.
#[derive(Clone, Debug, Default)]
pub struct WalkOptions {
    /// Folders on another device than their root are entered but not descended into.
    pub one_file_system: bool,
    /// Of a folder with a valid CACHEDIR.TAG only the folder and the tag are visited.
    pub exclude_caches: bool,
    /// What fits is left out; roots and their parents never are.
    pub filter: Filter,
    /// Device and inode of folders to leave out, such as the repository.
    pub skip: Vec<(u64, u64)>,
}

/// Why something was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// A pattern took it.
    Excluded,
    /// It is one of [`WalkOptions::skip`].
    Asked,
    /// What is in this folder lies on another file system.
    OtherFileSystem,
    /// What is in this folder is the kernel's: /proc, /sys and the like, unless they are named as roots.
    Kernels,
    /// What is in this folder, besides the tag, is a cache.
    Cache,
}

/// One thing that the walk comes to.
pub struct Visited<'a> {
    /// The folder that it is in. For `/` this is `/` itself.
    pub parent: BorrowedFd<'a>,
    /// Its name there; empty for `/`.
    pub name: &'a [u8],
    /// Its absolute path, for messages and patterns; may be too long for the kernel.
    pub path: &'a [u8],
    /// Its state when it was looked at.
    pub stat: Stat,
    /// A folder's own descriptor, if it is being listed.
    pub open: Option<BorrowedFd<'a>>,
    /// False for a folder that could not be listed: nothing of what is in it
    /// will be visited, though there may be something.
    pub readable: bool,
    /// Of a folder: whether everything in it will be visited, so that what is
    /// not visited is not there. False for one that cannot be listed, and for
    /// one of which only marked names are visited.
    pub complete: bool,
}

/// Who is told of a walk. An error from any of these ends the walk.
pub trait Visitor {
    /// What can go wrong for the visitor itself.
    type Error;

    /// A folder, before what is in it; returns whether to go into it.
    /// [`leave`](Self::leave) follows in either case.
    fn enter(&mut self, folder: &Visited) -> Result<bool, Self::Error>;

    /// In a walk over marks, before a folder is listed: whether this folder is
    /// known, and is the same one. One that is not known is walked whole.
    fn knows(&mut self, _name: &[u8], _stat: &Stat) -> Result<bool, Self::Error> {
        Ok(false)
    }

    /// A marked name in a folder that is not [`complete`](Visited::complete) is
    /// not there.
    fn gone(&mut self, _name: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }

    /// The end of the folder entered last and not left yet.
    fn leave(&mut self) -> Result<(), Self::Error>;

    /// Anything that is not a folder.
    fn item(&mut self, item: &Visited) -> Result<(), Self::Error>;

    /// Something is there but could not be looked at. For a folder that cannot
    /// be listed this comes before its [`enter`](Self::enter).
    fn unreadable(&mut self, path: &[u8], error: io::Error) -> Result<(), Self::Error>;

    /// Something was left out on purpose.
    fn skipped(&mut self, _path: &[u8], _reason: SkipReason) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// What a walk counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Names that were listed but gone when they were looked at.
    pub vanished: u64,
    /// Folders that were listed.
    pub listed: u64,
}

/// What ends a walk early.
#[derive(Debug, thiserror::Error)]
pub enum WalkError<E> {
    /// A root, or a folder on the way to one, is not there any more.
    #[error("{}: {source}; a root that is not there is not backed up as empty", path.display())]
    Root {
        /// The root or the parent.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The visitor gave up.
    #[error(transparent)]
    Visitor(E),
}

impl<E> From<E> for WalkError<E> {
    fn from(error: E) -> Self {
        WalkError::Visitor(error)
    }
}

/// Visits everything below the roots, and the folders from `/` down to them.
/// Memory is bounded by the names in the folders on the current path, open
/// descriptors by a constant.
///
/// # Errors
/// [`WalkError::Root`] if a root has gone, [`WalkError::Visitor`] as soon as
/// the visitor says so. Whatever else fails goes to [`Visitor::unreadable`].
pub fn walk<V: Visitor>(roots: &Roots, options: &WalkOptions, visitor: &mut V) -> Result<Walked, WalkError<V::Error>> {
    walk_marked(roots, options, None, visitor)
}

/// Visits the roots, and below them only what is marked; without marks, everything.
///
/// # Errors
/// As [`walk`].
pub fn walk_marked<V: Visitor>(
    roots: &Roots,
    options: &WalkOptions,
    marks: Option<&Marks>,
    visitor: &mut V,
) -> Result<Walked, WalkError<V::Error>> {
    raise_file_limit();
    let plan = Plan::new(roots);
    let mut walker = walker::Walker::new(&plan, options, marks, visitor)?;
    walker.run()?;
    Ok(walker.walked())
}

/// The ways from above `/` to the roots: what to look at in folders that are
/// visited only as parents.
#[derive(Default)]
struct Plan {
    root: bool,
    children: BTreeMap<Vec<u8>, Plan>,
}

impl Plan {
    fn new(roots: &Roots) -> Self {
        let mut plan = Plan::default();
        for path in roots.paths() {
            let mut at = plan.children.entry(Vec::new()).or_default();
            for name in path
                .as_os_str()
                .as_bytes()
                .split(|byte| *byte == b'/')
                .filter(|name| !name.is_empty())
            {
                at = at.children.entry(name.to_vec()).or_default();
            }
            at.root = true;
        }
        plan
    }

    fn names(&self) -> Vec<Vec<u8>> {
        self.children.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
