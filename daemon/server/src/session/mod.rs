//! One session: packets in, answers out.
//!
//! ```text
//!            ┌─ questions ──▶ workers ──────────────┐
//! reader ────┤                                      ├──▶ outbox ──▶ writer
//!            └─ the push's messages ──▶ push ───────┘
//! ```
//!
//! Each is a thread; all are confined to the user's folder, and end with the connection. The push waits
//! for its turn, and where it answers, as the workers do, for an agent that leaves much unread; taking
//! messages in it says nothing that could have to wait. So an agent that always reads, as ours does in a
//! thread of its own, cannot be in a deadlock with it. What an agent may leave waiting here is bounded:
//! questions in number and bytes, messages in number, each being 4 MiB at most.

mod enrol;
mod open;
mod push;
mod question;
#[cfg(test)]
mod tests;
mod verification;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SendError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use yore_store::{Error, Made, Repository, Result, Snapshot};
use yore_wire::{
    Answer, Failure, FailureKind, Message, NEWEST, OLDEST, Packet, PacketReader, Question, Welcome, common_version,
};

use crate::accounts::{Key, NewSession, RepositoryRow, User};
use crate::confine::{check_beneath, confine};
use crate::outbox::{Outbox, Reply};
use crate::running::{Ending, Seen};
use crate::server::Server;

/// Threads that answer questions of one session.
const WORKERS: usize = 3;

/// Questions of one session that may wait.
const MOST_ASKED: usize = 256;

/// Bytes of questions of one session that may wait.
const MOST_ASKED_BYTES: usize = 8 << 20;

/// What may wait of a push: a message of at most 4 MiB, with small ones that came with it.
const MOST_TOLD: usize = 4;

/// Seconds between two looks of others at how far a session is.
const SHOW: i64 = 5;

/// Who is at the other end.
#[derive(Clone)]
pub struct Caller {
    /// The account.
    pub user: User,
    /// The key that it came in by.
    pub key: Option<Key>,
    /// The invitation that it came in by.
    pub invitation: Option<i64>,
    /// Its address.
    pub from: String,
}

/// Ends the connection.
pub type HangUp = Box<dyn Fn() + Send + Sync>;

/// What a session knows of its connection.
pub struct Connection {
    /// Ends it at once.
    pub hang_up: HangUp,
    /// Ends it when the agent has had this while to fetch what was said to it last. Nobody waits for that.
    pub linger: Box<dyn Fn(Duration) + Send + Sync>,
    /// Whether it has ended; known before all that has arrived was read.
    pub is_gone: Box<dyn Fn() -> bool + Send + Sync>,
    /// To be set when the agent has said what it comes for: until then it has to hurry.
    pub has_begun: Arc<AtomicBool>,
}

/// How long an agent may take to fetch what was said to it last.
const LINGER: Duration = Duration::from_secs(5);

/// The same where the server ends the session.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the threads of a session share.
struct Session {
    server: Arc<Server>,
    caller: Caller,
    seen: Arc<Seen>,
    outbox: Arc<Outbox>,
    hang_up: Arc<HangUp>,
    is_gone: Box<dyn Fn() -> bool + Send + Sync>,
    has_begun: Arc<AtomicBool>,
    /// Why the server ended it.
    ending: Arc<OnceLock<Ending>>,
    opened: OnceLock<Open>,
    /// Held while a repository is opened.
    opening: Mutex<()>,
    /// Whether anything was written or removed.
    changed: AtomicBool,
    /// Whether it was told of damage.
    damage_told: AtomicBool,
    /// Whether it has told of a failure.
    reported: AtomicBool,
    /// The base of the push that is running: what a listing lists.
    base: Mutex<Option<Snapshot>>,
    /// When the snapshot was made that the next push copies, if it is a copy.
    made: Mutex<Option<Made>>,
    asked: AtomicUsize,
    asked_bytes: AtomicUsize,
    /// Its number in the accounts.
    number: AtomicI64,
    /// When it was shown there how far it is.
    shown: AtomicI64,
}

