//! Sessions with an agent that says what ours never would.

use std::os::unix::net::UnixStream;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;

use yore_store::{Kind, LARGEST, LargeOp, Meta};
use yore_wire::{FailureKind, Hello, MOST_TEXT, Message, PushStart, write_packet};

use super::open::NEW;
use super::*;
use crate::accounts::{Accounts, By, UserChange};
use crate::config::Config;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

/// What a session may take to end, on a machine that has much else to do.
const SOON: Duration = Duration::from_secs(60);

/// A server with one user, and one session of hers.
struct Peer {
    folder: tempfile::TempDir,
    accounts: Accounts,
    writer: UnixStream,
    reader: PacketReader<UnixStream>,
    session: JoinHandle<()>,
    /// Disconnected when the session has ended.
    ended: Receiver<()>,
    /// Whether the connection is known to be gone.
    is_gone: Arc<AtomicBool>,
}

impl Peer {
    fn new(quota: Option<u64>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(folder.path()).unwrap();
        let by = By {
            who: "root",
            from: "here",
        };
        let change = UserChange {
            quota: Some(quota),
            ..UserChange::default()
        };
        let user = accounts.add_user(&"ann".parse().unwrap(), &change, by).unwrap();
        let key = accounts.enrol(user.id, None, KEY, "laptop", "here").unwrap();
        let config = Config {
            keep_free: crate::units::Size(0),
            ..Config::default()
        };
        let server = Server::new(config, accounts.clone());
        let (here, there) = UnixStream::pair().unwrap();
        here.set_write_timeout(Some(SOON)).unwrap();
        let caller = Caller {
            user,
            key: Some(key),
            invitation: None,
            from: "here".into(),
        };
        let is_gone: Arc<AtomicBool> = Arc::default();
        let ((running, ended), gone) = (channel::<()>(), is_gone.clone());
        let session = std::thread::spawn(move || {
            let _running = running;
            let (reader, writer) = (
                Box::new(there.try_clone().unwrap()),
                Box::new(there.try_clone().unwrap()),
            );
            let there = Arc::new(there);
            let still_there = there.clone();
            let connection = Connection {
                hang_up: Box::new(move || drop(there.shutdown(std::net::Shutdown::Both))),
                linger: Box::new(move |_| drop(still_there.shutdown(std::net::Shutdown::Read))),
                is_gone: Box::new(move || gone.load(Ordering::Relaxed)),
                has_begun: Arc::default(),
            };
            run(&server, caller, reader, writer, connection);
        });
        Peer {
            folder,
            accounts,
            writer: here.try_clone().unwrap(),
            reader: PacketReader::new(here),
            session,
            ended,
            is_gone,
        }
    }

    fn greeted(quota: Option<u64>) -> Self {
        let mut peer = Peer::new(quota);
        peer.say(&hello(1, 1));
        assert!(matches!(peer.hear(), Some(Packet::Welcome(welcome)) if welcome.version == 1));
        peer
    }

    fn say(&mut self, packet: &Packet) {
        write_packet(&mut self.writer, packet).unwrap();
    }

    fn hear(&mut self) -> Option<Packet> {
        match self.reader.next_packet() {
            // Closed with something of ours unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            packet => packet.unwrap(),
        }
    }

    /// What a question is answered, or of what it fails.
    fn ask(&mut self, question: Question) -> Result<Vec<Answer>, Failure> {
        self.say(&Packet::Ask(1, question));
        let mut all = Vec::new();
        loop {
            match self.hear() {
                Some(Packet::More(1, answers)) => all.extend(answers),
                Some(Packet::Done(1, answers)) => {
                    all.extend(answers);
                    return Ok(all);
                }
                Some(Packet::Failed(1, failure)) => return Err(failure),
                other => panic!("{other:?}"),
            }
        }
    }

    fn open(&mut self, repository: &str) -> Result<Vec<Answer>, Failure> {
        self.ask(Question::Open {
            repository: repository.into(),
            to_push: true,
        })
    }

    fn begin_push(&mut self) -> Result<Vec<Answer>, Failure> {
        self.ask(Question::Push(PushStart {
            host: "laptop".into(),
            roots: vec![b"/".to_vec()],
            tags: vec![],
            interval: None,
            dry_run: false,
        }))
    }

    fn hang_up(self) -> (tempfile::TempDir, Accounts) {
        self.writer.shutdown(std::net::Shutdown::Both).unwrap();
        self.end()
    }

    /// Waits for the session's end.
    fn end(self) -> (tempfile::TempDir, Accounts) {
        let ended = self.ended.recv_timeout(SOON);
        assert_eq!(ended, Err(RecvTimeoutError::Disconnected), "it goes on");
        self.session.join().unwrap();
        (self.folder, self.accounts)
    }
}

fn hello(oldest: u16, newest: u16) -> Packet {
    Packet::Hello(Hello {
        oldest,
        newest,
        program: "yore of another time".into(),
    })
}

