//! One connection to a server: questions with their answers, and a push's messages.
//!
//! ```text
//! ask, tell ──▶ writer (buffered) ──▶ server
//! answers ◀── by number ◀── reader (a thread of its own) ◀── server
//! ```
//!
//! The thread always reads on, so that a push that sends is never held up by answers that
//! nobody fetches.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use yore_store::{Error, Result};
use yore_wire::{Answer, Failure, Hello, Message, NEWEST, OLDEST, Packet, PacketReader, Question, write_packet};

use super::greeting::check_version;
use super::mailbox::{Mailbox, TooLong};
use super::most::Most;
use super::outgoing::Outgoing;
use super::said::{has_names, plain};
use super::stream::Stream;
use super::unheard::Unheard;

/// What an answer of known length may take besides twice its bytes: numbers, headers.
const BESIDES: u64 = 64 << 10;

/// How often a push says that it is there while it reads and sends nothing.
const ALIVE: Duration = Duration::from_secs(10);

/// A connection to a server.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    hang_up: Arc<dyn Fn() + Send + Sync>,
    /// No other connection of this process has it.
    pub number: i64,
}

struct Shared {
    place: String,
    outgoing: Mutex<Outgoing>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    unheard: Unheard,
    asked: HashMap<u64, Arc<Mailbox<Piece>>>,
    /// Why nothing more will come.
    lost: Option<String>,
    push_failed: Option<Failure>,
}

enum Piece {
    More(Vec<Answer>),
    Done(Vec<Answer>),
    Failed(Failure),
}

impl Piece {
    /// How many answers it has.
    fn answers(&self) -> usize {
        match self {
            Piece::More(answers) | Piece::Done(answers) => answers.len(),
            Piece::Failed(_) => 0,
        }
    }
}

