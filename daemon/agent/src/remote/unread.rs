//! Connections whose other end takes nothing any more.
//!
//! SSH asks now and then whether the other end is there, and gives up after three and a half minutes without an
//! answer. But it does not while it waits for room to write; and there may never be room: a kernel goes on for a
//! quarter of an hour where nobody acknowledges, and for ever where somebody acknowledges and takes nothing, as a
//! tunnel or a machine does behind which the server has vanished. So the kernel is told when to give up.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt::set_tcp_user_timeout;

/// How long the other end may take nothing of what waits for it. A server that has much to do is slow, not silent.
const UNREAD: Duration = Duration::from_secs(5 * 60);

/// Has the kernel end a connection whose other end takes nothing for minutes. One whose kernel cannot stays as it is.
pub fn end_when_unread(socket: impl AsFd) {
    let _ = set_tcp_user_timeout(socket, UNREAD.as_millis() as u32);
}