#[test]
fn a_session_is_listed_with_its_repository_until_it_ends() {
    let mut peer = Peer::greeted(None);
    peer.open("docs").unwrap();
    peer.ask(Question::Version).unwrap();
    let sessions = peer.accounts.sessions().unwrap();
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].repository, Some("docs".parse().unwrap()));
    let (_folder, accounts) = peer.hang_up();
    assert_eq!(accounts.sessions().unwrap(), []);
}

#[test]
fn a_session_has_one_repository_and_makes_no_other() {
    let mut peer = Peer::greeted(None);
    peer.open("docs").unwrap();
    for name in ["docs", "more", "../docs", ".deleted-1"] {
        assert_eq!(peer.open(name).unwrap_err().kind, FailureKind::Refused, "{name}");
    }
    let (_folder, accounts) = peer.hang_up();
    assert_eq!(accounts.repositories().unwrap().len(), 1);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in ["..", ".", "", "a/b", "/etc", "a\0b", ".deleted-1", "a\nb"] {
        let mut peer = Peer::greeted(None);
        assert!(peer.open(name).is_err(), "{name:?}");
        let (_folder, accounts) = peer.hang_up();
        assert_eq!(accounts.repositories().unwrap(), [], "{name:?}");
    }
}

#[test]
fn a_new_repository_counts_too() {
    let mut peer = Peer::greeted(Some(NEW - 1));
    let failure = peer.open("docs").unwrap_err();
    assert!(matches!(failure.kind, FailureKind::OverBudget { .. }), "{failure:?}");
    let (folder, accounts) = peer.hang_up();
    assert!(!folder.path().join("users/ann/docs").exists());
    assert_eq!(accounts.repositories().unwrap(), []);
}

#[test]
fn many_new_repositories_count_together() {
    let mut peer = Peer::greeted(Some(2 * NEW));
    peer.open("docs").unwrap();
    let used = peer.accounts.repositories().unwrap()[0].bytes;
    assert!(used > 1 << 20 && used <= NEW, "{used}: measured when it was made");
}

#[test]
fn what_is_out_of_order_is_refused_with_the_reason() {
    let mut peer = Peer::greeted(None);
    let unopened = peer.ask(Question::Snapshots).unwrap_err();
    assert!(unopened.text.contains("no repository is open"), "{unopened:?}");
    peer.open("docs").unwrap();
    // A message without a push fails what may come of it, and the session goes on.
    peer.say(&Packet::Tell(Message::Leave));
    assert!(matches!(peer.hear(), Some(Packet::PushFailed(failure)) if failure.text.contains("no push")));
    assert_eq!(
        peer.ask(Question::Commit { unread: 0 }).unwrap_err().kind,
        FailureKind::Refused
    );
    peer.ask(Question::Abort { failure: String::new() }).unwrap();
    // What only a server says ends it.
    peer.say(&Packet::Done(1, Vec::new()));
    assert!(matches!(peer.hear(), Some(Packet::PushFailed(_))));
    assert_eq!(peer.hear(), None);
}

#[test]
fn agents_of_another_time_hear_what_is_spoken_here() {
    for (oldest, newest, version) in [(1, 9, 1), (0, 1, 1), (NEWEST + 1, NEWEST + 5, 0), (0, OLDEST - 1, 0)] {
        let mut peer = Peer::new(None);
        peer.say(&hello(oldest, newest));
        let Some(Packet::Welcome(welcome)) = peer.hear() else {
            panic!("no greeting")
        };
        assert_eq!(
            (welcome.version, welcome.oldest, welcome.newest),
            (version, OLDEST, NEWEST)
        );
        if version == 0 {
            assert_eq!(peer.hear(), None, "nothing more is said");
        }
    }
}

#[test]
fn what_is_no_packet_ends_the_session() {
    for bytes in [
        &[0, 0, 0, 0][..],
        &[1, 0, 0, 0, 0x77],
        &[0xff; 8],
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut peer = Peer::greeted(None);
        peer.writer.write_all(bytes).unwrap();
        assert!(matches!(peer.hear(), Some(Packet::PushFailed(failure)) if failure.kind == FailureKind::Refused));
        assert_eq!(peer.hear(), None);
        peer.session.join().unwrap();
    }
}

/// The work of a day, in few bytes.
fn terabytes_of_zeros() -> impl Iterator<Item = Packet> {
    let zeros = Message::Large(LargeOp::Zeros { length: LARGEST });
    let begin = Message::LargeBegin {
        base: None,
        key: [7; 16],
    };
    [begin, zeros].into_iter().map(Packet::Tell).cycle()
}