/// The repository that a session has opened.
struct Open {
    repository: Arc<Repository>,
    row: RepositoryRow,
}

/// Speaks with one agent until it hangs up. The calling thread is confined for good.
pub fn run(
    server: &Arc<Server>,
    caller: Caller,
    reader: Box<dyn Read + Send>,
    writer: Box<dyn Write + Send>,
    connection: Connection,
) {
    let Connection {
        hang_up,
        linger,
        is_gone,
        has_begun,
    } = connection;
    let (outbox, ending, linger) = (Arc::<Outbox>::default(), Arc::default(), Arc::new(linger));
    let seen = Arc::new(Seen {
        from: caller.from.clone(),
        heard: server.now().into(),
        told: server.now().into(),
        end: Box::new({
            let (outbox, ending, linger) = (outbox.clone(), Arc::clone(&ending), linger.clone());
            move |why| say_farewell(&outbox, &ending, &**linger, why)
        }),
    });
    let session = Arc::new(Session {
        server: server.clone(),
        caller,
        seen,
        outbox,
        hang_up: Arc::new(hang_up),
        is_gone,
        has_begun,
        ending,
        opened: OnceLock::new(),
        opening: Mutex::default(),
        changed: AtomicBool::new(false),
        damage_told: AtomicBool::new(false),
        reported: AtomicBool::new(false),
        base: Mutex::default(),
        made: Mutex::default(),
        asked: AtomicUsize::new(0),
        asked_bytes: AtomicUsize::new(0),
        number: AtomicI64::new(0),
        shown: AtomicI64::new(0),
    });
    if let Err(error) = session.confine() {
        server.complain(format_args!("{}: a session cannot be confined: {error}", session.who()));
        return (session.hang_up)();
    }
    let what = if session.caller.key.is_some() {
        "connected"
    } else {
        "enrols"
    };
    let begun = server.accounts.session_begin(&NewSession {
        user: &session.caller.user.name,
        repository: None,
        from: &session.caller.from,
        key: session.caller.key.as_ref().map(|key| key.id),
        what,
    });
    session.number.store(begun.unwrap_or(0), Ordering::Relaxed);
    let followed = server.follow(&session.caller, session.seen.clone());
    // From here on a revocation ends it; one that came since the login did not.
    if !server.may_stay(&session.caller) {
        (session.seen.end)(Ending::NotLetIn);
    } else if server.is_crowded(&session.caller) {
        (session.seen.end)(Ending::TooMany);
    }
    thread::scope(|threads| {
        let outbox = session.outbox.clone();
        let writing = thread::Builder::new().spawn_scoped(threads, move || outbox.write_to(writer));
        match writing {
            Ok(_) => session.serve(threads, reader, &**linger),
            Err(error) => {
                session.lacks_threads(&error);
                (session.hang_up)();
            }
        }
    });
    drop(followed);
    let _ = server.accounts.session_end(session.number.load(Ordering::Relaxed));
    linger(LINGER);
    // SQLite's log is gone once the repository is closed: that is what counts.
    let is_changed = session.changed.load(Ordering::Relaxed);
    let row = session.opened.get().map(|open| open.row.clone());
    drop(session);
    if let Some(row) = row.filter(|_| is_changed) {
        server.measured_at_rest(&row);
    }
    yore_terminal::memory::give_back();
}

/// Tells the agent why its session ends, and ends it when that can have arrived.
fn say_farewell(outbox: &Outbox, ending: &OnceLock<Ending>, linger: &dyn Fn(Duration), why: Ending) {
    let text = why.text();
    let kind = match why {
        Ending::NotLetIn => FailureKind::Denied,
        Ending::Leaving => FailureKind::Leaving,
        Ending::TooMany | Ending::TakenOver(_) => FailureKind::Busy,
    };
    if ending.set(why).is_ok() {
        outbox.say(&Packet::PushFailed(Failure { kind, text }));
        outbox.abandon();
        linger(FAREWELL);
    }
}

