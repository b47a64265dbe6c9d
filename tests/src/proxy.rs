//! A bad network: a TCP proxy that counts, cuts, delays and stalls.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::machine::Machine;

/// A proxy, from a port of its own to another one.
pub struct Proxy {
    /// Where it listens, on the loopback.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    to: AtomicU16,
    up: AtomicU64,
    down: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: u64,
    connections: HashMap<u64, [TcpStream; 2]>,
    /// Bytes to the server that are still let through before all is cut.
    left: Option<u64>,
    /// Times that it has cut.
    cuts: u64,
    delay: Duration,
    is_stalled: bool,
}

impl State {
    fn cut(&mut self) {
        for stream in self.connections.drain().flat_map(|(_, both)| both) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.cuts += 1;
    }
}

impl Proxy {
    /// A server behind a proxy, and a machine that is linked by it.
    pub fn before_a_server() -> (Daemon, Self, Machine) {
        let daemon = Daemon::start();
        daemon.add("ann", &[]);
        let proxy = Proxy::to(daemon.port);
        let machine = daemon.linked_by(proxy.port, "ann", "laptop");
        (daemon, proxy, machine)
    }

    /// A proxy to a port on the loopback.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let own = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            to: port.into(),
            ..Shared::default()
        });
        let serving = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                serving.connect(client);
            }
        });
        Proxy { port: own, shared }
    }

    /// Bytes that it has let through to the server.
    pub fn up(&self) -> u64 {
        self.shared.up.load(Ordering::SeqCst)
    }

    /// Bytes that it has let through to clients.
    pub fn down(&self) -> u64 {
        self.shared.down.load(Ordering::SeqCst)
    }

    /// Leads new connections to another port.
    pub fn lead_to(&self, port: u16) {
        self.shared.to.store(port, Ordering::SeqCst);
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.shared.state().cut();
    }

    /// Cuts every connection after so many more bytes to the server.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.state().left = Some(bytes);
    }

    /// How often it has cut.
    pub fn cuts(&self) -> u64 {
        self.shared.state().cuts
    }

    /// Holds each piece for so long before it goes on, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.shared.state().delay = delay;
    }

    /// Lets nothing through any more, and closes nothing; or goes on.
    pub fn stall(&self, is_stalled: bool) {
        self.shared.state().is_stalled = is_stalled;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    fn connect(self: &Arc<Self>, client: TcpStream) {
        // Where nobody listens, nobody answers.
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.to.load(Ordering::SeqCst))) else {
            return;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let twin = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
        let mut state = self.state();
        state.next += 1;
        let number = state.next;
        state.connections.insert(number, [twin(&client), twin(&server)]);
        drop(state);
        for (from, to, is_up) in [(twin(&client), twin(&server), true), (server, client, false)] {
            let shared = self.clone();
            thread::spawn(move || shared.carry(number, from, to, is_up));
        }
    }

    fn carry(&self, number: u64, mut from: TcpStream, mut to: TcpStream, is_up: bool) {
        let mut buffer = vec![0; 32 << 10];
        let ended_well = loop {
            let count = match from.read(&mut buffer) {
                Ok(0) => break true,
                Ok(count) => self.admit(count, is_up),
                Err(_) => break false,
            };
            if to.write_all(&buffer[..count]).is_err() {
                break false;
            }
            self.after(is_up);
        };
        // Who has said all may still be answered.
        if ended_well && to.shutdown(Shutdown::Write).is_ok() && is_up {
            return;
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        self.state().connections.remove(&number);
    }

    /// Waits as it is told to, and counts; gives how many of these bytes may pass.
    fn admit(&self, count: usize, is_up: bool) -> usize {
        let delay = self.state().delay;
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        let mut state = self.state();
        while state.is_stalled {
            state = self.changed.wait(state).expect("no panic while held");
        }
        let mut pass = count;
        if let Some(left) = state.left.as_mut().filter(|_| is_up) {
            pass = count.min(usize::try_from(*left).unwrap_or(count));
            *left -= pass as u64;
        }
        let counter = if is_up { &self.up } else { &self.down };
        counter.fetch_add(pass as u64, Ordering::SeqCst);
        pass
    }

    /// Cuts if what was let through was the last.
    fn after(&self, is_up: bool) {
        let mut state = self.state();
        if is_up && state.left == Some(0) {
            state.left = None;
            state.cut();
        }
    }
}
