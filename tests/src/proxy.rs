//! A bad network: a TCP proxy that counts, cuts, delays, stalls, and lets what it held arrive late.
//!
//! ```text
//! client ◀──▶ end │ what is held, each way │ end ◀──▶ server
//! ```
//!
//! A connection can meet faults at bytes of its own: see [`Fault`]. An end that is closed is held back as bytes are.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::machine::Machine;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the server.
    Up,
    /// To the client.
    Down,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Both ends are closed.
    Cut,
    /// Nothing passes any more, either way, and nothing is closed.
    Held,
    /// Nothing passes to the client any more.
    Unanswered,
    /// Each piece to the client waits for so long before it passes.
    SlowlyAnswered(Duration),
    /// The server's end is closed; the client's stays, and is told nothing.
    ServerLost,
    /// The client's end is closed; the server's stays, with what is on the way to it.
    ClientLost,
    /// It goes on in pieces of so many bytes.
    Pieces(usize),
    /// What all others hold is let through, and it goes on.
    OthersReleased,
}

/// What a connection meets, and where.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// In this direction,
    pub way: Way,
    /// after so many bytes of the connection, or more of them if it has met another fault and goes on,
    pub after: u64,
    /// this happens.
    pub fate: Fate,
}

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
    connections: BTreeMap<u64, Connection>,
    /// What the next connections meet, or those that go on.
    planned: VecDeque<Fault>,
    /// Which connections have met what.
    met: Vec<(u64, Fault)>,
    /// Bytes to the server that are still let through before all is cut.
    left: Option<u64>,
    /// Times that it has cut.
    cuts: u64,
    delay: Duration,
    is_stalled: bool,
}

/// A connection, until both of its ends are closed.
struct Connection {
    /// The client's, the server's.
    ends: [TcpStream; 2],
    /// What it will meet, and the bytes that are left until then.
    ahead: Option<(Fault, u64)>,
    /// By direction.
    is_held: [bool; 2],
    /// What passes at once, in bytes.
    piece: usize,
    /// What each piece to the client waits.
    slowness: Duration,
}

impl Connection {
    fn close(&self, ends: &[TcpStream]) {
        ends.iter().for_each(|end| drop(end.shutdown(Shutdown::Both)));
    }

    /// The bytes that are left until it meets something in this direction.
    fn left(&mut self, way: Way) -> Option<&mut u64> {
        let ahead = self.ahead.as_mut().filter(|(fault, _)| fault.way == way);
        ahead.map(|(_, left)| left)
    }
}

impl State {
    fn cut(&mut self) {
        self.connections.values().for_each(|one| one.close(&one.ends));
        self.connections.clear();
        self.cuts += 1;
    }

    fn end(&mut self, number: u64) {
        if let Some(one) = self.connections.remove(&number) {
            one.close(&one.ends);
        }
    }

    fn release(&mut self, number: u64) {
        if let Some(one) = self.connections.get_mut(&number) {
            one.is_held = [false; 2];
            one.ahead = one.ahead.or_else(|| plan(&mut self.planned));
        }
    }

    fn release_others(&mut self, number: u64) {
        let others = self.connections.iter_mut().filter(|(other, _)| **other != number);
        others.for_each(|(_, one)| one.is_held = [false; 2]);
    }

    /// How long a piece waits before it passes.
    fn delay_of(&self, number: u64, way: Way) -> Duration {
        let slow = self.connections.get(&number).filter(|_| way == Way::Down);
        slow.map_or(self.delay, |one| self.delay.max(one.slowness))
    }

    fn meet(&mut self, number: u64, fault: Fault) {
        self.met.push((number, fault));
        let one = self.connections.get_mut(&number).expect("it meets something");
        match fault.fate {
            Fate::Cut => return self.end(number),
            Fate::Unanswered => one.is_held[Way::Down as usize] = true,
            Fate::Held => one.is_held = [true; 2],
            Fate::ServerLost => {
                one.is_held = [true; 2];
                one.close(&one.ends[1..]);
            }
            Fate::ClientLost => {
                one.is_held = [true; 2];
                one.close(&one.ends[..1]);
            }
            Fate::SlowlyAnswered(slowness) => one.slowness = slowness,
            Fate::Pieces(bytes) => one.piece = bytes,
            Fate::OthersReleased => self.release_others(number),
        }
        if matches!(fault.fate, Fate::Pieces(_) | Fate::OthersReleased) {
            self.release(number);
        }
    }
}

