//! Signals as messages.

use std::sync::mpsc::Sender;
use std::{io, thread};

use tokio::signal::unix::{SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM or SIGINT.
    End,
    /// SIGHUP.
    Reload,
}

/// Tells every signal to `to`, from now on.
///
/// # Errors
/// What the system says when signals cannot be waited for.
pub(super) fn listen<T: From<Asked> + Send + 'static>(to: Sender<T>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let listen = |kind| {
        let _inside = runtime.enter();
        signal(kind)
    };
    let mut term = listen(SignalKind::terminate())?;
    let mut int = listen(SignalKind::interrupt())?;
    let mut hup = listen(SignalKind::hangup())?;
    let wait = async move {
        loop {
            let asked = std::future::poll_fn(|context| {
                use std::task::Poll;
                if term.poll_recv(context).is_ready() || int.poll_recv(context).is_ready() {
                    return Poll::Ready(Asked::End);
                }
                hup.poll_recv(context).map(|_| Asked::Reload)
            })
            .await;
            if to.send(asked.into()).is_err() {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || runtime.block_on(wait))?;
    Ok(())
}
