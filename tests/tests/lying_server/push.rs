//! A push sends what it was asked to by its user, whatever the server says that it has or wants.

use std::fs;

use yore_store::{Entry, Hash, Kind};
use yore_tests::liar::world::{entry, folder, snapshot};
use yore_tests::liar::{Reply, World};
use yore_tests::noise;
use yore_wire::{Answer, Failure, FailureKind, ListedStep, Message, Packet, Question};

use super::{Lie, MEMORY, Scene};

const SNAPSHOT: &[&str] = &["snapshot", "source", "--retry-for", "off", "--exclude", "secret"];

fn short(bytes: &[u8]) -> [u8; 16] {
    Hash::of(bytes).0[..16].try_into().unwrap()
}

/// The listing of a base that has these below a path.
fn base(path: &str, items: Vec<(Entry, Option<Hash>)>) -> Vec<Answer> {
    let names: Vec<&str> = path.split('/').collect();
    let enter = (0..)
        .zip(&names)
        .map(|(number, name)| ListedStep::Enter(folder(number, name, number + 1)));
    let items = items.into_iter().map(|(entry, hash)| ListedStep::Item { entry, hash });
    let leave = names.iter().map(|_| ListedStep::Leave);
    enter.chain(items).chain(leave).map(Answer::Listed).collect()
}