/// Hands messages on to the push's thread.
fn hand_on(messages: &mut Vec<Message>, tell: &SyncSender<Told>) -> std::result::Result<(), SendError<Told>> {
    match messages.is_empty() {
        true => Ok(()),
        false => tell.send(Told::Messages(std::mem::take(messages))),
    }
}

/// What goes to the push's thread.
enum Told {
    Messages(Vec<Message>),
    Asked(u64, Question),
}

impl Session {
    fn who(&self) -> String {
        format!("{} from {}", self.caller.user.name, self.caller.from)
    }

    /// Whether it is over: nobody waits for an answer any more. It stays so.
    fn has_ended(&self) -> bool {
        self.ending.get().is_some() || self.outbox.is_abandoned() || (self.is_gone)()
    }

    fn confine(&self) -> std::io::Result<()> {
        let (data, user) = (self.server.accounts.data(), &self.caller.user.name);
        let folder = self.server.accounts.user_path(user);
        let below = folder.strip_prefix(data).map_err(std::io::Error::other)?;
        check_beneath(data, below)?;
        confine(&folder)
    }

    fn serve<'scope>(
        self: &'scope Arc<Self>,
        threads: &'scope thread::Scope<'scope, '_>,
        reader: Box<dyn Read + Send>,
        linger: &dyn Fn(Duration),
    ) {
        let (ask, asked) = channel();
        let (tell, told) = sync_channel(MOST_TOLD);
        let asked = Arc::new(Mutex::new(asked));
        let workers = (0..WORKERS).map(|_| {
            let asked = asked.clone();
            thread::Builder::new().spawn_scoped(threads, move || self.guarded("a question", || self.work(&asked)))
        });
        let push = move || push::receive(self, &told);
        let push = thread::Builder::new().spawn_scoped(threads, move || self.guarded("a push", push));
        // With fewer it could not be served; those that have begun end with the channels.
        let working: std::io::Result<Vec<_>> = std::iter::once(push).chain(workers).collect();
        let mut packets = PacketReader::new(reader);
        let read = match &working {
            Ok(_) => self.read(&mut packets, &ask, &tell),
            Err(error) => Err(self.lacks_threads(error)),
        };
        linger(LINGER);
        self.outbox.abandon();
        if let Err(error) = &read {
            self.outbox.say(&Packet::PushFailed(Failure::from(error)));
            // An agent that is still writing would not read, and the connection not be seen to end.
            let _ = thread::Builder::new().spawn_scoped(threads, move || packets.skip_to_end());
        }
        drop((ask, tell));
        // What was received is put away before the session counts as ended.
        working.into_iter().flatten().for_each(|thread| drop(thread.join()));
        // Now, and not before: nobody waits for room in what is never written.
        self.outbox.complete();
    }

    /// The server has no thread for it: it ends, and nobody else.
    fn lacks_threads(&self, error: &std::io::Error) -> Error {
        let who = self.who();
        self.server
            .complain(format_args!("{who}: a session cannot be served: {error}"));
        Error::Busy("the server is doing too much else".into())
    }

    /// A panic ends the session, not the server.
    fn guarded(&self, what: &str, work: impl FnOnce()) {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
            let who = self.who();
            self.server.complain(format_args!(
                "{who}: a bug in {what}, see the panic above; the session ends"
            ));
            (self.hang_up)();
        }
    }

    fn read(
        &self,
        packets: &mut PacketReader<Box<dyn Read + Send>>,
        ask: &Sender<(u64, Question, usize)>,
        tell: &SyncSender<Told>,
    ) -> Result<()> {
        let refused = |text: &str| Error::Refused(text.to_owned());
        match packets.next_packet() {
            Ok(Some(Packet::Hello(hello))) => {
                let version = common_version(hello.oldest, hello.newest);
                self.outbox.say(&Packet::Welcome(Welcome {
                    version: version.unwrap_or(0),
                    oldest: OLDEST,
                    newest: NEWEST,
                    program: format!("yored {}", env!("CARGO_PKG_VERSION")),
                }));
                if version.is_none() {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            _ => return Err(refused("a session begins with a greeting")),
        }
        let (mut bytes, mut messages) = (0u64, Vec::new());
        loop {
            let packet = match packets.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    return Err(refused(&error.to_string()));
                }
                // The connection is gone; nobody would hear of it.
                Err(_) => return Ok(()),
            };
            self.seen.touch(self.server.now());
            bytes += packets.last_length();
            self.progress(bytes);
            let gone = |_| refused("the push has ended");
            match packet {
                Packet::Alive => {}
                Packet::Tell(message) => messages.push(message),
                Packet::Ask(
                    number,
                    question @ (Question::Made { .. }
                    | Question::Push(_)
                    | Question::Commit { .. }
                    | Question::Abort { .. }),
                ) => {
                    hand_on(&mut messages, tell).map_err(gone)?;
                    tell.send(Told::Asked(number, question)).map_err(gone)?;
                }
                Packet::Ask(number, question) => {
                    if matches!(question, Question::Open { .. } | Question::Enrol(_)) {
                        self.has_begun.store(true, Ordering::Relaxed);
                    }
                    let length = packets.last_length() as usize;
                    let waiting = self.asked_bytes.fetch_add(length, Ordering::Relaxed);
                    if self.asked.fetch_add(1, Ordering::Relaxed) >= MOST_ASKED || waiting > MOST_ASKED_BYTES {
                        return Err(refused("too many questions at once"));
                    }
                    ask.send((number, question, length))
                        .map_err(|_| refused("the session has ended"))?;
                }
                _ => return Err(refused("that is what a server says")),
            }
            // What has arrived together is handed on together.
            if !packets.has_next() {
                hand_on(&mut messages, tell).map_err(gone)?;
            }
        }
    }

    /// Shows others how far the session is, now and then.
    fn progress(&self, bytes: u64) {
        let now = self.server.now();
        if now >= self.shown.load(Ordering::Relaxed) + SHOW {
            self.shown.store(now, Ordering::Relaxed);
            let what = match (self.opened.get(), self.base.lock().map(|base| base.is_some())) {
                (Some(open), _) if self.server.running.has(open.row.id) => "push",
                (Some(_), _) => "read",
                _ => "connected",
            };
            self.shows(what, bytes);
        }
    }

    /// Shows others what it does, and how many bytes have come.
    fn shows(&self, what: &str, bytes: u64) {
        let number = self.number.load(Ordering::Relaxed);
        let _ = self.server.accounts.session_progress(number, what, bytes);
    }

    fn work(&self, asked: &Mutex<Receiver<(u64, Question, usize)>>) {
        loop {
            let next = asked.lock().expect("no panic while held").recv();
            let Ok((number, question, length)) = next else { return };
            let mut reply = Reply::new(self.outbox.clone(), number);
            match self.answer(question, &mut reply) {
                Ok(()) => reply.done(),
                Err(error) => {
                    self.tell_damage(&error);
                    reply.failed(&error);
                }
            }
            self.asked.fetch_sub(1, Ordering::Relaxed);
            self.asked_bytes.fetch_sub(length, Ordering::Relaxed);
        }
    }

    /// Tells the people of a server of damage that somebody came upon; once a session.
    fn tell_damage(&self, error: &Error) {
        if let Some(open) = self.opened.get() {
            self.tell_damage_of(&open.row, error);
        }
    }

    fn tell_damage_of(&self, row: &RepositoryRow, error: &Error) {
        if error.is_damage() && !self.damage_told.swap(true, Ordering::Relaxed) {
            self.server.damage_found(row.id, 1, &error.to_string());
        }
    }

    fn answer(&self, question: Question, reply: &mut Reply) -> Result<()> {
        match question {
            Question::Enrol(enrolment) => reply.push(enrol::enrol(self, enrolment)?),
            Question::Open { repository, to_push } => reply.push(Answer::Opened(self.open(&repository, to_push)?)),
            question => question::answer(self, self.opened()?, question, reply),
        }
    }

    /// Something is about to be written or removed.
    fn changes(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    fn opened(&self) -> Result<&Open> {
        self.opened
            .get()
            .ok_or_else(|| Error::Refused("no repository is open".into()))
    }
}
