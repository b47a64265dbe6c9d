//! The open repositories of a mount of many: those used last.
//!
//! Each has caches of up to 64 MiB, so it is closed when too many others were used
//! since, and when nobody has asked for a while. An open file keeps its own; as
//! long as one lives it is found again here, so that none is open twice.
//!
//! The lock on the table is held for moments. Opening goes on under a gate that
//! each repository has for itself, and closing after the lock was given back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::lock;

/// So many stay open, besides what open files keep.
const MOST: usize = 8;
/// Who was not asked for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// So long after a failure it is not tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The table; some hundred bytes for each repository that was looked into.
pub(crate) struct Opened<T> {
    slots: Mutex<HashMap<u32, Slot<T>>>,
}

struct Slot<T> {
    /// Kept open for whoever comes next.
    kept: Option<Arc<T>>,
    /// Whoever keeps it open, it is this one.
    alive: Weak<T>,
    used: Instant,
    /// When it could not be opened last, and what was said of that.
    failed: Option<(Instant, String)>,
    /// Held while it is opened.
    gate: Arc<Mutex<()>>,
}

/// How a repository was found.
enum Found<T> {
    Open(Arc<T>),
    Failed,
    Closed(Arc<Mutex<()>>),
}

/// A repository that cannot be opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// The text says why, for the first time.
    News(String),
    /// For the reason that was told already.
    Known,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Slot {
            kept: None,
            alive: Weak::new(),
            used: Instant::now(),
            failed: None,
            gate: Arc::default(),
        }
    }
}

impl<T> Default for Opened<T> {
    fn default() -> Self {
        Opened {
            slots: Mutex::default(),
        }
    }
}

impl<T> Opened<T> {
    /// Whether `get` will answer at once.
    pub(crate) fn is_ready(&self, number: u32) -> bool {
        !matches!(self.find(number), Found::Closed(_))
    }

