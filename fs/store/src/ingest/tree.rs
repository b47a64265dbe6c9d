//! The tree of a push: folders entered and left, entries put and removed.

mod entered;
#[cfg(test)]
mod tests;

pub(super) use entered::Entered;

use std::cmp::Ordering;
use std::sync::Arc;

use crate::catalog::{ALIVE, Content, Entry};
use crate::ingest::Ingest;
use crate::ingest::contents::beginning;
use crate::ingest::rows::NewRow;
use crate::layout::TINY;
use crate::paths::ABOVE_ROOT;
use crate::tree::find_name;
use crate::{ContentId, EntryId, Error, FolderId, Hash, Kind, Meta, Result, SnapshotId};

/// The bytes of a regular file that is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    /// Their name.
    pub hash: Hash,
    /// Their length in bytes.
    pub size: u64,
}

impl Ingest {
    /// Enters a folder: `/` first, with an empty name, then folders inside the one entered last.
    /// `meta` is `None` where the folder itself is as it was.
    ///
    /// # Errors
    /// [`Error::Refused`] if names are out of order or not names, if the folder is said to be
    /// unchanged and is not there, or if its path is longer than [`LONGEST_PATH`](crate::LONGEST_PATH).
    pub fn enter(&mut self, name: &[u8], meta: Option<Meta>) -> Result<()> {
        let old = match self.stack.is_empty() {
            true => self.base_root(name)?,
            false => self.next_name(name)?,
        };
        self.stack.check(name)?;
        let parent = self.stack.parent().unwrap_or(ABOVE_ROOT);
        let known = old.as_ref().and_then(|old| old.child);
        let folder = match (known, &meta) {
            (Some(folder), _) => folder,
            (None, None) => {
                return Err(Error::Refused(format!(
                    "{}: is no folder that could be unchanged",
                    lossy(name)
                )));
            }
            (None, Some(_)) if self.stack.is_empty() => self.line_root,
            (None, Some(_)) => self.new_folder()?,
        };
        if let Some(meta) = meta {
            if meta.kind != Kind::Folder {
                return Err(Error::Refused(format!("{}: is entered and no folder", lossy(name))));
            }
            if old.as_ref().is_none_or(|old| old.meta != meta) {
                if let Some(old) = &old {
                    self.close(old)?;
                }
                self.insert(parent, name, meta, 0, None, Some(folder), None)?;
            }
        }
        let base = match (known, &self.base) {
            (Some(folder), Some(base)) => self.repository.list(base.id, folder)?,
            _ => Arc::default(),
        };
        self.stack.enter(name, folder, base);
        Ok(())
    }

    /// Leaves the folder entered last.
    pub fn leave(&mut self) -> Result<()> {
        self.stack.leave()
    }

    /// Puts anything but a folder into the folder entered last, in place of what had its name.
    /// `link` is the same number for all names of one hard-linked file, and `None` for others.
    ///
    /// # Errors
    /// [`Error::Refused`] if the content was neither sent nor is known.
    pub fn put(&mut self, name: &[u8], meta: Meta, body: Option<Body>, link: Option<u64>) -> Result<()> {
        let old = self.next_name(name)?;
        if meta.kind == Kind::Folder || (body.is_some() && meta.kind != Kind::File) {
            return Err(Error::Refused(format!("{}: a kind that cannot be put so", lossy(name))));
        }
        let body = body.filter(|body| body.size > 0);
        let content = body.map(|body| self.known_content(&body)).transpose()?;
        if let Some(old) = &old {
            if link.is_none() && old.link.is_none() && old.content == content && old.meta == meta {
                return Ok(());
            }
            self.close_deep(old)?;
            self.succeed(old, content);
        }
        let link = link.map(|token| self.link_group(token)).transpose()?;
        let folder = self.stack.last()?.folder;
        self.insert(
            folder,
            name,
            meta,
            body.map_or(0, |body| body.size),
            content,
            None,
            link,
        )
    }

    /// Removes a name, and everything in it if it is a folder.
    pub fn remove(&mut self, name: &[u8]) -> Result<()> {
        match self.next_name(name)? {
            Some(old) => self.close_deep(&old),
            None => Err(Error::Refused(format!("{}: removed and not there", lossy(name)))),
        }
    }

    /// Checks that `name` may come now; gives what had it in the newest snapshot.
    fn next_name(&mut self, name: &[u8]) -> Result<Option<Entry>> {
        check_name(name)?;
        let level = self.stack.last()?;
        if level
            .last
            .as_deref()
            .is_some_and(|last| last.cmp(name) != Ordering::Less)
        {
            return Err(Error::Refused(format!("{}: names are not in order", lossy(name))));
        }
        level.last = Some(name.to_vec());
        Ok(find_name(&level.base, name).cloned())
    }