#[test]
fn a_push_ends_with_its_session_whatever_is_left_to_do() {
    let mut peer = Peer::greeted(None);
    peer.open("docs").unwrap();
    peer.begin_push().unwrap();
    // All in one piece, so that its end is seen behind it: that of a stream with more than may wait is not seen before
    // there is room, and then it is the connection that says so (the next test).
    let mut bytes = Vec::new();
    terabytes_of_zeros()
        .take(10)
        .for_each(|packet| packet.write(&mut bytes));
    // What was left out must not become a snapshot.
    Packet::Ask(2, Question::Commit { unread: 0 }).write(&mut bytes);
    peer.writer.write_all(&bytes).unwrap();
    let (_folder, accounts) = peer.hang_up();
    let row = &accounts.repositories().unwrap()[0];
    assert!(row.last_push_lost && row.last_success.is_none(), "{row:?}");
}

#[test]
fn a_connection_that_is_gone_ends_a_push_before_all_that_arrived_was_read() {
    let mut peer = Peer::greeted(None);
    peer.open("docs").unwrap();
    peer.begin_push().unwrap();
    peer.is_gone.store(true, Ordering::Relaxed);
    // More than may wait: the end of the stream is behind what would not be read for days.
    let mut bytes = Vec::new();
    terabytes_of_zeros()
        .take(60_000)
        .for_each(|packet| packet.write(&mut bytes));
    peer.writer.write_all(&bytes).unwrap();
    let (_folder, accounts) = peer.hang_up();
    assert!(accounts.repositories().unwrap()[0].last_push_lost);
}

#[test]
fn a_refusal_is_short_whatever_it_quotes() {
    let mut peer = Peer::greeted(None);
    peer.open("docs").unwrap();
    peer.begin_push().unwrap();
    let root = Message::Enter {
        name: Vec::new(),
        meta: Some(Meta::plain(Kind::Folder, 0o755)),
    };
    let name = vec![7; 1 << 20];
    for message in [root, Message::Remove { name }] {
        peer.say(&Packet::Tell(message));
    }
    let Some(Packet::PushFailed(failure)) = peer.hear() else {
        panic!("it was taken")
    };
    assert!(failure.text.chars().count() <= MOST_TEXT, "{}", failure.text.len());
    let (_folder, accounts) = peer.hang_up();
    let (_, why) = accounts.repositories().unwrap()[0].last_failure.clone().unwrap();
    assert!(why.chars().count() <= MOST_TEXT, "{}", why.len());
}

#[test]
fn of_many_reports_one_is_kept() {
    let mut peer = Peer::greeted(None);
    peer.open("docs").unwrap();
    for failure in ["the first", "the second"] {
        peer.ask(Question::Report {
            failure: failure.into(),
        })
        .unwrap();
    }
    let (_folder, accounts) = peer.hang_up();
    let (_, why) = accounts.repositories().unwrap()[0].last_failure.clone().unwrap();
    assert_eq!(why, "the first");
}

#[test]
fn a_pattern_is_not_as_long_as_a_packet() {
    let mut peer = Peer::greeted(None);
    peer.open("docs").unwrap();
    let mut find = |length| {
        peer.ask(Question::Find {
            pattern: vec![b'a'; length],
        })
    };
    assert!(find(4096).is_ok());
    assert_eq!(find(4097).unwrap_err().kind, FailureKind::Refused);
}

#[test]
fn a_copy_wants_the_right_and_is_not_of_the_future() {
    let mut peer = Peer::greeted(None);
    let made = |time: i64, name: &str| Question::Made {
        time,
        name: name.into(),
    };
    let old = || made(1_000_000_000, "2001-09-09_01-46-40");
    assert_eq!(
        peer.ask(old()).unwrap_err().kind,
        FailureKind::Refused,
        "nothing is open"
    );
    peer.open("laptop").unwrap();
    let denied = peer.ask(old()).unwrap_err();
    assert_eq!(denied.kind, FailureKind::Denied);
    assert!(denied.text.contains("--may-copy"), "{}", denied.text);
    let by = By {
        who: "root",
        from: "here",
    };
    let change = UserChange {
        may_copy: Some(true),
        ..UserChange::default()
    };
    peer.accounts.set_user(&"ann".parse().unwrap(), &change, by).unwrap();
    peer.ask(made(1 << 40, "36812-02-20_00-36-16")).unwrap();
    assert_eq!(peer.begin_push().unwrap_err().kind, FailureKind::Refused);
    peer.ask(old()).unwrap();
    peer.begin_push().unwrap();
    let refused = peer.ask(old()).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Refused, "in the midst of a push");
    for message in [
        Message::Enter {
            name: vec![],
            meta: Some(Meta::plain(Kind::Folder, 0o755)),
        },
        Message::Leave,
    ] {
        peer.say(&Packet::Tell(message));
    }
    let answers = peer.ask(Question::Commit { unread: 0 }).unwrap();
    let is_old =
        |answer: &Answer| matches!(answer, Answer::Committed { snapshot, .. } if snapshot.time == 1_000_000_000);
    assert!(answers.iter().any(is_old), "{answers:?}");
    // It holds for one push.
    peer.begin_push().unwrap();
    let answers = peer.ask(Question::Commit { unread: 0 }).unwrap();
    assert!(!answers.iter().any(is_old), "{answers:?}");
    peer.hang_up();
}
