//! Bringing what is restored to the disk while more is being written, so that little is left to wait for at the end.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use rustix::fs::syncfs;

/// Bytes and things after which the disk gets to work: some tenths of a second of it.
const BYTES: u64 = 64 << 20;
const THINGS: u64 = 4096;

/// The file system that is restored to.
pub(super) struct Flusher<'scope> {
    disk: OwnedFd,
    /// The thread that waits for the disk, and what wakes it; without one all is left for the end.
    thread: Option<(SyncSender<()>, ScopedJoinHandle<'scope, io::Result<()>>)>,
    bytes: u64,
    things: u64,
}

impl<'scope> Flusher<'scope> {
    /// For the file system that `disk` lies on.
    ///
    /// # Errors
    /// If there are too many open files.
    pub fn begin(threads: &'scope Scope<'scope, '_>, disk: OwnedFd) -> io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let its = disk.try_clone()?;
        // One error is told once by the system, to whoever asks first: so none that came here is forgotten.
        let flush = move || woken.iter().try_for_each(|()| Ok(syncfs(&its)?));
        let thread = std::thread::Builder::new().name("yore-flush".into());
        let thread = thread.spawn_scoped(threads, flush).ok();
        Ok(Flusher {
            disk,
            thread: thread.map(|thread| (wake, thread)),
            bytes: 0,
            things: 0,
        })
    }

    /// So many more bytes were written.
    pub fn bytes(&mut self, more: u64) {
        self.bytes += more;
        self.wake();
    }

    /// One more thing was made.
    pub fn thing(&mut self) {
        self.things += 1;
        self.wake();
    }

    fn wake(&mut self) {
        if self.bytes < BYTES && self.things < THINGS {
            return;
        }
        // While the disk is at work it is told when it is done.
        if let Some((wake, _)) = &self.thread
            && let Ok(()) | Err(TrySendError::Disconnected(())) = wake.try_send(())
        {
            (self.bytes, self.things) = (0, 0);
        }
    }

    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    /// What could not be written, now or before.
    pub fn finish(self) -> io::Result<()> {
        let before = match self.thread {
            Some((wake, thread)) => {
                drop(wake);
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
            None => Ok(()),
        };
        before.and(syncfs(&self.disk).map_err(io::Error::from))
    }
}
