//! Making a snapshot: a walk, a push, a commit.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use yore_store::{PushOptions, Snapshot, lacks_room};

use crate::destination::{Destination, Listed};
use crate::filter::Filter;
use crate::marks::{Marks, widen};
use crate::metadata::Stat;
use crate::push::Push;
use crate::roots::{RootError, Roots};
use crate::state::{ABOVE, Seen, State};
use crate::target::Target;
use crate::turn::Turn;
use crate::walk::{WalkError, WalkOptions, walk_marked};
use crate::watch::retry;
use crate::watch::retry::chance;

mod stream;

pub use crate::restore::Progress;
pub use stream::snapshot_stdin;

/// What to make a snapshot of.
pub struct SnapshotRequest {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// What to leave out.
    pub filter: Filter,
    /// Of folders with a CACHEDIR.TAG, keep only the tag.
    pub exclude_caches: bool,
    /// Do not go into other file systems.
    pub one_file_system: bool,
    /// What to call the snapshot.
    pub tags: Vec<String>,
    /// The name of this machine.
    pub host: String,
    /// Find out what would be sent, and change nothing.
    pub dry_run: bool,
    /// Where to remember what files looked like.
    pub cache_dir: PathBuf,
    /// Bytes that it may write, into a repository here; a server has its own quota.
    pub limit: Option<u64>,
    /// Bytes a second that it may send to a server; what the machine's file says if `None`.
    pub limit_rate: Option<u64>,
    /// How long a push is begun again whose connection broke, so that it goes on where it was.
    pub retry_for: Duration,
    /// Look only at what is marked, if what is remembered is still the newest snapshot.
    pub marks: Option<Marks>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The snapshot; `None` after a dry run.
    pub snapshot: Option<Snapshot>,
    /// Paths that were not in the snapshot before. Folders are not counted here and below.
    pub files_new: u64,
    /// Paths that were, and have changed.
    pub files_changed: u64,
    /// Paths that are as they were.
    pub files_unchanged: u64,
    /// Names that are gone, a folder with all that was in it counted as one.
    pub removed: u64,
    /// Bytes of contents that were read.
    pub bytes_read: u64,
    /// Bytes added to the repository's files.
    pub bytes_new: u64,
    /// Contents that became reverse deltas.
    pub deltas: u64,
    /// Contents that were damaged in the repository and are whole again.
    pub healed: u64,
    /// Paths that could not be read, and why.
    pub unreadable: Vec<(Vec<u8>, String)>,
    /// Folders left out for another reason than a pattern, and why.
    pub skipped: Vec<(Vec<u8>, String)>,
    /// Folders that were listed.
    pub folders_listed: u64,
    /// Whether everything was looked at, not only what was marked.
    pub full_scan: bool,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The repository, or the push into it.
    #[error(transparent)]
    Store(#[from] yore_store::Error),
    /// A root is not there.
    #[error(transparent)]
    Root(#[from] RootError),
    /// Somebody wanted it to end.
    #[error("it was stopped; what was sent is kept for the next push")]
    Stopped,
    /// A root vanished.
    #[error("{0}")]
    Walk(String),
    /// The agent's own memory of the last push.
    #[error("{}: {source}; {advice}", path.display(), advice = folder_advice(source))]
    State {
        /// Its folder.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// The same, while it is used.
    #[error("{}", state_text(.0))]
    StateDatabase(#[from] rusqlite::Error),
    /// A file, or the stream.
    #[error(transparent)]
    File(#[from] io::Error),
}

/// Makes a snapshot.
///
/// # Errors
/// [`AgentError`]; then nothing was committed. Paths that cannot be read are no error:
/// they are in [`Outcome::unreadable`].
pub fn snapshot(target: &Target, request: SnapshotRequest, progress: &dyn Progress) -> Result<Outcome, AgentError> {
    let roots = Roots::resolve(&request.paths).inspect_err(|error| target.report(&error.to_string()))?;
    let _turn = Turn::wait(&request.cache_dir, target, &options(&roots, &request), progress)?;
    let (mut left, mut failures, mut begun) = (AGAIN, 0, Instant::now());
    let mut way = WAY;
    loop {
        let attempt_began = Instant::now();
        let error = match attempt(target, &roots, &request, way, progress) {
            // An older version cannot be read any more; this one can be kept all the same.
            Err(AgentError::Store(yore_store::Error::Damaged(_))) if way.compares => {
                way.compares = false;
                continue;
            }
            // A full disk here is a reason to be backed up.
            Err(AgentError::StateDatabase(error)) if way.remembers && is_no_place(&error) => {
                way.remembers = false;
                progress.forgets(&state_text(&error));
                continue;
            }
            Err(AgentError::Store(yore_store::Error::Again(_))) if left > 0 => {
                left -= 1;
                continue;
            }
            Err(AgentError::Store(error)) => error,
            result => {
                copy_catalog(target, &result);
                return result;
            }
        };
        // Until the server has noticed that the connection broke, the push seems to be running.
        let is_broken = matches!(error, yore_store::Error::Elsewhere { lost: true, .. });
        let may_pass = is_broken || (failures > 0 && error.is_passing());
        // One that went on for a while got somewhere; what it sent is kept.
        if attempt_began.elapsed() > LONG {
            (failures, begun) = (0, Instant::now());
        }
        failures += 1;
        let (tried, most) = (begun.elapsed(), request.retry_for);
        let slowly = retry(
            failures,
            tried.saturating_mul(SOONER),
            most.saturating_mul(SOONER),
            chance(),
        );
        let Some(wait) = slowly.filter(|_| may_pass).map(|wait| wait / SOONER) else {
            return Err(error.into());
        };
        progress.waits(&error.to_string(), wait);
        wait_unless_stopped(progress, wait)?;
    }
}

/// Copies the catalog of a repository here, once a day; a server does it by itself.
fn copy_catalog(target: &Target, made: &Result<Outcome, AgentError>) {
    if let (Target::Here(repository), Ok(Outcome { snapshot: Some(_), .. })) = (target, made) {
        // The snapshot is there; a verification says what is wrong with a catalog that cannot be copied.
        let _ = repository.copy_catalog();
    }
}

/// An attempt that took longer than this before its connection broke did not fail at once.
const LONG: Duration = Duration::from_secs(60);

/// A connection that broke is often there again at once; the waits between pushes are longer.
const SOONER: u32 = 10;

fn wait_unless_stopped(progress: &dyn Progress, wait: Duration) -> Result<(), AgentError> {
    let until = Instant::now() + wait;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        if progress.is_stopped() {
            return Err(AgentError::Stopped);
        }
        std::thread::sleep(left.min(Duration::from_millis(200)));
    }
    Ok(())
}

/// How an attempt goes about it.
#[derive(Clone, Copy)]
struct Way {
    /// Tells what has changed of a file from what the repository has of it.
    compares: bool,
    /// Keeps a state in the cache folder.
    remembers: bool,
}

impl Way {
    /// What a server is told of an error; nothing if another attempt follows at once, which is the one to be told of.
    fn tells(self, error: &AgentError) -> String {
        let is_last = match error {
            AgentError::Store(yore_store::Error::Damaged(_)) => !self.compares,
            AgentError::StateDatabase(error) => !(self.remembers && is_no_place(error)),
            _ => true,
        };
        if is_last { told(error) } else { String::new() }
    }
}

/// The usual way.
const WAY: Way = Way {
    compares: true,
    remembers: true,
};

/// How often a push begins anew that counted on what turned out to be gone.
const AGAIN: u32 = 2;

fn options(roots: &Roots, request: &SnapshotRequest) -> PushOptions {
    PushOptions {
        host: request.host.clone(),
        roots: roots.to_bytes(),
        tags: request.tags.clone(),
        made: None,
    }
}

fn attempt(
    target: &Target,
    roots: &Roots,
    request: &SnapshotRequest,
    way: Way,
    progress: &dyn Progress,
) -> Result<Outcome, AgentError> {
    let options = options(roots, request);
    let mut destination = match request.dry_run {
        true => Destination::begin_dry(target, &options)?,
        false => Destination::begin(target, options, request.limit, request.limit_rate)?,
    };
    if !way.compares {
        destination.compare_with_nothing();
    }
    let (mut push, is_mirror) = match begin(&destination, &request.cache_dir, way.remembers) {
        Ok((state, is_mirror)) => (Push::new(destination, state, progress, now()), is_mirror),
        Err(error) => {
            destination.abort(&way.tells(&error));
            return Err(error);
        }
    };
    let mut marks = request.marks.clone().filter(|_| is_mirror);
    if let Some(marks) = &mut marks {
        widen(marks, &push.state)?;
    }
    let walk_options = WalkOptions {
        one_file_system: request.one_file_system,
        exclude_caches: request.exclude_caches,
        filter: request.filter.clone(),
        skip: target.skip(),
    };
    let walked = walk_marked(roots, &walk_options, marks.as_ref(), &mut push).map_err(|error| match error {
        WalkError::Visitor(error) => error,
        gone => AgentError::Walk(gone.to_string()),
    });
    match walked.and_then(|walked| push.flush().map(|()| walked)) {
        Ok(walked) => Ok(Outcome {
            folders_listed: walked.listed,
            full_scan: marks.is_none(),
            ..finish(push, request.dry_run)?
        }),
        Err(error) => {
            // The receiver's own error says more than that it has hung up.
            push.destination.abort(&way.tells(&error));
            Err(error)
        }
    }
}

/// What a server is told of an error; nothing if somebody wanted the push to end.
pub(crate) fn told(error: &AgentError) -> String {
    match error {
        AgentError::Stopped => String::new(),
        error => error.to_string(),
    }
}

/// Opens a state, or one that is forgotten, and has it mirror what a push is told against; says whether it did so before.
fn begin(destination: &Destination, cache_dir: &Path, remembers: bool) -> Result<(State, bool), AgentError> {
    let mut state = match remembers {
        true => State::open(cache_dir, &destination.line).map_err(state_error)?,
        false => State::forgetful()?,
    };
    let is_mirror = state.mirrors()? == destination.base.as_ref().map(|base| base.name.clone());
    if !is_mirror {
        fill(&mut state, destination)?;
    }
    // What is wanted again may lie anywhere, marked or not.
    let is_mirror = is_mirror && destination.wanted.is_empty();
    state.lose(&destination.wanted)?;
    Ok((state, is_mirror))
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |now| now.as_secs() as i64)
}

/// Whether a state cannot be kept there: the disk is full, or not to be written to.
fn is_no_place(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    lacks_room(error) || matches!(error.sqlite_error_code(), Some(CannotOpen | ReadOnly))
}

/// What helps against an error of the folder that the state is in.
fn folder_advice(error: &io::Error) -> &'static str {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded | ReadOnlyFilesystem => "make room there, or name another folder by XDG_CACHE_HOME",
        _ => "remove its folder, it will be made again",
    }
}

/// What helps against an error of the state.
fn state_advice(error: &rusqlite::Error) -> &'static str {
    match is_no_place(error) {
        true => "make room on the disk of the cache folder (~/.cache/yore), and let it be written to",
        false => "remove the cache folder (~/.cache/yore), it will be made again",
    }
}

