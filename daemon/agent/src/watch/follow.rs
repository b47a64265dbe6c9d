//! A thread that waits for inotify, and the watcher that it shares with the loop.

use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;
use std::{io, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::push::{Setting, filter};
use super::watcher::{News, Scope, Watcher};
use crate::config::{AgentConfig, FILE};
use crate::roots::Roots;
use crate::walk::WalkOptions;

/// Files of ours that the loop wants to know of.
const TOLD: [&[u8]; 3] = [FILE.as_bytes(), b"paused", b"results.json"];

/// How long events are left to gather; the kernel keeps 16,384 of them.
const GATHER: Duration = Duration::from_millis(10);

/// A watcher that is followed by a thread as long as this lives.
pub(super) struct Followed(Arc<Mutex<Watcher>>);

impl Followed {
    /// Watches what a configuration includes, and tells news to `to`. `None` if there is nothing
    /// to watch: a root is not there, or the system gives no watch.
    pub fn new<T: From<News> + Send + 'static>(setting: &Setting, config: &AgentConfig, to: Sender<T>) -> Option<Self> {
        let scope = scope(setting, config)?;
        let watcher = match Watcher::new(scope) {
            Ok(watcher) => Arc::new(Mutex::new(watcher)),
            Err(error) => {
                (setting.say)(&format!("inotify: {error}; every push looks at everything"));
                return None;
            }
        };
        let weak = Arc::downgrade(&watcher);
        let named = thread::Builder::new().name("inotify".into());
        named.spawn(move || follow(&weak, &to)).ok()?;
        Some(Followed(watcher))
    }

    /// The watcher.
    pub fn lock(&self) -> MutexGuard<'_, Watcher> {
        self.0.lock().expect("no panic while held")
    }

    /// The watcher, for another thread.
    pub fn shared(&self) -> Arc<Mutex<Watcher>> {
        self.0.clone()
    }
}

fn scope(setting: &Setting, config: &AgentConfig) -> Option<Scope> {
    let own = |path: &Path| bytes(&path.canonicalize().unwrap_or_else(|_| path.to_owned()));
    let mut quiet = vec![own(setting.state.path()), own(&setting.cache_dir)];
    quiet.extend(
        config
            .repository
            .iter()
            .filter(|place| place.starts_with('/'))
            .map(|place| own(Path::new(place))),
    );
    Some(Scope {
        roots: Roots::resolve(&config.include).ok()?,
        options: WalkOptions {
            one_file_system: config.one_file_system,
            exclude_caches: config.exclude_caches,
            filter: filter(config).ok()?,
            skip: Vec::new(),
        },
        quiet,
        told: vec![own(&setting.config_folder), own(setting.state.path())],
    })
}

fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}

fn follow<T: From<News>>(watcher: &Weak<Mutex<Watcher>>, to: &Sender<T>) {
    let wait = || -> io::Result<Option<News>> {
        let Some(shared) = watcher.upgrade() else {
            return Ok(None);
        };
        let inotify = shared.lock().expect("no panic while held").descriptor()?;
        drop(shared);
        // Now and then it is asked whether anybody is there, and whether this is still the one.
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        match poll(&mut [PollFd::new(&inotify, PollFlags::IN)], Some(&second)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Some(News::default())),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        // What happens together is looked at together.
        thread::sleep(GATHER);
        let shared = watcher.upgrade();
        Ok(shared.map(|shared| shared.lock().expect("no panic while held").look()))
    };
    while let Ok(Some(mut news)) = wait() {
        news.told.retain(|name| TOLD.contains(&name.as_slice()));
        if news != News::default() && to.send(news.into()).is_err() {
            return;
        }
    }
}
