//! Snapshots, as the catalog has them.
//!
//! A snapshot's check covers its row and that of its line, so that no flipped bit makes another time, another host or
//! another tree of it.

use rusqlite::{Connection, Params, Row};

use crate::catalog::rows::first_8;
use crate::{Error, FolderId, LineId, Result, SnapshotId};

/// One snapshot: the state of a line at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its number.
    pub id: SnapshotId,
    /// The line that it is of.
    pub line: LineId,
    /// `YYYY-MM-DD_HH-MM-SS` in UTC, with `-2`, `-3`… if several fall in a second.
    pub name: String,
    /// Seconds since 1970.
    pub time: i64,
    /// The host that was snapshot.
    pub host: String,
    /// What the user called it.
    pub tags: Vec<String>,
    /// The paths that were asked for, absolute.
    pub roots: Vec<Vec<u8>>,
    /// The identity of `/` along the line.
    pub root: FolderId,
    /// Regular files in it.
    pub files: u64,
    /// Folders in it.
    pub folders: u64,
    /// Everything else in it: links, devices, pipes, sockets.
    pub others: u64,
    /// Sum of its files' sizes, in bytes.
    pub bytes: u64,
    /// Bytes that making it added to the repository's files.
    pub new_bytes: u64,
    /// Paths that could not be read when it was made.
    pub unread: u64,
    /// Sum of the checks of its rows, wrapping.
    pub check: i64,
}

/// A row that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedSnapshot {
    /// Its number.
    pub id: SnapshotId,
    /// Its name, as far as that can be believed.
    pub name: String,
}

const COLUMNS: &str =
    "SELECT s.id, s.line, s.name, s.time, l.host, s.tags, l.roots, l.root, s.files, s.folders, s.others,
    s.bytes, s.stored, s.unread, s.root, s.sum FROM snapshots s LEFT JOIN lines l ON l.id = s.line";

impl Snapshot {
    /// Snapshots as `which`, the rest of a statement on `s`, finds them; those whose rows are damaged apart.
    pub fn find(connection: &Connection, which: &str, of: impl Params) -> Result<(Vec<Self>, Vec<DamagedSnapshot>)> {
        let mut statement = connection.prepare_cached(&format!("{COLUMNS} {which}"))?;
        let (mut sound, mut damaged) = (Vec::new(), Vec::new());
        let mut rows = statement.query(of)?;
        while let Some(row) = rows.next()? {
            match Self::read(row)? {
                Some(snapshot) => sound.push(snapshot),
                None => damaged.push(DamagedSnapshot {
                    id: row.get(0)?,
                    name: row.get(2).unwrap_or_default(),
                }),
            }
        }
        Ok((sound, damaged))
    }

    /// The newest of a line, or the one of that number.
    ///
    /// # Errors
    /// [`Error::Damaged`] if its row is.
    pub fn one(connection: &Connection, which: &str, of: impl Params) -> Result<Option<Self>> {
        let (mut sound, damaged) = Self::find(connection, &format!("{which} LIMIT 1"), of)?;
        match damaged.first() {
            Some(DamagedSnapshot { id, name }) => Err(Error::Damaged(format!("catalog snapshot {id}, {name}"))),
            None => Ok(sound.pop()),
        }
    }

    /// The newest snapshot of a line.
    ///
    /// # Errors
    /// [`Error::Damaged`] if its row is: nothing is told against an older one.
    pub fn newest(connection: &Connection, line: LineId) -> Result<Option<Self>> {
        Self::one(connection, "WHERE s.line = ?1 ORDER BY s.id DESC", [line])
    }

    fn read(row: &Row<'_>) -> Result<Option<Self>> {
        // Whatever SQLite says of a value of another type is damage too.
        match (Self::columns(row), row.get::<_, i64>(15)) {
            (Ok(snapshot), Ok(sum)) => Ok(Some(snapshot).filter(|snapshot| snapshot.sum() == sum)),
            _ => Ok(None),
        }
    }

