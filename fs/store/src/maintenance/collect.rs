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

use rusqlite::{Connection, OptionalExtension};

use crate::ballast::Room;
use crate::catalog::Content;
use crate::delta::{Extent, MOST_COMPOSED, Map, Match, Piece, Source, invert};
use crate::ingest::{drop_runs, release, write_delta};
use crate::maintenance::Step;
use crate::stops::Stop;
use crate::{ContentId, Repository, Result};

impl Repository {
    /// Settles everything that may be nameless; gives how many contents went. What cannot be read stays, for a
    /// verification to name, and stands in nobody's way.
    pub(super) fn collect(self: &Arc<Self>) -> Result<u64> {
        let mut gone = 0;
        self.drop_free(Room::Enough, &mut gone)?;
        loop {
            let before = gone;
            let mut last = ContentId(i64::MAX);
            while let Some(content) = self.nameless_before(last)? {
                last = content;
                match self.detach_dependents(content) {
                    Err(error) if error.is_damage() => continue,
                    detached => detached?,
                }
                gone += u64::from(self.drop_content(content)?);
                self.drop_free(Room::Enough, &mut gone)?;
            }
            // What goes may have been the last that needed one before it.
            if gone == before {
                return Ok(gone);
            }
        }
    }

    /// Settles what nothing depends on: the ends of chains first, so that nothing is rebased that
    /// is to go itself, and many in a transaction, each of which waits for the disk.
    pub(super) fn drop_free(&self, room: Room, gone: &mut u64) -> Result<()> {
        while !free(&*self.connection()?, room)?.is_empty() {
            *gone += self.in_transaction(Stop::FreeDropped, |transaction| {
                let free = free(transaction, room)?.into_iter();
                free.map(|content| drop_content(transaction, content).map(u64::from))
                    .sum::<Result<u64>>()
            })?;
            if room == Room::Low {
                self.unlink_dead()?;
            }
            self.after_step(room)?;
        }
        if *gone > 0 {
            self.unlink_dead()?;
        }
        Ok(())
    }

