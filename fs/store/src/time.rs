//! Snapshot names: `YYYY-MM-DD_HH-MM-SS` in UTC. No colons, which Samba and Windows mangle.

/// The name of a snapshot made at `seconds` since 1970.
pub fn snapshot_name(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%d_%H-%M-%S").to_string()
}

/// Where the time comes from; tests set it.
pub trait Clock: Send + Sync {
    /// Seconds since 1970, now.
    fn now(&self) -> i64;
}

/// The system's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        jiff::Timestamp::now().as_second()
    }
}

/// A clock that a test sets: every look at it is one second later.
pub struct StepClock(std::sync::atomic::AtomicI64);

impl StepClock {
    /// A clock that says `start` first.
    pub fn new(start: i64) -> Self {
        StepClock(start.into())
    }

    /// Goes on by this many seconds.
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Clock for StepClock {
    fn now(&self) -> i64 {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_utc_without_colons() {
        assert_eq!(super::snapshot_name(1_795_230_899), "2026-11-21_03-14-59");
    }
}
