//! An agent that says what no agent of ours says: it gets an error, and nobody else notices.

#[path = "hostile/names.rs"]
mod names;
#[path = "hostile/tree.rs"]
mod tree;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use yore_store::{Body, Encoding, Frame, GROUP, Hash, Kind, LargeOp, Meta};
use yore_tests::daemon::Daemon;
use yore_tests::machine::Machine;
use yore_tests::raw::{Raw, start};
use yore_tests::{SOON, noise, until};
use yore_wire::{Answer, Failure, FailureKind, Hello, LONGEST, Message, NEWEST, OLDEST, Packet, Question};

/// What the server may take in all, while one agent does its worst and another pushes.
const MEMORY: u64 = 192 << 20;

/// A server, a machine that does its worst and one that works.
struct Scene {
    daemon: Daemon,
    eve: Machine,
    ann: Machine,
}

impl Scene {
    fn new() -> Self {
        // Who is silent is not waited for long.
        let daemon = Daemon::configured("stale_after = \"1s\"\n");
        daemon.add("eve", &["--may-prune"]);
        daemon.add("ann", &[]);
        let (eve, ann) = (daemon.linked("eve", "own"), daemon.linked("ann", "laptop"));
        Scene { daemon, eve, ann }
    }

    /// Another user's push goes through, and the server is not much larger for it.
    fn assert_unmoved(&self, what: &str) {
        fs::write(self.ann.source().join("file"), what).unwrap();
        self.ann.snapshotted();
        let peak = self.daemon.peak_memory();
        assert!(peak < MEMORY, "{what}: {peak} bytes of memory");
    }

    /// A push has begun, and these messages end it with an error; nothing becomes a snapshot.
    fn assert_refused(&self, what: &str, messages: Vec<Message>) -> Failure {
        let failure = self.push(messages);
        self.assert_unmoved(what);
        failure.expect_err(what)
    }

    /// A push of these messages, and what becomes of it.
    fn push(&self, messages: Vec<Message>) -> Result<Vec<Answer>, Failure> {
        let mut raw = Raw::opened(&self.eve);
        raw.ask(start("eve")).expect("it begins");
        // Many at a time: each that is written by itself travels by itself.
        for messages in messages.chunks(1000) {
            let packet = |message: &Message| {
                let mut bytes = Vec::new();
                Packet::Tell(message.clone()).write(&mut bytes);
                bytes
            };
            let packets: Vec<u8> = messages.iter().flat_map(packet).collect();
            raw.write(&packets);
        }
        raw.ask(Question::Commit { unread: 0 })
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let (said, ended_well) = self.daemon.end(rustix::process::Signal::TERM);
        assert!(
            ended_well && !said.contains("panicked") && !said.contains("a bug in"),
            "{said}"
        );
        self.daemon.assert_well("ann", "laptop");
        if self.daemon.user_folder("eve/own/catalog.sqlite3").exists() {
            self.daemon.assert_well("eve", "own");
        }
        self.daemon.run();
    }
}

fn folder() -> Meta {
    Meta::plain(Kind::Folder, 0o755)
}

/// `/`, entered.
fn root() -> Message {
    Message::Enter {
        name: vec![],
        meta: Some(folder()),
    }
}

fn put(name: &[u8], body: Option<Body>) -> Message {
    Message::Put {
        name: name.to_vec(),
        meta: Box::new(Meta::plain(Kind::File, 0o644)),
        body,
        link: None,
    }
}

fn raw_frame(bytes: &[u8]) -> Frame {
    Frame {
        encoding: Encoding::Raw,
        length: bytes.len() as u32,
        bytes: bytes.to_vec(),
    }
}

fn large(base: Option<Hash>, ops: Vec<LargeOp>, hash: Hash, size: u64) -> Vec<Message> {
    let begin = Message::LargeBegin { base, key: [7; 16] };
    let ops = ops.into_iter().map(Message::Large);
    [begin]
        .into_iter()
        .chain(ops)
        .chain([Message::LargeEnd { hash, size }])
        .collect()
}

