//! The loop of `yore watch`.
//!
//! It owns what is due and why. A push runs in a thread of its own, one at a time; what it was
//! to look at is put back if no snapshot came of it, so that nothing that was seen to change is
//! lost, however often pushes fail. Whatever is not remembered over a restart (marks, watches)
//! is made up for by a push that looks at everything.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::follow::Followed;
use super::notify::{notify, watchdog};
use super::push::{PushError, Setting};
use super::retry::{chance, retry};
use super::signals::{self, Asked};
use super::timetable::{Past, Timetable, Why};
use super::under_way::{self, Counters, Finished, sentence};
use super::watcher::News;
use crate::config::{AgentConfig, ConfigError, FILE};
use crate::status::{Running, StatusError, WatchStatus, text};

/// A push that ran for longer than this before it failed did not fail at once.
const LONG: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// The clock on the wall is looked at again after this time: a machine that slept has not waited.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often the status is renewed while something happens.
const RENEW: Duration = Duration::from_secs(1);
/// How long a push may take to end when it is asked to. One that reads a large file takes longer
/// and is left behind: to the repository that is a push that was cut off.
const GRACE: Duration = Duration::from_secs(5);
/// Paths that could not be read are tried again by the next push, up to so many.
const TRY_AGAIN: usize = 10_000;

/// Why there is no watch.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// One runs.
    #[error("`yore watch` runs already; `yore status` says what it does")]
    Runs,
    /// The agent's file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The state folder.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// Signals or threads.
    #[error("waiting for signals: {0}")]
    Signals(#[from] io::Error),
}

/// Watches and pushes until SIGTERM or SIGINT.
///
/// # Errors
/// [`WatchError`] if it cannot begin. Later errors are said, and tried again.
pub fn watch(setting: Setting) -> Result<(), WatchError> {
    let _lock = setting.state.lock_watch()?.ok_or(WatchError::Runs)?;
    let config = setting.config()?.unwrap_or_default();
    let (sender, messages) = channel();
    signals::listen(sender.clone())?;
    let mut daemon = Daemon::new(setting, config, sender);
    notify("READY=1");
    daemon.begin();
    daemon.run(&messages);
    notify("STOPPING=1");
    daemon.end();
    Ok(())
}

/// What the loop waits for.
enum Message {
    Asked(Asked),
    News(News),
    Done(Box<Finished>),
}

impl From<Asked> for Message {
    fn from(asked: Asked) -> Self {
        Message::Asked(asked)
    }
}

impl From<News> for Message {
    fn from(news: News) -> Self {
        Message::News(news)
    }
}

/// A push under way.
struct Push {
    counters: Arc<Counters>,
    why: Why,
    since: Timestamp,
    /// The changes that it makes up for.
    changes: (Option<Timestamp>, Option<Timestamp>),
}

struct Daemon {
    setting: Setting,
    config: AgentConfig,
    table: Timetable,
    past: Past,
    watcher: Option<Followed>,
    sender: Sender<Message>,
    push: Option<Push>,
    /// Failures in a row, and since when.
    failures: u32,
    failing_since: Option<Timestamp>,
    /// The agent's file has changed.
    reload: bool,
    /// When it was asked to end.
    ending: Option<Instant>,
    started: Timestamp,
    limit_said: bool,
    /// When others were told last, and whether a push was running then.
    told: Option<(Instant, bool)>,
    /// Whether there is something new to tell.
    news: bool,
}

impl Daemon {
    fn new(setting: Setting, config: AgentConfig, sender: Sender<Message>) -> Self {
        Daemon {
            table: Timetable::new(&config, &setting.host),
            setting,
            config,
            past: Past::default(),
            watcher: None,
            sender,
            push: None,
            failures: 0,
            failing_since: None,
            reload: false,
            ending: None,
            started: Timestamp::now(),
            limit_said: false,
            told: None,
            news: true,
        }
    }

    fn say(&self, line: &str) {
        (self.setting.say)(line);
    }

    fn begin(&mut self) {
        self.heed_results();
        self.past.forget_future(Timestamp::now());
        self.watch_anew();
        let watches = self.watcher.as_ref().map_or(0, |watcher| watcher.lock().watches());
        let next = match self.table.next(&self.past) {
            _ if !self.is_ready() => "nothing to do: no repository is named, or nothing is included".to_owned(),
            None => "no push is planned".to_owned(),
            Some((time, _)) if time <= Timestamp::now() => "a push is due now".to_owned(),
            Some((time, _)) => format!("next push: {}", text(time)),
        };
        self.say(&format!("watching {watches} folders; {next}"));
    }

    fn run(&mut self, messages: &Receiver<Message>) {
        while !self.has_ended() {
            let now = Timestamp::now();
            self.past.forget_future(now);
            self.heed_pause(now);
            self.reload();
            self.push_if_due(now);
            self.tell_status();
            if watchdog().is_some() {
                notify("WATCHDOG=1");
            }
            let Ok(message) = messages.recv_timeout(self.wait()) else {
                continue;
            };
            self.handle(message);
            messages.try_iter().for_each(|message| self.handle(message));
        }
    }

