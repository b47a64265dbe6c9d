//! The pushes that are running: one a repository.
//!
//! A push that has not been heard of for a while is stale: its agent lost the connection and
//! comes again by another one. It is taken over: its session is ended, and the new push goes on
//! with what it sent.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use yore_store::{Error, Result};

/// How long a push may take that is ending: its agent is here again, and its connection is not seen
/// to have broken yet.
const ENDING: Duration = Duration::from_secs(3);

/// How long a stale push may take to put away what it has.
const PUT_AWAY: Duration = Duration::from_secs(60);

/// Seconds after which a push that only says that it goes on is stale too. Reading a large tree in which
/// nothing has changed may take hours in which there is nothing to tell.
const NOTHING_TOLD: i64 = 6 * 60 * 60;

/// What others see of a session.
pub struct Seen {
    /// Its address.
    pub from: String,
    /// When it was heard of last, in seconds since 1970.
    pub heard: AtomicI64,
    /// When something of its push was taken in last.
    pub told: AtomicI64,
    /// Ends it; its agent is told why.
    pub end: Box<dyn Fn(Ending) + Send + Sync>,
}

/// Why a session is ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its key was revoked, or its user is gone or disabled.
    NotLetIn,
    /// The server is being stopped.
    Leaving,
    /// Its machine or its user has too many already.
    TooMany,
    /// It was silent, and another push came, from this address.
    TakenOver(String),
}

impl Ending {
    /// In words, for the agent and for whoever asks later why the push failed.
    pub fn text(&self) -> String {
        match self {
            Ending::NotLetIn => "this machine's key was revoked, or the account is disabled".into(),
            Ending::Leaving => "the server is being stopped".into(),
            Ending::TooMany => "this machine or its user has too many sessions; try again when some have ended".into(),
            Ending::TakenOver(from) => format!("it was silent, and a push from {from} took over"),
        }
    }
}

impl Seen {
    /// It was heard of.
    pub fn touch(&self, now: i64) {
        self.heard.store(now, Ordering::Relaxed);
    }

    /// Its push goes on: something of it was taken in, or it has just begun.
    pub fn goes_on(&self, now: i64) {
        self.touch(now);
        self.told.store(now, Ordering::Relaxed);
    }

    /// Whether its push may be taken over.
    fn is_stale(&self, now: i64, stale_after: i64) -> bool {
        let since = |time: &AtomicI64| now - time.load(Ordering::Relaxed);
        since(&self.heard) >= stale_after || since(&self.told) >= NOTHING_TOLD
    }
}

/// The pushes that are running, by repository.
#[derive(Default)]
pub struct Running {
    pushes: Mutex<HashMap<i64, Arc<Seen>>>,
    ended: Condvar,
}

/// A push that is running, until it is dropped.
pub struct RunningPush {
    running: Arc<Running>,
    repository: i64,
}

impl Drop for RunningPush {
    fn drop(&mut self) {
        self.running.pushes().remove(&self.repository);
        self.running.ended.notify_all();
    }
}

impl Running {
    fn pushes(&self) -> MutexGuard<'_, HashMap<i64, Arc<Seen>>> {
        self.pushes.lock().expect("no panic while held")
    }

    /// Whether there is one into this repository.
    pub fn has(&self, repository: i64) -> bool {
        self.pushes().contains_key(&repository)
    }

    /// Begins a push; a stale one is taken over. Says from where that was.
    ///
    /// # Errors
    /// [`Error::Busy`] while another one lives.
    pub fn begin(
        self: &Arc<Self>,
        repository: i64,
        session: &Arc<Seen>,
        now: i64,
        stale_after: i64,
    ) -> Result<(RunningPush, Option<String>)> {
        let mut pushes = self.pushes();
        let mut before = None;
        if let Some(other) = pushes.get(&repository).cloned() {
            let is_stale = other.is_stale(now, stale_after);
            let patience = if is_stale { PUT_AWAY } else { ENDING };
            if is_stale {
                (other.end)(Ending::TakenOver(session.from.clone()));
                before = Some(other.from.clone());
            }
            pushes = self.wait_for_end(pushes, repository, patience)?;
        }
        session.goes_on(now);
        pushes.insert(repository, session.clone());
        let push = RunningPush {
            running: self.clone(),
            repository,
        };
        Ok((push, before))
    }

    fn wait_for_end<'a>(
        &'a self,
        mut pushes: MutexGuard<'a, HashMap<i64, Arc<Seen>>>,
        repository: i64,
        patience: Duration,
    ) -> Result<MutexGuard<'a, HashMap<i64, Arc<Seen>>>> {
        let until = Instant::now() + patience;
        while pushes.contains_key(&repository) {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                let from = pushes.get(&repository).map_or("", |other| other.from.as_str());
                return Err(Error::Busy(format!(
                    "another push into this repository is running, from {from}; try again when it is done"
                )));
            };
            (pushes, _) = self.ended.wait_timeout(pushes, left).expect("no panic while held");
        }
        Ok(pushes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(heard: i64, end: impl Fn() + Send + Sync + 'static) -> Arc<Seen> {
        Arc::new(Seen {
            from: "elsewhere".into(),
            heard: heard.into(),
            told: heard.into(),
            end: Box::new(move |_| end()),
        })
    }

    #[test]
    fn a_living_push_is_left_alone_and_a_stale_one_is_taken_over() {
        let running: Arc<Running> = Arc::default();
        let held: Arc<Mutex<Option<RunningPush>>> = Arc::default();
        let old = session(100, {
            let held = held.clone();
            // As its session does: when it is hung up on, it ends soon.
            move || {
                let held = held.clone();
                std::thread::spawn(move || drop(held.lock().unwrap().take()));
            }
        });
        *held.lock().unwrap() = Some(running.begin(7, &old, 100, 60).unwrap().0);
        let new = session(130, || {});
        assert!(matches!(running.begin(7, &new, 130, 60), Err(Error::Busy(_))));
        let other = running.begin(8, &new, 130, 60).unwrap();
        let (push, before) = running.begin(7, &new, 161, 60).unwrap();
        assert_eq!(before.as_deref(), Some("elsewhere"));
        drop((push, other));
        assert!(!running.has(7) && !running.has(8));
    }

    #[test]
    fn a_push_that_only_says_that_it_goes_on_is_stale_in_the_end() {
        let running: Arc<Running> = Arc::default();
        let held: Arc<Mutex<Option<RunningPush>>> = Arc::default();
        let idle = session(0, {
            let held = held.clone();
            move || {
                drop(std::thread::spawn({
                    let held = held.clone();
                    move || drop(held.lock().unwrap().take())
                }))
            }
        });
        *held.lock().unwrap() = Some(running.begin(7, &idle, 1000, 60).unwrap().0);
        idle.goes_on(2000);
        let now = 2000 + NOTHING_TOLD;
        idle.touch(now);
        assert!(idle.is_stale(now, 60) && !idle.is_stale(now - 1, 60));
        assert!(running.begin(7, &session(now, || {}), now, 60).is_ok());
    }
}
