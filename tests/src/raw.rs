//! An agent that says what it likes: packets over a real SSH connection, by a machine's own key.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use yore_agent::config::Transport;
use yore_agent::remote::{Address, Login, Server, Stream, Way, read_key};
use yore_wire::{Answer, Failure, Hello, NEWEST, OLDEST, Packet, PacketReader, PushStart, Question};

use crate::SOON;
use crate::machine::Machine;

/// A connection that has logged in.
pub struct Raw {
    reader: PacketReader<Box<dyn Read + Send>>,
    writer: Box<dyn Write + Send>,
    hang_up: Arc<dyn Fn() + Send + Sync>,
    asked: u64,
}

/// How `machine` reaches its server.
pub fn way(machine: &Machine) -> Server {
    let address: Address = machine.url().parse().expect("an address");
    Server {
        user: address.user.clone().expect("a link has a user"),
        address,
        way: Way::Own {
            login: Login::Key(Arc::new(read_key(&machine.config().join("key")).expect("a key"))),
            host_key: machine.configured("host_key"),
            route: Transport::Ssh,
        },
        limit_rate: None,
        interval: None,
    }
}

impl Raw {
    /// Connects, and says nothing yet.
    pub fn to(machine: &Machine) -> Self {
        Self::by(&way(machine)).expect("a connection")
    }

    /// The same in a way of one's own.
    ///
    /// # Errors
    /// If it is not let in.
    pub fn by(server: &Server) -> yore_store::Result<Self> {
        let Stream {
            reader,
            writer,
            hang_up,
            ..
        } = server.connect_raw()?;
        let hang_up: Arc<dyn Fn() + Send + Sync> = hang_up.into();
        Ok(Raw {
            reader: PacketReader::new(reader),
            writer,
            hang_up,
            asked: 0,
        })
    }

    /// Connects and greets.
    pub fn greeted(machine: &Machine) -> Self {
        let mut raw = Self::to(machine);
        raw.greet();
        raw
    }

    /// Connects, greets and opens the machine's repository.
    pub fn opened(machine: &Machine) -> Self {
        let mut raw = Self::greeted(machine);
        raw.ask(open(&machine.name)).expect("it opens");
        raw
    }

    /// Says what a good agent says first, and takes the answer.
    pub fn greet(&mut self) {
        self.say(&Packet::Hello(Hello {
            oldest: OLDEST,
            newest: NEWEST,
            program: "a test".into(),
        }));
        let welcome = self.next();
        assert!(matches!(welcome, Some(Packet::Welcome(_))), "{welcome:?}");
    }

    /// Says something. That nobody hears it is no error: the server may have had enough.
    pub fn say(&mut self, packet: &Packet) {
        let mut bytes = Vec::new();
        packet.write(&mut bytes);
        self.write(&bytes);
    }

    /// Writes bytes; says whether they were taken.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.writer.write_all(bytes).and_then(|()| self.writer.flush()).is_ok()
    }

    /// The next thing that the server says; `None` if it hung up. Panics if it does neither.
    #[expect(clippy::should_implement_trait, reason = "it waits, and panics")]
    pub fn next(&mut self) -> Option<Packet> {
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let hang_up = self.hang_up.clone();
        let watch = std::thread::spawn(move || {
            let late = ended.recv_timeout(SOON) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
            if late {
                hang_up();
            }
            late
        });
        let packet = self.reader.next_packet();
        drop(done);
        assert!(
            !watch.join().expect("no panic"),
            "the server said nothing within {SOON:?}"
        );
        packet.unwrap_or(None)
    }

    /// Asks, and gathers the answers. What is said of a push meanwhile is the answer too.
    ///
    /// # Errors
    /// What the server says.
    pub fn ask(&mut self, question: Question) -> Result<Vec<Answer>, Failure> {
        self.asked += 1;
        let asked = self.asked;
        self.say(&Packet::Ask(asked, question));
        let mut all = Vec::new();
        loop {
            match self.next() {
                Some(Packet::More(number, answers)) if number == asked => all.extend(answers),
                Some(Packet::Done(number, answers)) if number == asked => {
                    all.extend(answers);
                    return Ok(all);
                }
                Some(Packet::Failed(number, failure)) if number == asked => return Err(failure),
                Some(Packet::PushFailed(failure)) => return Err(failure),
                other => panic!("an answer to another question: {other:?}"),
            }
        }
    }

    /// Waits for the server to say that the push has failed, or to hang up.
    pub fn failure(&mut self) -> Option<Failure> {
        loop {
            match self.next() {
                Some(Packet::PushFailed(failure)) => return Some(failure),
                Some(_) => {}
                None => return None,
            }
        }
    }

    /// Hangs up from another thread after a while, unless that is dropped before.
    pub fn patience(&self, time: Duration) -> std::sync::mpsc::Sender<()> {
        let (keep, dropped) = std::sync::mpsc::channel::<()>();
        let hang_up = self.hang_up.clone();
        std::thread::spawn(move || {
            if dropped.recv_timeout(time) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                hang_up();
            }
        });
        keep
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        (self.hang_up)();
    }
}

/// The question that opens a repository to push into it.
pub fn open(repository: &str) -> Question {
    Question::Open {
        repository: repository.to_owned(),
        to_push: true,
    }
}

/// The question that begins a push of `/` of this host.
pub fn start(host: &str) -> Question {
    Question::Push(PushStart {
        host: host.to_owned(),
        roots: vec![b"/".to_vec()],
        tags: vec![],
        interval: None,
        dry_run: false,
    })
}
