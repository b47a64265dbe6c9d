//! What the agent leaves for others to see, in its state folder.
//!
//! ```text
//! $YORE_STATE_DIR, else /var/lib/yore-agent for root, else $XDG_STATE_HOME/yore or ~/.local/state/yore
//!     watch.lock      locked while `yore watch` lives: the lock dies with it, whatever kills it
//!     watch.json      what it does now; renewed about once a second while it pushes
//!     results.json    the last success and the last failure, of whoever pushed
//!     paused          until when nothing is to be pushed; empty: until it is removed
//! ```
//!
//! Each is replaced whole, so a reader sees one state or the next. All of it may be lost: then
//! the next push comes at once.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::atomic::{replace, replace_for_now};
use crate::config::own_folder;
use crate::private;
use crate::snapshot::Outcome;

/// The agent's state folder.
#[derive(Clone, Debug)]
pub struct StateFolder(PathBuf);

/// A file of the state folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Nobody says where the folder is.
    #[error("there is no home folder to keep a state in; set YORE_STATE_DIR or HOME")]
    NoHome,
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The last success and the last failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// The last snapshot that was made.
    pub success: Option<Success>,
    /// The last push that failed.
    pub failure: Option<Failure>,
}

/// A snapshot that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Success {
    /// When it was done, RFC 3339.
    pub time: String,
    /// Its name.
    pub snapshot: String,
    /// How long it took.
    pub seconds: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Bytes that it added to the repository.
    pub bytes_new: u64,
    /// Paths that could not be read.
    pub unreadable: u64,
    /// Whether everything was looked at, not only what was seen to change.
    pub full_scan: bool,
}

/// A push that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When, RFC 3339.
    pub time: String,
    /// Why.
    pub error: String,
}

/// What `yore watch` does now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchStatus {
    /// Its process.
    pub pid: u32,
    /// Since when it runs, RFC 3339.
    pub started: String,
    /// The push under way.
    pub running: Option<Running>,
    /// When the next push is due, RFC 3339; none is while nothing is planned.
    pub next_run: Option<String>,
    /// Folders that are watched.
    pub watches: u64,
    /// Whether the system allows fewer watches than there are folders.
    pub watch_limit_reached: bool,
    /// Names and folders that were seen to change since the last push.
    pub marked: u64,
    /// Whether the next push looks at everything.
    pub full_scan_next: bool,
}

/// A push under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Since when, RFC 3339.
    pub since: String,
    /// Why: `schedule`, `change`, `retry` or `start`.
    pub why: String,
    /// Files looked at so far.
    pub files: u64,
    /// Bytes done so far.
    pub bytes: u64,
}

/// Until when nothing is to be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Until this time.
    Until(Timestamp),
    /// Until somebody says so.
    Open,
}

impl Pause {
    /// Whether it holds at this time.
    pub fn holds(&self, now: Timestamp) -> bool {
        match self {
            Pause::Until(end) => now < *end,
            Pause::Open => true,
        }
    }
}

