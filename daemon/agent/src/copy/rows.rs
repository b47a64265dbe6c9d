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

#[cfg(test)]
mod tests {
    use yore_store::{EntryId, FolderId, Kind, Meta, SnapshotId};

    use super::*;

    fn entry(path: &str, is_folder: bool) -> Entry {
        let kind = if is_folder { Kind::Folder } else { Kind::File };
        Entry {
            id: EntryId(1),
            folder: FolderId(1),
            name: path.rsplit('/').next().unwrap().into(),
            first: SnapshotId(1),
            last: SnapshotId(1),
            meta: Meta::plain(kind, 0o755),
            size: 0,
            content: None,
            child: is_folder.then_some(FolderId(2)),
            link: None,
        }
    }

    /// The steps for rows such as `+/folder/ -/file ~/other`.
    fn steps(rows: &str) -> String {
        let mut told = Vec::new();
        let mut tell = |step: Step| {
            let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
            told.push(match step {
                Step::Enter { name, meta } => format!(">{}{}", text(&name), if meta.is_some() { "!" } else { "" }),
                Step::Leave => "<".into(),
                Step::Put(put) => format!("{}{}", if put.old.is_some() { "~" } else { "+" }, text(&put.new.name)),
                Step::Remove { name } => format!("-{}", text(&name)),
            });
            Ok(())
        };
        let mut way = Way {
            tell: &mut tell,
            at: None,
            removed: None,
        };
        for row in rows.split_whitespace() {
            let (path, is_folder) = match row[1..].strip_suffix('/') {
                Some("") => ("/", true),
                Some(path) => (path, true),
                None => (&row[1..], false),
            };
            let entry = || entry(path.trim_end_matches('/'), is_folder);
            let change = match &row[..1] {
                "+" => Change::Added(entry()),
                "-" => Change::Removed(entry()),
                _ => Change::Modified(entry(), entry()),
            };
            way.change(path.as_bytes(), change).unwrap();
        }
        way.end().unwrap();
        told.join(" ")
    }

    #[test]
    fn folders_are_entered_on_the_way_and_left_again() {
        assert_eq!(steps(""), "");
        assert_eq!(steps("~/a/b/file ~/a/c ~/d"), "> >a >b ~file < ~c < ~d <");
        assert_eq!(steps("~/ +/new/ +/new/file"), "> >new! +file < <");
        assert_eq!(steps("~/a-b/x ~/a/x"), "> >a-b ~x < >a ~x < <", "names are not paths");
    }

    #[test]
    fn a_folder_goes_with_what_is_in_it_and_nothing_is_removed_that_is_replaced() {
        assert_eq!(steps("-/a/ -/a/b -/a/c/ -/a/c/d ~/e"), "> -a ~e <");
        assert_eq!(steps("-/a/ -/a/b +/a ~/e"), "> ~a ~e <");
        assert_eq!(steps("-/a +/a/ +/a/b"), "> >a! +b < <");
        assert_eq!(steps("-/a/b"), "> >a -b < <");
        assert_eq!(steps("-/a -/ab"), "> -a -ab <", "the name of one begins as the other");
    }
}
