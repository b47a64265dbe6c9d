//! Row numbers that are never used twice.
//!
//! A number that came back would show a reader another row's cached bytes. Numbers are
//! handed out in blocks, so that a push does not need a transaction for each; what a push
//! does not use of its block is left unused for ever. So the first block is small: most
//! pushes need few numbers, and a mount has 28 bits for some of them. Snapshots are numbered one by one.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction};

use crate::stops::Stop;
use crate::{Repository, Result};

/// Numbers taken from the catalog at first.
const FIRST: i64 = 16;

/// Numbers taken at a time in the end; each time four times as many.
const BLOCK: i64 = 1 << 12;

/// Numbers of a table that were taken and not given yet.
struct Range {
    next: i64,
    end: i64,
    /// How many are taken when these are used up.
    block: i64,
}

/// Hands out row numbers by table.
#[derive(Default)]
pub struct IdAllocator {
    ranges: HashMap<&'static str, Range>,
}

impl IdAllocator {
    /// The next number for a row of `table` that no snapshot reaches yet. Should a power cut take back that it was given,
    /// it takes back the row too.
    pub fn next(&mut self, repository: &Repository, table: &'static str) -> Result<i64> {
        self.next_by(table, |count| {
            repository
                .connection()?
                .lazily(|connection| take(connection, table, count))
        })
    }

    /// The same in a transaction.
    pub fn next_in(&mut self, transaction: &Transaction<'_>, table: &'static str) -> Result<i64> {
        self.next_by(table, |count| take(transaction, table, count))
    }

    fn next_by(&mut self, table: &'static str, take: impl FnOnce(i64) -> Result<i64>) -> Result<i64> {
        let range = self.ranges.entry(table).or_insert(Range {
            next: 0,
            end: 0,
            block: FIRST,
        });
        if range.next == range.end {
            range.next = take(range.block)?;
            range.end = range.next + range.block;
            range.block = BLOCK.min(range.block * 4);
        }
        range.next += 1;
        Ok(range.next - 1)
    }
}

/// Takes `count` consecutive numbers for rows of `table`, or for `links`; gives the first. Not below any that the
/// table has: a damaged counter must not give out numbers that are in use.
pub fn take(connection: &Connection, table: &'static str, count: i64) -> Result<i64> {
    let used = match table {
        "links" => "SELECT max(link) FROM entries WHERE link IS NOT NULL".to_owned(),
        "snapshots" => {
            "SELECT max(id) FROM (SELECT id FROM snapshots UNION ALL SELECT snapshot FROM pushes)".to_owned()
        }
        table => format!("SELECT max(id) FROM {table}"),
    };
    let mut statement = connection.prepare_cached(&format!(
        "INSERT INTO next_ids (name, next) VALUES (?1, coalesce(({used}), 0) + 1 + ?2) ON CONFLICT (name) DO
         UPDATE SET next = max(next, coalesce(({used}), 0) + 1) + ?2 RETURNING next"
    ))?;
    let end: i64 = Stop::NumbersTaken.around(|| statement.query_row((table, count), |row| row.get(0)))?;
    Ok(end - count)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, file, folder};

    /// A mount of many repositories has 21 bits for a snapshot's number and 28 for a folder's.
    #[test]
    fn a_push_uses_up_few_numbers_that_a_mount_has_to_hold() {
        let bench = Bench::new();
        for number in 1..=5 {
            let made = bench.push("host", |push| {
                folder(push, &format!("folder-{number}"), 0o755);
                file(push, "file", &[number]);
                push.leave().unwrap();
            });
            assert_eq!(made.id.0, i64::from(number));
            let used = |name| {
                let next = format!("SELECT next FROM next_ids WHERE name = '{name}'");
                let connection = bench.repository.connection().unwrap();
                connection.query_row(&next, [], |row| row.get::<_, i64>(0)).unwrap()
            };
            assert!(used("folders") <= 1 + 17 * i64::from(number), "{}", used("folders"));
        }
    }
}
