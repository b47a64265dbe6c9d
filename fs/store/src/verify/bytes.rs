//! Contents read through and compared with their names.

use std::collections::HashMap;

use crate::read::ContentReader;
use crate::verify::{Verifier, tolerate};
use crate::{ContentId, Error, Hash, Result, TellProgress};

/// Bytes read at a time.
pub(super) const BLOCK: usize = 1 << 20;

impl Verifier<'_> {
    /// Reads all contents, or only those that are suspect, and reports those whose bytes cannot
    /// be had with every path that needs them.
    pub(super) fn check_bytes(&mut self, read_data: bool, progress: &mut TellProgress<'_>) -> Result<()> {
        let contents = match read_data {
            true => self.all_contents()?,
            false => self.suspects.contents.iter().copied().collect(),
        };
        let total = self.total(&contents)?;
        let lost: HashMap<_, _> = std::mem::take(&mut self.suspects.lost).into_iter().collect();
        let mut block = vec![0; BLOCK];
        let mut done = 0;
        progress(0, total)?;
        for id in contents {
            let Some((hash, size)) = self.name(id)? else { continue };
            let before = done;
            let failure = match lost.get(&id) {
                Some(reason) => Some(reason.clone()),
                None => self.read(id, hash, &mut block, &mut |bytes| {
                    done += bytes;
                    progress(done, total)
                })?,
            };
            self.result.bytes += done - before;
            // What could not be read is done with as well.
            done = before + size;
            progress(done, total.max(done))?;
            match failure {
                Some(reason) => self.report(id, hash, &reason)?,
                None => self.is_sound(id),
            }
        }
        Ok(())
    }

    /// Takes a content that could be read off those that are damaged.
    pub(super) fn is_sound(&mut self, id: ContentId) {
        if self.damaged.contains(&id) {
            self.recovered.push(id);
        }
    }

    /// Reads one content to its end; gives what is wrong with it.
    pub(super) fn read(
        &self,
        id: ContentId,
        hash: Hash,
        block: &mut [u8],
        step: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Option<String>> {
        let opened = self.repository.open_content(id);
        match opened.and_then(|reader| hash_of(&reader, block, step)) {
            Ok(found) if found == hash => Ok(None),
            Ok(_) => Ok(Some("its bytes are not what its name says".into())),
            // Forgotten since its name was read.
            Err(Error::Damaged(_)) if self.name(id)?.is_none() => Ok(None),
            Err(error) => tolerate(error).map(Some),
        }
    }

    /// In the order in which they lie on the disk, so that what shares a frame finds it decoded.
    fn all_contents(&self) -> Result<Vec<ContentId>> {
        let connection = self.repository.connection()?;
        let mut statement = connection
            .prepare_cached("SELECT id FROM contents WHERE push IS NULL ORDER BY base IS NOT NULL, run, skip, id")?;
        Ok(statement
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?)
    }

    fn total(&self, contents: &[ContentId]) -> Result<u64> {
        let mut total = 0;
        for &id in contents {
            total += self.name(id)?.map_or(0, |(_, size)| size);
        }
        Ok(total)
    }

    /// Name and size of a content; `None` if it is not there any more.
    fn name(&self, id: ContentId) -> Result<Option<(Hash, u64)>> {
        let connection = self.repository.connection()?;
        let mut statement =
            connection.prepare_cached("SELECT hash, size FROM contents WHERE id = ?1 AND push IS NULL")?;
        let row = statement.query_row([id], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)));
        Ok(rusqlite::OptionalExtension::optional(row)?)
    }
}

/// Reads a content to its end.
pub(crate) fn hash_of(
    reader: &ContentReader,
    block: &mut [u8],
    step: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut offset = 0;
    while offset < reader.size() {
        let length = reader.read_at(offset, block)?;
        if length == 0 {
            break;
        }
        hasher.update(&block[..length]);
        offset += length as u64;
        step(length as u64)?;
    }
    Ok(Hash(*hasher.finalize().as_bytes()))
}