fn state_text(error: &rusqlite::Error) -> String {
    format!("the agent's state: {error}; {}", state_advice(error))
}

/// That somebody else has the state is no fault of it.
fn state_error(error: rusqlite::Error) -> AgentError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy) => AgentError::Store(yore_store::Error::Busy(
            "this machine is making another snapshot of these paths; wait for it and try again".into(),
        )),
        _ => error.into(),
    }
}

fn finish(push: Push<'_>, dry_run: bool) -> Result<Outcome, AgentError> {
    let Push {
        destination,
        state,
        counts,
        ..
    } = push;
    let mut outcome = Outcome {
        snapshot: None,
        files_new: counts.new,
        files_changed: counts.changed,
        files_unchanged: counts.unchanged,
        removed: counts.removed,
        bytes_read: counts.bytes_read,
        bytes_new: 0,
        deltas: 0,
        healed: 0,
        unreadable: counts.unreadable,
        skipped: counts.skipped,
        folders_listed: 0,
        full_scan: true,
    };
    if dry_run {
        destination.abort("");
        return Ok(outcome);
    }
    let committed = destination.commit(outcome.unreadable.len() as u64)?;
    // The snapshot is there, whatever becomes of the memory of it: that is filled from the repository then.
    let _ = state.commit(&committed.snapshot.name);
    outcome.bytes_new = committed.snapshot.new_bytes;
    outcome.deltas = committed.deltas;
    outcome.healed = committed.healed;
    outcome.snapshot = Some(committed.snapshot);
    Ok(outcome)
}

