//! Bytes that are not those that were asked for.

use yore_store::{Compression, ContentId, Encoding, Frame, Slice};
use yore_tests::liar::{Reply, World};
use yore_tests::{names, noise};
use yore_wire::{Answer, Question};

use super::{Lie, Scene};

/// Says this of any bytes that are asked for.
fn bytes(
    said: impl Fn(u64) -> Vec<Answer> + Send + Sync + 'static,
) -> impl Fn(&World, &Question) -> Option<Reply> + Send + Sync {
    move |_, question| match question {
        Question::Read { length, .. } => Some(Reply::Done(said(*length))),
        Question::ReadSmall { .. } => Some(Reply::Done(said(0))),
        _ => None,
    }
}

fn small(content: i64, bytes: &[u8]) -> Answer {
    let content = ContentId(content);
    Answer::Small {
        content,
        bytes: bytes.to_vec(),
    }
}

/// A frame that says it is so long, and decodes to so many zeros.
fn bomb(length: u32, zeros: usize) -> Frame {
    Frame {
        encoding: Encoding::Zstd,
        length,
        bytes: Frame::encode(&vec![0; zeros], Compression::Zstd(1)).bytes,
    }
}

fn shared(frame: Frame, skip: u32, size: u32) -> Answer {
    let slice = Slice {
        content: ContentId(1),
        skip,
        size,
    };
    Answer::Shared {
        frame,
        slices: vec![slice],
    }
}

#[test]
fn small_contents_that_lie_are_not_restored() {
    let args: &[&str] = &["restore", "latest:/docs/a.txt", "cell/out"];
    let says = "a.txt";
    let lies = vec![
        Lie::new("nothing", args, (1, says), bytes(|_| vec![])),
        Lie::new("too few", args, (1, says), bytes(|_| vec![small(1, b"few")])),
        Lie::new(
            "too many",
            args,
            (1, says),
            bytes(|_| vec![small(1, b"more than were asked for")]),
        ),
        Lie::new(
            "of another",
            args,
            (1, says),
            bytes(|_| vec![small(99, b"bytes of a\n")]),
        ),
        Lie::new("something else", args, (1, says), bytes(|_| vec![Answer::Number(7)])),
        Lie::new(
            "a bomb",
            args,
            (1, says),
            bytes(|_| vec![shared(bomb(11, 100_000), 0, 11)]),
        ),
        Lie::new(
            "half a bomb",
            args,
            (1, says),
            bytes(|_| vec![shared(bomb(131_072, 11), 0, 11)]),
        ),
        Lie::new(
            "beyond the frame",
            args,
            (1, says),
            bytes(|_| vec![shared(bomb(11, 11), u32::MAX, 11)]),
        ),
        Lie::new(
            "a frame that is none",
            args,
            (1, says),
            bytes(|_| {
                let frame = Frame {
                    encoding: Encoding::Zstd,
                    length: 11,
                    bytes: noise(1, 50),
                };
                vec![shared(frame, 0, 11)]
            }),
        ),
        Lie::new(
            "a frame of 4 GiB",
            args,
            (1, says),
            bytes(|_| vec![shared(bomb(u32::MAX, 100), 0, 11)]),
        ),
        Lie::new("without end", args, (1, says), |_, question| {
            matches!(question, Question::ReadSmall { .. })
                .then(|| Reply::Forever(Box::new(|_| vec![small(99, b"bytes of a\n"); 1000])))
        }),
    ];
    let scene = Scene::new();
    for lie in lies {
        scene.try_all(vec![lie]);
        assert!(names(&scene.path("cell/out/docs")).is_empty());
    }
}

#[test]
fn large_contents_that_lie_are_not_restored() {
    let args: &[&str] = &["restore", "latest:/docs/large", "cell/out"];
    let frames = |frame: Frame| bytes(move |_| vec![Answer::Frame(frame.clone())]);
    let lies = vec![
        Lie::new("nothing", args, (1, "large"), bytes(|_| vec![])),
        Lie::new(
            "nothings",
            args,
            (1, "large"),
            bytes(|_| vec![Answer::Bytes(vec![]); 10]),
        ),
        Lie::new(
            "too few",
            args,
            (1, "large"),
            bytes(|_| vec![Answer::Bytes(vec![7; 100])]),
        ),
        Lie::new(
            "too many",
            args,
            (1, "large"),
            bytes(|length| vec![Answer::Bytes(vec![7; length as usize + 1])]),
        ),
        Lie::new("a bomb", args, (1, "large"), frames(bomb(10, 100_000))),
        Lie::new("a long frame", args, (1, "large"), frames(bomb(u32::MAX, 100_000))),
        Lie::new("a short frame", args, (1, "large"), frames(bomb(131_072, 10))),
        Lie::new("without end", args, (1, "large"), |_, question| {
            matches!(question, Question::Read { .. })
                .then(|| Reply::Forever(Box::new(|_| vec![Answer::Bytes(vec![7; 1 << 20])])))
        }),
        Lie::new("nothings without end", args, (1, "large"), |_, question| {
            matches!(question, Question::Read { .. }).then(|| Reply::Forever(Box::new(|_| vec![Answer::Bytes(vec![])])))
        }),
        Lie::new(
            "a hole of 2^44 bytes with data at its end",
            args,
            (1, "large"),
            bytes(|_| vec![]),
        ),
    ];
    let scene = Scene::new();
    for mut lie in lies {
        let is_hole = lie.what.starts_with("a hole");
        let script = lie.script;
        lie.script = Box::new(move |world, question| {
            let mut world = world.clone();
            let mut large = world.file(2, "large", &noise(3, 5 << 20));
            if is_hole {
                large.size = 1 << 44;
                large.meta.data = Some(vec![((1 << 44) - 5, 5)]);
            }
            world.folders.insert(2, vec![large]);
            Some(script(&world, question).unwrap_or_else(|| Reply::Done(world.answer(question))))
        });
        scene.try_all(vec![lie]);
        assert!(names(&scene.path("cell/out/docs")).is_empty());
    }
}
