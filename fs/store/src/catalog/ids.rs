//! Row numbers that are never used twice.
//!
//! A number that came back would show a reader another row's cached bytes. Numbers are
//! handed out in blocks, so that a push does not need a transaction for each; what a push
//! does not use of its block is left unused for ever.

use std::collections::HashMap;

use rusqlite::Connection;

use crate::Result;
use crate::stops::Stop;

/// Numbers taken from the catalog at a time.
const BLOCK: i64 = 1 << 12;

/// Hands out row numbers by table.
#[derive(Default)]
pub struct IdAllocator {
    ranges: HashMap<&'static str, (i64, i64)>,
}

impl IdAllocator {
    /// The next number for a row of `table`.
    pub fn next(&mut self, connection: &Connection, table: &'static str) -> Result<i64> {
        let (next, end) = self.ranges.entry(table).or_default();
        if next == end {
            *next = take(connection, table, BLOCK)?;
            *end = *next + BLOCK;
        }
        *next += 1;
        Ok(*next - 1)
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