/// Fills a state from the repository. What files looked like is not known there, so each will
/// be read once more; what they held is, so only what changed will be sent.
fn fill(state: &mut State, destination: &Destination) -> Result<(), AgentError> {
    state.clear()?;
    let mut folders = vec![ABOVE];
    destination.listing(&mut |listed| {
        let (entry, hash) = match listed {
            Listed::Leave => {
                folders.pop();
                return Ok(());
            }
            Listed::Enter(entry) => (entry, None),
            Listed::Item(entry, hash) => (entry, hash),
        };
        let parent = folders[folders.len() - 1];
        let child = entry.child.map(|_| state.new_folder());
        folders.extend(child);
        let seen = Seen {
            name: entry.name.clone(),
            stat: Stat {
                size: entry.size,
                ..blank()
            },
            trusted: false,
            kind: entry.meta.kind,
            digest: entry.meta.digest(),
            hash,
            child,
        };
        state
            .put(parent, &seen)
            .map_err(|error| yore_store::Error::Refused(format!("the agent's state: {error}")))
    })?;
    Ok(())
}

fn blank() -> Stat {
    Stat {
        dev: 0,
        ino: 0,
        size: 0,
        mtime: 0,
        mtime_ns: 0,
        ctime: 0,
        ctime_ns: 0,
        mode: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        nlink: 1,
        blocks: 0,
    }
}
