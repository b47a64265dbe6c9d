//! Work on many things that are each for themselves, on all processors.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};

/// Shares for each processor: some take longer than others, and nobody is to wait for the last one.
const SHARES_EACH: usize = 4;

/// Does `work` on shares of `count` things, none but the last smaller than `least`; gives what each gave, in order.
/// Panics if `work` does.
pub fn by_shares<R: Send>(count: usize, least: usize, work: impl Fn(Range<usize>) -> R + Sync) -> Vec<R> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let share = count.div_ceil(processors * SHARES_EACH).max(least).max(1);
    let shares = count.div_ceil(share);
    if shares <= 1 {
        return (0..shares).map(|_| work(0..count)).collect();
    }
    let next = AtomicUsize::new(0);
    let take = || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        (number < shares).then(|| (number, work(number * share..(number * share + share).min(count))))
    };
    let mut done: Vec<(usize, R)> = thread::scope(|threads| {
        let helpers = 1..processors.min(shares);
        // Where no more threads are to be had, this one does it all.
        let helpers: Vec<_> = helpers
            .map_while(|_| {
                let helper = || std::iter::from_fn(take).collect();
                thread::Builder::new().spawn_scoped(threads, helper).ok()
            })
            .collect();
        let mut done: Vec<_> = std::iter::from_fn(take).collect();
        let join = |helper: ScopedJoinHandle<'_, Vec<_>>| helper.join().unwrap_or_else(|panic| resume_unwind(panic));
        done.extend(helpers.into_iter().flat_map(join));
        done
    });
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_once_and_in_order() {
        for (count, least) in [(0, 1), (1, 1), (7, 1), (1000, 1), (10, 256), (5, 0)] {
            let done = by_shares(count, least, |share| share.collect::<Vec<_>>()).concat();
            assert_eq!(done, (0..count).collect::<Vec<_>>(), "{count} by {least}");
        }
        assert_eq!(by_shares(10, 256, |share| share).len(), 1);
    }
}
