//! What a child does on the disk: one order a line, and when it is done, what it found and one line that says so.
//!
//! | order | lines before `ok` |
//! |---|---|
//! | `init`, if there is none | |
//! | `push LINE` | the number of the snapshot |
//! | `forget NUMBER…`, `copy`, `sweep` | |
//! | `read` | for each snapshot its number and line, then `PATH HASH` of what is in it |
//! | `verify` | what is damaged |
//! | `strays` | files that no row names, rows that a sweep should not have left, copies of the catalog that do not unpack |
//!
//! Or `failed WHY`. What it said is flushed before it does anything else: it may be killed at any time.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rusqlite::Connection;
use yore_agent::filter::Filter;
use yore_agent::snapshot::{SnapshotRequest, snapshot};
use yore_agent::target::Target;
use yore_store::{Compression, ContentId, Entry, Hash, Repository, Snapshot, SnapshotId, StepClock};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DAY: i64 = 24 * 60 * 60;

/// What lies in a repository beside the stored files.
const KNOWN: [&str; 7] = [
    "yore.toml",
    "catalog.sqlite3",
    "catalog.sqlite3-wal",
    "catalog.sqlite3-shm",
    "ballast",
    "locks",
    "catalog.old",
];

struct Worker {
    path: PathBuf,
    sources: PathBuf,
    cache: PathBuf,
    clock: Arc<StepClock>,
    opened: Option<Arc<Repository>>,
}

/// Takes orders until there are no more.
pub fn serve(arguments: &[String]) {
    let [path, sources, cache, seconds] = arguments else {
        panic!("power-worker REPOSITORY SOURCES CACHE SECONDS");
    };
    let mut worker = Worker {
        path: path.into(),
        sources: sources.into(),
        cache: cache.into(),
        clock: Arc::new(StepClock::new(seconds.parse().expect("seconds since 1970"))),
        opened: None,
    };
    for order in std::io::stdin().lines() {
        let answer = match worker.obey(&order.expect("orders are text")) {
            Ok(found) => format!("{found}ok\n"),
            Err(error) => format!("failed {}\n", causes(&*error)),
        };
        let mut output = std::io::stdout();
        output.write_all(answer.as_bytes()).expect("somebody listens");
        output.flush().expect("somebody listens");
    }
}

/// An error with what led to it, in one line.
fn causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let texts: Vec<String> = causes.map(|error| error.to_string().replace('\n', " ")).collect();
    texts.join(": ")
}

impl Worker {
    fn obey(&mut self, order: &str) -> Result<String> {
        let mut words = order.split(' ');
        match words.next().expect("split gives one") {
            "init" => self.init()?,
            "push" => return self.push(words.next().expect("a line")),
            "forget" => {
                let snapshots = words.map(|word| Ok(SnapshotId(word.parse()?)));
                self.repository()?.forget(&snapshots.collect::<Result<Vec<_>>>()?)?;
            }
            "copy" => {
                self.clock.advance(DAY);
                self.repository()?.copy_catalog()?;
            }
            "sweep" => drop(self.repository()?.sweep_all()?),
            "read" => return self.read(),
            "verify" => return self.verify(),
            "strays" => return self.strays(),
            unknown => panic!("no order: {unknown}"),
        }
        Ok(String::new())
    }

    /// A folder that has no `yore.toml` is no repository: what a cut left of one is cleared away.
    fn init(&self) -> Result<()> {
        if self.path.join("yore.toml").exists() {
            return Ok(());
        }
        if self.path.exists() {
            std::fs::remove_dir_all(&self.path)?;
        }
        Repository::init(&self.path, Compression::Zstd(3))?;
        Ok(())
    }

    fn repository(&mut self) -> Result<Arc<Repository>> {
        if self.opened.is_none() {
            self.opened = Some(Arc::new(Repository::open_with_clock(&self.path, self.clock.clone())?));
        }
        Ok(self.opened.clone().expect("just opened"))
    }

    fn push(&mut self, line: &str) -> Result<String> {
        let request = SnapshotRequest {
            paths: vec![self.sources.join(line)],
            filter: Filter::default(),
            exclude_caches: false,
            one_file_system: false,
            tags: vec![],
            host: "host".into(),
            dry_run: false,
            cache_dir: self.cache.clone(),
            limit: None,
            limit_rate: None,
            retry_for: std::time::Duration::ZERO,
            marks: None,
        };
        let outcome = snapshot(&Target::Here(self.repository()?), request, &())?;
        Ok(format!("{}\n", outcome.snapshot.ok_or("no snapshot")?.id))
    }

