//! The connections that there are, so that nobody takes the places of all.
//!
//! A network may have so many, and there may be so many in all. Those whose session has not begun are
//! strangers, and cost nothing to make: there may be a quarter of all, and a new one sends an old one
//! away, of the network that has most of them. So who logs in at once is let in, however many others
//! do nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::logins::network;

/// Strangers that there may be, however few connections.
const FEWEST_STRANGERS: usize = 10;

/// How many connections there may be.
#[derive(Clone, Copy)]
pub struct Limits {
    /// In all.
    pub all: usize,
    /// Of one network.
    pub here: usize,
}

/// The connections that count.
#[derive(Default)]
pub struct Connections(Mutex<State>);

#[derive(Default)]
struct State {
    networks: HashMap<IpAddr, usize>,
    /// Oldest first.
    strangers: Vec<Stranger>,
    next: u64,
}

struct Stranger {
    number: u64,
    network: IpAddr,
    /// Told when it has to go.
    away: Arc<Notify>,
}

/// A connection that counts: until it and its session, which may be answering still, have ended.
pub struct Counted {
    connections: Arc<Connections>,
    network: IpAddr,
    number: u64,
    away: Arc<Notify>,
}

impl Connections {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while held")
    }

    /// Counts a connection, unless there are too many.
    pub fn count(self: &Arc<Self>, address: IpAddr, limits: Limits) -> Option<Counted> {
        let network = network(address);
        let mut state = self.state();
        let all = state.networks.values().sum::<usize>();
        let here = state.networks.get(&network).copied().unwrap_or(0);
        if all >= limits.all || here >= limits.here {
            return None;
        }
        if state.strangers.len() >= (limits.all / 4).max(FEWEST_STRANGERS) {
            state.send_one_away();
        }
        state.networks.insert(network, here + 1);
        Some(state.stranger(self, network))
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.state().networks.values().sum()
    }
}

impl State {
    fn stranger(&mut self, connections: &Arc<Connections>, network: IpAddr) -> Counted {
        self.next += 1;
        let (number, away) = (self.next, Arc::<Notify>::default());
        self.strangers.push(Stranger {
            number,
            network,
            away: away.clone(),
        });
        Counted {
            connections: connections.clone(),
            network,
            number,
            away,
        }
    }

    /// The oldest one of the network that has most.
    fn send_one_away(&mut self) {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for stranger in &self.strangers {
            *counts.entry(stranger.network).or_default() += 1;
        }
        let most = counts.values().max().copied();
        let at = (self.strangers.iter()).position(|stranger| counts.get(&stranger.network).copied() == most);
        if let Some(at) = at {
            self.strangers.remove(at).away.notify_one();
        }
    }
}

impl Counted {
    /// Its session has begun: it is no stranger any more.
    pub fn begins(&self) {
        let mut state = self.connections.state();
        state.strangers.retain(|stranger| stranger.number != self.number);
    }

    /// Waits until it has to make room for another one.
    pub async fn sent_away(&self) {
        self.away.notified().await;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.begins();
        let mut state = self.connections.state();
        if let Some(count) = state.networks.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                state.networks.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    const LIMITS: Limits = Limits { all: 48, here: 20 };

    fn count(connections: &Arc<Connections>, address: &str) -> Option<Counted> {
        connections.count(address.parse().unwrap(), LIMITS)
    }

    fn is_sent_away(counted: &Counted) -> bool {
        let waiting = std::pin::pin!(counted.sent_away());
        waiting.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn a_network_has_its_share_and_gives_it_back() {
        let connections: Arc<Connections> = Arc::default();
        let one = |host: usize| count(&connections, &format!("2001:db8::{host}"));
        let all: Vec<_> = (0..LIMITS.here).map_while(one).collect();
        assert_eq!(all.len(), LIMITS.here);
        assert!(one(99).is_none(), "a customer's IPv6 network is one");
        assert!(count(&connections, "2001:db8:0:1::1").is_some());
        drop(all);
        assert_eq!(connections.len(), 0);
        let both: Vec<_> = ["192.0.2.1", "::ffff:192.0.2.1"]
            .map(|address| count(&connections, address))
            .into();
        assert_eq!(connections.state().networks.len(), 1);
        drop(both);
    }

    #[test]
    fn strangers_make_room_for_others_and_who_has_begun_does_not() {
        let connections: Arc<Connections> = Arc::default();
        let many = |network: u8, count_of: usize| -> Vec<Counted> {
            let address = format!("192.0.2.{network}");
            (0..count_of).filter_map(|_| count(&connections, &address)).collect()
        };
        let begun = many(1, 5);
        begun.iter().for_each(Counted::begins);
        let (honest, idle) = (many(2, 1), many(3, LIMITS.all / 4 - 1));
        let late = many(4, 1);
        assert!(is_sent_away(&idle[0]), "the oldest of those who have most");
        let stay = begun.iter().chain(&honest).chain(&late).chain(&idle[1..]);
        assert_eq!(stay.filter(|counted| is_sent_away(counted)).count(), 0);
    }
}
