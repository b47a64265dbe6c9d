//! Steps from one snapshot to a later one of its line, out of the rows that are others: they cost what has changed.
//!
//! ```text
//! rows    ~ /etc/hosts    + /etc/new/    + /etc/new/file    - /home/old/    - /home/old/file
//! steps   ↓ / ↓ etc  Put hosts  ↓ new  Put file  ↑ ↑  ↓ home  Remove old  ↑ ↑
//! ```

use yore_store::{Change, Entry, History, Snapshot, go_on};

use super::step::{Step, TellStep, changed_folder};
use crate::snapshot::AgentError;

/// Tells the steps from `a` to `b`.
pub(super) fn rows(
    source: &dyn History,
    a: &Snapshot,
    b: &Snapshot,
    tell: &mut TellStep<'_>,
) -> Result<(), AgentError> {
    let mut way = Way {
        tell,
        at: None,
        removed: None,
    };
    let mut told = Ok(());
    source.rows(a, b, &mut |path, change| go_on(&mut told, way.change(path, change)))?;
    told?;
    way.end()
}

/// Where the steps have come to.
struct Way<'a, 'b> {
    tell: &'a mut TellStep<'b>,
    /// The names of the folders entered, below `/`; `None` before `/`.
    at: Option<Vec<Vec<u8>>>,
    /// What is gone, until it is known that nothing else has its name: that would take its place by itself.
    removed: Option<(Vec<u8>, Entry)>,
}

impl Way<'_, '_> {
    fn change(&mut self, path: &[u8], change: Change) -> Result<(), AgentError> {
        let mut replaced = None;
        if let Some((gone, old)) = self.removed.take() {
            if is_below(path, &gone) && matches!(change, Change::Removed(_)) {
                // It goes with its folder.
                self.removed = Some((gone, old));
                return Ok(());
            }
            match gone == path {
                true => replaced = Some(old),
                false => self.remove(&gone)?,
            }
        }
        match change {
            Change::Removed(old) => self.removed = Some((path.to_vec(), old)),
            Change::Added(new) => self.put(path, replaced, new)?,
            Change::Modified(old, new) | Change::Meta(old, new) => self.put(path, Some(old), new)?,
        }
        Ok(())
    }

    fn put(&mut self, path: &[u8], old: Option<Entry>, new: Entry) -> Result<(), AgentError> {
        let names = names(path);
        let Some((name, folders)) = names.split_last() else {
            self.at = Some(Vec::new());
            let meta = changed_folder(old.as_ref(), &new);
            return (self.tell)(Step::Enter { name: Vec::new(), meta });
        };
        self.go_to(folders)?;
        match new.child {
            None => (self.tell)(Step::put(path, old, new)),
            Some(_) => self.enter(name, changed_folder(old.as_ref(), &new)),
        }
    }

    fn remove(&mut self, path: &[u8]) -> Result<(), AgentError> {
        match names(path).split_last() {
            Some((name, folders)) => {
                self.go_to(folders)?;
                (self.tell)(Step::Remove { name: name.to_vec() })
            }
            None => Ok(()),
        }
    }

    fn enter(&mut self, name: &[u8], meta: Option<yore_store::Meta>) -> Result<(), AgentError> {
        self.at.get_or_insert_default().push(name.to_vec());
        let name = name.to_vec();
        (self.tell)(Step::Enter { name, meta })
    }

    /// Leaves and enters folders until it is in this one.
    fn go_to(&mut self, folders: &[&[u8]]) -> Result<(), AgentError> {
        if self.at.is_none() {
            self.at = Some(Vec::new());
            let (name, meta) = (Vec::new(), None);
            (self.tell)(Step::Enter { name, meta })?;
        }
        let at = self.at.get_or_insert_default();
        let common = at.iter().zip(folders).take_while(|(a, b)| a == *b).count();
        for _ in common..at.len() {
            (self.tell)(Step::Leave)?;
        }
        at.truncate(common);
        folders[common..].iter().try_for_each(|name| self.enter(name, None))
    }

    fn end(mut self) -> Result<(), AgentError> {
        if let Some((gone, _)) = self.removed.take() {
            self.remove(&gone)?;
        }
        if self.at.is_some() {
            self.go_to(&[])?;
            (self.tell)(Step::Leave)?;
        }
        Ok(())
    }
}

fn names(path: &[u8]) -> Vec<&[u8]> {
    path.split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty())
        .collect()
}

fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
}