    fn nameless_before(&self, content: ContentId) -> Result<Option<ContentId>> {
        let connection = self.connection()?;
        let mut statement = connection
            .prepare_cached("SELECT content FROM nameless WHERE content < ?1 ORDER BY content DESC LIMIT 1")?;
        Ok(statement.query_row([content], |row| row.get(0)).optional()?)
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
            let Some((_, map)) = self.map_onto(base, below)? else {
                return Ok(());
            };
            if self.copied_literals(&dependents, base, &map)? > content.stream {
                return Ok(());
            }
            let rebase = |dependent: &ContentId| self.rebase(*dependent, base, below, &map);
            return dependents.iter().try_for_each(rebase);
        }
        let Some((_, map)) = self.map_onto(*heir, base)? else {
            return Ok(());
        };
        let map = inverse(&map, content.size, base);
        self.make_whole(*heir)?;
        others
            .iter()
            .try_for_each(|dependent| self.rebase(*dependent, base, *heir, &map))
    }

    /// A delta and its map onto `base`; `None` if it is no longer a delta against that one. The rows are looked at
    /// before and after: a map onto another base, taken for one onto this, would make wrong bytes.
    fn map_onto(&self, delta: ContentId, base: ContentId) -> Result<Option<(Content, Map)>> {
        let of_base = || -> Result<Option<Content>> {
            let content = Content::get(&*self.connection()?, delta)?;
            Ok(content.filter(|content| content.base == Some(base)))
        };
        let Some(before) = of_base()? else { return Ok(None) };
        let map = self.own_map(delta)?;
        Ok(of_base()?
            .filter(|after| *after == before)
            .map(|content| (content, map)))
    }

    /// Bytes of literals that rebasing `dependents` over a base with this `map` would copy out of
    /// the base. Where several want the same ones, that can be more than the base takes.
    fn copied_literals(&self, dependents: &[ContentId], base: ContentId, map: &Map) -> Result<u64> {
        let literals = |map: &Map| -> u64 {
            let literal = |extent: &&Extent| matches!(extent.source, Source::Literal { .. });
            map.extents().iter().filter(literal).map(|extent| extent.len).sum()
        };
        dependents.iter().try_fold(0, |sum, dependent| {
            let Some((_, own)) = self.map_onto(*dependent, base)? else {
                return Ok(sum);
            };
            let Some(composed) = own.compose_within(map, MOST_COMPOSED)? else {
                return Ok(u64::MAX);
            };
            Ok(literals(&composed).saturating_sub(literals(&own)).saturating_add(sum))
        })
    }

    /// Writes `dependent`, a delta against `base`, as a delta against `onto`, onto which `map` leads from there.
    fn rebase(self: &Arc<Self>, dependent: ContentId, base: ContentId, onto: ContentId, map: &Map) -> Result<()> {
        let Some((old, own)) = self.map_onto(dependent, base)? else {
            return Ok(());
        };
        let Some(composed) = own.compose_within(map, MOST_COMPOSED)? else {
            return self.make_whole(dependent);
        };
        let mut pieces = to_pieces(&composed);
        if cfg!(feature = "fault-lost-literal") {
            lose_literal(&mut pieces);
        }
        let reader = self.open_content(dependent)?;
        let mut step = Step::begin(self)?;
        let conversion = write_delta(&mut step.writer, old, onto, &pieces, &reader)?;
        step.commit(Stop::Rebased, |connection| conversion.apply(connection))
    }

    /// Deletes a content if nothing names it and nothing depends on it; either way it is settled.
    fn drop_content(&self, content: ContentId) -> Result<bool> {
        let is_gone = self.in_transaction(Stop::ContentSettled, |transaction| drop_content(transaction, content))?;
        self.unlink_dead()?;
        Ok(is_gone)
    }
}

/// Some of those to look at that no delta depends on.
fn free(connection: &Connection, room: Room) -> Result<Vec<ContentId>> {
    let mut statement = connection.prepare_cached(
        "SELECT content FROM nameless n WHERE NOT EXISTS (SELECT 1 FROM contents WHERE base = n.content)
         ORDER BY content LIMIT ?1",
    )?;
    let rows = statement.query_map([room.contents()], |row| row.get(0))?;
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
    // Without its check: of a row that nobody needs any more it does not matter whether it is damaged.
    let base: Option<Option<ContentId>> = connection
        .prepare_cached("SELECT base FROM contents WHERE id = ?1 AND NOT ?2")?
        .query_row((content, is_needed), |row| row.get(0))
        .optional()?;
    if let Some(base) = base {
        let freed = release(connection, content)?;
        for statement in [
            "DELETE FROM contents WHERE id = ?1",
            "DELETE FROM damaged WHERE content = ?1",
        ] {
            connection.prepare_cached(statement)?.execute([content])?;
        }
        drop_runs(connection, &freed, None)?;
        // What it was told against may have been kept for it only.
        remember_base(connection, base)?;
    }
    connection
        .prepare_cached("DELETE FROM nameless WHERE content = ?1")?
        .execute([content])?;
    Ok(base.is_some())
}

/// Has a content looked at that others may have needed as their base.
pub(crate) fn remember_base(connection: &Connection, base: Option<ContentId>) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO nameless (content) SELECT ?1 WHERE ?1 IS NOT NULL")?
        .execute([base])
        .map(drop)
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

/// A planted fault: what is literal first is taken from the base.
fn lose_literal(pieces: &mut [Piece]) {
    let literal = pieces.iter_mut().find(|piece| matches!(piece, Piece::Literal { .. }));
    if let Some(piece) = literal
        && let Piece::Literal { len, .. } = *piece
    {
        *piece = Piece::Copy { from: 0, len };
    }
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