impl Connection {
    /// Greets the server; `place` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Elsewhere`] if it does not answer, or speaks no version that we do.
    pub fn begin(stream: Stream, place: &str) -> Result<Self> {
        let Stream {
            reader,
            mut writer,
            hang_up,
            refusal,
        } = stream;
        let mut reader = PacketReader::new(reader);
        let hello = Packet::Hello(Hello {
            oldest: OLDEST,
            newest: NEWEST,
            program: format!("yore {}", env!("CARGO_PKG_VERSION")),
        });
        let greeted = write_packet(&mut writer, &hello)
            .and_then(|()| writer.flush())
            .and_then(|()| reader.next_packet());
        let welcome = match greeted {
            Ok(Some(Packet::Welcome(welcome))) => welcome,
            Ok(Some(_)) => return Err(elsewhere(place, "this is no yored", false)),
            ended => {
                let error = match ended {
                    Err(error) => elsewhere(place, format!("the connection was lost: {error}"), true),
                    _ => elsewhere(place, "the server closed the connection", true),
                };
                return Err(refusal().map_or(error, |why| elsewhere(place, why, false)));
            }
        };
        check_version(place, &welcome)?;
        let shared = Arc::new(Shared {
            place: place.to_owned(),
            outgoing: Mutex::new(Outgoing::new(writer)),
            state: Mutex::default(),
        });
        let hang_up: Arc<dyn Fn() + Send + Sync> = hang_up.into();
        let (receiving, lost) = (shared.clone(), hang_up.clone());
        std::thread::Builder::new()
            .name("yore-answers".into())
            .spawn(move || {
                receiving.receive(reader);
                // Who is still writing would wait for ever.
                lost();
            })
            .map_err(|error| elsewhere(place, error, false))?;
        static NEXT: AtomicI64 = AtomicI64::new(1);
        Ok(Connection {
            shared,
            hang_up,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// What errors call the server.
    pub fn place(&self) -> &str {
        &self.shared.place
    }

    /// Asks; the answers come as they are fetched.
    pub fn ask(&self, question: Question) -> Result<Answers> {
        self.ask_within(question, u64::MAX)
    }

    /// Asks for so many bytes. Who asks may wait for the answers to other questions first.
    pub fn ask_for(&self, question: Question, bytes: u64) -> Result<Answers> {
        self.ask_within(question, bytes.saturating_mul(2).saturating_add(BESIDES))
    }

    fn ask_within(&self, question: Question, most: u64) -> Result<Answers> {
        let (number, pieces) = self.shared.register(most)?;
        self.shared.write(&Packet::Ask(number, question), true)?;
        Ok(Answers {
            shared: self.shared.clone(),
            number,
            pieces,
            ready: Vec::new().into_iter(),
            is_done: false,
        })
    }

    /// Asks what has one answer, or none.
    pub fn ask_one(&self, question: Question) -> Result<Option<Answer>> {
        let mut answers = self.ask(question)?;
        let first = answers.next().transpose()?;
        match answers.next().transpose()? {
            None => Ok(first),
            Some(_) => {
                self.hang_up();
                Err(elsewhere(
                    self.place(),
                    "the server gives two answers where there is one",
                    false,
                ))
            }
        }
    }

    /// Ends the connection for an answer that is too long, and says so: the rest of it would be in the way of others.
    pub fn too_much(&self, most: &Most) -> Error {
        self.hang_up();
        elsewhere(self.place(), most.error(), false)
    }

    /// Tells a message of the push.
    ///
    /// # Errors
    /// What the push failed of, as soon as the server has said so.
    pub fn tell(&self, message: Message) -> Result<()> {
        self.shared.push_failure()?;
        match self.shared.write(&Packet::Tell(message), false) {
            Ok(()) => Ok(()),
            // The server's own words say more than that it has hung up.
            Err(error) => self.shared.push_failure().and(Err(error)),
        }
    }

    /// Says that the push goes on although nothing is sent, until what is returned is dropped.
    pub fn keep_alive(&self) -> Alive {
        let (stop, stopped) = sync_channel::<()>(0);
        let shared = self.shared.clone();
        std::thread::spawn(move || {
            while stopped.recv_timeout(ALIVE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                if shared.write(&Packet::Alive, true).is_err() {
                    return;
                }
            }
        });
        Alive { _stop: stop }
    }

    /// Ends the connection; whoever waits for an answer gets an error.
    pub fn hang_up(&self) {
        (self.hang_up)();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.shared.outgoing().flush();
        self.hang_up();
    }
}

/// While it is there, the server hears now and then that the push goes on.
pub(crate) struct Alive {
    _stop: SyncSender<()>,
}

pub(super) fn elsewhere(place: &str, message: impl ToString, lost: bool) -> Error {
    Error::Elsewhere {
        place: place.to_owned(),
        message: message.to_string(),
        lost,
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().expect("no panic while held")
    }

    /// The error of a connection that is gone. What the server said before says more than that.
    fn gone(&self, state: &State, error: &str) -> Error {
        match (&state.push_failed, &state.lost) {
            (Some(failure), _) => failure.clone().into_error(&self.place),
            (None, Some(why)) => elsewhere(&self.place, why, true),
            (None, None) => elsewhere(&self.place, format!("the connection was lost: {error}"), true),
        }
    }

    fn register(&self, most: u64) -> Result<(u64, Arc<Mailbox<Piece>>)> {
        let pieces = Arc::new(Mailbox::new(most));
        let mut state = self.state();
        if state.lost.is_some() {
            return Err(self.gone(&state, ""));
        }
        state.next += 1;
        let number = state.next;
        state.asked.insert(number, pieces.clone());
        Ok((number, pieces))
    }

    fn push_failure(&self) -> Result<()> {
        match &self.state().push_failed {
            None => Ok(()),
            Some(failure) => Err(failure.clone().into_error(&self.place)),
        }
    }

    fn write(&self, packet: &Packet, flush: bool) -> Result<()> {
        let written = self.outgoing().put(packet, flush);
        written.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => Error::Refused(error.to_string()),
            // The reader may have heard the reason.
            _ => self.gone(&self.state(), &error.to_string()),
        })
    }

    fn receive(&self, mut reader: PacketReader<Box<dyn io::Read + Send>>) {
        let why = loop {
            match reader.next_packet() {
                Ok(Some(packet)) => {
                    if let Err(TooLong) = self.take(packet, reader.last_length()) {
                        break "the server said more than was asked for".to_owned();
                    }
                }
                Ok(None) => break "the connection was closed".to_owned(),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    break format!("the server sent nonsense: {error}");
                }
                Err(error) => break format!("the connection was lost: {error}"),
            }
        };
        let mut state = self.state();
        state.lost = Some(why);
        state.asked.drain().for_each(|(_, asker)| asker.close());
    }

    fn take(&self, packet: Packet, bytes: u64) -> std::result::Result<(), TooLong> {
        let (number, piece, is_last) = match packet {
            Packet::More(number, answers) => (number, Piece::More(answers), false),
            Packet::Done(number, answers) => (number, Piece::Done(answers), true),
            Packet::Failed(number, failure) => (number, Piece::Failed(readable(failure)), true),
            Packet::PushFailed(failure) => {
                let mut state = self.state();
                state.push_failed = Some(readable(failure));
                return state.unheard.count(bytes);
            }
            // Nothing that a server says.
            _ => return self.state().unheard.count(bytes),
        };
        let answers = piece.answers();
        let mut state = self.state();
        let asker = match is_last {
            true => state.asked.remove(&number),
            false => state.asked.get(&number).cloned(),
        };
        // Who asked may have had enough; but who says nothing else keeps all others from being answered.
        match asker.is_some() && (is_last || answers > 0) {
            true => state.unheard = Unheard::default(),
            false => state.unheard.count(bytes)?,
        }
        drop(state);
        let memory = bytes + (answers * size_of::<Answer>()) as u64;
        asker.map_or(Ok(()), |asker| asker.put(piece, bytes, memory))
    }
}

