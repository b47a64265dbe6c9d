//! Work on many things that are each for themselves, on all processors.

use std::ops::Range;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

/// Does `work` on shares of `count` things, none but the last smaller than `least`; gives what each gave, in order.
pub(crate) fn by_shares<R: Send>(count: usize, least: usize, work: impl Fn(Range<usize>) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = count.div_ceil(threads).max(least).max(1);
    let shares = (0..count).step_by(share).map(|start| start..(start + share).min(count));
    thread::scope(|threads| {
        let work = &work;
        let working: Vec<_> = shares.map(|share| threads.spawn(move || work(share))).collect();
        let done = |work: ScopedJoinHandle<'_, R>| work.join().unwrap_or_else(|panic| resume_unwind(panic));
        working.into_iter().map(done).collect()
    })
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