/// What comes next.
fn plan(planned: &mut VecDeque<Fault>) -> Option<(Fault, u64)> {
    planned.pop_front().map(|fault| (fault, fault.after))
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
        self.changes(State::cut);
    }

    /// Cuts every connection after so many more bytes to the server.
    pub fn cut_after(&self, bytes: u64) {
        self.changes(|state| state.left = Some(bytes));
    }

    /// How often it has cut.
    pub fn cuts(&self) -> u64 {
        self.shared.state().cuts
    }

    /// Holds each piece for so long before it goes on, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.changes(|state| state.delay = delay);
    }

    /// Lets nothing through any more, and closes nothing; or goes on.
    pub fn stall(&self, is_stalled: bool) {
        self.changes(|state| state.is_stalled = is_stalled);
    }

    /// Has the next connection meet this that has nothing ahead, or the one that goes on after its last fault.
    pub fn plan(&self, fault: Fault) {
        self.changes(|state| state.planned.push_back(fault));
    }

    /// Forgets what no connection has met yet.
    pub fn plan_nothing(&self) {
        self.changes(|state| {
            state.planned.clear();
            state.connections.values_mut().for_each(|one| one.ahead = None);
        });
    }

    /// What was met after the first so many faults, and the numbers of the connections.
    pub fn met(&self, first: usize) -> Vec<(u64, Fault)> {
        self.shared.state().met.iter().skip(first).copied().collect()
    }

    /// Lets a connection go on.
    pub fn release(&self, number: u64) {
        self.changes(|state| state.release(number));
    }

    /// Lets all connections go on.
    pub fn release_all(&self) {
        self.changes(|state| state.release_others(0));
    }

    /// Closes both ends of a connection.
    pub fn end(&self, number: u64) {
        self.changes(|state| state.end(number));
    }

    /// Connections that there have been.
    pub fn accepted(&self) -> u64 {
        self.shared.state().next
    }

    /// Whether a connection is not at its end.
    pub fn has(&self, number: u64) -> bool {
        self.shared.state().connections.contains_key(&number)
    }

    /// Connections that are not at their end.
    pub fn connections(&self) -> usize {
        self.shared.state().connections.len()
    }

    fn changes(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.state());
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
        let connection = Connection {
            ends: [twin(&client), twin(&server)],
            ahead: plan(&mut state.planned),
            is_held: [false; 2],
            piece: usize::MAX,
            slowness: Duration::ZERO,
        };
        state.connections.insert(number, connection);
        drop(state);
        for (from, to, way) in [(twin(&client), twin(&server), Way::Up), (server, client, Way::Down)] {
            let shared = self.clone();
            thread::spawn(move || shared.carry(number, from, to, way));
        }
    }

    fn carry(&self, number: u64, mut from: TcpStream, to: TcpStream, way: Way) {
        let mut buffer = vec![0; 32 << 10];
        let ended_well = loop {
            match from.read(&mut buffer) {
                Ok(0) => break true,
                Ok(count) if self.pass(number, &buffer[..count], &to, way) => {}
                _ => break false,
            }
        };
        // Once it is cut, nobody is told of an end.
        if self.admit(number, 0, way).is_none() {
            return;
        }
        // Who has said all may still be answered.
        if ended_well && to.shutdown(Shutdown::Write).is_ok() && way == Way::Up {
            return;
        }
        self.state().end(number);
    }

    /// Carries these bytes; says whether all have passed.
    fn pass(&self, number: u64, mut bytes: &[u8], mut to: &TcpStream, way: Way) -> bool {
        while !bytes.is_empty() {
            let Some(count) = self.admit(number, bytes.len(), way) else {
                return false;
            };
            let (now, later) = bytes.split_at(count);
            if to.write_all(now).is_err() {
                return false;
            }
            self.after(number, way);
            bytes = later;
        }
        true
    }

    /// Waits as it is told to, and counts; gives how many of these bytes may pass now, `None` once it is cut.
    fn admit(&self, number: u64, count: usize, way: Way) -> Option<usize> {
        let delay = self.state().delay_of(number, way);
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        let mut state = self.state();
        while state.is_stalled || state.connections.get(&number)?.is_held[way as usize] {
            state = self.changed.wait(state).expect("no panic while held");
        }
        let State { connections, left, .. } = &mut *state;
        let connection = connections.get_mut(&number)?;
        let mut pass = count.min(connection.piece);
        let all = left.as_mut().filter(|_| way == Way::Up);
        let limits = [all, connection.left(way)];
        for left in limits.iter().flatten() {
            pass = pass.min(usize::try_from(**left).unwrap_or(pass));
        }
        limits.into_iter().flatten().for_each(|left| *left -= pass as u64);
        let counter = if way == Way::Up { &self.up } else { &self.down };
        counter.fetch_add(pass as u64, Ordering::SeqCst);
        Some(pass)
    }

    /// Does what is to be done when what was let through was the last before it.
    fn after(&self, number: u64, way: Way) {
        let mut state = self.state();
        if way == Way::Up && state.left == Some(0) {
            state.left = None;
            state.cut();
        }
        let connection = state.connections.get_mut(&number);
        let ahead = connection.and_then(|one| one.ahead.take_if(|(fault, left)| fault.way == way && *left == 0));
        if let Some((fault, _)) = ahead {
            state.meet(number, fault);
        }
        drop(state);
        self.changed.notify_all();
    }
}
