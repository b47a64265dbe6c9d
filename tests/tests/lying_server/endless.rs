//! Answers without end: what is gathered has a bound, and what is told on takes no memory.

use yore_store::{Change, Damage, Entry, FolderId, Found, Hash, Kind, Meta, Verified};
use yore_tests::liar::world::{entry, folder, snapshot};
use yore_tests::liar::{Reply, World};
use yore_wire::{Answer, ListedStep, Question};

use super::{Lie, MEMORY, Scene};

/// What a listing may take: what the agent gathers of one, and as much again for what is under way.
const LISTING: u64 = (1 << 30) + MEMORY;

/// These pieces, without end.
fn forever(pieces: impl FnMut(u64) -> Vec<Answer> + 'static) -> Option<Reply> {
    Some(Reply::Forever(Box::new(pieces)))
}

/// As many attributes as an entry may have: little on the wire, and much in memory.
fn laden() -> Meta {
    let mut meta = Meta::plain(Kind::File, 0o644);
    meta.xattrs = (0..30_000)
        .map(|number| (format!("user.{number:05}").into_bytes(), vec![]))
        .collect();
    meta
}

/// Entries of a folder, in order, without end.
fn entries(within: i64, meta: Meta) -> impl FnMut(u64) -> Vec<Answer> {
    move |piece| {
        let mut next = entry(within, format!("{piece:020}").as_bytes(), meta.kind);
        next.meta = meta.clone();
        vec![Answer::Entry(next)]
    }
}

/// Many small ones in each piece.
fn many(within: i64, piece: u64) -> impl Iterator<Item = Entry> {
    (0..1000).map(move |number| entry(within, format!("{:020}", piece * 1000 + number).as_bytes(), Kind::Fifo))
}

#[test]
fn lists_without_end_are_not_gathered() {
    let list = &["ls", "latest"];
    let more = "the server sends more";
    let listing = |question: &Question| matches!(question, Question::List { .. } | Question::ListBelow { .. });
    let mut lies = vec![
        Lie::new("snapshots", &["snapshots"], (1, "more snapshots"), |world, question| {
            let (mut last, mut number) = (world.snapshots[0].clone(), 0);
            last.roots = vec![vec![b'/'; 60]; 100];
            matches!(question, Question::Snapshots).then(|| {
                forever(move |_| {
                    (0..100)
                        .map(|_| {
                            number += 1;
                            last.id.0 = number;
                            Answer::Snapshot(last.clone())
                        })
                        .collect()
                })
            })?
        }),
        Lie::new("entries", list, (1, "more entries"), move |_, question| {
            listing(question).then(|| forever(entries(1, laden())))?
        }),
        Lie::new("the same entry", list, (1, "cannot hold"), move |_, question| {
            listing(question).then(|| forever(|_| vec![Answer::Entry(entry(1, b"a", Kind::Fifo))]))?
        }),
        Lie::new(
            "folders below",
            &["ls", "-R", "latest"],
            (1, "more entries"),
            move |_, question| {
                let mut entries = entries(1, laden());
                let below = move |piece| [vec![Answer::Listing(FolderId(1))], entries(piece)].concat();
                listing(question).then(|| forever(below))?
            },
        ),
        Lie::new(
            "empty listings",
            &["ls", "-R", "latest"],
            (1, "more entries"),
            move |_, question| {
                listing(question)
                    .then(|| forever(|_| (0..10_000).map(|number| Answer::Listing(FolderId(number))).collect()))?
            },
        ),
        Lie::new(
            "restored",
            &["restore", "latest", "cell/out"],
            (1, "more entries"),
            move |_, question| {
                let (mut entries, below) = (entries(1, laden()), matches!(question, Question::ListBelow { .. }));
                let heading = move |piece| (below && piece == 0).then_some(Answer::Listing(FolderId(1)));
                listing(question)
                    .then(|| forever(move |piece| heading(piece).into_iter().chain(entries(piece)).collect()))?
            },
        ),
        Lie::new("roots", list, (1, "two answers"), |world, question| {
            let root = world.root.clone();
            matches!(question, Question::Root { .. }).then(|| forever(move |_| vec![Answer::Entry(root.clone())]))?
        }),
        Lie::new(
            "versions",
            &["log", "/docs/a.txt"],
            (1, "more versions"),
            |world, question| {
                let mut version = world.version();
                version.snapshot.roots = vec![vec![b'/'; 60]; 100];
                matches!(question, Question::Versions { .. })
                    .then(|| forever(move |_| vec![Answer::Version(version.clone()); 50]))?
            },
        ),
        Lie::new("statistics", &["stats"], (1, "two answers"), |_, question| {
            matches!(question, Question::Stats).then(|| forever(|_| vec![Answer::Stats(Default::default())]))?
        }),
        Lie::new("names", &["copy", "there"], (1, more), |_, question| {
            matches!(question, Question::Hashes { .. })
                .then(|| forever(|_| vec![Answer::Hashes(vec![None; 10_000])]))?
        }),
    ];
    let damaged = |_: &World, question: &Question| {
        let damage = Damage {
            what: "rot".into(),
            paths: vec![(b"/file".to_vec(), snapshot(1).name); 5000],
        };
        let verified = Verified {
            damages: vec![damage],
            ..Verified::default()
        };
        matches!(question, Question::Verify { .. } | Question::Repair { .. })
            .then(|| forever(move |_| vec![Answer::Verified(verified.clone())]))?
    };
    lies.push(Lie::new("damage", &["verify"], (2, "more damaged paths"), damaged));
    lies.push(Lie::new(
        "damage found by a repair",
        &["repair"],
        (1, "more damaged paths"),
        damaged,
    ));
    for lie in &mut lies {
        let is_listing = ["entries", "restored", "folders below", "empty listings"].contains(&lie.what);
        lie.memory = match lie.what {
            _ if is_listing => 2 * LISTING,
            _ => 2 * MEMORY + (64 << 20),
        };
    }
    let scene = Scene::new();
    scene.machine.text(&["init", "--repository", "there"]);
    scene.try_all(lies);
}