    fn columns(row: &Row<'_>) -> rusqlite::Result<Self> {
        let tags: String = row.get(5)?;
        let roots: Vec<u8> = row.get(6)?;
        Ok(Snapshot {
            id: row.get(0)?,
            line: row.get(1)?,
            name: row.get(2)?,
            time: row.get(3)?,
            host: row.get(4)?,
            tags: split_tags(&tags),
            roots: split_roots(&roots),
            root: row.get(7)?,
            files: row.get::<_, i64>(8)? as u64,
            folders: row.get::<_, i64>(9)? as u64,
            others: row.get::<_, i64>(10)? as u64,
            bytes: row.get::<_, i64>(11)? as u64,
            new_bytes: row.get::<_, i64>(12)? as u64,
            unread: row.get::<_, i64>(13)? as u64,
            check: row.get(14)?,
        })
    }

    /// Writes the row.
    pub fn insert(&self, connection: &Connection) -> Result<()> {
        connection.execute(
            "INSERT INTO snapshots (id, line, name, time, tags, files, folders, others, bytes, stored, unread, root, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            rusqlite::params![
                self.id,
                self.line,
                self.name,
                self.time,
                self.tags.join("\n"),
                self.files as i64,
                self.folders as i64,
                self.others as i64,
                self.bytes as i64,
                self.new_bytes as i64,
                self.unread as i64,
                self.check,
                self.sum(),
            ],
        )?;
        Ok(())
    }

    /// The check of the row and of its line's: the first 8 bytes of a BLAKE3.
    pub fn sum(&self) -> i64 {
        let mut hasher = blake3::Hasher::new();
        for number in [
            self.id.0,
            self.line.0,
            self.time,
            self.root.0,
            self.files as i64,
            self.folders as i64,
            self.others as i64,
            self.bytes as i64,
            self.new_bytes as i64,
            self.unread as i64,
            self.check,
        ] {
            hasher.update(&number.to_le_bytes());
        }
        let (tags, roots) = (self.tags.join("\n"), join_roots(&self.roots));
        for text in [self.name.as_bytes(), self.host.as_bytes(), tags.as_bytes(), &roots] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
        first_8(&hasher)
    }
}

fn split_tags(tags: &str) -> Vec<String> {
    let all = tags.split('\n').filter(|_| !tags.is_empty());
    all.map(str::to_owned).collect()
}

/// The roots of a line as the catalog keeps them.
pub fn join_roots(roots: &[Vec<u8>]) -> Vec<u8> {
    roots
        .iter()
        .flat_map(|root| [root.as_slice(), b"\0"].concat())
        .collect()
}

/// The roots that [`join_roots`] joined.
pub fn split_roots(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .split_inclusive(|&byte| byte == 0)
        .map(|root| root.strip_suffix(b"\0").unwrap_or(root).to_vec())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, file};

    #[test]
    fn roots_come_back() {
        let roots = vec![b"/".to_vec(), b"/home/a\nb".to_vec()];
        assert_eq!(split_roots(&join_roots(&roots)), roots);
    }

    #[test]
    fn a_snapshot_of_which_anything_has_changed_is_damaged() {
        let changes = [
            "UPDATE snapshots SET time = time + 1",
            "UPDATE snapshots SET name = replace(name, '1', '2')",
            "UPDATE snapshots SET tags = 'other'",
            "UPDATE snapshots SET files = 'many'",
            "UPDATE snapshots SET line = line + 1",
            "UPDATE lines SET root = root + 1",
            "UPDATE lines SET host = host || 'x'",
        ];
        for change in changes {
            let bench = Bench::new();
            let made = bench.push("host", |push| file(push, "file", b"bytes"));
            let read = |bench: &Bench| bench.reopened().snapshots().unwrap();
            assert_eq!(read(&bench), [made]);
            assert_eq!(bench.sql(change), 1);
            assert_eq!(read(&bench), [], "{change}");
            let verified = bench.reopened().verify(false, &mut |_, _| Ok(())).unwrap();
            assert_eq!(verified.damages[0].what, "catalog snapshot 1", "{change}");
        }
    }

    #[test]
    fn nothing_is_told_against_a_damaged_snapshot() {
        let bench = Bench::new();
        bench.push("host", |push| file(push, "file", b"bytes"));
        bench.sql("UPDATE snapshots SET bytes = bytes + 1");
        let options = crate::PushOptions {
            host: "host".into(),
            roots: vec![b"/".to_vec()],
            tags: Vec::new(),
            made: None,
        };
        let begun = crate::Ingest::begin(&bench.repository, options, Box::new(crate::Unlimited)).map(drop);
        assert!(matches!(begun, Err(Error::Damaged(_))), "{begun:?}");
    }
}