#[test]
fn bytes_that_are_not_what_they_are_called_end_the_push() {
    let scene = Scene::new();
    let bytes = noise(1, 5000);
    let wrong = Hash::of(b"something else");
    let contents = |contents: Vec<(Hash, u64)>, frames| vec![root(), Message::Contents { contents, frames }];
    let zeros = "head -c 1G /dev/zero | zstd -q -c";
    let bomb = Command::new("sh")
        .args(["-c", zeros])
        .output()
        .expect("sh and zstd")
        .stdout;
    assert!(bomb.len() > 1000, "zstd is missing; contrib/test installs it");
    let zstd = |length: u32, bytes: &[u8]| Frame {
        encoding: Encoding::Zstd,
        length,
        bytes: bytes.to_vec(),
    };
    let group = GROUP as u32;
    let frame = raw_frame(&bytes);
    let size = bytes.len() as u64;
    let right = Hash::of(&bytes);
    let cases = [
        ("another hash", contents(vec![(wrong, size)], vec![frame.clone()])),
        ("another length", contents(vec![(right, size - 1)], vec![frame.clone()])),
        (
            "more than there is",
            contents(vec![(right, size + 1)], vec![frame.clone()]),
        ),
        (
            "a length beyond all",
            contents(vec![(right, u64::MAX)], vec![frame.clone()]),
        ),
        (
            "lengths that overflow",
            contents(vec![(right, u64::MAX), (right, size + 1)], vec![frame.clone()]),
        ),
        ("no frames", contents(vec![(right, size)], vec![])),
        ("no contents", contents(vec![], vec![frame.clone()])),
        (
            "a bomb that says it is small",
            contents(vec![(right, 10)], vec![zstd(10, &bomb)]),
        ),
        (
            "a bomb that says it is a group",
            contents(vec![(right, GROUP)], vec![zstd(group, &bomb)]),
        ),
        (
            "a bomb that says it is huge",
            contents(vec![(right, u64::from(u32::MAX))], vec![zstd(u32::MAX, &bomb)]),
        ),
        ("no zstd", contents(vec![(right, size)], vec![zstd(5000, &bytes)])),
        ("an empty frame", contents(vec![(right, size)], vec![zstd(5000, b"")])),
        (
            "a bomb in a large content",
            large(None, vec![LargeOp::Frame(zstd(group, &bomb))], wrong, GROUP),
        ),
        (
            "a large content of another name",
            large(None, vec![LargeOp::Zeros { length: 3 * GROUP }], wrong, 3 * GROUP),
        ),
        (
            "a large content of another length",
            large(None, vec![LargeOp::Zeros { length: 3 * GROUP }], wrong, u64::MAX),
        ),
        (
            "zeros without end",
            large(None, vec![LargeOp::Zeros { length: u64::MAX }], wrong, u64::MAX),
        ),
        (
            "zeros twice without end",
            large(
                None,
                vec![LargeOp::Zeros { length: 1 }, LargeOp::Zeros { length: u64::MAX }],
                wrong,
                0,
            ),
        ),
        (
            "an entry without its content",
            vec![root(), put(b"a", Some(Body { hash: right, size })), Message::Leave],
        ),
        (
            "a content for a folder",
            vec![root(), {
                Message::Put {
                    name: b"a".to_vec(),
                    meta: Box::new(folder()),
                    body: None,
                    link: None,
                }
            }],
        ),
    ];
    for (what, messages) in cases {
        let failure = scene.assert_refused(what, messages);
        // Nothing that is stored is damaged: nobody is to look at the disk.
        assert_eq!(failure.kind, FailureKind::Refused, "{what}: {failure:?}");
    }
    assert!(scene.eve.snapshots().is_empty());
}

#[test]
fn pieces_that_the_base_does_not_have_end_the_push() {
    let scene = Scene::new();
    fs::write(scene.eve.source().join("base"), noise(1, 3 << 20)).unwrap();
    scene.eve.snapshotted();
    let tree = yore_store::Repository::open(&scene.daemon.user_folder("eve/own"))
        .map(std::sync::Arc::new)
        .unwrap();
    let newest = tree.snapshots().unwrap().pop().unwrap();
    let path = scene.eve.source().canonicalize().unwrap().join("base");
    let entry = tree.lookup(&newest, path.to_str().unwrap().as_bytes()).unwrap();
    let base = tree.content_hash(entry.content.unwrap()).unwrap();
    drop(tree);
    let (same, kept) = (|groups| LargeOp::Same { groups }, |groups| LargeOp::Kept { groups });
    let copy = |from, length| LargeOp::Copy { from, length };
    let cases = [
        ("more groups than there are", vec![same(25)]),
        ("no groups", vec![same(0)]),
        ("groups without end", vec![same(u64::MAX)]),
        ("groups that overflow", vec![same(1), same(u64::MAX / GROUP + 1)]),
        ("groups in the middle of one", vec![copy(0, 1), same(1)]),
        ("beyond the end", vec![copy(3 << 20, 1)]),
        ("across the end", vec![copy(0, (3 << 20) + 1)]),
        ("nothing", vec![copy(0, 0)]),
        ("an end that overflows", vec![copy(u64::MAX, 2)]),
        ("all there is and more", vec![copy(1, u64::MAX)]),
        ("what nobody sent", vec![kept(1)]),
        ("what nobody sent, without end", vec![kept(u64::MAX)]),
    ];
    for (what, ops) in cases {
        let failure = scene.assert_refused(what, large(Some(base), ops, Hash::of(b""), 3 << 20));
        assert_eq!(failure.kind, FailureKind::Refused, "{what}: {failure:?}");
    }
    assert_eq!(scene.eve.snapshots().len(), 1);
}

