//! Where the bytes are: numbers about a repository, from the catalog alone.
//!
//! What a running push has not committed yet is left out.

use std::collections::HashMap;

use rusqlite::{Connection, Params};

use crate::catalog::Snapshot;
use crate::layout::{self, FileKind};
use crate::{Repository, Result};

/// Numbers about a repository.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Snapshots.
    pub snapshots: u64,
    /// Rows of entries: versions of paths with their metadata.
    pub entries: u64,
    /// Bytes of all files of all snapshots, as if each snapshot were a copy.
    pub logical_bytes: u64,
    /// Contents, each counted once.
    pub contents: u64,
    /// Their bytes before compression and deltas.
    pub content_bytes: u64,
    /// Bytes of the stored files.
    pub file_bytes: u64,
    /// Bytes of the catalog with its journal.
    pub catalog_bytes: u64,
    /// Contents that are whole.
    pub heads: u64,
    /// Their bytes before compression.
    pub head_bytes: u64,
    /// What is kept as reverse deltas.
    pub deltas: DeltaStats,
    /// Stored bytes in packs that no run covers. Dead contents inside a frame that others share
    /// are not seen by this.
    pub dead_bytes: u64,
    /// Each snapshot, oldest first.
    pub each: Vec<SnapshotStats>,
}

/// Numbers about reverse deltas.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeltaStats {
    /// Contents that are deltas.
    pub count: u64,
    /// Bytes of those contents.
    pub content_bytes: u64,
    /// Bytes of their delta streams before compression.
    pub stream_bytes: u64,
    /// Bytes of their delta streams as they are stored.
    pub stored_bytes: u64,
    /// Deltas between the content that is farthest from a whole one and that one.
    pub longest_chain: u64,
    /// The mean of that over all deltas; 0 if there are none.
    pub mean_chain: f64,
}

/// Numbers about one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotStats {
    /// Its name.
    pub name: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes that making it added to the stored files.
    pub new_bytes: u64,
    /// Its regular files.
    pub files: u64,
}

impl Stats {
    /// Bytes on the disk: stored files and catalog.
    pub fn stored_bytes(&self) -> u64 {
        self.file_bytes + self.catalog_bytes
    }
}

impl Repository {
    /// Numbers about the repository. Reads the catalog once; no stored file is opened.
    pub fn stats(&self) -> Result<Stats> {
        let mut connection = self.connection()?;
        // One transaction: the numbers are of one moment.
        let catalog = connection.transaction()?;
        let each = snapshots(&catalog)?;
        let (contents, content_bytes) = pair(&catalog, "count(*), sum(size) FROM contents WHERE push IS NULL", [])?;
        let (heads, head_bytes) = pair(
            &catalog,
            "count(*), sum(size) FROM contents WHERE push IS NULL AND base IS NULL",
            [],
        )?;
        let (entries, _) = pair(
            &catalog,
            "count(*), 0 FROM entries WHERE first NOT IN (SELECT snapshot FROM pushes)",
            [],
        )?;
        let (_, file_bytes) = pair(&catalog, "0, sum(bytes) FROM files WHERE push IS NULL AND dead = 0", [])?;
        let (packs, in_runs) = pair(
            &catalog,
            "(SELECT sum(bytes) FROM files WHERE push IS NULL AND dead = 0 AND kind = ?1),
             (SELECT sum(r.bytes) FROM files f JOIN runs r ON r.file = f.id
              WHERE f.push IS NULL AND f.dead = 0 AND f.kind = ?1)",
            [FileKind::Pack as i64],
        )?;
        Ok(Stats {
            snapshots: each.len() as u64,
            entries,
            logical_bytes: each.iter().map(|snapshot| snapshot.bytes).sum(),
            contents,
            content_bytes,
            file_bytes,
            catalog_bytes: self.catalog_bytes(),
            heads,
            head_bytes,
            deltas: deltas(&catalog)?,
            dead_bytes: packs.saturating_sub(in_runs),
            each,
        })
    }

    /// Bytes of the catalog and its log.
    pub fn catalog_bytes(&self) -> u64 {
        let catalog = layout::catalog(self.path());
        let mut journal = catalog.clone().into_os_string();
        journal.push("-wal");
        // The journal need not be there.
        let length = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |status| status.len());
        length(&catalog) + length(journal.as_ref())
    }
}

fn snapshots(catalog: &Connection) -> Result<Vec<SnapshotStats>> {
    let (snapshots, _) = Snapshot::find(catalog, "ORDER BY s.time, s.id", [])?;
    let stats = |snapshot: Snapshot| SnapshotStats {
        name: snapshot.name,
        bytes: snapshot.bytes,
        new_bytes: snapshot.new_bytes,
        files: snapshot.files,
    };
    Ok(snapshots.into_iter().map(stats).collect())
}

fn deltas(catalog: &Connection) -> Result<DeltaStats> {
    const DELTAS: &str = "FROM contents WHERE push IS NULL AND base IS NOT NULL";
    let (count, content_bytes) = pair(catalog, &format!("count(*), sum(size) {DELTAS}"), [])?;
    let stored =
        format!("(SELECT sum(stream) {DELTAS}), (SELECT sum(bytes) FROM runs WHERE id IN (SELECT run {DELTAS}))");
    let (stream_bytes, stored_bytes) = pair(catalog, &stored, [])?;
    let mut statement = catalog.prepare_cached(&format!("SELECT id, base {DELTAS}"))?;
    let bases = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let depths = depths(&bases);
    let (longest_chain, sum) = depths
        .values()
        .fold((0, 0), |(longest, sum), &depth| (depth.max(longest), sum + depth));
    let mean_chain = if count == 0 { 0.0 } else { sum as f64 / count as f64 };
    Ok(DeltaStats {
        count,
        content_bytes,
        stream_bytes,
        stored_bytes,
        longest_chain,
        mean_chain,
    })
}

/// How many deltas lie between each delta and a whole content. A chain without end, which only
/// damage can make, is cut where it closes.
fn depths(bases: &HashMap<i64, i64>) -> HashMap<i64, u64> {
    let mut depths: HashMap<i64, u64> = HashMap::new();
    for &delta in bases.keys() {
        let mut way = Vec::new();
        let mut at = delta;
        let mut depth = loop {
            match (depths.get(&at), bases.get(&at)) {
                (Some(&depth), _) => break depth,
                (None, None) => break 0,
                (None, Some(&base)) => {
                    // Met again on the way down, it counts as an end.
                    depths.insert(at, 0);
                    way.push(at);
                    at = base;
                }
            }
        };
        for delta in way.into_iter().rev() {
            depth += 1;
            depths.insert(delta, depth);
        }
    }
    depths
}

/// Two numbers of one row; NULL, the sum of nothing, is 0.
fn pair(catalog: &Connection, columns: &str, parameters: impl Params) -> Result<(u64, u64)> {
    let mut statement = catalog.prepare_cached(&format!("SELECT {columns}"))?;
    let (a, b): (Option<i64>, Option<i64>) = statement.query_row(parameters, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((a.unwrap_or(0) as u64, b.unwrap_or(0) as u64))
}

#[cfg(test)]
mod tests {
    use super::depths;

    #[test]
    fn depths_count_deltas_and_survive_a_circle() {
        let found = depths(&[(1, 2), (2, 3), (4, 3)].into());
        assert_eq!((found[&1], found[&2], found[&4]), (2, 1, 1));
        assert_eq!(depths(&[(1, 2), (2, 1)].into()).len(), 2);
    }
}
