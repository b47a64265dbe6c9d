//! What the agent remembers of its last push: which file looked how and had which content.
//!
//! A database in the cache folder, one a line. It mirrors one snapshot; if the newest of the
//! line is another, it is filled anew from the repository's listing, and files are read again.
//! Everything that a push changes here is one transaction, committed after the push: a push
//! that dies leaves the state as it was.

use std::collections::HashSet;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row};
use yore_store::{Hash, Kind, MEDIUM, TINY};

use crate::metadata::Stat;
use crate::private;
use crate::push::short;

/// A change of this layout empties old states.
const VERSION: i32 = 1;

const SCHEMA: &str = "
    DROP TABLE IF EXISTS seen; DROP TABLE IF EXISTS mirror;
    CREATE TABLE mirror (snapshot TEXT NOT NULL, next_folder INTEGER NOT NULL);
    CREATE TABLE seen (
      folder INTEGER NOT NULL, name BLOB NOT NULL,
      dev INTEGER, ino INTEGER, size INTEGER, mtime INTEGER, mtime_ns INTEGER, ctime INTEGER, ctime_ns INTEGER,
      mode INTEGER, uid INTEGER, gid INTEGER, rdev INTEGER, nlink INTEGER,
      trusted INTEGER NOT NULL, kind INTEGER NOT NULL, digest BLOB NOT NULL, hash BLOB, child INTEGER,
      PRIMARY KEY (folder, name)) WITHOUT ROWID;
    CREATE INDEX seen_hash ON seen (hash) WHERE hash IS NOT NULL AND size > 32768;
    CREATE INDEX seen_size ON seen (size) WHERE size > 1048576;";

// The partial indexes above spell these out.
const _: () = assert!(TINY == 32768 && MEDIUM == 1048576);

/// What is remembered of one path.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Its name in its folder.
    pub name: Vec<u8>,
    /// What it looked like; blank if known from the repository only.
    pub stat: Stat,
    /// Whether the same looks mean the same bytes.
    pub trusted: bool,
    /// What it was.
    pub kind: Kind,
    /// Digest of its metadata.
    pub digest: [u8; 16],
    /// Its content, of a regular file that is not empty.
    pub hash: Option<Hash>,
    /// The number of a folder, here.
    pub child: Option<i64>,
}

/// A name, and what it was a name of.
pub(crate) struct Name<'a> {
    /// The number of the folder that it is in.
    pub folder: i64,
    /// The name.
    pub name: &'a [u8],
    /// Its device.
    pub dev: u64,
    /// Its inode.
    pub ino: u64,
    /// The number of a folder, here.
    pub child: Option<i64>,
}

/// The state of one line.
pub(crate) struct State {
    connection: Connection,
    next_folder: i64,
}

/// The number of the folder above `/`.
pub(crate) const ABOVE: i64 = 0;

