//! Rows of a damaged catalog, as far as SQLite still reads them.
//!
//! A table is read from its lowest key to its highest. Where a page cannot be read the next key that can be is looked
//! for; the keys between are a gap, to be filled from a copy. What was deleted is in no gap, so it does not come back.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::{Error, Result};

/// Keys of which the rows could not be read, or are not what they were: first and last.
pub(super) type Gap = (i64, i64);

/// Rows read at a time.
const BATCH: usize = 500;

/// A table: its name, and the column that its rows are in the order of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub name: &'static str,
    pub key: &'static str,
}

/// What a catalog consists of but for work in hand, the ones that others refer to first.
pub(super) const TABLES: [Table; 10] = [
    Table::of("lines"),
    Table::of("snapshots"),
    Table::of("folders"),
    Table::of("owners"),
    Table::of("attributes"),
    Table::of("files"),
    Table::of("runs"),
    Table::of("contents"),
    Table {
        name: "parts",
        key: "content",
    },
    Table::of("entries"),
];

impl Table {
    const fn of(name: &'static str) -> Self {
        Table { name, key: "id" }
    }

    /// Copies what can be read; gives the gaps. Of a table without any readable row all is a gap.
    pub fn salvage(&self, old: &Connection, new: &Connection) -> Result<Vec<Gap>> {
        let (mut gaps, mut last) = (Vec::new(), 0);
        loop {
            let before = last;
            match self.copy_from(old, new, &mut last) {
                Ok(true) => return Ok(gaps),
                Ok(false) => {}
                Err(Error::Catalog(_)) => {
                    // What was to be read next is given up if nothing was: so each turn gets further.
                    let from = if last == before { last + 1 } else { last };
                    let next = self.next_readable(old, from);
                    gaps.push((last + 1, next.map_or(i64::MAX, |next| next - 1)));
                    match next {
                        Some(next) => last = next - 1,
                        None => return Ok(gaps),
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Copies the rows of the next keys, whole keys only; `last` is the one that was copied last. True at the end.
    fn copy_from(&self, old: &Connection, new: &Connection, last: &mut i64) -> Result<bool> {
        let Table { name, key } = self;
        // Not "greater than the last one": that would be looked for first, in a page that may be unreadable.
        let mut select = old.prepare_cached(&format!("SELECT * FROM {name} WHERE {key} >= ?1 ORDER BY {key}"))?;
        let columns = select.column_count();
        let marks = vec!["?"; columns].join(", ");
        let at = select.column_index(key)?;
        let mut insert = new.prepare_cached(&format!("INSERT OR IGNORE INTO {name} VALUES ({marks})"))?;
        let mut rows = select.query([*last + 1])?;
        let (mut waiting, mut copied): (Vec<Vec<Value>>, usize) = (Vec::new(), 0);
        loop {
            let row = rows.next().and_then(|row| match row {
                None => Ok(None),
                Some(row) => (0..columns)
                    .map(|column| row.get(column))
                    .collect::<rusqlite::Result<Vec<Value>>>()
                    .map(Some),
            });
            let key_of = |row: &Vec<Value>| match row[at] {
                Value::Integer(key) => key,
                _ => *last + 1,
            };
            // A key is complete when another one follows; where none can be read, it is taken as it is.
            let next = row.as_ref().ok().and_then(|row| row.as_ref().map(key_of));
            if let Some(done) = waiting.last().map(key_of).filter(|done| next != Some(*done)) {
                for values in waiting.drain(..) {
                    insert.execute(params_from_iter(values))?;
                    copied += 1;
                }
                *last = done;
            }
            match row? {
                None => return Ok(true),
                Some(_) if copied >= BATCH => return Ok(false),
                Some(row) => waiting.push(row),
            }
        }
    }

    /// The first key after one that cannot be read from which on rows can be.
    fn next_readable(&self, old: &Connection, last: i64) -> Option<i64> {
        let (mut bad, mut step) = (last, 1i64);
        let mut good = loop {
            let from = last.checked_add(step)?;
            match self.first_from(old, from) {
                Ok(found) => break found?,
                Err(_) => bad = from,
            }
            step = step.checked_mul(2)?;
        };
        // The pages that can be read begin somewhere between.
        while good - bad > 1 {
            let middle = bad + (good - bad) / 2;
            match self.first_from(old, middle) {
                Ok(Some(found)) if found <= middle => good = found,
                Ok(Some(found)) if found < good => good = found,
                Ok(_) => break,
                Err(_) => bad = middle,
            }
        }
        Some(good)
    }

    fn first_from(&self, old: &Connection, from: i64) -> rusqlite::Result<Option<i64>> {
        let Table { name, key } = self;
        // The whole row: a key may be readable where the rest of its row is not.
        let mut select = old.prepare_cached(&format!(
            "SELECT * FROM {name} WHERE {key} >= ?1 ORDER BY {key} LIMIT 1"
        ))?;
        let at = select.column_index(key)?;
        let mut rows = select.query([from])?;
        rows.next()?.map(|row| row.get(at)).transpose()
    }

    /// Fills gaps from a copy that is attached as `copy`; gives how many rows came.
    pub fn fill(&self, new: &Connection, gaps: &[Gap]) -> Result<u64> {
        let Table { name, key } = self;
        let mut fill = new.prepare_cached(&format!(
            "INSERT OR IGNORE INTO main.{name} SELECT * FROM copy.{name} WHERE {key} BETWEEN ?1 AND ?2"
        ))?;
        let mut rows = 0;
        for gap in gaps {
            rows += fill.execute(*gap)? as u64;
        }
        Ok(rows)
    }

    /// Removes the rows of these keys.
    pub fn remove(&self, new: &Connection, keys: &[i64]) -> Result<()> {
        let Table { name, key } = self;
        let mut delete = new.prepare_cached(&format!("DELETE FROM main.{name} WHERE {key} = ?1"))?;
        keys.iter().try_for_each(|id| delete.execute([id]).map(drop))?;
        Ok(())
    }
}