    fn verify(&mut self) -> Result<String> {
        let verified = self.repository()?.verify(true, &mut |_, _| Ok(()))?;
        let damages = verified.damages.into_iter();
        Ok(damages.fold(String::new(), |text, damage| text + &damage.what + "\n"))
    }

    fn read(&mut self) -> Result<String> {
        let repository = self.repository()?;
        let mut text = String::new();
        for snapshot in repository.snapshots()? {
            let root = Path::new(std::ffi::OsStr::from_bytes(&snapshot.roots[0])).to_owned();
            let line = root.file_name().expect("a line's folder").to_string_lossy();
            writeln!(text, "snapshot {} {line}", snapshot.id)?;
            let entry = repository.lookup(&snapshot, root.as_os_str().as_bytes())?;
            read_folder(&repository, &snapshot, &entry, "", &mut text)?;
        }
        Ok(text)
    }

    fn strays(&mut self) -> Result<String> {
        let repository = self.repository()?;
        let rows = file_rows(repository.path())?;
        let left = rows.iter().filter(|(_, is_left)| **is_left);
        let left = left.map(|(name, _)| format!("row of {name}"));
        let is_stray = |name: &String| !rows.contains_key(name) && !is_known(&self.path, name);
        let strays = files(repository.path(), "")?.into_iter().filter(is_stray);
        Ok(left.chain(strays).map(|name| name + "\n").collect())
    }
}

/// The stored files that have a row, and whether a sweep should have removed it.
fn file_rows(repository: &Path) -> Result<BTreeMap<String, bool>> {
    let catalog = Connection::open(repository.join("catalog.sqlite3"))?;
    let mut statement = catalog.prepare("SELECT kind, id, dead = 1 OR push IS NOT NULL FROM files")?;
    let rows = statement.query_map([], |row| Ok((stored(row.get(0)?, row.get(1)?), row.get(2)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The path of a stored file in its repository.
fn stored(kind: u32, id: i64) -> String {
    format!(
        "{}/{:02x}/{id:016x}",
        ["packs", "heads", "deltas"][kind as usize],
        id & 0xff
    )
}

/// Whether a file is no stored file, and belongs where it is.
fn is_known(repository: &Path, name: &str) -> bool {
    let first = name.split('/').next().expect("split gives one");
    KNOWN.contains(&first) && (first != "catalog.old" || unpacks(&repository.join(name)))
}

/// Whether a copy of the catalog is whole.
fn unpacks(copy: &Path) -> bool {
    let mut command = Command::new("zstd");
    command.args(["-tq", "--"]).arg(copy);
    let is_copy = copy.extension().is_some_and(|extension| extension == "zst");
    is_copy && command.status().expect("contrib/test installs zstd").success()
}

/// The paths of all files in a folder.
fn files(folder: &Path, prefix: &str) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type()?.is_dir() {
            true => all.extend(files(&entry.path(), &format!("{name}/"))?),
            false => all.push(name),
        }
    }
    Ok(all)
}

fn read_folder(
    repository: &Arc<Repository>,
    snapshot: &Snapshot,
    folder: &Entry,
    prefix: &str,
    text: &mut String,
) -> Result<()> {
    let child = folder.child.ok_or("no folder")?;
    for entry in repository.list(snapshot.id, child)?.iter() {
        let path = format!("{prefix}/{}", String::from_utf8_lossy(&entry.name));
        if entry.child.is_some() {
            writeln!(text, "{path} folder")?;
            read_folder(repository, snapshot, entry, &path, text)?;
        } else {
            writeln!(text, "{path} {}", hash_of(repository, entry.content, entry.size)?)?;
        }
    }
    Ok(())
}

/// The hash of what a file reads as.
fn hash_of(repository: &Arc<Repository>, content: Option<ContentId>, size: u64) -> Result<Hash> {
    let mut bytes = vec![0; size as usize + 1];
    let length = match content {
        Some(content) => repository.open_content(content)?.read_at(0, &mut bytes)?,
        None => 0,
    };
    Ok(Hash::of(&bytes[..length]))
}
