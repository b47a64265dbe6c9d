//! Entries against their checks, and snapshots against what their rows add up to.
//!
//! A row's check covers all of it but `last`, which changes. The snapshots' sums cover that, and
//! rows that are missing or too many. One pass adds up every snapshot: along a line, what a row
//! adds is put down where its life begins and taken off after it ends, so that running totals
//! are the snapshots.
//!
//! ```text
//! snapshots      1     2     3     4
//! row a          +a ────────▶ -a
//! row b                +b ──────────▶ (alive)
//! running total  a    a+b    b     b
//! ```

use std::collections::HashMap;
use std::ops::Range;

use rusqlite::{Connection, Row};

use crate::catalog::{ALIVE, ENTRY, Entry, Snapshot};
use crate::verify::{Verifier, tolerate};
use crate::{ContentId, FolderId, Kind, LineId, Result, SnapshotId};

/// What rows add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    files: i64,
    folders: i64,
    others: i64,
    bytes: i64,
    check: i64,
    /// Rows of which nothing else here can be trusted.
    damaged: i64,
}

impl Totals {
    fn of(entry: &Entry) -> Self {
        let mut totals = Totals {
            bytes: entry.size as i64,
            check: entry.sum(),
            ..Totals::default()
        };
        match entry.meta.kind {
            Kind::File => totals.files = 1,
            Kind::Folder => totals.folders = 1,
            _ => totals.others = 1,
        }
        totals
    }

    fn expected(snapshot: &Snapshot) -> Self {
        Totals {
            files: snapshot.files as i64,
            folders: snapshot.folders as i64,
            others: snapshot.others as i64,
            bytes: snapshot.bytes as i64,
            check: snapshot.check,
            damaged: 0,
        }
    }

    fn add(&mut self, other: &Totals, sign: i64) {
        let add = |to: &mut i64, from: i64| *to = to.wrapping_add(from.wrapping_mul(sign));
        add(&mut self.files, other.files);
        add(&mut self.folders, other.folders);
        add(&mut self.others, other.others);
        add(&mut self.bytes, other.bytes);
        add(&mut self.check, other.check);
        add(&mut self.damaged, other.damaged);
    }
}

/// Columns after those of [`ENTRY`]: the row's line, and of its content number, size and base.
const BESIDES: usize = 22;

/// Differences from each snapshot of a line to the one before it, and one past the end.
type Differences = HashMap<LineId, Vec<Totals>>;

/// Where a row lies, unchecked.
struct Place {
    folder: FolderId,
    name: Vec<u8>,
    life: (SnapshotId, SnapshotId),
    line: LineId,
}

