//! A stream of bytes to a server, however it is made.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// Two directions, and a way to end both.
pub struct Stream {
    /// From the server.
    pub reader: Box<dyn Read + Send>,
    /// To the server.
    pub writer: Box<dyn Write + Send>,
    /// Ends it; reads and writes that wait come back.
    pub hang_up: Box<dyn Fn() + Send + Sync>,
    /// Once nothing came from the server: why it never will, if that is known.
    pub refusal: Box<dyn Fn() -> Option<String> + Send>,
}

/// A writer that is held to a number of bytes a second.
pub(super) struct Limited<W> {
    inner: W,
    /// Bytes a second.
    rate: u64,
    /// When what was written so far would have been written at that rate.
    due: Instant,
}

/// How far writing may run ahead of the rate.
const BURST: Duration = Duration::from_millis(250);

impl<W: Write> Limited<W> {
    pub fn new(inner: W, rate: u64) -> Self {
        Limited {
            inner,
            rate: rate.max(1),
            due: Instant::now(),
        }
    }
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = Instant::now();
        self.due = self.due.max(now);
        if let Some(early) = (self.due - now).checked_sub(BURST) {
            std::thread::sleep(early);
        }
        // A piece takes a tenth of a second at most, so that the rate is even.
        let most = usize::try_from(self.rate / 10).unwrap_or(usize::MAX).max(512);
        let written = self.inner.write(&bytes[..bytes.len().min(most)])?;
        self.due += Duration::from_secs_f64(written as f64 / self.rate as f64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_writer_takes_its_time() {
        let begun = Instant::now();
        let mut writer = Limited::new(Vec::new(), 1_000_000);
        writer.write_all(&vec![7; 700_000]).unwrap();
        assert_eq!(writer.inner.len(), 700_000);
        assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    }
}
