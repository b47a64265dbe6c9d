//! Rows about contents: where they lie, whole or as deltas.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::catalog::rows::{first_8, stored_check};
use crate::layout::SEGMENT;
use crate::tree_hash::Value;
use crate::{ContentId, Error, Hash, PushId, Result, RunId};

/// Where a content lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its number.
    pub id: ContentId,
    /// Its name.
    pub hash: Hash,
    /// Its length in bytes.
    pub size: u64,
    /// The run that it or its delta stream lies in; `None` if it has parts.
    pub run: Option<RunId>,
    /// Decoded bytes of the run before it.
    pub skip: u64,
    /// What it is a delta against; `None` if it is whole.
    pub base: Option<ContentId>,
    /// Length of the delta stream.
    pub stream: u64,
}

impl Content {
    /// Reads one content.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the check of its row does not hold.
    pub fn get(connection: &Connection, id: ContentId) -> Result<Option<Self>> {
        let mut statement = connection.prepare_cached(&format!("{CONTENT} WHERE id = ?1"))?;
        let row = statement.query_row([id], |row| Ok(Self::read(row))).optional()?;
        row.map(|row| row.unwrap_or(None).ok_or_else(|| damaged(id)))
            .transpose()
    }

    /// The content of this name: a committed one, or one of `push`; a whole one if there is.
    ///
    /// # Errors
    /// [`Error::Damaged`] if there is only one whose row's check does not hold.
    pub fn find(connection: &Connection, hash: &Hash, push: Option<PushId>) -> Result<Option<Self>> {
        // Asked for each content of a push, so it is one statement, and what is seldom more than a row is sifted here.
        let mut statement = connection.prepare_cached(&format!(
            "{CONTENT} WHERE substr(hash, 1, 8) = substr(?1, 1, 8) AND hash = ?1 ORDER BY id"
        ))?;
        let mut rows = statement.query([hash])?;
        let (mut found, mut damage) = (None, None);
        while let Some(row) = rows.next()? {
            let of: Option<PushId> = row.get(8)?;
            if of.is_some() && of != push {
                continue;
            }
            match Self::read(row).unwrap_or(None) {
                Some(content) if content.base.is_none() => return Ok(Some(content)),
                Some(content) => found = found.or(Some(content)),
                None => damage = Some(damaged(row.get(0).unwrap_or(ContentId(0)))),
            }
        }
        match (found, damage) {
            (None, Some(damage)) => Err(damage),
            (found, _) => Ok(found),
        }
    }

    /// All contents of this name whose rows are sound: committed ones, and those of `push`.
    pub fn all_of(connection: &Connection, hash: &Hash, push: Option<PushId>) -> Result<Vec<Self>> {
        let mut statement = connection.prepare_cached(&format!(
            "{CONTENT} WHERE substr(hash, 1, 8) = substr(?1, 1, 8) AND hash = ?1 AND (push IS NULL OR push IS ?2)"
        ))?;
        let rows = statement.query_map((hash, push), |row| Ok(Self::read(row).unwrap_or(None)))?;
        let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// The contents that lie whole in a run and are committed.
    pub fn in_run(connection: &Connection, run: RunId) -> Result<Vec<Self>> {
        let mut statement =
            connection.prepare_cached(&format!("{CONTENT} WHERE run = ?1 AND base IS NULL AND push IS NULL"))?;
        let rows = statement.query_map([run], |row| Ok(Self::read(row).unwrap_or(None)))?;
        let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// Writes the row; `map` of a delta whose stream is too long to be parsed at every opening.
    pub fn write(&self, connection: &Connection, map: Option<&[u8]>) -> Result<()> {
        connection
            .prepare_cached(
                "UPDATE contents SET run = ?2, skip = ?3, base = ?4, stream = ?5, map = ?6, sum = ?7 WHERE id = ?1",
            )?
            .execute((
                self.id,
                self.run,
                self.skip as i64,
                self.base,
                self.stream as i64,
                map.map(with_check),
                self.sum(),
            ))?;
        Ok(())
    }

    /// Writes the row of a content that a push has sent.
    pub fn insert(&self, connection: &Connection, push: PushId) -> Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO contents (id, hash, size, run, skip, base, stream, map, push, sum)
                 VALUES (?1, ?2, ?3, ?4, ?5, NULL, 0, NULL, ?6, ?7)",
            )?
            .execute((
                self.id,
                self.hash,
                self.size as i64,
                self.run,
                self.skip as i64,
                push,
                self.sum(),
            ))?;
        Ok(())
    }

