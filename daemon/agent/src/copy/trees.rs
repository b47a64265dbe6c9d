//! Steps from a tree that one repository has to a snapshot of another: where there is nothing to tell it against in
//! the source, because it is the first of its line, or what was copied before was forgotten, or is not all of it.
//! It costs the listing of both.

use std::cmp::Ordering;
use std::sync::Arc;

use yore_store::{Entry, History, Listing, Snapshot};

use super::step::{Step, TellStep, changed_folder};
use crate::restore::{Entered, held};
use crate::snapshot::AgentError;

/// A snapshot, and who has it.
#[derive(Clone, Copy)]
pub(super) struct Tree<'a> {
    /// The repository.
    pub history: &'a dyn History,
    /// The snapshot.
    pub snapshot: &'a Snapshot,
}

/// A tree that is being gone through.
struct Side<'a> {
    tree: Option<Tree<'a>>,
    entered: Entered,
}

impl<'a> Side<'a> {
    fn of(tree: Option<Tree<'a>>) -> Self {
        Side {
            tree,
            entered: Entered::default(),
        }
    }

    fn root(&self) -> Result<Option<Entry>, AgentError> {
        let root = self.tree.map(|tree| tree.history.root(tree.snapshot.id));
        Ok(root.transpose()?)
    }

    /// What is in a folder; nothing in what is none.
    fn list(&mut self, entry: Option<&Entry>, path: usize) -> Result<Arc<Listing>, AgentError> {
        let (Some(tree), Some(folder)) = (self.tree, entry.and_then(|entry| entry.child)) else {
            return Ok(Arc::default());
        };
        self.entered.enter(folder, path)?;
        Ok(tree.history.list_below(tree.snapshot.id, folder)?)
    }
}

/// Two folders whose names are being gone through.
struct Level {
    /// Bytes of their path.
    path: usize,
    /// What the listings of these and of those above take, in bytes.
    held: usize,
    old: Arc<Listing>,
    new: Arc<Listing>,
    at: (usize, usize),
}

impl Level {
    /// The next name, as either has it.
    fn next(&mut self) -> Option<(Option<Entry>, Option<Entry>)> {
        let (old, new) = (self.old.get(self.at.0), self.new.get(self.at.1));
        let order = match (old, new) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.name.cmp(&new.name),
        };
        let (old, new) = (old.filter(|_| order.is_le()), new.filter(|_| order.is_ge()));
        self.at.0 += usize::from(old.is_some());
        self.at.1 += usize::from(new.is_some());
        Some((old.cloned(), new.cloned()))
    }
}

/// Tells the steps from one tree, or nothing, to another. Not by recursion: a tree may be deeper than a stack.
pub(super) fn trees(old: Option<Tree<'_>>, new: Tree<'_>, tell: &mut TellStep<'_>) -> Result<(), AgentError> {
    let (mut before, mut after) = (Side::of(old), Side::of(Some(new)));
    let (mut path, mut levels) = (Vec::new(), Vec::new());
    let mut next = Some((before.root()?, after.root()?));
    while let Some((old, new)) = next {
        match (old, new) {
            (old, Some(new)) if new.child.is_some() => {
                let meta = changed_folder(old.as_ref(), &new);
                let above = levels.last().map_or(0, |level: &Level| level.held);
                let (old, listing) = (
                    before.list(old.as_ref(), path.len())?,
                    after.list(Some(&new), path.len())?,
                );
                levels.push(Level {
                    path: path.len(),
                    held: held(held(above, &old)?, &listing)?,
                    old,
                    new: listing,
                    at: (0, 0),
                });
                tell(Step::Enter { name: new.name, meta })?;
            }
            (old, Some(new)) => tell(Step::put(&path, old, new))?,
            (Some(old), None) => tell(Step::Remove { name: old.name })?,
            (None, None) => {}
        }
        next = next_pair(&mut levels, &mut path, tell)?;
    }
    Ok(())
}

/// The next name of either tree, whose path is then `path`; leaves folders that are done.
#[allow(clippy::type_complexity, reason = "a pair of what may be there")]
fn next_pair(
    levels: &mut Vec<Level>,
    path: &mut Vec<u8>,
    tell: &mut TellStep<'_>,
) -> Result<Option<(Option<Entry>, Option<Entry>)>, AgentError> {
    while let Some(level) = levels.last_mut() {
        path.truncate(level.path);
        if let Some((old, new)) = level.next() {
            let name = new.as_ref().or(old.as_ref()).map(|entry| &entry.name);
            path.push(b'/');
            path.extend(name.into_iter().flatten());
            return Ok(Some((old, new)));
        }
        levels.pop();
        tell(Step::Leave)?;
    }
    Ok(None)
}
