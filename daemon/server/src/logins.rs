//! Failed logins, by address: who guesses has to wait, and nobody else.
//!
//! Passwords and invitations are counted, keys are not: a client offers all that it has. After some
//! failures an address is not even looked at for a while; a person can still come from another one.
//! Of IPv6 the first 64 bits are an address, as one customer has them all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;

/// Failures after which an address has to wait.
const MOST: u32 = 5;

/// Seconds after which one failure is forgotten.
const FORGOTTEN: i64 = 60;

/// Addresses that are remembered; then those with the fewest failures are forgotten.
const REMEMBERED: usize = 10_000;

/// Failures of an address.
#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    /// When the count was right.
    at: i64,
}

impl Failures {
    /// As they count now.
    fn now(self, now: i64) -> u32 {
        let forgotten = (now - self.at).max(0) / FORGOTTEN;
        self.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

/// The failed logins of late.
#[derive(Default)]
pub struct Logins(Mutex<HashMap<IpAddr, Failures>>);

impl Logins {
    /// Whether an address may try. It counts as a failure until it [succeeds](Self::succeeded), so that
    /// many tries at once are not more than they are one by one.
    pub fn try_now(&self, address: IpAddr, now: i64) -> bool {
        let mut known = self.0.lock().expect("no panic while held");
        let failures = known.get(&network(address)).map_or(0, |failures| failures.now(now));
        if failures >= MOST {
            return false;
        }
        if known.len() >= REMEMBERED {
            known.retain(|_, failures| failures.now(now) > 0);
        }
        if known.len() >= REMEMBERED {
            // Never all: who has many networks would have new tries in each.
            let least = known
                .iter()
                .min_by_key(|(_, failures)| (failures.now(now), failures.at));
            let least = least.map(|(network, _)| *network);
            least.and_then(|network| known.remove(&network));
        }
        let count = failures + 1;
        known.insert(network(address), Failures { count, at: now });
        true
    }

    /// A try was none to guess.
    pub fn succeeded(&self, address: IpAddr) {
        let mut known = self.0.lock().expect("no panic while held");
        if let Some(failures) = known.get_mut(&network(address)) {
            failures.count = failures.count.saturating_sub(1);
        }
    }
}

/// What counts as one address.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let bits = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(bits))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_waits_and_nobody_else() {
        let logins = Logins::default();
        let (guesser, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..MOST {
            assert!(logins.try_now(guesser, 1000));
        }
        assert!(!logins.try_now(guesser, 1000));
        assert!(
            !logins.try_now("::ffff:192.0.2.1".parse().unwrap(), 1000),
            "the same written as IPv6"
        );
        assert!(logins.try_now(other, 1000));
        assert!(logins.try_now(guesser, 1000 + FORGOTTEN), "one more each minute");
        assert!(!logins.try_now(guesser, 1000 + FORGOTTEN));
        logins.succeeded(guesser);
        assert!(logins.try_now(guesser, 1000 + FORGOTTEN));
    }

    #[test]
    fn many_addresses_do_not_make_one_forgotten() {
        let logins = Logins::default();
        let guesser = "2001:db8::1".parse().unwrap();
        (0..MOST).for_each(|_| assert!(logins.try_now(guesser, 0)));
        for network in 1..=REMEMBERED as u128 {
            let address = (0x2001_0db9u128 << 96) + (network << 64);
            assert!(logins.try_now(IpAddr::V6(Ipv6Addr::from(address)), 0));
        }
        assert!(!logins.try_now(guesser, 0));
    }

    #[test]
    fn a_customers_ipv6_network_is_one_address() {
        let logins = Logins::default();
        for host in 0..u128::from(MOST) {
            logins.try_now(IpAddr::V6(Ipv6Addr::from((0x2001_0db8u128 << 96) + host)), 0);
        }
        assert!(!logins.try_now("2001:db8::ffff".parse().unwrap(), 0));
        assert!(logins.try_now("2001:db8:0:1::1".parse().unwrap(), 0));
    }
}
