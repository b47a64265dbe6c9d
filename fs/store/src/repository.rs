//! A repository: one history in one folder.
//!
//! ```text
//! REPO/yore.toml           format, identity, compression: readable by a person
//! REPO/catalog.sqlite3     snapshots, entries, contents, where they lie
//! REPO/packs/2a/…          frames of small contents and small deltas
//! REPO/heads/2b/…          segments of large whole contents
//! REPO/deltas/2c/…         large reverse deltas
//! REPO/locks/…             empty files for flock
//! REPO/ballast             room for forgetting on a full disk
//! ```
//!
//! A [`Repository`] is shared by threads; each request borrows a connection of its own.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::catalog::{self, Access};
use crate::error::IoContext;
use crate::frame::Compression;
use crate::layout::{self, FORMAT, FileKind};
use crate::read::{Ahead, Caches};
use crate::stops::Stop;
use crate::time::{Clock, SystemClock};
use crate::{Error, Result, half_made};

/// An open repository.
pub struct Repository {
    path: PathBuf,
    config: Config,
    access: Access,
    clock: Arc<dyn Clock>,
    connections: Mutex<Vec<Connection>>,
    /// Stays open, so that its `data_version` can be compared from call to call.
    watcher: Mutex<Connection>,
    pub(crate) caches: Caches,
    pub(crate) ahead: Ahead,
}

/// What `yore.toml` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    format: u32,
    id: String,
    compression: String,
}

/// Reads a compression as the user writes it: `off` or `zstd:LEVEL` with a level of 1 to 19.
pub fn parse_compression(text: &str) -> std::result::Result<Compression, String> {
    let level = text
        .strip_prefix("zstd:")
        .and_then(|level| level.parse().ok())
        .filter(|level| (1..=19).contains(level));
    match (text, level) {
        ("off", _) => Ok(Compression::Off),
        (_, Some(level)) => Ok(Compression::Zstd(level)),
        _ => Err(format!("compression {text:?} is neither off nor zstd:1 to zstd:19")),
    }
}

impl Repository {
    /// Makes a repository in a new or an empty folder, or in one where that was broken off. A new one is for its owner
    /// only: whoever could read it could read all that is backed up, and hold its locks.
    ///
    /// # Errors
    /// [`Error::NotEmpty`] if something is there already.
    pub fn init(path: &Path, compression: Compression) -> Result<Self> {
        make_folder(path)?;
        let _making = half_made::clear(path)?;
        for folder in FileKind::ALL.map(FileKind::folder) {
            let folder = path.join(folder);
            std::fs::create_dir_all(&folder).at(&folder)?;
        }
        let locks = layout::locks(path);
        std::fs::create_dir_all(&locks).at(&locks)?;
        catalog::create(path)?;
        crate::ballast::hold(path)?;
        // Written last: a folder without it is not a repository, whatever else is there.
        write_config(
            path,
            &Config {
                format: FORMAT,
                id: new_id()?,
                compression: compression_text(compression),
            },
        )?;
        Self::open(path)
    }

    /// Opens a repository.
    ///
    /// # Errors
    /// [`Error::NotARepository`], [`Error::Future`], or what the system says.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with_clock(path, Arc::new(SystemClock))
    }

    /// Opens a repository whose snapshots get their time from `clock`.
    pub fn open_with_clock(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::open_with(path, clock, crate::read::CACHE_BYTES)
    }

    /// Opens a repository whose caches keep so many bytes together.
    pub fn open_with_cache(path: &Path, bytes: usize) -> Result<Self> {
        Self::open_with(path, Arc::new(SystemClock), bytes)
    }

    fn open_with(path: &Path, clock: Arc<dyn Clock>, cache: usize) -> Result<Self> {
        let path = path
            .canonicalize()
            .map_err(|_| Error::NotARepository(path.to_owned()))?;
        let mut config = read_config(&path)?;
        let access = catalog::probe(&path)?;
        // After the catalog: where a crash leaves the two different, only readers of older versions are kept away.
        if config.format < FORMAT && access == Access::Write {
            config.format = FORMAT;
            write_config(&path, &config)?;
        }
        let watcher = Mutex::new(catalog::open(&path, access)?);
        Ok(Repository {
            path,
            config,
            access,
            clock,
            connections: Mutex::default(),
            watcher,
            caches: Caches::new(cache),
            ahead: Ahead::default(),
        })
    }

    /// The folder of the repository.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The identity of the repository: 32 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.config.id
    }

    /// Whether this process can only read it.
    pub fn is_read_only(&self) -> bool {
        self.access != Access::Write
    }

    /// How new data is compressed.
    pub fn compression(&self) -> Compression {
        parse_compression(&self.config.compression).expect("checked when it was opened")
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now()
    }

    /// A number that changes whenever another connection has committed something.
    pub fn data_version(&self) -> Result<i64> {
        let watcher = self.watcher.lock().expect("no panic while held");
        let version: i64 = watcher.pragma_query_value(None, "data_version", |row| row.get(0))?;
        if self.access != Access::Frozen {
            return Ok(version);
        }
        // SQLite does not look at the file of a frozen catalog again; its time tells.
        let path = layout::catalog(&self.path);
        let status = rustix::fs::stat(&path).at(&path)?;
        let stamp = status.st_mtime.wrapping_mul(1_000_000_007) ^ status.st_mtime_nsec as i64 ^ status.st_size;
        drop(watcher);
        let mut connections = self.connections.lock().expect("no panic while held");
        if self
            .caches
            .frozen_stamp
            .swap(stamp, std::sync::atomic::Ordering::Relaxed)
            != stamp
        {
            connections.clear();
        }
        Ok(stamp)
    }

    /// Borrows a connection; it goes back when dropped.
    pub(crate) fn connection(&self) -> Result<Borrowed<'_>> {
        let idle = self.connections.lock().expect("no panic while held").pop();
        let connection = match idle {
            Some(connection) => connection,
            None => catalog::open(&self.path, self.access)?,
        };
        Ok(Borrowed {
            repository: self,
            connection: Some(connection),
            is_lazy: Cell::new(false),
        })
    }

    /// Folds SQLite's log into the catalog, as far as readers let it; what is left is folded later.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        let connection = self.connection()?;
        connection.busy_timeout(std::time::Duration::ZERO)?;
        let folded = Stop::LogFolded.around(|| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        connection.busy_timeout(catalog::BUSY)?;
        match folded {
            Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == rusqlite::ErrorCode::DatabaseBusy => Ok(()),
            folded => Ok(folded?),
        }
    }

    /// Refuses to write where that is not possible.
    pub(crate) fn writable(&self) -> Result<()> {
        match self.is_read_only() {
            true => Err(Error::Busy(format!(
                "{}: cannot be written to (by this user, on this file system, or because the disk is full)",
                self.path.display()
            ))),
            false => Ok(()),
        }
    }
}

