//! Progress of long work: a bar where stderr is a terminal, elsewhere a plain
//! line every ten seconds, so that a log shows that it lives.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use yore_terminal::text::{count, printable, size};

use crate::error::warn;

/// How often a line is printed where there is no bar.
const LINE: Duration = Duration::from_secs(10);
/// How often a bar gets new text; every file would cost more than the work.
const BAR: Duration = Duration::from_millis(100);

/// What one item costs beside its bytes, in bytes: opening a file takes about as
/// long as reading this much.
const ITEM: u64 = 16 << 10;

/// How progress is shown.
enum Shown {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

/// Counts items and bytes and shows them; threads share it.
pub struct Meter {
    what: &'static str,
    shown: Shown,
    counts_items: bool,
    started: Instant,
    last: Mutex<Instant>,
    items: AtomicU64,
    bytes: AtomicU64,
    /// What is to be done in all, in items and bytes; 0 as long as nobody knows.
    all_items: AtomicU64,
    all_bytes: AtomicU64,
}

impl Meter {
    /// Begins to show progress of `what` ("snapshot"), unless it is to be quiet.
    pub fn new(what: &'static str, quiet: bool) -> Self {
        let shown = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Shown::Nothing,
            (false, true) => Shown::Bar(bar()),
            (false, false) => Shown::Lines,
        };
        let now = Instant::now();
        let (items, bytes, all_items, all_bytes) = Default::default();
        Meter {
            what,
            shown,
            counts_items: true,
            started: now,
            last: Mutex::new(now),
            items,
            bytes,
            all_items,
            all_bytes,
        }
    }

    /// As [`new`](Self::new), for work that is not counted in items.
    pub fn bytes_only(what: &'static str, quiet: bool) -> Self {
        let mut meter = Meter::new(what, quiet);
        meter.counts_items = false;
        meter
    }

    /// So many bytes are done of so many.
    pub fn reached(&self, bytes: u64, all: u64) {
        self.bytes.store(bytes, Relaxed);
        self.all_bytes.store(all, Relaxed);
        self.show(None);
    }

    /// So much is to be done in all; 0 bytes where only items are known.
    pub fn expect(&self, items: u64, bytes: u64) {
        self.all_bytes.store(bytes, Relaxed);
        self.all_items.store(items, Relaxed);
    }

    /// Whether anything is shown: a total that nobody sees need not be found out.
    pub fn is_shown(&self) -> bool {
        !matches!(self.shown, Shown::Nothing)
    }

    /// One more item is done.
    pub fn item(&self) {
        self.items.fetch_add(1, Relaxed);
        self.show(None);
    }

    /// So many more bytes are done.
    pub fn bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
        self.show(None);
    }

    /// This path is being worked on.
    pub fn path(&self, path: &[u8]) {
        self.show(Some(path));
    }

    fn show(&self, path: Option<&[u8]>) {
        let every = match self.shown {
            Shown::Bar(_) => BAR,
            Shown::Lines => LINE,
            Shown::Nothing => return,
        };
        // Whoever finds it locked need not wait: somebody is showing.
        let Ok(mut last) = self.last.try_lock() else { return };
        if last.elapsed() < every {
            return;
        }
        *last = Instant::now();
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_position((self.done().unwrap_or(0.0) * 1000.0) as u64);
                bar.set_prefix(self.text());
                if let Some(path) = path {
                    bar.set_message(printable(path));
                }
            }
            _ => warn(&format!("{}: {}", self.what, self.text())),
        }
    }

    /// Files, bytes, rate, time left.
    fn text(&self) -> String {
        let (items, bytes) = (self.items.load(Relaxed), self.bytes.load(Relaxed));
        let elapsed = self.started.elapsed().as_secs_f64();
        let files = match (self.counts_items, self.all_items.load(Relaxed)) {
            (false, _) => String::new(),
            (true, 0) => format!("{}, ", count(items, "file")),
            (true, all) => format!("{items} of {}, ", count(all, "file")),
        };
        let left = self
            .done()
            .filter(|done| *done > 0.001)
            .map(|done| (elapsed / done - elapsed) as u64);
        let left = left.map(|left| format!(", {}:{:02}:{:02} left", left / 3600, left / 60 % 60, left % 60));
        let rate = size((bytes as f64 / elapsed.max(0.001)) as u64);
        format!("{files}{}, {rate}/s{}", size(bytes), left.unwrap_or_default())
    }

    /// The part that is done, 0 to 1, where the whole is known.
    fn done(&self) -> Option<f64> {
        let (all_items, all_bytes) = (self.all_items.load(Relaxed), self.all_bytes.load(Relaxed));
        let items = self.items.load(Relaxed).min(all_items);
        let bytes = self.bytes.load(Relaxed).min(all_bytes);
        (all_items + all_bytes > 0).then(|| (items * ITEM + bytes) as f64 / (all_items * ITEM + all_bytes) as f64)
    }
}

impl Drop for Meter {
    /// Leaves the terminal as it was, after an error too.
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed_precise} [{bar:24}] {prefix}\n{wide_msg}").expect("a constant");
    let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr());
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_left_where_the_whole_is_known() {
        let mut meter = Meter::new("test", true);
        meter.started = Instant::now() - Duration::from_secs(100);
        meter.bytes(100 << 20);
        assert_eq!(meter.text(), "0 files, 100.0 MiB, 1.0 MiB/s");
        meter.expect(1, 400 << 20);
        assert_eq!(meter.text(), "0 of 1 file, 100.0 MiB, 1.0 MiB/s, 0:05:00 left");
        // A file that grew must not make more than all of it.
        meter.bytes(400 << 20);
        meter.item();
        meter.item();
        assert_eq!(meter.done(), Some(1.0));
    }
}