    /// A whole content.
    pub fn whole(id: ContentId, hash: Hash, size: u64, run: Option<RunId>, skip: u64) -> Self {
        Content {
            id,
            hash,
            size,
            run,
            skip,
            base: None,
            stream: 0,
        }
    }

    /// The stored map of a delta; `None` if its stream is to be parsed.
    ///
    /// # Errors
    /// [`Error::Damaged`] if its check does not hold.
    pub fn map(&self, connection: &Connection) -> Result<Option<Vec<u8>>> {
        let mut statement = connection.prepare_cached("SELECT map FROM contents WHERE id = ?1")?;
        let map: Option<Vec<u8>> = statement
            .query_row([self.id], |row| row.get(0))
            .map_err(|_| damaged(self.id))?;
        let checked = |mut map: Vec<u8>| {
            let check = map.split_off(map.len().checked_sub(8)?);
            (check == stored_check(&map)).then_some(map)
        };
        map.map(|map| checked(map).ok_or_else(|| damaged(self.id))).transpose()
    }

    fn sum(&self) -> i64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.hash.0);
        let (run, base) = (self.run.map_or(-1, |run| run.0), self.base.map_or(-1, |base| base.0));
        for number in [
            self.id.0,
            self.size as i64,
            run,
            self.skip as i64,
            base,
            self.stream as i64,
        ] {
            hasher.update(&number.to_le_bytes());
        }
        first_8(&hasher)
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let content = Content {
            id: row.get(0)?,
            hash: row.get(1)?,
            size: row.get::<_, i64>(2)? as u64,
            run: row.get(3)?,
            skip: row.get::<_, i64>(4)? as u64,
            base: row.get(5)?,
            stream: row.get::<_, i64>(6)? as u64,
        };
        let sum: i64 = row.get(7)?;
        Ok((content.sum() == sum).then_some(content))
    }
}

const CONTENT: &str = "SELECT id, hash, size, run, skip, base, stream, sum, push FROM contents";

fn damaged(id: ContentId) -> Error {
    Error::Damaged(format!("catalog content {id}"))
}

fn with_check(map: &[u8]) -> Vec<u8> {
    [map, &stored_check(map)].concat()
}

/// One segment of a large content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it lies; `None` for zeros.
    pub run: Option<RunId>,
    /// Its BLAKE3 chaining value.
    pub value: Value,
}

impl Part {
    /// Writes the row of segment number `segment` of a content.
    pub fn insert(&self, connection: &Connection, content: ContentId, segment: u64) -> Result<()> {
        connection
            .prepare_cached("INSERT INTO parts (content, segment, run, value, sum) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute((
                content,
                segment as i64,
                self.run,
                self.value,
                self.sum(content, segment),
            ))?;
        Ok(())
    }

    fn sum(&self, content: ContentId, segment: u64) -> i64 {
        let mut hasher = blake3::Hasher::new();
        for number in [content.0, segment as i64, self.run.map_or(-1, |run| run.0)] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(&self.value);
        first_8(&hasher)
    }
}

/// The segments of a large content in order.
///
/// # Errors
/// [`Error::Damaged`] if one is missing or its check does not hold.
pub fn parts(connection: &Connection, content: &Content) -> Result<Vec<Part>> {
    let all = some_parts(connection, content, 0, i64::MAX)?;
    match all.len() as u64 == content.size.div_ceil(SEGMENT) {
        true => Ok(all),
        false => Err(damaged(content.id)),
    }
}

/// At most `count` segments of a large content from number `first` on.
///
/// # Errors
/// [`Error::Damaged`] if one between them is missing or the check of one does not hold.
pub fn some_parts(connection: &Connection, content: &Content, first: i64, count: i64) -> Result<Vec<Part>> {
    let mut statement = connection.prepare_cached(
        "SELECT segment, run, value, sum FROM parts WHERE content = ?1 AND segment >= ?2 ORDER BY segment LIMIT ?3",
    )?;
    let mut rows = statement.query((content.id, first, count))?;
    let mut parts = Vec::new();
    let read = |row: &Row<'_>| -> rusqlite::Result<(i64, Part, i64)> {
        Ok((
            row.get(0)?,
            Part {
                run: row.get(1)?,
                value: row.get(2)?,
            },
            row.get(3)?,
        ))
    };
    while let Some(row) = rows.next()? {
        let (segment, part, sum) = read(row).map_err(|_| damaged(content.id))?;
        if segment != first + parts.len() as i64 || part.sum(content.id, segment as u64) != sum {
            return Err(damaged(content.id));
        }
        parts.push(part);
    }
    Ok(parts)
}
