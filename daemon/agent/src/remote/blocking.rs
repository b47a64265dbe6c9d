//! Asynchronous streams as blocking ones: a read waits in the runtime that serves the stream.
//!
//! A channel of russh says nothing when its connection has ended: whoever waits for it waits for
//! ever. So each of these streams is told of the end by itself.

use std::io::{self, Read, Write};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Tells streams that their connection has ended; dropping it tells too.
pub struct End {
    _sender: watch::Sender<()>,
}

/// Whether the connection of a stream has ended.
#[derive(Clone)]
pub struct Ended(watch::Receiver<()>);

/// The two ends of telling that a connection has ended.
pub fn ending() -> (End, Ended) {
    let (end, ended) = watch::channel(());
    (End { _sender: end }, Ended(ended))
}

impl Ended {
    /// Waits for the end.
    async fn wait(&mut self) {
        // Nothing is ever sent: a change is that the sender is gone.
        while self.0.changed().await.is_ok() {}
    }
}

/// A stream, used by threads that are none of its runtime's.
pub struct Blocking<T> {
    handle: Handle,
    /// There until it is dropped.
    inner: Option<T>,
    ended: Ended,
}

impl<T> Blocking<T> {
    /// `inner`, served by the runtime of `handle` until its connection has ended.
    pub fn new(handle: Handle, inner: T, ended: Ended) -> Self {
        let inner = Some(inner);
        Blocking { handle, inner, ended }
    }

    fn parts(&mut self) -> (&Handle, &mut T, &mut Ended) {
        let inner = self.inner.as_mut().expect("there until dropped");
        (&self.handle, inner, &mut self.ended)
    }
}

impl<T> Drop for Blocking<T> {
    fn drop(&mut self) {
        // A channel of russh says goodbye by a task when it is dropped.
        let _inside = self.handle.enter();
        drop(self.inner.take());
    }
}

impl<T: AsyncRead + Unpin> Read for Blocking<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (handle, inner, ended) = self.parts();
        handle.block_on(async {
            tokio::select! {
                // What has arrived is read before the end is seen.
                biased;
                read = inner.read(buffer) => read,
                () = ended.wait() => Ok(0),
            }
        })
    }
}

impl<T: AsyncWrite + Unpin> Write for Blocking<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (handle, inner, ended) = self.parts();
        handle.block_on(async {
            tokio::select! {
                biased;
                () = ended.wait() => Err(io::ErrorKind::BrokenPipe.into()),
                written = inner.write(bytes) => written,
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        let (handle, inner, ended) = self.parts();
        handle.block_on(async {
            tokio::select! {
                biased;
                () = ended.wait() => Err(io::ErrorKind::BrokenPipe.into()),
                flushed = inner.flush() => flushed,
            }
        })
    }
}
