//! Greetings, lengths of packets, and answers to what was not asked.

use std::io::Write;

use yore_tests::liar::{Reply, World, welcome};
use yore_wire::{Answer, Failure, FailureKind, Packet, Question, Welcome};

use super::{Lie, Scene};

fn say(writer: &mut dyn Write, packet: &Packet) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    packet.write(&mut bytes);
    writer.write_all(&bytes)
}

fn welcome_of(version: u16, program: &str) -> Packet {
    Packet::Welcome(Welcome {
        version,
        oldest: version,
        newest: version,
        program: program.into(),
    })
}

#[test]
fn whoever_greets_wrongly_is_no_server() {
    let scene = Scene::new();
    type Greeting = fn(&mut dyn Write) -> std::io::Result<()>;
    let greetings: [(&str, Greeting, &str); 8] = [
        (
            "a later version",
            |to| say(to, &welcome_of(99, "yored")),
            "update yore here",
        ),
        (
            "no version",
            |to| say(to, &welcome_of(0, "\u{1b}]0;x\u{7}\u{9b}2J\u{7f}")),
            "update the server",
        ),
        ("something else", |to| say(to, &Packet::Alive), "this is no yored"),
        ("an answer", |to| say(to, &Packet::Done(1, vec![])), "this is no yored"),
        ("garbage", |to| to.write_all(&[b'x'; 100]), "too long"),
        ("2^32 bytes", |to| to.write_all(&[0xff; 16]), "too long"),
        (
            "text without end",
            |to| (0..).try_for_each(|_| to.write_all(&[0; 4096])),
            "malformed",
        ),
        (
            "a cut packet",
            |to| {
                to.write_all(&[200, 0, 0, 0, 0x81, b'y'])
                    .and(Err(std::io::ErrorKind::Other.into()))
            },
            "end of file",
        ),
    ];
    for (what, greeting, says) in greetings {
        let world = World::new();
        scene.serve(world);
        scene.liar.greets(Some(greeting));
        let ended = scene.run(&["snapshots"]);
        eprintln!("{what}: {}", ended.err.trim_end());
        ended.assert(what, 1, says);
        assert!(ended.peak < super::MEMORY, "{what}");
    }
}

#[test]
fn packets_that_are_none_and_answers_to_nothing() {
    fn raw(bytes: &'static [u8]) -> impl Fn(&World, &Question) -> Option<Reply> + Send + Sync {
        move |_, question| matches!(question, Question::Snapshots).then(|| Reply::Bytes(bytes.to_vec()))
    }
    fn packets(
        packets: impl Fn() -> Vec<Packet> + Send + Sync + 'static,
    ) -> impl Fn(&World, &Question) -> Option<Reply> + Send + Sync {
        move |_, question| matches!(question, Question::Snapshots).then(|| Reply::Packets(packets()))
    }
    let list = &["snapshots", "--json"];
    let failure = |text: &str| Failure {
        kind: FailureKind::Other,
        text: text.into(),
    };
    let wild = "\u{1b}[2J\u{9b}\u{7f}\u{202e}all is well\r\n";
    Scene::new().try_all(vec![
        Lie::new(
            "nearly 2^32",
            list,
            (1, "nonsense"),
            raw(&[0xfe, 0xff, 0xff, 0xff, 0x82]),
        ),
        Lie::new("an empty packet", list, (1, "nonsense"), raw(&[0, 0, 0, 0])),
        Lie::new("an unknown packet", list, (1, "nonsense"), raw(&[1, 0, 0, 0, 0x99])),
        Lie::new(
            "a count without values",
            list,
            (1, "nonsense"),
            raw(&[4, 0, 0, 0, 0x83, 2, 32, 0xff]),
        ),
        Lie::new("the end", list, (1, "closed"), raw(&[])),
        Lie::new("a greeting again", list, (1, "closed"), |_, question| {
            let mut bytes = Vec::new();
            welcome().write(&mut bytes);
            matches!(question, Question::Snapshots).then_some(Reply::Bytes(bytes))
        }),
        Lie::new(
            "another's answer, then done twice",
            list,
            (0, ""),
            packets(|| {
                let stray = |number| Packet::More(number, vec![Answer::Number(7)]);
                vec![
                    stray(0),
                    stray(99),
                    stray(u64::MAX),
                    Packet::Done(2, vec![]),
                    Packet::Done(2, vec![]),
                    stray(2),
                ]
            }),
        ),
        Lie::new(
            "the answer to another question",
            list,
            (1, "another question"),
            packets(|| vec![Packet::Done(2, vec![Answer::Number(7)])]),
        ),
        Lie::new(
            "a failure that steers",
            list,
            (1, "all is well"),
            packets(move || vec![Packet::Failed(2, failure(wild))]),
        ),
        Lie::new(
            "a failure without end",
            list,
            (1, "xxx"),
            packets(move || vec![Packet::Failed(2, failure(&"x".repeat(1 << 20)))]),
        ),
        Lie::new(
            "a snapshot that is a path",
            list,
            (1, "what no snapshot can be called"),
            |world, question| {
                let mut snapshot = world.snapshots[0].clone();
                snapshot.name = "../../etc".into();
                matches!(question, Question::Snapshots).then(|| Reply::Done(vec![Answer::Snapshot(snapshot)]))
            },
        ),
        Lie::new(
            "a snapshot that is called latest",
            list,
            (1, "what no snapshot can be called"),
            |world, question| {
                let mut snapshot = world.snapshots[0].clone();
                snapshot.name = "latest".into();
                matches!(question, Question::Snapshots).then(|| Reply::Done(vec![Answer::Snapshot(snapshot)]))
            },
        ),
        Lie::new(
            "a snapshot twice",
            list,
            (1, "two snapshots are called"),
            |world, question| {
                let snapshot = || Answer::Snapshot(world.snapshots[0].clone());
                matches!(question, Question::Snapshots).then(|| Reply::Done(vec![snapshot(), snapshot()]))
            },
        ),
        Lie::new(
            "an identity that is a path",
            list,
            (1, "another question"),
            |world, question| match question {
                Question::Open { .. } => {
                    let mut opened = world.answer(question);
                    if let Some(Answer::Opened(opened)) = opened.first_mut() {
                        opened.id = "../../x".into();
                    }
                    Some(Reply::Done(opened))
                }
                _ => None,
            },
        ),
    ]);
}