impl Verifier<'_> {
    /// Reads every entry, and compares every snapshot with the sum of its rows.
    pub(super) fn check_rows(&mut self, catalog: &Connection) -> Result<()> {
        let differences = self.add_up(catalog)?;
        let mut wrong = Vec::new();
        for line in self.timeline.lines() {
            let Some(differences) = line.first().and_then(|first| differences.get(&first.line)) else {
                continue;
            };
            let mut totals = Totals::default();
            for (snapshot, difference) in line.iter().zip(differences) {
                totals.add(difference, 1);
                let expected = Totals::expected(snapshot);
                // A row that is known to be damaged explains that the rest does not add up.
                if totals.damaged == 0 && totals != expected {
                    wrong.push((describe(&totals, &expected), snapshot.name.clone()));
                }
            }
        }
        self.result.snapshots = self.timeline.lines().map(|line| line.len() as u64).sum();
        for (what, name) in wrong {
            self.damage(format!("catalog: snapshot {name}: {what}"), vec![(b"/".to_vec(), name)]);
        }
        Ok(())
    }

    fn add_up(&mut self, catalog: &Connection) -> Result<Differences> {
        let lines = self.timeline.lines();
        let mut differences: Differences = lines
            .map(|line| (line[0].line, vec![Totals::default(); line.len() + 1]))
            .collect();
        let columns = ENTRY.replacen(
            "FROM entries e",
            ", f.line, c.id, c.size, c.base FROM entries e
             LEFT JOIN folders f ON f.id = CASE e.folder WHEN 0 THEN e.child ELSE e.folder END
             LEFT JOIN contents c ON c.id = e.content",
            1,
        );
        let mut statement = catalog.prepare(&format!("SELECT {columns} ORDER BY e.id"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let Some(place) = self.place(row)? else { continue };
            let reach = self.timeline.reach(place.line, place.life.0, place.life.1);
            // Rows of a running push, or of snapshots that were forgotten.
            if reach.is_empty() {
                continue;
            }
            self.result.entries += 1;
            let totals = match Entry::read(row) {
                Ok(entry) => {
                    self.check_content_of(&entry, row, &place, &reach)?;
                    Totals::of(&entry)
                }
                Err(error) => {
                    self.damage_row(tolerate(error)?, &place)?;
                    Totals {
                        damaged: 1,
                        ..Totals::default()
                    }
                }
            };
            let differences = differences
                .get_mut(&place.line)
                .expect("a row reaches only lines with snapshots");
            differences[reach.start].add(&totals, 1);
            differences[reach.end].add(&totals, -1);
        }
        Ok(differences)
    }

    /// Where a row lies; `None`, and damage, if not even that can be read.
    fn place(&mut self, row: &Row<'_>) -> Result<Option<Place>> {
        let place = || -> rusqlite::Result<Option<Place>> {
            let Some(line) = row.get(BESIDES)? else { return Ok(None) };
            let life = (row.get(3)?, row.get(4)?);
            Ok(Some(Place {
                folder: row.get(1)?,
                name: row.get(2)?,
                life,
                line,
            }))
        };
        match place() {
            Ok(Some(place)) => Ok(Some(place)),
            Ok(None) | Err(_) => {
                let id: i64 = row.get(0)?;
                self.damage(format!("catalog entry {id}: lies in no folder of any line"), Vec::new());
                Ok(None)
            }
        }
    }

    fn damage_row(&mut self, what: String, place: &Place) -> Result<()> {
        let paths = self.paths_of(place.line, place.folder, &place.name, place.life)?;
        self.damage(what, paths);
        Ok(())
    }

    /// What an entry names must be there, of the size that the entry says; and whole, if a
    /// newest snapshot has it.
    fn check_content_of(&mut self, entry: &Entry, row: &Row<'_>, place: &Place, reach: &Range<usize>) -> Result<()> {
        let Some(id) = entry.content else {
            if entry.meta.kind == Kind::File && entry.size > 0 {
                self.damage_row(format!("catalog entry {}: a file without content", entry.id), place)?;
            }
            return Ok(());
        };
        let (known, size): (Option<ContentId>, Option<i64>) = (row.get(BESIDES + 1)?, row.get(BESIDES + 2)?);
        let base: Option<ContentId> = row.get(BESIDES + 3)?;
        if known.is_none() {
            return self.damage_row(
                format!("catalog entry {}: content {id} is not in the catalog", entry.id),
                place,
            );
        }
        if size != Some(entry.size as i64) {
            let what = format!(
                "catalog entry {}: has {} bytes, its content {id} another size",
                entry.id, entry.size
            );
            self.damage_row(what, place)?;
        }
        let is_newest = entry.last.0 == ALIVE && reach.end == self.timeline.line(place.line).len();
        if let (true, Some(base)) = (is_newest, base) {
            let what = format!("catalog: content {id} of a newest snapshot is not whole but a delta of {base}");
            self.damage_row(what, place)?;
        }
        Ok(())
    }
}

fn describe(found: &Totals, expected: &Totals) -> String {
    for (what, found, expected) in [
        ("files", found.files, expected.files),
        ("folders", found.folders, expected.folders),
        ("other entries", found.others, expected.others),
        ("bytes", found.bytes, expected.bytes),
    ] {
        if found != expected {
            return format!("its rows have {found} {what}, it should have {expected}");
        }
    }
    "its rows do not add up to its check".into()
}
