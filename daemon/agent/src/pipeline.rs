//! The way of a push's messages: compressed on all cores, received in order.
//!
//! ```text
//! walk ──▶ queue of messages, some still being compressed ──▶ receiver (ingest)
//!   └────▶ jobs ──▶ workers ───────────────────────▲
//! ```
//!
//! The queue is bounded in messages and in bytes, so memory does not grow with the tree.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use yore_store::{Committed, Error, Result};
use yore_wire::Message;

use crate::destination::Receiver as Destination;

/// Messages under way at most.
const QUEUE: usize = 1024;

/// Bytes of contents under way at most.
const IN_FLIGHT: usize = 24 << 20;

/// A message that is ready, or one that a worker is making.
enum Item {
    Ready(Message),
    Made(Receiver<Message>, usize),
}

type Job = Box<dyn FnOnce() + Send>;

/// A message in the queue's order whose making has begun.
pub(crate) struct Queued(Item);

impl From<Message> for Queued {
    fn from(message: Message) -> Self {
        Queued(Item::Ready(message))
    }
}

/// The sending end of a push.
pub(crate) struct Pipeline {
    queue: Option<SyncSender<Item>>,
    jobs: Option<Sender<Job>>,
    workers: Vec<JoinHandle<()>>,
    receiver: Option<JoinHandle<Result<Box<dyn Destination>>>>,
    in_flight: Arc<(Mutex<usize>, Condvar)>,
}

impl Pipeline {
    /// Starts workers, and a thread that feeds `destination`.
    pub fn start(destination: Box<dyn Destination>) -> Self {
        let (queue, items) = sync_channel(QUEUE);
        let (jobs, waiting) = channel::<Job>();
        let waiting = Arc::new(Mutex::new(waiting));
        let count = thread::available_parallelism().map_or(2, |cores| cores.get()).min(8);
        let workers = (0..count)
            .map(|_| {
                thread::spawn({
                    let waiting = waiting.clone();
                    move || work(&waiting)
                })
            })
            .collect();
        let in_flight: Arc<(Mutex<usize>, Condvar)> = Arc::default();
        let receiver = thread::spawn({
            let in_flight = in_flight.clone();
            move || receive(destination, &items, &in_flight)
        });
        Pipeline {
            queue: Some(queue),
            jobs: Some(jobs),
            workers,
            receiver: Some(receiver),
            in_flight,
        }
    }

    /// Has a worker make a message of about `bytes` bytes; it is sent by [`send`](Self::send).
    pub fn make(&self, bytes: usize, job: impl FnOnce() -> Message + Send + 'static) -> Queued {
        let (count, changed) = &*self.in_flight;
        let mut count = count.lock().expect("no panic while held");
        while *count > 0 && *count + bytes > IN_FLIGHT && !self.has_ended() {
            count = changed
                .wait_timeout(count, std::time::Duration::from_millis(200))
                .expect("no panic while held")
                .0;
        }
        *count += bytes;
        drop(count);
        let (done, made) = channel();
        let job = move || drop(done.send(job()));
        self.jobs
            .as_ref()
            .expect("there until the end")
            .send(Box::new(job))
            .expect("workers live as long as jobs come");
        Queued(Item::Made(made, bytes))
    }

    /// Sends the next message.
    ///
    /// # Errors
    /// What the receiver failed of.
    pub fn send(&mut self, message: Queued) -> Result<()> {
        let sent = match &self.queue {
            Some(queue) => queue.send(message.0).is_ok(),
            None => false,
        };
        if sent { Ok(()) } else { self.fail() }
    }

    /// Waits for the receiver and commits.
    pub fn commit(mut self, unread: u64) -> Result<Committed> {
        self.end()?.commit(unread)
    }

    /// Gives up: what was sent waits for the next push. `failure` is what went wrong here, if anything did.
    pub fn abort(mut self, failure: &str) {
        if let Ok(destination) = self.end() {
            destination.abort(failure);
        }
    }

    fn has_ended(&self) -> bool {
        self.receiver.as_ref().is_none_or(|receiver| receiver.is_finished())
    }

    fn fail(&mut self) -> Result<()> {
        match self.end() {
            Err(error) => Err(error),
            Ok(_) => Err(Error::Refused("the receiver ended early".into())),
        }
    }

    fn end(&mut self) -> Result<Box<dyn Destination>> {
        self.queue = None;
        self.jobs = None;
        let gone = || Error::Refused("the push has failed before".into());
        let result = self
            .receiver
            .take()
            .ok_or_else(gone)?
            .join()
            .unwrap_or_else(|_| Err(Error::Refused("the receiver panicked".into())));
        self.workers.drain(..).for_each(|worker| drop(worker.join()));
        result
    }
}

impl Drop for Pipeline {
    /// Waits until the destination is let go of: its push may be begun anew at once.
    fn drop(&mut self) {
        if self.receiver.is_some() {
            let _ = self.end();
        }
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().expect("no panic while held").recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

fn receive(
    mut destination: Box<dyn Destination>,
    items: &Receiver<Item>,
    in_flight: &(Mutex<usize>, Condvar),
) -> Result<Box<dyn Destination>> {
    for item in items {
        let (message, bytes) = match item {
            Item::Ready(message) => (message, 0),
            Item::Made(made, bytes) => (
                made.recv().map_err(|_| Error::Refused("a worker panicked".into()))?,
                bytes,
            ),
        };
        let result = destination.deliver(message);
        *in_flight.0.lock().expect("no panic while held") -= bytes;
        in_flight.1.notify_all();
        if let Err(error) = result {
            return Err(destination.fail(error));
        }
    }
    Ok(destination)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Says when it is let go of, which takes a while.
    struct Slow(Arc<AtomicBool>);

    impl Drop for Slow {
        fn drop(&mut self) {
            (0..1000).for_each(|_| thread::yield_now());
            self.0.store(true, Ordering::SeqCst);
        }
    }

    impl Destination for Slow {
        fn deliver(&mut self, _message: Message) -> Result<()> {
            Ok(())
        }
        fn commit(self: Box<Self>, _unread: u64) -> Result<Committed> {
            Err(Error::Refused("it does not come to it".into()))
        }
        fn abort(self: Box<Self>, _failure: &str) {}
        fn fail(self: Box<Self>, error: Error) -> Error {
            error
        }
    }

    #[test]
    fn a_push_that_was_dropped_can_be_begun_again_at_once() {
        let is_gone: Arc<AtomicBool> = Arc::default();
        drop(Pipeline::start(Box::new(Slow(is_gone.clone()))));
        assert!(is_gone.load(Ordering::SeqCst));
    }
}
