//! When to try again what has failed.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_secs(10);
/// The longest one.
const LONGEST: Duration = Duration::from_secs(600);

/// How long to wait after the `failures`th failure in a row (from 1) before the next attempt;
/// `None` once it has been tried for `retry_for`. `chance` (0 to 1) spreads the attempts of many
/// machines: half the wait to one and a half of it.
pub fn retry(failures: u32, tried_for: Duration, retry_for: Duration, chance: f64) -> Option<Duration> {
    if tried_for >= retry_for {
        return None;
    }
    let doubled = FIRST.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1)));
    let wait = doubled.min(LONGEST).mul_f64(0.5 + chance.clamp(0.0, 1.0));
    // The last attempt is at the very end.
    Some(wait.min(retry_for - tried_for))
}

/// A number from 0 to 1 that no two machines share.
pub(crate) fn chance() -> f64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // The only source of randomness in std: a new state has new keys.
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_end() {
        let seconds = |failures, tried, chance| {
            let wait = retry(failures, Duration::from_secs(tried), Duration::from_secs(3600), chance);
            wait.map(|wait| wait.as_secs())
        };
        assert_eq!(
            [1, 2, 3, 7, 40].map(|n| seconds(n, 0, 0.5)),
            [10, 20, 40, 600, 600].map(Some)
        );
        assert_eq!((seconds(1, 0, 0.0), seconds(1, 0, 1.0)), (Some(5), Some(15)));
        assert_eq!((seconds(9, 3590, 0.5), seconds(9, 3600, 0.5)), (Some(10), None));
    }

    #[test]
    fn chances_differ() {
        let chances: Vec<f64> = (0..20).map(|_| chance()).collect();
        assert!(chances.iter().all(|chance| (0.0..=1.0).contains(chance)));
        assert!(chances.windows(2).any(|pair| pair[0] != pair[1]), "{chances:?}");
    }
}