impl State {
    /// Opens the state of a line, and begins the transaction of a push.
    pub fn open(folder: &Path, line: &str) -> rusqlite::Result<Self> {
        let path = folder.join(format!("{line}.sqlite3"));
        // Its log gets the mode that it has. What cannot be made here, SQLite says.
        let _ = private::file(&path);
        let connection = Connection::open(path)?;
        connection.busy_timeout(std::time::Duration::from_secs(60))?;
        // It can be made again at any time: what a power cut spoils costs a full read.
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "normal")?;
        Self::begin(connection)
    }

    /// A state of nothing that is forgotten after the push, where there is no room for another.
    pub fn forgetful() -> rusqlite::Result<Self> {
        Self::begin(Connection::open_in_memory()?)
    }

    fn begin(connection: Connection) -> rusqlite::Result<Self> {
        connection.pragma_update(None, "cache_size", -16 * 1024)?;
        connection.set_prepared_statement_cache_capacity(32);
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != VERSION {
            connection.execute_batch(SCHEMA)?;
            connection.pragma_update(None, "user_version", VERSION)?;
        }
        let next_folder = connection
            .query_row("SELECT next_folder FROM mirror", [], |row| row.get(0))
            .optional()?
            .unwrap_or(ABOVE + 1);
        Ok(State {
            connection,
            next_folder,
        })
    }

    /// The snapshot that the state mirrors.
    pub fn mirrors(&self) -> rusqlite::Result<Option<String>> {
        self.connection
            .query_row("SELECT snapshot FROM mirror", [], |row| row.get(0))
            .optional()
    }

    /// Forgets everything.
    pub fn clear(&mut self) -> rusqlite::Result<()> {
        self.next_folder = ABOVE + 1;
        self.connection.execute_batch("DELETE FROM seen; DELETE FROM mirror")
    }

    /// Ends the transaction: the state mirrors `snapshot` now.
    pub fn commit(self, snapshot: &str) -> rusqlite::Result<()> {
        self.connection.execute("DELETE FROM mirror", [])?;
        self.connection
            .execute("INSERT INTO mirror VALUES (?1, ?2)", (snapshot, self.next_folder))?;
        self.connection.execute_batch("COMMIT")
    }

    /// What is remembered of a folder, by name.
    pub fn folder(&self, folder: i64) -> rusqlite::Result<Vec<Seen>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT * FROM seen WHERE folder = ?1 ORDER BY name")?;
        statement.query_map([folder], read)?.collect()
    }

    /// What is remembered of one name in a folder.
    pub fn name(&self, folder: i64, name: &[u8]) -> rusqlite::Result<Option<Seen>> {
        self.connection
            .prepare_cached("SELECT * FROM seen WHERE folder = ?1 AND name = ?2")?
            .query_row((folder, name), read)
            .optional()
    }

    /// Everything that is remembered below a folder, in no order.
    pub fn each_inside(&self, folder: i64, tell: &mut dyn FnMut(Seen)) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(
            "WITH RECURSIVE inside (folder) AS (
               VALUES (?1) UNION ALL
               SELECT s.child FROM inside JOIN seen s ON s.folder = inside.folder WHERE s.child IS NOT NULL)
             SELECT seen.* FROM inside JOIN seen ON seen.folder = inside.folder",
        )?;
        for seen in statement.query_map([folder], read)? {
            tell(seen?);
        }
        Ok(())
    }

    /// Every name that is remembered, in no order.
    pub fn each_name(&self, tell: &mut dyn FnMut(Name<'_>)) -> rusqlite::Result<()> {
        let mut statement = self
            .connection
            .prepare("SELECT folder, name, dev, ino, child FROM seen")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            tell(Name {
                folder: row.get(0)?,
                name: row.get_ref(1)?.as_blob()?,
                dev: row.get::<_, i64>(2)? as u64,
                ino: row.get::<_, i64>(3)? as u64,
                child: row.get(4)?,
            });
        }
        Ok(())
    }

    /// Remembers a path.
    pub fn put(&self, folder: i64, seen: &Seen) -> rusqlite::Result<()> {
        let stat = &seen.stat;
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO seen VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")?
            .execute(rusqlite::params![
                folder,
                seen.name,
                stat.dev as i64,
                stat.ino as i64,
                stat.size as i64,
                stat.mtime,
                stat.mtime_ns,
                stat.ctime,
                stat.ctime_ns,
                stat.mode,
                stat.uid,
                stat.gid,
                stat.rdev as i64,
                stat.nlink as i64,
                seen.trusted,
                seen.kind as i64,
                seen.digest,
                seen.hash.map(|hash| hash.0),
                seen.child
            ])?;
        Ok(())
    }

    /// Forgets a path and everything in it.
    pub fn remove(&self, folder: i64, seen: &Seen) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("DELETE FROM seen WHERE folder = ?1 AND name = ?2")?
            .execute((folder, &seen.name))?;
        seen.child.map_or(Ok(()), |child| self.remove_folder(child))
    }

    fn remove_folder(&self, folder: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "WITH RECURSIVE inside (folder) AS (
                   VALUES (?1) UNION ALL
                   SELECT s.child FROM inside JOIN seen s ON s.folder = inside.folder WHERE s.child IS NOT NULL)
                 DELETE FROM seen WHERE folder IN inside",
            )?
            .execute([folder])?;
        Ok(())
    }

    /// A number for a folder that is new.
    pub fn new_folder(&mut self) -> i64 {
        self.next_folder += 1;
        self.next_folder - 1
    }

    /// Whether a content that is not tiny is in the newest snapshot or was sent by this push.
    pub fn knows(&self, hash: &Hash) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM seen WHERE hash = ?1 AND size > 32768)")?
            .query_row([hash], |row| row.get(0))
    }

    /// Forgets of which files these are the contents, by the first half of their names: they are read and sent again.
    pub fn lose(&mut self, wanted: &HashSet<[u8; 16]>) -> rusqlite::Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let lost: Vec<(i64, Vec<u8>)> = self
            .connection
            .prepare("SELECT folder, name, hash FROM seen WHERE hash IS NOT NULL")?
            .query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get::<_, Hash>(2)?)))?
            .filter(|row| row.as_ref().map_or(true, |(_, hash)| wanted.contains(&short(hash))))
            .map(|row| row.map(|(name, _)| name))
            .collect::<rusqlite::Result<_>>()?;
        let mut lose = self
            .connection
            .prepare("UPDATE seen SET trusted = 0, hash = NULL WHERE folder = ?1 AND name = ?2")?;
        lost.iter()
            .try_for_each(|name| lose.execute((name.0, &name.1)).map(drop))
    }

    /// Whether a large content of this length is known.
    pub fn knows_size(&self, size: u64) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM seen WHERE size = ?1 AND size > 1048576)")?
            .query_row([size as i64], |row| row.get(0))
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Seen> {
    Ok(Seen {
        name: row.get(1)?,
        stat: Stat {
            dev: row.get::<_, i64>(2)? as u64,
            ino: row.get::<_, i64>(3)? as u64,
            size: row.get::<_, i64>(4)? as u64,
            mtime: row.get(5)?,
            mtime_ns: row.get(6)?,
            ctime: row.get(7)?,
            ctime_ns: row.get(8)?,
            mode: row.get(9)?,
            uid: row.get(10)?,
            gid: row.get(11)?,
            rdev: row.get::<_, i64>(12)? as u64,
            nlink: row.get::<_, i64>(13)? as u64,
            // Not kept: what allocation does is no change of the file.
            blocks: 0,
        },
        trusted: row.get(14)?,
        kind: Kind::from_code(row.get(15)?).unwrap_or(Kind::File),
        digest: row.get(16)?,
        hash: row.get(17)?,
        child: row.get(18)?,
    })
}
