//! Collecting contents that no entry names any more.
//!
//! One that others are deltas against cannot simply go:
//!
//! ```text
//! D ──▶ X ──▶ M      X is a delta itself: D is rebased onto M by composing the maps
//! D ──▶ X (whole)    the newest D is made whole; X's other deltas are rebased onto it
//! ```
//!
//! A base stays, without a name, where rebasing would copy more out of it than it takes; it is
//! looked at again when one of its dependents goes.
//!
//! Literals of a rebased delta are bytes of the content itself, so only those are copied.
//! `nameless` lists what to look at; a content leaves it in the transaction that settles it.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::catalog::Content;
use crate::delta::{Extent, Map, Match, Piece, Source, invert};
use crate::ingest::{drop_runs, release, write_delta};
use crate::maintenance::Step;
use crate::{ContentId, Repository, Result, lock};

/// Contents that are dropped in one transaction: its log fits into the ballast.
const BATCH: i64 = 64;

impl Repository {
    /// Settles everything that may be nameless; gives how many contents went.
    pub(super) fn collect(self: &Arc<Self>) -> Result<u64> {
        let mut gone = self.drop_free()?;
        while let Some(content) = self.next_nameless()? {
            self.detach_dependents(content)?;
            gone += u64::from(self.drop_content(content)?);
            gone += self.drop_free()?;
        }
        Ok(gone)
    }

    /// Settles what nothing depends on: the ends of chains first, so that nothing is rebased that
    /// is to go itself, and many in a transaction, each of which waits for the disk.
    fn drop_free(&self) -> Result<u64> {
        let mut gone = 0;
        while !free(&*self.connection()?)?.is_empty() {
            let _writer = lock::writer(self.path())?;
            let mut connection = self.connection()?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for content in free(&transaction)? {
                gone += u64::from(drop_content(&transaction, content)?);
            }
            transaction.commit()?;
        }
        if gone > 0 {
            self.unlink_dead()?;
        }
        Ok(gone)
    }

    fn next_nameless(&self) -> Result<Option<ContentId>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached("SELECT content FROM nameless ORDER BY content DESC LIMIT 1")?;
        Ok(statement.query_row([], |row| row.get(0)).optional()?)
    }

    /// The contents that are deltas against one that no entry names, oldest first.
    fn dependents_if_nameless(&self, content: ContentId) -> Result<Vec<ContentId>> {
        if cfg!(feature = "fault-early-base") {
            return Ok(Vec::new());
        }
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT id FROM contents WHERE base = ?1 AND NOT EXISTS (SELECT 1 FROM entries WHERE content = ?1) ORDER BY id DESC",
        )?;
        Ok(statement
            .query_map([content], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?)
    }

    /// Makes the contents that are deltas against a nameless one do without it.
    fn detach_dependents(self: &Arc<Self>, base: ContentId) -> Result<()> {
        let dependents = self.dependents_if_nameless(base)?;
        let content = Content::get(&*self.connection()?, base)?;
        let (Some((heir, others)), Some(content)) = (dependents.split_first(), content) else {
            return Ok(());
        };
        if let Some(below) = content.base {
            let map = self.own_map(base)?;
            if self.copied_literals(&dependents, &map)? > content.stream {
                return Ok(());
            }
            return dependents
                .iter()
                .try_for_each(|dependent| self.rebase(*dependent, below, &map));
        }
        let map = inverse(&self.own_map(*heir)?, content.size, base);
        self.make_whole(*heir)?;
        others
            .iter()
            .try_for_each(|dependent| self.rebase(*dependent, *heir, &map))
    }

    /// Bytes of literals that rebasing `dependents` over a base with this `map` would copy out of
    /// the base. Where several want the same ones, that can be more than the base takes.
    fn copied_literals(&self, dependents: &[ContentId], map: &Map) -> Result<u64> {
        let literals = |map: &Map| -> u64 {
            let literal = |extent: &&Extent| matches!(extent.source, Source::Literal { .. });
            map.extents().iter().filter(literal).map(|extent| extent.len).sum()
        };
        dependents.iter().try_fold(0, |sum, dependent| {
            let own = self.own_map(*dependent)?;
            Ok(sum + literals(&own.compose(map)?) - literals(&own))
        })
    }

    /// Writes `dependent`, a delta against a content with this `map`, as a delta against `onto`.
    fn rebase(self: &Arc<Self>, dependent: ContentId, onto: ContentId, map: &Map) -> Result<()> {
        let old = Content::get(&*self.connection()?, dependent)?;
        let Some(old) = old else { return Ok(()) };
        let composed = self.own_map(dependent)?.compose(map)?;
        let pieces = to_pieces(&composed);
        let reader = self.open_content(dependent)?;
        let mut step = Step::begin(self)?;
        let conversion = write_delta(&mut step.writer, old, onto, &pieces, &reader)?;
        step.commit(|connection| conversion.apply(connection))
    }

    /// Deletes a content if nothing names it and nothing depends on it; either way it is settled.
    fn drop_content(&self, content: ContentId) -> Result<bool> {
        let _writer = lock::writer(self.path())?;
        let mut connection = self.connection()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let is_gone = drop_content(&transaction, content)?;
        transaction.commit()?;
        drop(connection);
        self.unlink_dead()?;
        Ok(is_gone)
    }
}