/// The lock of a running watch.
#[derive(Debug)]
pub struct WatchLock(#[expect(dead_code, reason = "held, not read")] File);

impl StateFolder {
    /// The folder that the environment says; it may not be there yet.
    ///
    /// # Errors
    /// [`StatusError::NoHome`].
    pub fn of_environment() -> Result<Self, StatusError> {
        own_folder(
            "YORE_STATE_DIR",
            "/var/lib/yore-agent",
            "XDG_STATE_HOME",
            ".local/state",
        )
        .map(StateFolder)
        .ok_or(StatusError::NoHome)
    }

    /// A folder of one's own.
    pub fn new(folder: PathBuf) -> Self {
        StateFolder(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folder, if it is not there.
    ///
    /// # Errors
    /// [`StatusError::Io`].
    pub fn create(&self) -> Result<(), StatusError> {
        private::folder(&self.0).map_err(at(&self.0))
    }

    /// Takes the lock of a running watch; `None` if one runs.
    ///
    /// # Errors
    /// [`StatusError::Io`].
    pub fn lock_watch(&self) -> Result<Option<WatchLock>, StatusError> {
        self.create()?;
        let path = self.0.join("watch.lock");
        let file = private::file(&path).map_err(at(&path))?;
        // Whoever asks whether a watch runs holds the lock for a moment: a second try tells.
        for _ in 0..20 {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(WatchLock(file))),
                Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(10)),
                Err(error) => return Err(at(&path)(error.into())),
            }
        }
        Ok(None)
    }

    /// Whether a watch runs.
    pub fn is_watching(&self) -> bool {
        let Ok(file) = File::open(self.0.join("watch.lock")) else {
            return false;
        };
        flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    }

    /// What the running watch says; `None` if it has not said anything.
    pub fn watch(&self) -> Option<WatchStatus> {
        self.read("watch.json")
    }

    /// Says what the running watch does.
    ///
    /// # Errors
    /// [`StatusError::Io`].
    pub fn set_watch(&self, status: &WatchStatus) -> Result<(), StatusError> {
        let path = self.0.join("watch.json");
        replace_for_now(&path, &json(status)).map_err(at(&path))
    }

    /// The last success and the last failure.
    pub fn results(&self) -> Results {
        self.read("results.json").unwrap_or_default()
    }

    /// Remembers a snapshot that was made.
    ///
    /// # Errors
    /// [`StatusError::Io`].
    pub fn succeeded(&self, success: Success) -> Result<(), StatusError> {
        self.record(|results| results.success = Some(success))
    }

    /// Remembers a push that failed.
    ///
    /// # Errors
    /// [`StatusError::Io`].
    pub fn failed(&self, time: Timestamp, error: &str) -> Result<(), StatusError> {
        let (time, error) = (text(time), error.to_owned());
        self.record(|results| results.failure = Some(Failure { time, error }))
    }

    /// Until when nothing is to be pushed; what is in `paused` and is no time means: until it
    /// is removed.
    pub fn pause(&self) -> Option<Pause> {
        let said = std::fs::read_to_string(self.0.join("paused")).ok()?;
        Some(said.trim().parse().map_or(Pause::Open, Pause::Until))
    }

    /// Pauses, or ends a pause.
    ///
    /// # Errors
    /// [`StatusError::Io`].
    pub fn set_pause(&self, pause: Option<Pause>) -> Result<(), StatusError> {
        let path = self.0.join("paused");
        let done = match pause {
            None => match std::fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            },
            Some(pause) => {
                self.create()?;
                let end = match pause {
                    Pause::Until(end) => text(end),
                    Pause::Open => String::new(),
                };
                replace(&path, end.as_bytes())
            }
        };
        done.map_err(at(&path))
    }

    /// Changes `results.json` under a lock: a person and the watch may push at the same time,
    /// into different repositories.
    fn record(&self, change: impl FnOnce(&mut Results)) -> Result<(), StatusError> {
        self.create()?;
        let path = self.0.join("results.lock");
        let lock = private::file(&path).map_err(at(&path))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| at(&path)(error.into()))?;
        let mut results = self.results();
        change(&mut results);
        let path = self.0.join("results.json");
        replace(&path, &json(&results)).map_err(at(&path))
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&std::fs::read(self.0.join(name)).ok()?).ok()
    }
}

impl Success {
    /// What an outcome looks like here; `None` for a dry run's.
    pub fn new(outcome: &Outcome, time: Timestamp, seconds: u64) -> Option<Self> {
        let snapshot = outcome.snapshot.as_ref()?;
        Some(Success {
            time: text(time),
            snapshot: snapshot.name.clone(),
            seconds,
            bytes_read: outcome.bytes_read,
            bytes_new: outcome.bytes_new,
            unreadable: outcome.unreadable.len() as u64,
            full_scan: outcome.full_scan,
        })
    }
}

/// A time as all of these files have it, to the second.
pub(crate) fn text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("names are text")
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StatusError {
    move |source| StatusError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, StateFolder) {
        let temporary = tempfile::tempdir().unwrap();
        let state = StateFolder::new(temporary.path().join("state"));
        (temporary, state)
    }

    #[test]
    fn a_success_does_not_hide_a_failure() {
        let (_temporary, state) = folder();
        assert_eq!(state.results(), Results::default());
        state.failed(Timestamp::UNIX_EPOCH, "no way").unwrap();
        let success = Success {
            time: text(Timestamp::UNIX_EPOCH),
            snapshot: "one".into(),
            seconds: 1,
            bytes_read: 2,
            bytes_new: 3,
            unreadable: 0,
            full_scan: true,
        };
        state.succeeded(success.clone()).unwrap();
        let results = state.results();
        assert_eq!(results.success, Some(success));
        let failure = results.failure.unwrap();
        assert_eq!(
            (failure.time.as_str(), failure.error.as_str()),
            ("1970-01-01T00:00:00Z", "no way")
        );
    }

    #[test]
    fn one_watch_at_a_time() {
        let (_temporary, state) = folder();
        assert!(!state.is_watching());
        let lock = state.lock_watch().unwrap();
        assert!(lock.is_some() && state.is_watching());
        assert!(state.lock_watch().unwrap().is_none());
        drop(lock);
        assert!(!state.is_watching());
    }

    #[test]
    fn a_pause_ends() {
        let (_temporary, state) = folder();
        assert_eq!(state.pause(), None);
        state.set_pause(None).unwrap();
        let end: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        state.set_pause(Some(Pause::Until(end))).unwrap();
        let pause = state.pause().unwrap();
        assert_eq!(pause, Pause::Until(end));
        assert!(pause.holds("2026-11-21T11:59:59Z".parse().unwrap()) && !pause.holds(end));
        state.set_pause(Some(Pause::Open)).unwrap();
        assert!(state.pause().unwrap().holds(Timestamp::MAX));
        state.set_pause(None).unwrap();
        assert_eq!(state.pause(), None);
    }
}