/// A failure whose text goes into messages, files, and the environment of a person's commands.
fn readable(failure: Failure) -> Failure {
    Failure {
        text: plain(&failure.text),
        ..failure
    }
}

/// The answers to one question.
pub(crate) struct Answers {
    shared: Arc<Shared>,
    number: u64,
    pieces: Arc<Mailbox<Piece>>,
    ready: std::vec::IntoIter<Answer>,
    is_done: bool,
}

impl Iterator for Answers {
    type Item = Result<Answer>;

    fn next(&mut self) -> Option<Result<Answer>> {
        loop {
            match self.ready.next() {
                Some(answer) if has_names(&answer) => return Some(Ok(answer)),
                Some(_) => {
                    (self.ready, self.is_done) = (Vec::new().into_iter(), true);
                    let why = "the server calls a snapshot what no snapshot can be called";
                    return Some(Err(elsewhere(&self.shared.place, why, false)));
                }
                None => {}
            }
            if self.is_done {
                return None;
            }
            match self.pieces.take() {
                Some(Piece::More(answers)) => self.ready = answers.into_iter(),
                Some(Piece::Done(answers)) => (self.ready, self.is_done) = (answers.into_iter(), true),
                Some(Piece::Failed(failure)) => {
                    self.is_done = true;
                    return Some(Err(failure.into_error(&self.shared.place)));
                }
                None => {
                    self.is_done = true;
                    return Some(Err(self.shared.gone(&self.shared.state(), "")));
                }
            }
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.shared.state().asked.remove(&self.number);
        self.pieces.close();
    }
}

#[cfg(test)]
mod tests {
    use yore_store::{Damage, Verified};
    use yore_wire::FailureKind;

    use super::super::testing::served;
    use super::*;

    /// A connection to a server that says this to the first question, whose number is 1.
    fn told(packets: Vec<Packet>) -> Connection {
        served(move |mut asked, mut say| {
            asked.next_packet().unwrap();
            // Who has heard enough hangs up.
            let _ = packets.iter().try_for_each(|packet| write_packet(&mut say, packet));
            let _ = asked.next_packet();
        })
    }

    /// Damage in a snapshot of this name.
    fn damage(name: &str) -> Answer {
        let damage = Damage {
            what: "rot".into(),
            paths: vec![(b"/a".to_vec(), name.into())],
        };
        Answer::Verified(Verified {
            damages: vec![damage],
            ..Verified::default()
        })
    }

    #[test]
    fn a_snapshot_whose_name_is_none_is_not_heard_of() {
        let answers = vec![damage("2026-11-25_12-00-00"), damage("../../home/ann"), damage("x")];
        let connection = told(vec![Packet::Done(1, answers)]);
        let heard: Vec<_> = connection.ask(Question::Verify { read_data: true }).unwrap().collect();
        assert_eq!(heard.len(), 2);
        assert!(heard[0].is_ok() && heard[1].is_err());
    }

    #[test]
    fn a_server_that_says_more_than_was_asked_for_is_not_listened_to() {
        let flood = (0..1000).map(|_| Packet::More(1, vec![Answer::Bytes(vec![7; 1 << 20])]));
        let connection = told(flood.collect());
        let question = Question::Read {
            content: yore_store::ContentId(1),
            offset: 0,
            length: 1 << 20,
        };
        let answers = connection.ask_for(question, 1 << 20).unwrap();
        let heard: Vec<_> = answers.collect();
        let error = heard.last().unwrap().as_ref().unwrap_err().to_string();
        assert!(heard.len() < 4 && error.contains("more than was asked for"), "{error}");
    }

    #[test]
    fn a_failure_can_be_shown_and_kept() {
        let failure = Failure {
            kind: FailureKind::Denied,
            text: format!("no\0\u{1b}[2J{}", "x".repeat(1 << 20)),
        };
        let connection = told(vec![Packet::PushFailed(failure.clone()), Packet::Failed(1, failure)]);
        let asked = connection.ask_one(Question::Version).unwrap_err().to_string();
        let pushed = connection.tell(Message::Leave).unwrap_err().to_string();
        for text in [asked, pushed] {
            assert!(text.len() < 3000 && !text.contains(char::is_control), "{text}");
        }
    }
}