#[test]
fn what_is_not_in_the_backup_is_not_sent_whoever_wants_it() {
    let scene = Scene::new();
    let source = scene.machine.source();
    fs::write(source.join("secret"), "a secret that is left out\n").unwrap();
    fs::write(scene.path("beside"), "beside the source\n").unwrap();
    let secrets = [&b"a secret that is left out\n"[..], b"beside the source\n"];
    let path = source.canonicalize().unwrap().display().to_string();
    let wanted: Vec<[u8; 16]> = secrets
        .iter()
        .map(|bytes| short(bytes))
        .chain([[0; 16], [0xff; 16]])
        .collect();
    let listed = {
        let mut world = World::new();
        let mut named = |name: &str, bytes: &[u8]| (world.file(7, name, bytes), Some(Hash::of(bytes)));
        base(&path, vec![named("beside", secrets[1]), named("secret", secrets[0])])
    };
    let world = World::new();
    scene.liar.says(move |_, question| {
        Reply::Done(match question {
            Question::Push(_) => {
                let mut base = snapshot(2);
                base.files = 1000;
                vec![
                    Answer::Wanted(wanted.clone()),
                    Answer::Begun {
                        base: Some(base),
                        line: "1".into(),
                    },
                ]
            }
            Question::Listing => listed.clone(),
            question => world.answer(question),
        })
    });
    for _ in 0..2 {
        scene.run(SNAPSHOT).assert("wanted", 0, "");
    }
    let mut names = Vec::new();
    for message in scene.liar.told() {
        match message {
            Message::Contents { contents, frames } => {
                assert!(
                    contents.iter().all(|(hash, _)| *hash == Hash::of(b"some bytes\n")),
                    "{frames:?}"
                );
            }
            Message::Put { name, .. } => names.push(name),
            Message::Enter { .. } | Message::Leave | Message::Remove { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(
        !names.is_empty() && names.iter().all(|name| name == b"file"),
        "{names:?}"
    );
}

#[test]
fn what_it_says_that_it_has_is_taken_for_granted_and_nothing_else() {
    let scene = Scene::new();
    fs::write(scene.machine.source().join("medium"), noise(1, 100_000)).unwrap();
    scene.lie(World::new(), |world, question| match question {
        Question::Push(_) => Some(Reply::Done(
            [
                vec![Answer::Kept(vec![short(&noise(1, 100_000))])],
                world.answer(question),
            ]
            .concat(),
        )),
        _ => None,
    });
    scene.run(SNAPSHOT).assert("kept", 0, "");
    let sent = scene.liar.told().into_iter().filter(|message| match message {
        Message::Contents { contents, .. } => contents.iter().any(|(hash, _)| *hash == Hash::of(&noise(1, 100_000))),
        _ => false,
    });
    assert_eq!(sent.count(), 0, "PROTOCOL.md says so");
}

/// Said before the push has begun.
fn before(
    said: impl Fn(u64) -> Vec<Answer> + Send + Sync + 'static,
    pieces: u64,
) -> impl Fn(&World, &Question) -> Option<Reply> + Send + Sync {
    move |world, question| match question {
        Question::Push(_) => {
            // The number of the second question of a connection.
            let more = (0..pieces).map(|piece| Packet::More(2, said(piece)));
            Some(Reply::Packets(
                more.chain([Packet::Done(2, world.answer(question))]).collect(),
            ))
        }
        _ => None,
    }
}

#[test]
fn what_is_said_of_an_earlier_push_is_remembered_within_bounds() {
    let name = |number: u64| {
        let mut name = [0; 16];
        name[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
        name
    };
    let names = move |piece: u64| (0..200_000).map(|at| name(piece * 200_000 + at)).collect::<Vec<_>>();
    let groups = move |piece: u64| Answer::KeptGroups {
        key: name(piece % 10),
        first: u64::MAX - 7,
        values: vec![[7; 32]; 100_000],
    };
    let contents = move |piece: u64| {
        let one = |at| Answer::KeptGroups {
            key: name(piece * 10_000 + at),
            first: 0,
            values: vec![[7; 32]],
        };
        (0..10_000).map(one).collect()
    };
    let mut lies = vec![
        Lie::new(
            "kept",
            SNAPSHOT,
            (0, ""),
            before(move |piece| vec![Answer::Kept(names(piece))], 100),
        ),
        Lie::new(
            "wanted",
            SNAPSHOT,
            (0, ""),
            before(move |piece| vec![Answer::Wanted(names(piece))], 100),
        ),
        Lie::new(
            "groups",
            SNAPSHOT,
            (0, ""),
            before(move |piece| vec![groups(piece)], 60),
        ),
        Lie::new("groups of many", SNAPSHOT, (0, ""), before(contents, 100)),
        Lie::new(
            "a line that is a path",
            SNAPSHOT,
            (1, "another question"),
            |_, question| {
                matches!(question, Question::Push(_)).then(|| {
                    Reply::Done(vec![Answer::Begun {
                        base: None,
                        line: "../../x".into(),
                    }])
                })
            },
        ),
        Lie::new("no beginning", SNAPSHOT, (1, "another question"), |_, question| {
            matches!(question, Question::Push(_)).then(|| Reply::Done(vec![]))
        }),
        Lie::new("no end", SNAPSHOT, (1, "another question"), |_, question| {
            matches!(question, Question::Commit { .. }).then(|| Reply::Done(vec![]))
        }),
        Lie::new(
            "again and again",
            SNAPSHOT,
            (1, "all of it"),
            failing(FailureKind::Again),
        ),
        Lie::new(
            "damaged again",
            SNAPSHOT,
            (1, "all of it"),
            failing(FailureKind::Damaged),
        ),
        Lie::new("leaving", SNAPSHOT, (1, "all of it"), failing(FailureKind::Leaving)),
        Lie::new(
            "over all budgets",
            SNAPSHOT,
            (1, "quota"),
            failing(FailureKind::OverBudget {
                used: u64::MAX,
                limit: 0,
                needed: u64::MAX,
            }),
        ),
        Lie::new(
            "over the floor",
            SNAPSHOT,
            (1, "free"),
            failing(FailureKind::OverFloor {
                free: u64::MAX,
                floor: u64::MAX,
                needed: u64::MAX,
            }),
        ),
    ];
    lies.iter_mut().for_each(|lie| lie.memory = 2 * MEMORY);
    Scene::new().try_all(lies);
}

fn failing(kind: FailureKind) -> impl Fn(&World, &Question) -> Option<Reply> + Send + Sync {
    move |_, question| match question {
        Question::Commit { .. } => Some(Reply::Failed(Failure {
            kind,
            text: "all of it\u{1b}[2J".into(),
        })),
        _ => None,
    }
}

#[test]
fn a_base_that_lies_about_a_large_file_ends_in_an_error_or_is_not_believed() {
    let scene = Scene::new();
    let large = scene.machine.source().join("large");
    fs::write(&large, noise(5, 3 << 20)).unwrap();
    let path = scene.machine.source().canonicalize().unwrap().display().to_string();
    let values = |size: u64, groups: usize| Answer::Values {
        size,
        groups: vec![Some([7; 32]); groups],
        zero_segments: vec![],
    };
    type Said = Box<dyn Fn(&Question) -> Option<Reply> + Send + Sync>;
    let of_base = |said: Vec<Answer>| -> Said {
        Box::new(move |question| matches!(question, Question::BaseValues { .. }).then(|| Reply::Done(said.clone())))
    };
    let another = (1, "another question");
    let lies: Vec<(&str, (i32, &str), Said)> = vec![
        ("values of 2^62 bytes", (0, ""), of_base(vec![values(1 << 62, 10)])),
        ("values of 2^44 bytes", (0, ""), of_base(vec![values(1 << 44, 10)])),
        ("too few", another, of_base(vec![values(3 << 20, 10)])),
        ("too many", another, of_base(vec![values(3 << 20, 1000)])),
        (
            "others than it says",
            another,
            of_base(vec![values(3 << 20, 24), Answer::Number(1)]),
        ),
        (
            "values without end",
            another,
            Box::new(move |question| {
                matches!(question, Question::BaseValues { .. })
                    .then(|| Reply::Forever(Box::new(move |_| vec![values(60 << 30, 10_000)])))
            }),
        ),
        (
            "sums without end",
            another,
            Box::new(move |question| match question {
                Question::BaseValues { .. } => Some(Reply::Done(vec![values(3 << 20, 24)])),
                Question::Signature { .. } => Some(Reply::Forever(Box::new(|_| {
                    let sum = yore_store::delta::BlockSum {
                        weak: 7,
                        strong: [7; 16],
                    };
                    vec![Answer::Sums(vec![sum; 10_000])]
                }))),
                _ => None,
            }),
        ),
        (
            "no sums",
            (0, ""),
            Box::new(move |question| {
                matches!(question, Question::BaseValues { .. }).then(|| Reply::Done(vec![values(3 << 20, 24)]))
            }),
        ),
    ];
    for (what, (status, says), said) in lies {
        let mut base_file = entry(7, b"large", Kind::File);
        (base_file.size, base_file.content) = (3 << 20, Some(yore_store::ContentId(1)));
        let listed = base(&path, vec![(base_file, Some(Hash([9; 32])))]);
        let _ = fs::remove_dir_all(scene.path("cache"));
        scene.lie(World::new(), move |_, question| match question {
            Question::Push(_) => Some(Reply::Done(vec![Answer::Begun {
                base: Some(yore_store::Snapshot {
                    files: 100,
                    folders: 100,
                    ..snapshot(2)
                }),
                line: "1".into(),
            }])),
            Question::Listing => Some(Reply::Done(listed.clone())),
            question => said(question),
        });
        let ended = scene.run(SNAPSHOT);
        eprintln!(
            "{what}: {} MiB, {}: {}",
            ended.peak >> 20,
            ended.status,
            ended.err.trim_end()
        );
        ended.assert(what, status, says);
        assert!(ended.peak < MEMORY, "{what}");
        let asked = scene.liar.asked();
        assert!(
            asked
                .iter()
                .any(|question| matches!(question, Question::BaseValues { .. })),
            "{what}: {asked:?}"
        );
    }
}