    /// Takes away what is true only while it runs.
    fn end(&self) {
        let _ = std::fs::remove_file(self.setting.state.path().join("watch.json"));
    }

    fn has_ended(&self) -> bool {
        let is_late = |asked: Instant| asked.elapsed() >= GRACE;
        self.ending.is_some_and(|asked| self.push.is_none() || is_late(asked))
    }

    /// How long to wait for a message.
    fn wait(&self) -> Duration {
        let longest = LONGEST_WAIT.min(watchdog().unwrap_or(LONGEST_WAIT));
        if self.push.is_some() || self.news {
            return RENEW.min(longest);
        }
        let due = self.table.next(&self.past).filter(|_| self.is_ready());
        let until = due.map(|(due, _)| due.duration_since(Timestamp::now()));
        let until = until.map(|until| Duration::try_from(until).unwrap_or_default());
        until.map_or(longest, |until| until.clamp(Duration::from_millis(10), longest))
    }

    fn handle(&mut self, message: Message) {
        self.news = true;
        match message {
            Message::Asked(Asked::Reload) => self.reload = true,
            Message::Asked(Asked::End) => {
                self.ending.get_or_insert_with(Instant::now);
                self.stop_push();
            }
            Message::News(news) => self.heed(&news),
            Message::Done(finished) => self.finish(*finished),
        }
    }

    fn heed(&mut self, news: &News) {
        if news.changed {
            let now = Timestamp::now();
            self.past.first_change.get_or_insert(now);
            self.past.last_change = Some(now);
        }
        self.reload |= news.told.contains(FILE.as_bytes());
        if news.told.contains(&b"results.json"[..]) {
            self.heed_results();
        }
    }

    /// A person may have pushed meanwhile.
    fn heed_results(&mut self) {
        let success = self.setting.state.results().success;
        let time = success.and_then(|success| success.time.parse().ok());
        self.past.last_push = self.past.last_push.max(time);
    }

    fn heed_pause(&mut self, now: Timestamp) {
        self.past.pause = self.setting.state.pause();
        if self.past.pause.is_some_and(|pause| pause.holds(now)) {
            self.stop_push();
        }
    }

    fn stop_push(&self) {
        if let Some(push) = &self.push {
            push.counters.stop.store(true, Relaxed);
        }
    }

    /// Reads the agent's file again, if somebody asked for it and nothing depends on the old one.
    fn reload(&mut self) {
        if !self.reload || self.push.is_some() {
            return;
        }
        self.reload = false;
        let config = match self.setting.config() {
            Ok(config) => config.unwrap_or_default(),
            Err(error) => return self.say(&format!("{error}; going on as before")),
        };
        if config == self.config {
            return;
        }
        let before = std::mem::replace(&mut self.config, config);
        self.table = Timetable::new(&self.config, &self.setting.host);
        let what = |config: &AgentConfig| {
            let AgentConfig {
                repository,
                include,
                exclude,
                ..
            } = config.clone();
            (
                repository,
                include,
                exclude,
                config.exclude_caches,
                config.one_file_system,
            )
        };
        if what(&before) != what(&self.config) {
            self.watch_anew();
        }
        // It may have been changed because of what failed.
        let has_failed = self.past.retry_at.is_some() || self.past.given_up.is_some();
        self.past.retry_at = has_failed.then(Timestamp::now);
        (self.failures, self.failing_since) = (0, None);
        self.say(&format!(
            "read {} again",
            self.setting.config_folder.join(FILE).display()
        ));
    }

    fn watch_anew(&mut self) {
        self.watcher = Followed::new(&self.setting, &self.config, self.sender.clone());
        self.past.last_full = None;
        self.say_limit();
    }

    fn say_limit(&mut self) {
        let reached = self
            .watcher
            .as_ref()
            .is_some_and(|watcher| watcher.lock().limit_reached());
        if reached && !self.limit_said {
            let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").unwrap_or_default();
            self.say(&format!(
                "there are more folders than the {} watches that the system allows, so every push looks at \
                 everything; to raise it: sysctl fs.inotify.max_user_watches=1048576, and the same in a file in \
                 /etc/sysctl.d",
                limit.trim()
            ));
        }
        self.limit_said |= reached;
    }

    fn is_ready(&self) -> bool {
        self.config.repository.is_some() && !self.config.include.is_empty()
    }

    fn push_if_due(&mut self, now: Timestamp) {
        if self.push.is_some() || self.ending.is_some() || !self.is_ready() {
            return;
        }
        let Some((_, why)) = self.table.next(&self.past).filter(|(due, _)| *due <= now) else {
            return;
        };
        if self.watcher.is_none() {
            self.watch_anew();
        }
        if let Some(watcher) = &self.watcher {
            let mut watcher = watcher.lock();
            if self.table.wants_full_scan(&self.past, now) {
                watcher.look_at_everything();
            }
            if why == Why::Change && !watcher.is_blind() && watcher.marked() == 0 {
                // The push before has made up for it.
                (self.past.first_change, self.past.last_change) = (None, None);
                return;
            }
        }
        self.start(why, now);
    }