/// Makes a folder with those above it, durably.
fn make_folder(path: &Path) -> Result<()> {
    let made: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    if let Some(above) = path.parent() {
        std::fs::create_dir_all(above).at(above)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error).at(path),
        _ => {}
    }
    for folder in made {
        let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
        let above = above.unwrap_or(Path::new("."));
        Stop::RepositoryNamed
            .around(|| File::open(above).and_then(|above| above.sync_all()))
            .at(above)?;
    }
    Ok(())
}

/// A connection on loan from its repository.
pub(crate) struct Borrowed<'a> {
    repository: &'a Repository,
    connection: Option<Connection>,
    /// Whether the disk is not waited for.
    is_lazy: Cell<bool>,
}

impl Borrowed<'_> {
    /// Does `act` with commits that are not waited for until they are on the disk: what no snapshot reaches, and nothing
    /// outside of the catalog depends on. The next commit brings them there with it. After a power cut the catalog is as
    /// one of its commits left it, with all that came before (<https://www.sqlite.org/pragma.html#pragma_synchronous>).
    pub fn lazily<T>(&self, act: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.is_lazy.set(true);
        catalog::wait_for_disk(self, false)?;
        let done = act(self);
        catalog::wait_for_disk(self, true)?;
        self.is_lazy.set(false);
        done
    }
}

impl Deref for Borrowed<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("there until dropped")
    }
}

impl DerefMut for Borrowed<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("there until dropped")
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let connection = self.connection.take().expect("dropped once");
        // A connection that an error left inside a transaction is closed, which rolls it back.
        if connection.is_autocommit() && !self.is_lazy.get() {
            self.repository
                .connections
                .lock()
                .expect("no panic while held")
                .push(connection);
        }
    }
}

fn compression_text(compression: Compression) -> String {
    match compression {
        Compression::Off => "off".into(),
        Compression::Zstd(level) => format!("zstd:{level}"),
    }
}