    /// The repository with this number, by `open` unless it is open. Of several who
    /// want the same one at once, one opens it and the others wait for him.
    pub(crate) fn get<E: ToString>(
        &self,
        number: u32,
        open: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, Unopened> {
        let gate = match self.find(number) {
            Found::Open(it) => return Ok(it),
            Found::Failed => return Err(Unopened::Known),
            Found::Closed(gate) => gate,
        };
        let _opening = lock(&gate);
        match self.find(number) {
            Found::Open(it) => return Ok(it),
            Found::Failed => return Err(Unopened::Known),
            Found::Closed(_) => {}
        }
        match open() {
            Ok(it) => Ok(self.keep(number, Arc::new(it))),
            Err(error) => Err(self.fail(number, error.to_string())),
        }
    }

    /// The repository with this number if it is open, for somebody who uses it.
    pub(crate) fn used(&self, number: u32) -> Option<Arc<T>> {
        match self.find(number) {
            Found::Open(it) => Some(it),
            _ => None,
        }
    }

    /// The same for somebody who only looks whether it is; that keeps nothing open.
    pub(crate) fn peek(&self, number: u32) -> Option<Arc<T>> {
        lock(&self.slots).get(&number)?.alive.upgrade()
    }

    /// All that are open, likewise.
    pub(crate) fn all(&self) -> Vec<(u32, Arc<T>)> {
        let slots = lock(&self.slots);
        let alive = |(number, slot): (&u32, &Slot<T>)| Some((*number, slot.alive.upgrade()?));
        slots.iter().filter_map(alive).collect()
    }

    /// Closes what has not been used for a while.
    pub(crate) fn close_idle(&self) {
        let closing: Vec<_> = {
            let mut slots = lock(&self.slots);
            let idle = slots.values_mut().filter(|slot| slot.used.elapsed() >= IDLE);
            idle.filter_map(|slot| slot.kept.take()).collect()
        };
        drop(closing);
    }

    /// Forgets a repository. Open files keep theirs, and it may be opened once more.
    pub(crate) fn forget(&self, number: u32) {
        let closing = lock(&self.slots).remove(&number);
        drop(closing);
    }

    /// Forgets whatever is not `wanted`.
    pub(crate) fn keep_only(&self, wanted: impl Fn(u32) -> bool) {
        let closing: Vec<_> = lock(&self.slots).extract_if(|number, _| !wanted(*number)).collect();
        drop(closing);
    }

    fn find(&self, number: u32) -> Found<T> {
        let mut slots = lock(&self.slots);
        let slot = slots.entry(number).or_default();
        slot.used = Instant::now();
        if let Some(it) = &slot.kept {
            return Found::Open(it.clone());
        }
        if let Some(it) = slot.alive.upgrade() {
            drop(slots);
            return Found::Open(self.keep(number, it));
        }
        match &slot.failed {
            Some((when, _)) if when.elapsed() < RETRY => Found::Failed,
            _ => Found::Closed(slot.gate.clone()),
        }
    }

    /// Keeps one open, and closes those that are too many by now.
    fn keep(&self, number: u32, it: Arc<T>) -> Arc<T> {
        let mut slots = lock(&self.slots);
        let slot = slots.entry(number).or_default();
        slot.alive = Arc::downgrade(&it);
        slot.kept = Some(it.clone());
        slot.used = Instant::now();
        slot.failed = None;
        let mut kept: Vec<_> = slots.values_mut().filter(|slot| slot.kept.is_some()).collect();
        kept.sort_by_key(|slot| slot.used);
        let too_many = kept.len().saturating_sub(MOST);
        let closing: Vec<_> = kept.into_iter().take(too_many).map(|slot| slot.kept.take()).collect();
        drop(slots);
        drop(closing);
        it
    }

    fn fail(&self, number: u32, why: String) -> Unopened {
        let mut slots = lock(&self.slots);
        let slot = slots.entry(number).or_default();
        let said = slot.failed.replace((Instant::now(), why.clone()));
        match said {
            Some((_, said)) if said == why => Unopened::Known,
            _ => Unopened::News(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn open(opened: &Opened<u32>, number: u32) -> Arc<u32> {
        opened.get::<&str>(number, || Ok(number)).unwrap()
    }

    fn numbers(opened: &Opened<u32>) -> Vec<u32> {
        let mut numbers: Vec<u32> = opened.all().into_iter().map(|(number, _)| number).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn those_used_last_stay_open() {
        let opened = Opened::default();
        for number in 1..=8 {
            open(&opened, number);
        }
        opened.get::<&str>(1, || panic!("it is open")).unwrap();
        open(&opened, 9);
        assert_eq!(numbers(&opened), [1, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn what_an_open_file_keeps_is_not_opened_twice() {
        let opened = Opened::default();
        let kept = open(&opened, 1);
        for number in 2..=20 {
            open(&opened, number);
        }
        assert!(lock(&opened.slots)[&1].kept.is_none());
        let again = opened.get::<&str>(1, || panic!("it lives")).unwrap();
        assert!(Arc::ptr_eq(&kept, &again));
        for number in 2..=20 {
            open(&opened, number);
        }
        drop((kept, again));
        assert!(!opened.is_ready(1), "closed with the last file");
    }

    #[test]
    fn what_is_not_wanted_or_idle_is_closed() {
        let opened = Opened::default();
        for number in 1..=3 {
            open(&opened, number);
        }
        opened.keep_only(|number| number != 2);
        assert_eq!(numbers(&opened), [1, 3]);
        opened.close_idle();
        assert_eq!(numbers(&opened), [1, 3]);
        for slot in lock(&opened.slots).values_mut() {
            slot.used -= IDLE;
        }
        opened.close_idle();
        assert_eq!(numbers(&opened), []);
    }

    #[test]
    fn a_failure_is_told_once_and_not_repeated_at_once() {
        let opened = Opened::<u32>::default();
        let later = || {
            let mut slots = lock(&opened.slots);
            slots.get_mut(&1).unwrap().failed.as_mut().unwrap().0 -= RETRY;
        };
        assert_eq!(opened.get(1, || Err("rot")), Err(Unopened::News("rot".into())));
        assert_eq!(opened.get::<&str>(1, || panic!("too soon")), Err(Unopened::Known));
        later();
        assert_eq!(opened.get(1, || Err("rot")), Err(Unopened::Known));
        later();
        assert_eq!(
            opened.get(1, || Err("other rot")),
            Err(Unopened::News("other rot".into()))
        );
        later();
        assert_eq!(*open(&opened, 1), 1, "it was mended");
        opened.forget(1);
        assert_eq!(
            opened.get(1, || Err("other rot")),
            Err(Unopened::News("other rot".into()))
        );
    }

    #[test]
    fn one_opens_while_others_wait_for_it_and_for_nothing_else() {
        let opened = Opened::default();
        let (times, (go, wait)) = (AtomicUsize::new(0), mpsc::channel());
        let (opening, begun) = mpsc::channel();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                let (wait, opening) = (wait, opening);
                opened.get::<&str>(1, || {
                    opening.send(()).unwrap();
                    wait.recv().unwrap();
                    times.fetch_add(1, Ordering::Relaxed);
                    Ok(1)
                })
            });
            begun.recv().unwrap();
            assert!(!opened.is_ready(1));
            assert_eq!(*open(&opened, 2), 2, "another one");
            let second = scope.spawn(|| {
                opened.get::<&str>(1, || {
                    times.fetch_add(1, Ordering::Relaxed);
                    Ok(1)
                })
            });
            go.send(()).unwrap();
            assert!(Arc::ptr_eq(
                &first.join().unwrap().unwrap(),
                &second.join().unwrap().unwrap()
            ));
        });
        assert_eq!(times.into_inner(), 1);
    }
}
