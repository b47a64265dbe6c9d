//! Turns: who may work now, where more pushes want to than there are processors.
//!
//! A push works through its messages in turns. Where all turns are taken, users are served in
//! a circle, and the pushes of one user in a circle among themselves: one user's forty machines do not
//! hold up another one's laptop.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// The turns of a server.
pub struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    free: usize,
    next: u64,
    /// Users that wait, the next one first, each with the tickets that wait.
    waiting: VecDeque<(i64, VecDeque<u64>)>,
    /// Tickets whose turn it is and who have not taken it yet.
    called: Vec<u64>,
}

impl State {
    /// Calls whose turn it is.
    fn call(&mut self) {
        while self.free > 0 {
            let Some((user, mut tickets)) = self.waiting.pop_front() else {
                return;
            };
            self.called.extend(tickets.pop_front());
            self.free -= 1;
            if !tickets.is_empty() {
                self.waiting.push_back((user, tickets));
            }
        }
    }
}

/// A turn; over when it is dropped.
pub struct Turn(Arc<Turns>);

impl Turns {
    /// So many turns at once.
    pub fn new(count: usize) -> Arc<Self> {
        let state = State {
            free: count.max(1),
            ..State::default()
        };
        Arc::new(Turns {
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    /// Waits for a turn.
    pub fn take(self: &Arc<Self>, user: i64) -> Turn {
        let mut state = self.state();
        if state.free > 0 && state.waiting.is_empty() {
            state.free -= 1;
            return Turn(self.clone());
        }
        state.next += 1;
        let ticket = state.next;
        match state.waiting.iter_mut().find(|(waiting, _)| *waiting == user) {
            Some((_, tickets)) => tickets.push_back(ticket),
            None => state.waiting.push_back((user, VecDeque::from([ticket]))),
        }
        state.call();
        loop {
            if let Some(at) = state.called.iter().position(|called| *called == ticket) {
                state.called.swap_remove(at);
                return Turn(self.clone());
            }
            state = self.changed.wait(state).expect("no panic while held");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.free += 1;
        state.call();
        if !state.called.is_empty() {
            self.0.changed.notify_all();
        }
    }
}

/// What each user may do once at a time.
#[derive(Default)]
pub struct OneEach {
    users: Mutex<HashSet<i64>>,
    changed: Condvar,
}

/// A user's one; over when it is dropped.
pub struct One {
    each: Arc<OneEach>,
    user: i64,
}

impl OneEach {
    /// Waits until the user does not do it.
    pub fn wait(self: &Arc<Self>, user: i64) -> One {
        let users = self.users();
        drop(
            self.changed
                .wait_while(users, |users| !users.insert(user))
                .expect("no panic while held"),
        );
        self.one(user)
    }

    /// The user's one, unless that is taken.
    pub fn try_take(self: &Arc<Self>, user: i64) -> Option<One> {
        let is_free = self.users().insert(user);
        is_free.then(|| self.one(user))
    }

    fn one(self: &Arc<Self>, user: i64) -> One {
        let each = self.clone();
        One { each, user }
    }

    fn users(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.users.lock().expect("no panic while held")
    }
}

impl One {
    /// Lets the user's others do it while this one waits for something; then waits for its turn again.
    pub fn aside<T>(self, wait: impl FnOnce() -> T) -> (T, One) {
        let (each, user) = (self.each.clone(), self.user);
        drop(self);
        let waited = wait();
        (waited, each.wait(user))
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.each.users().remove(&self.user);
        self.each.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_does_it_once_at_a_time() {
        let each: Arc<OneEach> = Arc::default();
        let first = each.try_take(1).unwrap();
        assert!(each.try_take(1).is_none());
        let other = each.wait(2);
        let waiting = std::thread::spawn({
            let each = each.clone();
            move || drop(each.wait(1))
        });
        drop(first);
        waiting.join().unwrap();
        drop(other);
        assert!(each.try_take(1).is_some() && each.try_take(2).is_some());
    }
    use std::sync::mpsc::channel;

    /// Waits until so many wait for a turn.
    fn until_waiting(turns: &Turns, count: usize) {
        while turns
            .state()
            .waiting
            .iter()
            .map(|(_, tickets)| tickets.len())
            .sum::<usize>()
            < count
        {
            std::thread::yield_now();
        }
    }

    #[test]
    fn users_are_served_in_a_circle() {
        let turns = Turns::new(1);
        let first = turns.take(1);
        let (order, served) = channel();
        let mut threads = Vec::new();
        for (count, user) in [1, 1, 1, 2].into_iter().enumerate() {
            let (turns_of, order) = (turns.clone(), order.clone());
            threads.push(std::thread::spawn(move || {
                let _turn = turns_of.take(user);
                order.send(user).unwrap();
            }));
            until_waiting(&turns, count + 1);
        }
        drop(first);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        drop(order);
        assert_eq!(served.iter().collect::<Vec<_>>(), [1, 2, 1, 1]);
    }
}
