//! What a session has to say, written by a thread of its own.
//!
//! The thread that takes a push's messages in must never wait for the agent to read: the agent
//! may be sending, and both would wait for ever. So it leaves what it has to say here. Those who
//! answer questions wait while much is left unread, with the ends of answers too: an agent that asks
//! and never reads fills no memory.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use yore_store::{Error, Frame, Result, Slice};
use yore_wire::{Answer, Failure, GATHERED, LONGEST, Packet, Wire};

use crate::turns::One;

/// Bytes that may wait before those who answer have to.
const WAITING: usize = 2 << 20;

/// What waits to be written.
#[derive(Default)]
pub struct Outbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    packets: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Nothing more will be put in.
    is_complete: bool,
    /// Nobody reads any more.
    is_broken: bool,
}

impl State {
    fn has_room(&self) -> Result<bool> {
        match self.is_broken {
            true => Err(Error::Busy("the connection was lost".into())),
            false => Ok(self.bytes <= WAITING),
        }
    }
}

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    /// Says something now, however much waits: what is said once in a push or a session.
    pub fn say(&self, packet: &Packet) {
        let mut bytes = Vec::new();
        packet.write(&mut bytes);
        // An error text may quote something long.
        if bytes.len() - 4 > LONGEST {
            return self.say(&too_long(packet));
        }
        let mut state = self.state();
        state.bytes += bytes.len();
        state.packets.push_back(bytes);
        self.changed.notify_all();
    }

    /// Says something, once less than the bound waits.
    ///
    /// # Errors
    /// If nobody reads any more.
    pub fn answer(&self, packet: &Packet) -> Result<()> {
        self.wait_for_room()?;
        self.say(packet);
        Ok(())
    }

    /// Whether one who answers need not wait.
    fn has_room(&self) -> Result<bool> {
        self.state().has_room()
    }

    fn wait_for_room(&self) -> Result<()> {
        let is_full = |state: &mut State| state.has_room().is_ok_and(|has_room| !has_room);
        let state = self.changed.wait_while(self.state(), is_full);
        state.expect("no panic while held").has_room().map(drop)
    }

    /// Writes what is put in, until it is complete or the stream breaks.
    pub fn write_to(&self, mut stream: Box<dyn Write + Send>) {
        loop {
            let mut state = self.state();
            while state.packets.is_empty() && !state.is_complete {
                state = self.changed.wait(state).expect("no panic while held");
            }
            let packets = std::mem::take(&mut state.packets);
            if packets.is_empty() {
                return;
            }
            drop(state);
            let bytes = packets.iter().map(Vec::len).sum::<usize>();
            let written = packets.iter().try_for_each(|packet| stream.write_all(packet));
            let broken = written.and_then(|()| stream.flush()).is_err();
            let mut state = self.state();
            state.bytes -= bytes;
            state.is_broken |= broken;
            self.changed.notify_all();
            if broken {
                return;
            }
        }
    }

    /// What is being answered breaks off: the agent has ended its direction, or the server ends the session.
    /// What is said stays.
    pub fn abandon(&self) {
        self.state().is_broken = true;
        self.changed.notify_all();
    }

    /// Whether what is being answered breaks off.
    pub fn is_abandoned(&self) -> bool {
        self.state().is_broken
    }

    /// Nothing more will be put in.
    pub fn complete(&self) {
        self.state().is_complete = true;
        self.changed.notify_all();
    }
}

fn too_long(packet: &Packet) -> Packet {
    let failure = Failure::from(&Error::Refused("an answer that is too long for the protocol".into()));
    match packet {
        Packet::More(number, _) | Packet::Done(number, _) | Packet::Failed(number, _) => {
            Packet::Failed(*number, failure)
        }
        _ => Packet::PushFailed(failure),
    }
}

/// The answer to one question, gathered into packets.
pub struct Reply {
    outbox: Arc<Outbox>,
    number: u64,
    answers: Vec<Answer>,
    bytes: usize,
    /// What its user does once at a time, and does for it now.
    alone: Option<One>,
}

impl Reply {
    /// To the question of this number.
    pub fn new(outbox: Arc<Outbox>, number: u64) -> Self {
        Reply {
            outbox,
            number,
            answers: Vec::new(),
            bytes: 0,
            alone: None,
        }
    }

    /// The answer takes this of its user until it ends; but not while the agent leaves it unread, which
    /// would keep the user's other machines waiting.
    pub fn takes(&mut self, one: One) {
        self.alone = Some(one);
    }

    /// Adds a piece.
    pub fn push(&mut self, answer: Answer) -> Result<()> {
        // About right is enough: packets are cut by this. A piece may fill a packet by itself, so what
        // was gathered does not go with a long one.
        let weight = weight(&answer);
        if self.bytes + weight > GATHERED && !self.answers.is_empty() {
            self.flush()?;
        }
        self.bytes += weight;
        self.answers.push(answer);
        if self.bytes >= GATHERED { self.flush() } else { Ok(()) }
    }

    /// Sends what was gathered.
    pub fn flush(&mut self) -> Result<()> {
        self.bytes = 0;
        let answers = std::mem::take(&mut self.answers);
        while !self.outbox.has_room()? {
            self.wait_aside()?;
        }
        self.outbox.say(&Packet::More(self.number, answers));
        Ok(())
    }

    /// Waits until the agent has read, while others of its user go on.
    fn wait_aside(&mut self) -> Result<()> {
        let Some(one) = self.alone.take() else {
            return self.outbox.wait_for_room();
        };
        let (waited, one) = one.aside(|| self.outbox.wait_for_room());
        self.alone = Some(one);
        waited
    }

    /// Ends the answer.
    pub fn done(mut self) {
        self.alone = None;
        // Who does not read any more does not miss it.
        let _ = self.outbox.answer(&Packet::Done(self.number, self.answers));
    }