#[test]
fn questions_of_a_push_out_of_turn_are_refused() {
    let scene = Scene::new();
    let refused = |failure: Result<_, Failure>| {
        let failure: Failure = Result::<Vec<_>, _>::expect_err(failure, "it was out of turn");
        assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
    };
    // Without a push.
    let mut raw = Raw::opened(&scene.eve);
    refused(raw.ask(Question::Commit { unread: 0 }));
    let mut raw = Raw::opened(&scene.eve);
    raw.say(&Packet::Tell(root()));
    assert!(
        raw.failure()
            .is_some_and(|failure| failure.kind == FailureKind::Refused)
    );
    // Two at once in one session; the first goes on.
    let mut raw = Raw::opened(&scene.eve);
    raw.ask(start("eve")).unwrap();
    refused(raw.ask(start("eve")));
    raw.say(&Packet::Tell(root()));
    raw.say(&Packet::Tell(Message::Leave));
    assert_eq!(raw.ask(Question::Commit { unread: 0 }).unwrap().len(), 1);
    // The same once more.
    refused(raw.ask(Question::Commit { unread: 0 }));
    assert_eq!(scene.eve.snapshots().len(), 1);
    // Without a repository.
    let mut raw = Raw::greeted(&scene.eve);
    refused(raw.ask(Question::Snapshots));
    refused(raw.ask(start("eve")));
    // To enrol is for those who came by an invitation.
    let enrolment = yore_wire::Enrolment {
        key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ".into(),
        machine: "m".into(),
        repository: "own".into(),
        force: true,
        replace: true,
    };
    let failure = raw.ask(Question::Enrol(enrolment)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied, "{failure:?}");
    scene.assert_unmoved("questions out of turn");
}

#[test]
fn what_is_no_packet_ends_the_session() {
    let scene = Scene::new();
    let framed = |body: &[u8]| [&(body.len() as u32).to_le_bytes()[..], body].concat();
    let list_without_end = [&[0x02, 1, 11][..], &[0xff; 9], &[1]].concat();
    let cases: [(&str, Vec<u8>); 8] = [
        ("a length beyond all", vec![0xff; 4]),
        ("one byte too long", ((LONGEST + 1) as u32).to_le_bytes().to_vec()),
        ("nothing", framed(b"")),
        ("an unknown kind", framed(&[0x77, 1, 2, 3])),
        ("what a server says", framed(&[0x85, 0, 0])),
        ("too short", framed(&[0x02])),
        ("a list without end", framed(&list_without_end)),
        ("noise", noise(1, 1 << 20)),
    ];
    let mut ended = Vec::new();
    for (what, bytes) in cases {
        let mut raw = Raw::opened(&scene.eve);
        raw.write(&bytes);
        let failure = raw.failure();
        let is_refused = failure
            .as_ref()
            .is_none_or(|failure| failure.kind == FailureKind::Refused);
        assert!(is_refused, "{what}: {failure:?}");
        scene.assert_unmoved(what);
        ended.push((what, raw));
    }
    for (what, mut raw) in ended {
        assert_eq!(raw.next(), None, "{what}: the session goes on");
    }
    // A length, and never what was announced: it waits, and takes no memory for it.
    let waiting: Vec<Raw> = (0..50)
        .map(|_| {
            let mut raw = Raw::opened(&scene.eve);
            raw.write(&(LONGEST as u32).to_le_bytes());
            raw
        })
        .collect();
    scene.assert_unmoved("what was announced and does not come");
    drop(waiting);
    // Before the greeting.
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &framed(&[0x04]), &framed(b"\x01yoreXX")] {
        let mut raw = Raw::to(&scene.eve);
        raw.write(bytes);
        assert!(!matches!(raw.next(), Some(Packet::Welcome(_))));
    }
    scene.assert_unmoved("no greeting");
}

