//! Asynchronous streams as blocking ones: a read waits in the runtime that serves the stream.

use std::io::{self, Read, Write};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;

/// A stream, used by threads that are none of its runtime's.
pub struct Blocking<T> {
    handle: Handle,
    inner: T,
}

impl<T> Blocking<T> {
    /// `inner`, served by the runtime of `handle`.
    pub fn new(handle: Handle, inner: T) -> Self {
        Blocking { handle, inner }
    }
}

impl<T: AsyncRead + Unpin> Read for Blocking<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.handle.block_on(self.inner.read(buffer))
    }
}

impl<T: AsyncWrite + Unpin> Write for Blocking<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.handle.block_on(self.inner.write(bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.handle.block_on(self.inner.flush())
    }
}
