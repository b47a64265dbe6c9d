//! A push under way: its thread, and what is seen of it from outside.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use super::open_files::open_for_writing;
use super::push::{PushError, Setting, push_once};
use super::watcher::{Watcher, Work};
use crate::config::AgentConfig;
use crate::snapshot::{Outcome, Progress};

/// A push that has ended.
pub(super) struct Finished {
    pub result: Result<Outcome, PushError>,
    /// What it was to look at; `None` if it did not come so far.
    pub work: Option<Work>,
}

/// What a push says of its progress, and how it is stopped.
#[derive(Default)]
pub(super) struct Counters {
    pub files: AtomicU64,
    pub bytes: AtomicU64,
    pub stop: AtomicBool,
    /// Why it went on without its memory of the last push, if it did.
    pub forgot: OnceLock<String>,
}

impl Progress for Counters {
    fn item(&self) {
        self.files.fetch_add(1, Relaxed);
    }
    fn bytes(&self, more: u64) {
        self.bytes.fetch_add(more, Relaxed);
    }
    fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }
    fn forgets(&self, why: &str) {
        let _ = self.forgot.set(why.to_owned());
    }
}

/// Starts a push in a thread of its own; `done` is told how it ended.
pub(super) fn spawn(
    setting: Setting,
    config: AgentConfig,
    watcher: Option<Arc<Mutex<Watcher>>>,
    done: impl FnOnce(Finished) + Send + 'static,
) -> io::Result<Arc<Counters>> {
    let counters = Arc::new(Counters::default());
    let progress = counters.clone();
    let push = move || {
        let mut work = None;
        let marks = || {
            work = watcher.map(|watcher| take(&watcher));
            match &work {
                Some(Work::Marked(marks)) => Some(marks.clone()),
                _ => None,
            }
        };
        let result = push_once(&setting, &config, marks, Duration::ZERO, &*progress);
        done(Finished { result, work });
    };
    thread::Builder::new().name("push".into()).spawn(push)?;
    Ok(counters)
}

/// What a push has to look at: what was seen to change, and what is being written now.
fn take(watcher: &Mutex<Watcher>) -> Work {
    let open = open_for_writing();
    let mut watcher = watcher.lock().expect("no panic while held");
    watcher.mark_if_watched(open.into_iter());
    watcher.take()
}

/// One line about a snapshot.
pub(super) fn sentence(outcome: &Outcome) -> String {
    let name = outcome.snapshot.as_ref().map_or("none", |snapshot| &snapshot.name);
    let unread = match outcome.unreadable.as_slice() {
        [] => String::new(),
        [(path, why), ..] => format!(
            "; {} could not be read, such as {}: {why}",
            outcome.unreadable.len(),
            String::from_utf8_lossy(path).escape_debug()
        ),
    };
    format!(
        "snapshot {name}: {} new, {} changed, {} removed, {} bytes read, {} bytes stored{unread}",
        outcome.files_new, outcome.files_changed, outcome.removed, outcome.bytes_read, outcome.bytes_new
    )
}