#[test]
fn an_agent_of_another_age_is_told_which_versions_there_are() {
    let scene = Scene::new();
    let mut raw = Raw::to(&scene.eve);
    raw.say(&Packet::Hello(Hello {
        oldest: NEWEST + 98,
        newest: NEWEST + 98,
        program: "yore of the future".into(),
    }));
    let Some(Packet::Welcome(welcome)) = raw.next() else {
        panic!("no greeting");
    };
    assert_eq!((welcome.version, welcome.oldest, welcome.newest), (0, OLDEST, NEWEST));
    assert!(welcome.program.starts_with("yored "), "{}", welcome.program);
    assert_eq!(raw.next(), None, "there is nothing more to say");
    // One that speaks ours too is answered in ours, whatever else it says of itself.
    let mut raw = Raw::to(&scene.eve);
    let mut bytes = Vec::new();
    let hello = Packet::Hello(Hello {
        oldest: OLDEST,
        newest: NEWEST + 98,
        program: "yore of the future".into(),
    });
    hello.write(&mut bytes);
    bytes.extend(b"and more");
    let length = bytes.len() as u32 - 4;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    raw.write(&bytes);
    assert!(matches!(raw.next(), Some(Packet::Welcome(welcome)) if welcome.version == NEWEST));
    scene.assert_unmoved("another version");
}

#[test]
fn who_asks_and_does_not_listen_holds_up_only_himself() {
    let scene = Scene::new();
    for number in 0..300 {
        fs::write(scene.eve.source().join(format!("{number:0200}")), noise(number, 2000)).unwrap();
    }
    fs::write(scene.eve.source().join("large"), noise(1, 4 << 20)).unwrap();
    scene.eve.snapshotted();
    let mut raw = Raw::opened(&scene.eve);
    // Whatever was asked for, the answers are more than fits on the way.
    let patience = raw.patience(SOON);
    let find = Question::Find { pattern: b"*".to_vec() };
    for number in 0..10_000 {
        let mut bytes = Vec::new();
        Packet::Ask(number, find.clone()).write(&mut bytes);
        if !raw.write(&bytes) {
            break;
        }
    }
    drop(patience);
    scene.assert_unmoved("ten thousand questions");
    assert!(scene.daemon.status_of("eve", "own")["snapshot"].is_string());
    // What comes is the answers to some, and then that it was too much; or that it has hung up.
    let failure = raw.failure();
    assert!(
        failure
            .as_ref()
            .is_none_or(|failure| failure.text.contains("questions")),
        "{failure:?}"
    );
    drop(raw);
    scene.daemon.until_idle();
}

#[test]
fn a_push_that_is_silent_is_taken_over() {
    let scene = Scene::new();
    let mut silent = Raw::opened(&scene.eve);
    silent.ask(start("eve")).unwrap();
    silent.say(&Packet::Tell(root()));
    scene.assert_unmoved("a silent push");
    // It is in the way of its own repository only, and not for long.
    let begun = Instant::now();
    until("the next push takes over", || scene.eve.snapshot().status.success());
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert!(silent.failure().unwrap().text.contains("took over"));
    let audit = scene.daemon.text(&["audit"]);
    assert!(audit.contains("takeover"), "{audit}");
}

#[test]
fn thousands_of_connections_of_one_address_leave_the_others_theirs() {
    let scene = Scene::new();
    let connect = || from("127.0.0.2", scene.daemon.port);
    // Some say nothing, some the beginning of a greeting, some what is none.
    let said: [&[u8]; 4] = [b"", b"SSH-2.0-x", b"SSH-2.0-x\r\n", &[0xff; 4096]];
    let mut open: Vec<TcpStream> = Vec::new();
    for number in 0..2000 {
        let Ok(mut stream) = connect() else { continue };
        let _ = stream.write_all(said[number % said.len()]);
        open.push(stream);
    }
    scene.assert_unmoved("thousands of connections");
    let lives = |mut stream: &TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let end = stream.read(&mut [0; 4096]);
        !matches!(end, Ok(0)) && !end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
    };
    // Who is let in is greeted, and hears nothing more.
    let living = open.iter().filter(|stream| lives(stream) && lives(stream)).count();
    assert!(living <= 100, "{living} connections of one address");
}

/// A connection from an address of this machine.
fn from(address: &str, port: u16) -> std::io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let at = |ip: &str, port| SocketAddrV4::new(ip.parse().expect("an address"), port);
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&stream, &at(address, 0))?;
    connect(&stream, &at("127.0.0.1", port))?;
    Ok(stream.into())
}