    fn start(&mut self, why: Why, now: Timestamp) {
        let watcher = self.watcher.as_ref().map(Followed::shared);
        let sender = self.sender.clone();
        let done = move |finished| drop(sender.send(Message::Done(Box::new(finished))));
        let thread = under_way::spawn(self.setting.clone(), self.config.clone(), watcher, done);
        match thread {
            Ok(counters) => {
                let changes = (self.past.first_change.take(), self.past.last_change.take());
                self.past.retry_at = None;
                self.push = Some(Push {
                    counters,
                    why,
                    since: now,
                    changes,
                });
            }
            Err(error) => {
                self.say(&format!("starting a push: {error}"));
                self.past.retry_at = Some(now.saturating_add(SignedDuration::from_mins(1)).unwrap_or(now));
            }
        }
    }

    fn finish(&mut self, finished: Finished) {
        let Some(push) = self.push.take() else { return };
        let now = Timestamp::now();
        if let Some(why) = push.counters.forgot.get() {
            self.say(&format!("{why}; every file was read"));
        }
        match &finished.result {
            Ok(outcome) => {
                (self.failures, self.failing_since) = (0, None);
                (self.past.last_push, self.past.given_up) = (Some(now), None);
                if outcome.full_scan {
                    self.past.last_full = Some(push.since);
                }
                if let Some(watcher) = &self.watcher {
                    let unread = outcome.unreadable.iter().take(TRY_AGAIN);
                    watcher.lock().try_again(unread.map(|(path, _)| path.clone()));
                }
                self.say(&sentence(outcome));
            }
            Err(error) => {
                if let (Some(watcher), Some(work)) = (&self.watcher, finished.work) {
                    watcher.lock().put_back(work);
                }
                let (first, last) = push.changes;
                self.past.first_change = first.or(self.past.first_change);
                self.past.last_change = self.past.last_change.or(last);
                if !error.is_stop() {
                    self.plan_retry(error, push.since, now);
                }
            }
        }
        self.say_limit();
    }

    fn plan_retry(&mut self, error: &PushError, since: Timestamp, now: Timestamp) {
        // A push that went on for long got somewhere: what it sent is kept, and the next goes on from there.
        if now.duration_since(since) > LONG {
            (self.failures, self.failing_since) = (0, None);
        }
        self.failures += 1;
        // A clock that was ahead is no reason to try for years.
        self.failing_since = self.failing_since.filter(|since| *since <= now);
        let failing_since = *self.failing_since.get_or_insert(now);
        let tried_for = Duration::try_from(now.duration_since(failing_since)).unwrap_or_default();
        let wait = retry(self.failures, tried_for, self.config.retry_for, chance()).filter(|_| error.may_pass());
        if let Some(wait) = wait {
            let wait = Duration::from_secs(wait.as_secs().max(1));
            self.past.retry_at = now.checked_add(wait).ok();
            return self.say(&format!(
                "failed: {error}; trying again in {}",
                crate::config::time_text(wait)
            ));
        }
        // What it was to look at stays marked for the next change, the schedule or the full scan.
        (self.failures, self.failing_since) = (0, None);
        (self.past.first_change, self.past.last_change) = (None, None);
        (self.past.last_push, self.past.given_up) = (Some(now), Some(now));
        self.say(&format!("failed: {error}; given up until the next push is due"));
    }

    /// Tells others what is new: at once if a push has begun or ended, else once a second.
    fn tell_status(&mut self) {
        let is_running = self.push.is_some();
        let is_told = |(when, was_running): (Instant, bool)| was_running == is_running && when.elapsed() < RENEW;
        if !(self.news || is_running) || self.told.is_some_and(is_told) {
            return;
        }
        if let Err(error) = self.setting.state.set_watch(&self.status_now()) {
            self.say(&error.to_string());
        }
        (self.told, self.news) = (Some((Instant::now(), is_running)), false);
    }

    fn status_now(&self) -> WatchStatus {
        let watcher = self.watcher.as_ref().map(Followed::lock);
        let next = self
            .table
            .next(&self.past)
            .filter(|_| self.is_ready() && self.push.is_none());
        WatchStatus {
            pid: std::process::id(),
            started: text(self.started),
            running: self.push.as_ref().map(|push| Running {
                since: text(push.since),
                why: push.why.word().to_owned(),
                files: push.counters.files.load(Relaxed),
                bytes: push.counters.bytes.load(Relaxed),
            }),
            next_run: next.map(|(time, _)| text(time.max(self.started))),
            watches: watcher.as_ref().map_or(0, |watcher| watcher.watches() as u64),
            watch_limit_reached: watcher.as_ref().is_some_and(|watcher| watcher.limit_reached()),
            marked: watcher.as_ref().map_or(0, |watcher| watcher.marked() as u64),
            full_scan_next: watcher.as_ref().is_none_or(|watcher| watcher.is_blind()),
        }
    }
}