/// Some of those to look at that no delta depends on.
fn free(connection: &Connection) -> Result<Vec<ContentId>> {
    let mut statement = connection.prepare_cached(
        "SELECT content FROM nameless n WHERE NOT EXISTS (SELECT 1 FROM contents WHERE base = n.content)
         ORDER BY content LIMIT ?1",
    )?;
    let rows = statement.query_map([BATCH], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn drop_content(connection: &Connection, content: ContentId) -> Result<bool> {
    let early = cfg!(feature = "fault-early-base");
    let is_needed: bool = connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM entries WHERE content = ?1)
                 OR (NOT ?2 AND EXISTS (SELECT 1 FROM contents WHERE base = ?1))",
        )?
        .query_row((content, early), |row| row.get(0))?;
    let found = Content::get(connection, content)?.filter(|_| !is_needed);
    if let Some(found) = &found {
        let freed = release(connection, content)?;
        connection
            .prepare_cached("DELETE FROM contents WHERE id = ?1")?
            .execute([content])?;
        drop_runs(connection, &freed, None)?;
        // What it was told against may have been kept for it only.
        connection
            .prepare_cached("INSERT OR IGNORE INTO nameless (content) SELECT ?1 WHERE ?1 IS NOT NULL")?
            .execute([found.base])?;
    }
    connection
        .prepare_cached("DELETE FROM nameless WHERE content = ?1")?
        .execute([content])?;
    Ok(found.is_some())
}

/// The pieces of a content that a map onto another one says: what the map has as literal is
/// literal in the content, at the same place.
fn to_pieces(map: &Map) -> Vec<Piece> {
    let piece = |extent: &Extent| match extent.source {
        Source::Base(from) => Piece::Copy { from, len: extent.len },
        Source::Literal { .. } => Piece::Literal {
            from: extent.at,
            len: extent.len,
        },
    };
    let mut pieces: Vec<Piece> = Vec::new();
    for next in map.extents().iter().map(piece) {
        match (pieces.last_mut(), &next) {
            // Literals of several streams are one stretch of the content.
            (Some(Piece::Literal { len, .. }), Piece::Literal { len: more, .. }) => *len += more,
            _ => pieces.push(next),
        }
    }
    pieces
}

/// From the map of a content onto `base`, the map of `base` onto that content. Where its
/// literals lie is of no interest.
fn inverse(map: &Map, size: u64, base: ContentId) -> Map {
    let shared = |extent: &Extent| match extent.source {
        // The base takes the old content's place here, the one above it the new one's.
        Source::Base(from) => Some(Match {
            new: extent.at,
            old: from,
            len: extent.len,
        }),
        Source::Literal { .. } => None,
    };
    let matches: Vec<Match> = map.extents().iter().filter_map(shared).collect();
    let mut inverse = Map::new();
    for piece in invert(&matches, size) {
        match piece {
            Piece::Copy { from, len } => inverse.push(len, Source::Base(from)),
            Piece::Literal { from, len } => inverse.push(
                len,
                Source::Literal {
                    content: base,
                    at: from,
                },
            ),
        }
    }
    inverse
}