    fn base_root(&self, name: &[u8]) -> Result<Option<Entry>> {
        if !name.is_empty() || self.stack.is_over() {
            return Err(Error::Refused("the first folder is not /, or / comes again".into()));
        }
        self.base.as_ref().map(|base| self.repository.root(base.id)).transpose()
    }

    fn new_folder(&mut self) -> Result<FolderId> {
        let folder = FolderId(self.writer.ids.next(&self.repository, "folders")?);
        self.add_row(NewRow::Folder(folder))?;
        Ok(folder)
    }

    fn link_group(&mut self, token: u64) -> Result<i64> {
        if let Some(group) = self.links.get(&token) {
            return Ok(*group);
        }
        let group = self.writer.ids.next(&self.repository, "links")?;
        self.links.insert(token, group);
        Ok(group)
    }

    /// Ends the life of an entry with the newest snapshot; a folder's identity may live on.
    fn close(&mut self, old: &Entry) -> Result<()> {
        self.stack.take_off(&old.meta);
        self.add_row(NewRow::Closing(old.id))
    }

    /// Ends the life of an entry and, later, of everything in it.
    fn close_deep(&mut self, old: &Entry) -> Result<()> {
        self.removed_folders.extend(old.child);
        self.close(old)
    }

    /// Remembers that one content took the place of another.
    fn succeed(&mut self, old: &Entry, new: Option<ContentId>) {
        match (old.content, new) {
            (Some(old_content), Some(new)) if old_content != new && old.size > TINY => {
                self.successions.push((old_content, new));
            }
            _ => {}
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn insert(
        &mut self,
        folder: FolderId,
        name: &[u8],
        meta: Meta,
        size: u64,
        content: Option<ContentId>,
        child: Option<FolderId>,
        link: Option<i64>,
    ) -> Result<()> {
        let possible = meta.check();
        possible.map_err(|what| Error::Refused(format!("{}: {what}", lossy(name))))?;
        self.stack.add(&meta)?;
        let id = EntryId(self.writer.ids.next(&self.repository, "entries")?);
        let (first, last) = (self.snapshot, SnapshotId(ALIVE));
        let entry = Entry {
            id,
            folder,
            name: name.to_vec(),
            first,
            last,
            meta,
            size,
            content,
            child,
            link,
        };
        self.totals.count(entry.meta.kind, size as i64, entry.sum(), 1);
        self.add_row(NewRow::Entry(Box::new(entry)))
    }

    /// The number of a content that was sent or is known.
    fn known_content(&mut self, body: &Body) -> Result<ContentId> {
        // What was sent for a damaged one takes its place at the commit.
        if let Some(id) = self.damaged.get(&(body.hash, body.size)) {
            return Ok(*id);
        }
        if let Some(id) = self.recent.get(&body.hash) {
            return Ok(*id);
        }
        let connection = self.repository.connection()?;
        match Content::find(&connection, &body.hash, Some(self.writer.push))? {
            Some(content) if content.size == body.size => {
                drop(connection);
                self.check_kept(&content)?;
                Ok(content.id)
            }
            Some(content) => Err(Error::Refused(format!(
                "content {} has {} bytes, not {}",
                body.hash, content.size, body.size
            ))),
            None if self.were_here.contains(&beginning(&body.hash)) => {
                let text = format!("content {} was forgotten before it was referred to", body.hash);
                Err(Error::Again(text))
            }
            None => Err(Error::Refused(format!("content {} was never sent", body.hash))),
        }
    }

    /// Adds what lies in removed folders to the closings; everything told is in the catalog by now.
    pub(super) fn close_removed_folders(&mut self) -> Result<()> {
        let connection = self.repository.connection()?;
        let Some(base) = &self.base else { return Ok(()) };
        let mut statement = connection.prepare_cached(
            "INSERT OR IGNORE INTO closings (push, entry)
             WITH RECURSIVE inside (id, child) AS (
               SELECT id, child FROM entries WHERE folder = ?2 AND last = ?3 AND first <= ?4
               UNION ALL
               SELECT e.id, e.child FROM inside JOIN entries e ON e.folder = inside.child
               WHERE e.last = ?3 AND e.first <= ?4)
             SELECT ?1, id FROM inside",
        )?;
        for folder in self.removed_folders.drain(..) {
            statement.execute((self.writer.push, folder, ALIVE, base.id))?;
        }
        Ok(())
    }
}

/// Refuses what is not the name of an entry in a folder.
fn check_name(name: &[u8]) -> Result<()> {
    if cfg!(feature = "fault-unchecked-name") {
        return Ok(());
    }
    let bad = name.is_empty()
        || name.len() > 255
        || name == b"."
        || name == b".."
        || name.contains(&b'/')
        || name.contains(&0);
    match bad {
        true => Err(Error::Refused(format!("{:?} is not a file name", lossy(name)))),
        false => Ok(()),
    }
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
