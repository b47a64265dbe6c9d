//! Where the pieces of an answer wait for whoever asked.
//!
//! Bounded in bytes of memory, since packets may be small or large: whoever puts more in waits. And bounded in all, in
//! bytes as they travelled, where it is known how long the answer is: a server that says more is not listened to, so that pieces
//! which nobody fetches yet never hold up those that somebody waits for.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};

/// Bytes of memory of an answer that may wait.
const WAITING: u64 = 8 << 20;

/// An answer is longer than what was asked for.
#[derive(Debug)]
pub(super) struct TooLong;

/// The pieces of one answer.
pub(super) struct Mailbox<T> {
    inside: Mutex<Inside<T>>,
    changed: Condvar,
}

struct Inside<T> {
    /// With what each takes in memory.
    pieces: VecDeque<(T, u64)>,
    /// What they take together.
    memory: u64,
    /// Bytes that may still come.
    left: u64,
    closed: bool,
}

impl<T> Mailbox<T> {
    /// For an answer of at most so many bytes.
    pub fn new(most: u64) -> Self {
        Mailbox {
            inside: Mutex::new(Inside {
                pieces: VecDeque::new(),
                memory: 0,
                left: most,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside<T>> {
        self.inside.lock().expect("no panic while held")
    }

    /// Puts a piece in, once there is room. What is closed takes nothing, and says nothing: who asked has had enough.
    pub fn put(&self, piece: T, bytes: u64, memory: u64) -> Result<(), TooLong> {
        let mut inside = self.inside();
        inside.left = inside.left.checked_sub(bytes).ok_or(TooLong)?;
        while inside.memory >= WAITING && !inside.closed {
            inside = self.changed.wait(inside).expect("no panic while held");
        }
        if !inside.closed {
            inside.pieces.push_back((piece, memory));
            inside.memory += memory;
            self.changed.notify_all();
        }
        Ok(())
    }

    /// The next piece, once there is one; `None` if there will be none.
    pub fn take(&self) -> Option<T> {
        let mut inside = self.inside();
        loop {
            if let Some((piece, memory)) = inside.pieces.pop_front() {
                inside.memory -= memory;
                self.changed.notify_all();
                return Some(piece);
            }
            if inside.closed {
                return None;
            }
            inside = self.changed.wait(inside).expect("no panic while held");
        }
    }

    /// Nothing more comes, or is wanted.
    pub fn close(&self) {
        self.inside().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_puts_in_too_much_waits_for_whoever_takes() {
        let mailbox = Mailbox::new(u64::MAX);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                (0..50).for_each(|number| mailbox.put(number, 1, WAITING / 2).unwrap());
                mailbox.close();
            });
            for number in 0..50 {
                assert_eq!(mailbox.take(), Some(number));
                assert!(mailbox.inside().memory <= 3 * WAITING / 2);
            }
            assert_eq!(mailbox.take(), None);
        });
    }

    #[test]
    fn an_answer_ends_where_what_was_asked_for_does() {
        let mailbox = Mailbox::new(100);
        mailbox.put(1, 100, 1).unwrap();
        assert!(mailbox.put(2, 1, 1).is_err());
        assert_eq!(mailbox.take(), Some(1));
    }

    #[test]
    fn nobody_waits_for_who_has_had_enough() {
        let mailbox = Mailbox::new(u64::MAX);
        mailbox.put(1, 1, WAITING).unwrap();
        std::thread::scope(|threads| {
            threads.spawn(|| mailbox.put(2, 1, 1).unwrap());
            mailbox.close();
        });
    }
}