#[test]
fn what_is_told_on_takes_no_memory() {
    const PIECES: u64 = 300;
    /// So many pieces of a thousand, then the end.
    fn pieces(number: u64, piece: impl Fn(u64) -> Vec<Answer>) -> Option<Reply> {
        let more = (0..PIECES).map(|at| yore_wire::Packet::More(number, piece(at)));
        let done = yore_wire::Packet::Done(number, vec![]);
        Some(Reply::Packets(more.chain([done]).collect()))
    }
    let scene = Scene::new();
    let world = World::new();
    scene.liar.says(move |number, question| {
        let change = |entry: Entry| Answer::Changed {
            path: [b"/", entry.name.as_slice()].concat(),
            change: Change::Added(entry),
        };
        let found = |entry: Entry| {
            Answer::Found(Found {
                path: [b"/", entry.name.as_slice()].concat(),
                entry,
                first: snapshot(1).name,
                last: snapshot(2).name,
            })
        };
        let said = match question {
            Question::Diff { .. } => pieces(number, |at| many(1, at).map(change).collect()),
            Question::Find { .. } => pieces(number, |at| many(1, at).map(found).collect()),
            Question::Verify { .. } => pieces(number, |at| {
                let progress = |all| Answer::Progress {
                    done: u64::MAX - at,
                    all,
                };
                let verified = (at + 1 == PIECES).then(|| Answer::Verified(Verified::default()));
                (0..1000).map(progress).chain(verified).collect()
            }),
            _ => None,
        };
        said.unwrap_or_else(|| Reply::Done(world.answer(question)))
    });
    for args in [
        &["find", "*"][..],
        &["diff", "latest~1", "latest"],
        &["verify"],
        &["verify", "--json"],
    ] {
        let ended = scene.run(args);
        eprintln!("{args:?}: {} MiB", ended.peak >> 20);
        ended.assert(&format!("{args:?}"), 0, "");
        assert!(ended.peak < MEMORY / 2, "{args:?}: {} bytes of memory", ended.peak);
    }
}

#[test]
fn what_is_honest_and_long_is_no_lie() {
    let scene = Scene::new();
    let world = World::new();
    scene.liar.says(move |number, question| {
        let pieces = |piece: &dyn Fn(i64) -> Answer| {
            let more = (0..1000).map(|at| (at * 1000..(at + 1) * 1000).map(piece).collect());
            let more = more.map(|answers| yore_wire::Packet::More(number, answers));
            more.chain([yore_wire::Packet::Done(number, vec![])]).collect()
        };
        match question {
            Question::List { .. } => Reply::Packets(pieces(&|at| {
                let mut file = entry(1, format!("a file of some name {at:09}").as_bytes(), Kind::File);
                (file.size, file.content) = (at as u64 + 1, Some(yore_store::ContentId(at)));
                (file.meta.owner.user, file.meta.owner.group) = ("somebody".into(), "users".into());
                Answer::Entry(file)
            })),
            Question::Snapshots => {
                let numbered = |number: i64| {
                    Answer::Snapshot(yore_store::Snapshot {
                        id: yore_store::SnapshotId(number),
                        name: format!("2026-11-25_12-00-00-{number}"),
                        roots: vec![b"/home/somebody/documents".to_vec(); 4],
                        ..snapshot(1)
                    })
                };
                Reply::Done((1..10_000).map(numbered).collect())
            }
            question => Reply::Done(world.answer(question)),
        }
    });
    let ended = scene.run(&["ls", "latest"]);
    ended.assert("a million files", 0, "");
    eprintln!("a million files: {} MiB", ended.peak >> 20);
    assert!(ended.out.starts_with("a file of some name 000000000\n") && ended.peak < LISTING);
}

