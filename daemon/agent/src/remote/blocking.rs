//! Asynchronous streams as blocking ones: a read waits in the runtime that serves the stream.

use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::pin::pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Whether a connection has ended: whoever waits for it comes back then. russh itself leaves a
/// writer waiting for ever whose window was used up.
#[derive(Clone, Default)]
pub struct Ended(watch::Sender<bool>);

impl Ended {
    /// It has.
    pub fn set(&self) {
        self.0.send_replace(true);
    }

    /// Waits for the work, no longer than the connection lasts.
    async fn or<T>(&self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let mut changes = self.0.subscribe();
        let (mut work, mut ended) = (pin!(work), pin!(changes.wait_for(|ended| *ended)));
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Pending => ended
                .as_mut()
                .poll(context)
                .map(|_| Err(io::ErrorKind::BrokenPipe.into())),
            done => done,
        })
        .await
    }
}

/// A stream, used by threads that are none of its runtime's.
pub struct Blocking<T> {
    handle: Handle,
    ended: Ended,
    /// There until it is dropped.
    inner: Option<T>,
}

impl<T> Blocking<T> {
    /// `inner`, served by the runtime of `handle` until its connection has ended.
    pub fn new(handle: Handle, ended: Ended, inner: T) -> Self {
        let inner = Some(inner);
        Blocking { handle, ended, inner }
    }

    fn parts(&mut self) -> (&Handle, &Ended, &mut T) {
        (
            &self.handle,
            &self.ended,
            self.inner.as_mut().expect("there until dropped"),
        )
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
        let (handle, ended, inner) = self.parts();
        handle.block_on(ended.or(inner.read(buffer)))
    }
}

impl<T: AsyncWrite + Unpin> Write for Blocking<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (handle, ended, inner) = self.parts();
        handle.block_on(ended.or(inner.write(bytes)))
    }
    fn flush(&mut self) -> io::Result<()> {
        let (handle, ended, inner) = self.parts();
        handle.block_on(ended.or(inner.flush()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_connection_comes_back_when_it_ends() {
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        let (one, _other) = tokio::io::duplex(16);
        let ended = Ended::default();
        let mut stream = Blocking::new(runtime.handle().clone(), ended.clone(), one);
        let waiting = std::thread::spawn(move || stream.write_all(&[0; 17]));
        ended.set();
        let error = waiting.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
