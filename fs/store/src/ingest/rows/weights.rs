//! What rows take in the catalog: asked for before they are written, so it must not be less than they take.
//!
//! SQLite has pages of 4096 bytes. In a table that grows at its end they are full but for what the next row does not
//! fit into; in an index they are at least half full, two thirds on the whole. What does not fit into a page goes on in
//! pages of its own, 4092 bytes each, of which a row of an index has the first 489 to 1002 bytes only.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use super::NewRow;
use crate::catalog::{Entry, FRAME_ROW};
use crate::write::ROW;

const PAGE: usize = 4096;

/// Bytes of a long row in each of the pages that it goes on in.
const OVERFLOW: usize = 4092;

/// The fewest bytes of a long row that stay in its place.
const STAYS: usize = 489;

/// The most bytes of a row of an index that has no pages of its own.
const LONGEST_IN_INDEX: usize = 1000;

/// The numbers of an entry, and its lines in the indexes of entries.
const ENTRY: usize = 150;

/// The numbers of a run, and of an owner.
const NUMBERS: usize = 60;

/// Owners and attributes that are remembered; then they count again.
const REMEMBERED: usize = 64 << 10;

/// Weighs rows. Owners and attributes are kept once, so they count once.
#[derive(Default)]
pub(super) struct Weights {
    keys: RandomState,
    seen: HashSet<u64>,
}

impl Weights {
    /// The most that a row takes, in bytes.
    pub fn of(&mut self, row: &NewRow) -> u64 {
        match row {
            NewRow::Entry(entry) => self.of_entry(entry) as u64,
            NewRow::Run(run) => ROW + in_table(NUMBERS + run.frames.len() * FRAME_ROW) as u64,
            _ => ROW,
        }
    }

    fn of_entry(&mut self, entry: &Entry) -> usize {
        let meta = &entry.meta;
        let mut room = ENTRY + in_table(entry.name.len() + meta.target.len());
        let owner = NUMBERS + meta.owner.user.len() + meta.owner.group.len();
        if self.is_new(&meta.owner) {
            room += in_table(owner) + in_index(owner);
        }
        if !meta.xattrs.is_empty() && self.is_new(&meta.xattrs) {
            let bytes = meta.xattrs.iter().map(|(name, value)| name.len() + value.len() + 8);
            room += attribute(bytes.sum());
        }
        if let Some(data) = meta.data.as_ref().filter(|data| self.is_new(data)) {
            room += attribute(16 * data.len());
        }
        room
    }

    /// Whether this was not weighed before, as far as is remembered.
    fn is_new(&mut self, what: &impl std::hash::Hash) -> bool {
        if self.seen.len() >= REMEMBERED {
            self.seen.clear();
        }
        self.seen.insert(self.keys.hash_one(what))
    }
}

/// What an attribute takes: it lies in its table and in the index by which it is found.
fn attribute(bytes: usize) -> usize {
    in_table(bytes + 20) + in_index(bytes + 20)
}

/// What a row of so many bytes takes in a table.
fn in_table(bytes: usize) -> usize {
    match (PAGE - 40) / (bytes + 10) {
        0 => PAGE + pages(bytes),
        rows => PAGE / rows,
    }
}

/// The same in an index.
fn in_index(bytes: usize) -> usize {
    match bytes <= LONGEST_IN_INDEX {
        true => 2 * bytes,
        false => 2 * STAYS + pages(bytes),
    }
}

/// The pages that a long row goes on in.
fn pages(bytes: usize) -> usize {
    bytes.saturating_sub(STAYS).div_ceil(OVERFLOW) * PAGE
}