#[test]
fn a_tree_without_end_is_given_up() {
    // Each folder has one in it, of another number.
    let deeper = |_: &World, question: &Question| {
        let (Question::List { folder: within, .. } | Question::ListBelow { folder: within, .. }) = question else {
            return None;
        };
        let listed = Answer::Entry(folder(within.0, &"d".repeat(250), within.0 + 1));
        let below = matches!(question, Question::ListBelow { .. }).then_some(Answer::Listing(*within));
        Some(Reply::Done(below.into_iter().chain([listed]).collect()))
    };
    // A folder is in itself.
    let itself = |_: &World, question: &Question| {
        let (Question::List { folder: within, .. } | Question::ListBelow { folder: within, .. }) = question else {
            return None;
        };
        let listed = Answer::Entry(folder(within.0, "again", within.0));
        let below = matches!(question, Question::ListBelow { .. }).then_some(Answer::Listing(*within));
        Some(Reply::Done(below.into_iter().chain([listed]).collect()))
    };
    let scene = Scene::new();
    scene.machine.text(&["init", "--repository", "there"]);
    scene.try_all(vec![
        Lie::new(
            "listed deeper",
            &["ls", "-R", "latest"],
            (1, "a path that no snapshot has"),
            deeper,
        ),
        Lie::new(
            "restored deeper",
            &["restore", "latest", "cell/out"],
            (1, "a path that no snapshot has"),
            deeper,
        ),
        Lie::new(
            "copied deeper",
            &["copy", "there"],
            (1, "a path that no snapshot has"),
            deeper,
        ),
        Lie::new(
            "listed in itself",
            &["ls", "-R", "latest"],
            (1, "in several places"),
            itself,
        ),
        Lie::new(
            "restored in itself",
            &["restore", "latest", "cell/out"],
            (1, "in several places"),
            itself,
        ),
        Lie::new("copied in itself", &["copy", "there"], (1, "in several places"), itself),
    ]);
}

/// A listing of the base.
fn listed(
    piece: impl Fn(u64) -> Vec<Answer> + Clone + Send + Sync + 'static,
) -> impl Fn(&World, &Question) -> Option<Reply> + Send + Sync {
    move |_, question| match question {
        Question::Listing => forever(piece.clone()),
        Question::Push(_) => Some(Reply::Done(vec![Answer::Begun {
            base: Some(snapshot(2)),
            line: "1".into(),
        }])),
        _ => None,
    }
}

#[test]
fn a_base_without_end_is_not_kept() {
    let args: &[&str] = &["snapshot", "source", "--retry-for", "off"];
    let another = "another question";
    let root = || Answer::Listed(ListedStep::Enter(folder(0, "", 1)));
    let item = |entry| Answer::Listed(ListedStep::Item { entry, hash: None });
    let enter = |number| Answer::Listed(ListedStep::Enter(folder(number, "d", number + 1)));
    Scene::new().try_all(vec![
        Lie::new(
            "files",
            args,
            (1, another),
            listed(move |piece| {
                (piece == 0)
                    .then(root)
                    .into_iter()
                    .chain(many(1, piece).map(item))
                    .collect()
            }),
        ),
        Lie::new(
            "depth",
            args,
            (1, another),
            listed(move |piece| {
                (piece == 0)
                    .then(root)
                    .into_iter()
                    .chain((0..1000).map(enter))
                    .collect()
            }),
        ),
        Lie::new(
            "up",
            args,
            (1, another),
            listed(|_| vec![Answer::Listed(ListedStep::Leave)]),
        ),
        Lie::new(
            "a path for a name",
            args,
            (1, another),
            listed(move |_| {
                let mut file = World::new().file(1, "x", b"x");
                file.name = b"../../x".to_vec();
                let hash = Some(Hash([7; 32]));
                vec![root(), Answer::Listed(ListedStep::Item { entry: file, hash })]
            }),
        ),
    ]);
}