#[test]
fn words_and_names_steer_no_terminal() {
    let scene = Scene::new();
    let wild = "a\u{1b}[2J\u{7f}\u{9b}31m\u{85}\u{202e}b\r";
    let mut world = World::new();
    for snapshot in &mut world.snapshots {
        snapshot.host = wild.into();
        snapshot.tags = vec![wild.into()];
        snapshot.roots = vec![wild.into()];
    }
    let mut file = world.file(1, wild, b"bytes");
    file.meta.owner.user = wild.into();
    file.meta.owner.group = wild.into();
    let mut link = file.clone();
    (link.name, link.content, link.size) = (b"z\x9b\xff\x1b".to_vec(), None, 0);
    link.meta.kind = yore_store::Kind::Symlink;
    link.meta.target = wild.into();
    world.folders.insert(1, vec![file, link]);
    scene.lie(world, |world, question| {
        let entry = world.folders[&1][0].clone();
        let (first, last) = (world.snapshots[0].name.clone(), world.snapshots[1].name.clone());
        let path = [b"/", entry.name.as_slice()].concat();
        match question {
            Question::Find { .. } => Some(Reply::Done(vec![Answer::Found(yore_store::Found {
                path,
                entry,
                first,
                last,
            })])),
            Question::Diff { .. } => Some(Reply::Done(vec![Answer::Changed {
                path,
                change: yore_store::Change::Added(entry),
            }])),
            Question::Versions { .. } => Some(Reply::Done(vec![Answer::Version(yore_store::Version {
                entry,
                snapshot: world.snapshots[0].clone(),
                until: None,
                stored_as: yore_store::StoredAs::Whole,
            })])),
            Question::Verify { .. } => Some(Reply::Done(vec![Answer::Verified(yore_store::Verified {
                damages: vec![yore_store::Damage {
                    what: String::from_utf8_lossy(&entry.name).into_owned(),
                    paths: vec![(path, first)],
                }],
                ..Default::default()
            })])),
            _ => None,
        }
    });
    for (args, status) in [
        (&["snapshots"][..], 0),
        (&["ls", "-l", "latest"], 0),
        (&["ls", "-R", "latest"], 0),
        (&["find", "*"], 0),
        (&["diff", "latest~1", "latest"], 0),
        (&["log", "/x"], 0),
        (&["verify"], 1),
        (&["cat", "latest:/none"], 1),
        (&["stats"], 0),
        (&["restore", "latest", "out"], 0),
    ] {
        let ended = scene.run(args);
        ended.assert(&format!("{args:?}"), status, "");
        assert!(!ended.out.contains(['\u{202e}', '\u{7f}']), "{args:?}");
        let json = scene.run(&[args, &["--json"]].concat());
        json.assert(&format!("{args:?} --json"), status, "");
        assert!(!json.out.contains(['\u{202e}', '\u{7f}']), "{args:?}");
        let read: Result<serde_json::Value, _> = serde_json::from_str(&json.out);
        assert!(status == 1 || read.is_ok(), "{args:?}: {}", json.out);
    }
    let listed: serde_json::Value = serde_json::from_str(&scene.run(&["ls", "latest", "--json"]).out).unwrap();
    assert_eq!(
        listed[0]["path"],
        format!("/{wild}"),
        "what is escaped is still what it was"
    );
}
