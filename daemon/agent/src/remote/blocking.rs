//! Asynchronous streams as blocking ones: a read waits in the runtime that serves the stream.

use std::io::{self, Read, Write};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;

/// A stream, used by threads that are none of its runtime's.
pub struct Blocking<T> {
    handle: Handle,
    /// There until it is dropped.
    inner: Option<T>,
}

impl<T> Blocking<T> {
    /// `inner`, served by the runtime of `handle`.
    pub fn new(handle: Handle, inner: T) -> Self {
        let inner = Some(inner);
        Blocking { handle, inner }
    }

    fn parts(&mut self) -> (&Handle, &mut T) {
        (&self.handle, self.inner.as_mut().expect("there until dropped"))
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
        let (handle, inner) = self.parts();
        handle.block_on(inner.read(buffer))
    }
}

impl<T: AsyncWrite + Unpin> Write for Blocking<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (handle, inner) = self.parts();
        handle.block_on(inner.write(bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        let (handle, inner) = self.parts();
        handle.block_on(inner.flush())
    }
}
