//! Trees that no agent of ours tells.

use yore_store::{Hash, LargeOp};
use yore_tests::raw::Raw;
use yore_wire::{Answer, FailureKind, Message, Packet, Question};

use crate::names::NAMES;
use crate::{Scene, folder, put, root};

#[test]
fn messages_in_a_wrong_order_end_the_push() {
    let scene = Scene::new();
    let file = |name: &[u8]| put(name, None);
    let enter = |name: &[u8]| Message::Enter {
        name: name.to_vec(),
        meta: Some(folder()),
    };
    let cases = [
        ("a name outside of any folder", vec![file(b"a")]),
        ("a folder with a name at the top", vec![enter(b"home")]),
        ("leaving what was not entered", vec![Message::Leave]),
        ("leaving twice", vec![root(), Message::Leave, Message::Leave]),
        ("entering / twice", vec![root(), Message::Leave, root(), Message::Leave]),
        ("/ inside /", vec![root(), enter(b"")]),
        ("not to the end", vec![root(), enter(b"home")]),
        ("names backwards", vec![root(), file(b"b"), file(b"a")]),
        ("a name twice", vec![root(), file(b"a"), file(b"a")]),
        (
            "removing what is not there",
            vec![root(), Message::Remove { name: b"x".to_vec() }],
        ),
        (
            "a folder without metadata",
            vec![
                root(),
                Message::Enter {
                    name: b"x".to_vec(),
                    meta: None,
                },
            ],
        ),
        (
            "a piece of nothing",
            vec![root(), Message::Large(LargeOp::Zeros { length: 1 })],
        ),
        (
            "the end of nothing",
            vec![
                root(),
                Message::LargeEnd {
                    hash: Hash::of(b""),
                    size: 0,
                },
            ],
        ),
    ];
    for (what, messages) in cases {
        let failure = scene.assert_refused(what, messages);
        assert_eq!(failure.kind, FailureKind::Refused, "{what}: {failure:?}");
    }
    assert!(scene.eve.snapshots().is_empty());
}

#[test]
fn names_that_no_file_has_end_the_push() {
    let scene = Scene::new();
    for name in NAMES {
        let what = format!("{:?}", String::from_utf8_lossy(&name[..name.len().min(20)]));
        let failure = scene.assert_refused(&what, vec![root(), put(name, None), Message::Leave]);
        assert_eq!(failure.kind, FailureKind::Refused, "{what}: {failure:?}");
        if !name.is_empty() {
            let enter = Message::Enter {
                name: name.to_vec(),
                meta: Some(folder()),
            };
            scene.assert_refused(&what, vec![root(), enter, Message::Leave, Message::Leave]);
        }
    }
    assert!(scene.eve.snapshots().is_empty());
}

#[test]
fn a_tree_as_deep_as_one_likes_takes_little_memory() {
    let scene = Scene::new();
    let enter = || Message::Enter {
        name: b"x".to_vec(),
        meta: Some(folder()),
    };
    let tree = |files: u32| {
        let depth = 16_000;
        let mut tree: Vec<_> = [root()].into_iter().chain((0..depth).map(|_| enter())).collect();
        tree.extend((0..files).map(|number| put(format!("{number:04}").as_bytes(), None)));
        tree.extend((0..=depth).map(|_| Message::Leave));
        tree
    };
    scene.push(tree(0)).unwrap();
    scene.push(tree(8000)).unwrap();
    let mut raw = Raw::opened(&scene.eve);
    let find = Question::Find {
        pattern: b"nothing".to_vec(),
    };
    assert_eq!(raw.ask(find), Ok(vec![]));
    scene.assert_unmoved("a search in a deep tree");
    let ids: Vec<_> = (raw.ask(Question::Snapshots).unwrap().into_iter())
        .map(|answer| match answer {
            Answer::Snapshot(snapshot) => snapshot.id,
            other => panic!("{other:?}"),
        })
        .collect();
    // What differs is in the deepest folder. The first answers, and then nobody listens.
    raw.say(&Packet::Ask(1000, Question::Diff { a: ids[0], b: ids[1] }));
    assert!(matches!(raw.next(), Some(Packet::More(1000, _))));
    scene.assert_unmoved("what differs from a deep tree");
    let too_deep = [root()].into_iter().chain((0..33_000).map(|_| enter())).collect();
    let failure = scene.assert_refused("deeper than that", too_deep);
    assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
}

#[test]
fn a_folder_as_large_as_one_likes_takes_the_memory_of_one_listing() {
    let scene = Scene::new();
    let names = (0..100_000).map(|number| put(format!("{number:08}").as_bytes(), None));
    let tree: Vec<_> = [root()].into_iter().chain(names).chain([Message::Leave]).collect();
    scene.push(tree).unwrap();
    scene.assert_unmoved("a push of many entries");
    let mut raw = Raw::opened(&scene.eve);
    let snapshot = match raw.ask(Question::Snapshots).unwrap().pop() {
        Some(Answer::Snapshot(snapshot)) => snapshot,
        other => panic!("{other:?}"),
    };
    // Each is asked for many times over, and nobody reads what comes.
    let sessions: Vec<Raw> = (0..3)
        .map(|_| {
            let mut raw = Raw::opened(&scene.eve);
            for number in 0..6 {
                let (snapshot, folder) = (snapshot.id, snapshot.root);
                raw.say(&Packet::Ask(1000 + number, Question::List { snapshot, folder }));
            }
            raw
        })
        .collect();
    scene.assert_unmoved("listings that nobody reads");
    drop(sessions);
}