    /// Ends it with an error.
    pub fn failed(self, error: &Error) {
        self.fails(Failure::from(error));
    }

    /// The same with what was said before.
    pub fn fails(mut self, failure: Failure) {
        self.alone = None;
        let _ = self.outbox.answer(&Packet::Failed(self.number, failure));
    }
}

fn weight(answer: &Answer) -> usize {
    match answer {
        Answer::Bytes(bytes) | Answer::Small { bytes, .. } | Answer::Frame(Frame { bytes, .. }) => bytes.len(),
        Answer::Shared { frame, slices } => frame.bytes.len() + slices.len() * size_of::<Slice>(),
        Answer::Kept(names) | Answer::Wanted(names) => names.len() * 16,
        Answer::KeptGroups { values, .. } => values.len() * 32,
        Answer::Values { groups, .. } => groups.len() * 33,
        Answer::Sums(sums) => sums.len() * 26,
        Answer::Progress { .. } => GATHERED,
        Answer::Entry(entry) => 120 + entry.name.len() + attributes(&entry.meta),
        Answer::Listed(yore_wire::ListedStep::Enter(entry) | yore_wire::ListedStep::Item { entry, .. }) => {
            150 + entry.name.len() + attributes(&entry.meta)
        }
        // Paths, attributes, damages: of any length, and few.
        answer => {
            let mut bytes = Vec::new();
            answer.write(&mut bytes);
            bytes.len()
        }
    }
}

/// What may be long in metadata. Empty attributes take something too, here and at the reader.
fn attributes(meta: &yore_store::Meta) -> usize {
    let xattrs = meta.xattrs.iter().map(|(name, value)| 8 + name.len() + value.len());
    let extents = meta.data.as_ref().map_or(0, |extents| extents.len() * 16);
    meta.target.len() + meta.owner.user.len() + meta.owner.group.len() + xattrs.sum::<usize>() + extents
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turns::OneEach;
    use std::sync::mpsc::channel;

    #[test]
    fn who_asks_and_does_not_read_is_not_answered_for_ever() {
        let outbox: Arc<Outbox> = Arc::default();
        let (told, done) = channel();
        let answering = outbox.clone();
        let thread = std::thread::spawn(move || {
            for number in 0.. {
                let mut reply = Reply::new(answering.clone(), number);
                if reply.push(Answer::Bytes(vec![0; GATHERED / 2])).is_err() || answering.state().is_broken {
                    let _ = told.send(number);
                    return;
                }
                reply.done();
            }
        });
        // It comes to a halt by itself; what it waits for is that somebody reads, or that nobody can.
        while outbox.state().bytes <= WAITING {
            std::thread::yield_now();
        }
        assert!(outbox.state().bytes <= WAITING + GATHERED);
        assert!(done.try_recv().is_err());
        outbox.abandon();
        thread.join().unwrap();
        assert!(done.recv().unwrap() as usize <= WAITING / (GATHERED / 2) + 3);
    }

    /// Where a test reads what was written.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The packets that these pieces of one answer become.
    fn packets(answers: impl IntoIterator<Item = Answer>) -> Vec<Packet> {
        let (outbox, written) = (Arc::<Outbox>::default(), Written::default());
        std::thread::scope(|threads| {
            threads.spawn(|| outbox.write_to(Box::new(written.clone())));
            let mut reply = Reply::new(outbox.clone(), 1);
            answers.into_iter().try_for_each(|answer| reply.push(answer)).unwrap();
            reply.done();
            outbox.complete();
        });
        let bytes = written.0.lock().unwrap();
        let mut packets = yore_wire::PacketReader::new(&bytes[..]);
        std::iter::from_fn(|| packets.next_packet().unwrap()).collect()
    }

    #[test]
    fn who_does_not_read_keeps_no_other_machine_of_its_user_waiting() {
        let (outbox, each) = (Arc::<Outbox>::default(), Arc::<OneEach>::default());
        let mut reply = Reply::new(outbox.clone(), 1);
        reply.takes(each.wait(7));
        let answering = std::thread::spawn(move || while reply.push(Answer::Bytes(vec![0; GATHERED])).is_ok() {});
        while outbox.state().bytes <= WAITING {
            std::thread::yield_now();
        }
        // It comes back when the other one has let it go.
        drop(each.wait(7));
        outbox.abandon();
        answering.join().unwrap();
        assert!(each.try_take(7).is_some());
    }

    #[test]
    fn what_was_gathered_does_not_make_a_long_piece_too_long() {
        let (short, long) = (
            Answer::Bytes(vec![0; GATHERED - 1]),
            Answer::Bytes(vec![0; LONGEST - 100]),
        );
        let packets = packets([short.clone(), long.clone(), short.clone()]);
        let expected = [
            Packet::More(1, vec![short.clone()]),
            Packet::More(1, vec![long]),
            Packet::Done(1, vec![short]),
        ];
        assert!(packets == expected, "{} packets", packets.len());
    }

    #[test]
    fn empty_attributes_are_not_gathered_without_end() {
        let mut meta = yore_store::Meta::plain(yore_store::Kind::File, 0o644);
        meta.xattrs = vec![(Vec::new(), Vec::new()); GATHERED / 8];
        let entry = yore_store::Entry {
            id: yore_store::EntryId(1),
            folder: yore_store::FolderId(1),
            name: b"a".to_vec(),
            first: yore_store::SnapshotId(1),
            last: yore_store::SnapshotId(1),
            meta,
            size: 0,
            content: None,
            child: None,
            link: None,
        };
        let packets = packets(vec![Answer::Entry(entry); 3]);
        assert_eq!(packets.len(), 4, "one each, and the end");
    }
}