fn new_id() -> Result<String> {
    let mut bytes = [0u8; 16];
    let source = Path::new("/dev/urandom");
    std::io::Read::read_exact(&mut File::open(source).at(source)?, &mut bytes).at(source)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn write_config(repository: &Path, config: &Config) -> Result<()> {
    let path = layout::config(repository);
    let text = format!(
        "# A yore repository. What lies here is described in FORMAT.md of its source;\n\
         # sqlite3, zstd and rdiff are enough to read it.\n{}",
        toml::to_string(config).expect("three plain values")
    );
    // Aside first: a crash leaves the one that was there, or none.
    let aside = path.with_extension("toml.new");
    let mut file = File::create(&aside).at(&aside)?;
    file.write_all(text.as_bytes()).at(&aside)?;
    Stop::ConfigSynced.around(|| file.sync_all()).at(&aside)?;
    Stop::ConfigRenamed
        .around(|| std::fs::rename(&aside, &path))
        .at(&path)?;
    Stop::ConfigFolderSynced
        .around(|| File::open(repository).and_then(|folder| folder.sync_all()))
        .at(repository)
}

/// Writes `yore.toml` anew if it is not there or cannot be read; says whether that is so. Its identity is lost then, and
/// with it what machines remember of the repository.
///
/// Both it and the catalog say the version. A later one in one of them alone is damage: in `yore.toml`, if that cannot be
/// read, or if the catalog, which says `catalog`, has ours.
///
/// # Errors
/// [`Error::Future`] if it is, or may be, a later version.
pub(crate) fn renew_config(repository: &Path, catalog: Option<u32>, dry_run: bool) -> Result<bool> {
    match read_config(repository) {
        Err(Error::NotARepository(_) | Error::Config { .. }) => known(repository, catalog.unwrap_or(FORMAT))?,
        Err(Error::Future { .. }) if catalog == Some(FORMAT) => {}
        read => return read.map(|_| false),
    }
    if !dry_run {
        let path = layout::config(repository);
        let damaged = path.with_extension("toml.damaged");
        let _ = Stop::ConfigSetAside.around(|| std::fs::rename(&path, damaged));
        write_config(
            repository,
            &Config {
                format: FORMAT,
                id: new_id()?,
                compression: compression_text(Compression::Zstd(3)),
            },
        )?;
    }
    Ok(true)
}

/// Refuses a later version.
fn known(repository: &Path, found: u32) -> Result<()> {
    match found > FORMAT {
        true => Err(catalog::future(repository, found)),
        false => Ok(()),
    }
}

/// Gives a repository another identity, for which nobody remembers anything.
pub(crate) fn renew_id(repository: &Path) -> Result<()> {
    let config = Config {
        id: new_id()?,
        ..read_config(repository)?
    };
    write_config(repository, &config)
}

fn read_config(repository: &Path) -> Result<Config> {
    let path = layout::config(repository);
    let broken = |message: String| Error::Config {
        path: path.clone(),
        message,
    };
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::NotARepository(repository.to_owned()));
        }
        bytes => bytes.at(&path)?,
    };
    let text = String::from_utf8(bytes).map_err(|_| broken("is no text".into()))?;
    // The version first: a later format may have keys that we would take for mistakes.
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| broken(error.message().to_owned()))?;
    if let Some(format) = table.get("format").and_then(|format| format.as_integer()) {
        known(repository, u32::try_from(format.max(0)).unwrap_or(u32::MAX))?;
    }
    let config: Config = toml::from_str(&text).map_err(|error| broken(error.message().to_owned()))?;
    parse_compression(&config.compression).map_err(broken)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_waited_for_again_after_what_was_not_even_if_that_failed() {
        let bench = crate::testing::Bench::new();
        // https://www.sqlite.org/pragma.html#pragma_synchronous
        let (normal, full) = (1, 2);
        let level = |connection: &Connection| -> i64 {
            let asked = connection.pragma_query_value(None, "synchronous", |row| row.get(0));
            asked.unwrap()
        };
        let connection = bench.repository.connection().unwrap();
        assert_eq!(level(&connection), full);
        assert_eq!(connection.lazily(|lazy| Ok(level(lazy))).unwrap(), normal);
        assert_eq!(level(&connection), full);
        let failed = connection.lazily(|_| Err::<(), _>(Error::Refused("no".into())));
        assert!(failed.is_err());
        assert_eq!(level(&connection), full);
        // One that could not be set back is in a transaction, and lent to nobody else.
        let stuck = connection.lazily(|lazy| Ok(lazy.execute_batch("BEGIN")?));
        assert!(stuck.is_err() && level(&connection) == normal);
        drop(connection);
        assert_eq!(level(&bench.repository.connection().unwrap()), full);
    }

    #[test]
    fn a_new_repository_opens_and_a_used_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init(&folder.path().join("r"), Compression::Zstd(3)).unwrap();
        assert_eq!(Repository::open(repository.path()).unwrap().id(), repository.id());
        assert!(matches!(
            Repository::init(repository.path(), Compression::Off),
            Err(Error::NotEmpty(_))
        ));
        assert!(matches!(Repository::open(folder.path()), Err(Error::NotARepository(_))));
    }

    #[test]
    fn a_new_folder_is_its_owners_only_and_one_that_is_there_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let new = folder.path().join("a/b/r");
        Repository::init(&new, Compression::Off).unwrap();
        assert_eq!(mode(&new), 0o700);
        let there = folder.path().join("there");
        std::fs::create_dir(&there).unwrap();
        std::fs::set_permissions(&there, std::fs::Permissions::from_mode(0o750)).unwrap();
        Repository::init(&there, Compression::Off).unwrap();
        assert_eq!(mode(&there), 0o750);
    }

    #[test]
    fn a_later_format_is_refused_politely() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r");
        Repository::init(&path, Compression::Zstd(3)).unwrap();
        std::fs::write(layout::config(&path), "format = 99\nnew = true\n").unwrap();
        assert!(matches!(Repository::open(&path), Err(Error::Future { found: 99, .. })));
    }

    #[test]
    fn compressions_are_read_and_nonsense_is_not() {
        assert_eq!(parse_compression("off"), Ok(Compression::Off));
        assert_eq!(parse_compression("zstd:19"), Ok(Compression::Zstd(19)));
        for bad in ["", "zstd", "zstd:0", "zstd:20", "gzip:1"] {
            assert!(parse_compression(bad).is_err(), "{bad}");
        }
    }
}
