//! A history on a disk that becomes full in the midst of an order, at each operation in turn.

use std::path::Path;

use rustix::io::Errno;

use super::super::conductor::{Answer, Conductor};
use super::{Doubt, PowerHistory};

/// What histories came across, by kinds of orders in the sequence of [`ORDERS`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Filled {
    /// Orders that were done although the disk was full.
    pub done: [u64; ORDERS.len()],
    /// Orders that ended for want of room.
    pub failed: [u64; ORDERS.len()],
}

/// Whatever changes a repository, and the errors for want of room that it may end with; nothing if it has to work.
const ORDERS: [(&str, &[&str]); 4] = [
    ("push", &["space", "full", "quota"]),
    // Some of the newest go too.
    ("forget", &["forget older snapshots first"]),
    ("sweep", &[]),
    // SQLite does not say why it cannot make the copy.
    ("copy", &["space", "full", "quota", "catalog.old/new"]),
];

/// Operations of one order; no history has one with more.
const MOST: u64 = 5_000;

impl PowerHistory {
    /// Fills the disk at every `every`th operation of each kind of order; `program` is the worker.
    ///
    /// # Panics
    /// If something that was committed is lost, if an order ends in another way than for want of room, or if one that makes
    /// room does not work.
    pub fn filled(seed: u64, errno: Errno, every: u64, program: &Path) -> Filled {
        let mut history = PowerHistory::begin(seed, program);
        let mut worker = history.worker();
        history.demand(&mut worker, "init");
        history.is_made = true;
        (0..3).for_each(|_| history.push_again(&mut worker));
        let mut filled = Filled::default();
        for (kind, (order, errors)) in ORDERS.into_iter().enumerate() {
            for after in (1 + seed % every..MOST).step_by(every as usize) {
                println!("seed {seed}, {errno}, {order}, full at operation {after}:");
                match history.fill(&mut worker, order, (after, errno)) {
                    None => break,
                    Some(Ok(())) => filled.done[kind] += 1,
                    Some(Err(why)) => {
                        println!("  {why}");
                        assert!(errors.iter().any(|words| why.contains(words)), "{order}: {why}");
                        filled.failed[kind] += 1;
                    }
                }
                // The one that saw it goes on, or another one comes.
                if history.random.once_in(2) {
                    worker = history.worker();
                }
                history.settle(&mut worker);
                history.push_again(&mut worker);
                if history.random.once_in(8) {
                    history.demand(&mut worker, "sweep");
                    let strays = history.demand(&mut worker, "strays");
                    assert_eq!(strays, Vec::<String>::new());
                    history.is_clean(&mut worker);
                }
            }
        }
        history.is_clean(&mut worker);
        filled
    }

    /// Gives an order and fills the disk in the midst of it. Gives what it failed of; nothing if it was done before that.
    fn fill(&mut self, worker: &mut Conductor, order: &str, full: (u64, Errno)) -> Option<Result<(), String>> {
        self.doubt = Doubt::Nothing;
        let order = match order {
            "push" => self.push(),
            "forget" => self.forget(),
            order => order.to_owned(),
        };
        self.disk.fill_after(full.0, full.1);
        let answer = worker.order(&order);
        let was_full = self.disk.has_room();
        match answer {
            Answer::Done(found) => {
                self.believe(&found);
                was_full.then_some(Ok(()))
            }
            Answer::Failed(why) => {
                assert!(was_full, "{order}: {why}");
                Some(Err(why))
            }
            Answer::Silence => panic!("{order}: the worker died"),
        }
    }
}
