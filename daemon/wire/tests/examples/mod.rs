//! One example of everything that can be said.

mod names;

use yore_store::delta::BlockSum;
use yore_store::{
    Body, Change, Compression, ContentId, Damage, DeltaStats, Encoding, Entry, EntryId, FolderId, Forgotten, Found,
    Frame, Hash, Kind, LargeOp, LineId, Meta, Owner, Slice, Snapshot, SnapshotId, SnapshotStats, Space, Stats,
    StoredAs, Swept, Verified, Version,
};
use yore_wire::{
    Answer, Enrolment, Failure, FailureKind, Hello, ListedStep, Message, Opened, Packet, PushStart, Question, Welcome,
};

pub use names::name;

/// Numbers that take one, two and more bytes, in a row.
const SMALL: u64 = 7;
const MEDIUM: u64 = 300;
const LARGE: u64 = 5_000_000_000;

fn hash(byte: u8) -> Hash {
    Hash([byte; 32])
}

fn meta(kind: Kind) -> Meta {
    Meta {
        kind,
        mode: 0o644,
        owner: Owner {
            uid: 1000,
            gid: 100,
            user: "ann".into(),
            group: "users".into(),
        },
        mtime: -1,
        mtime_ns: 750_000_000,
        rdev: 0,
        target: Vec::new(),
        xattrs: vec![(b"user.mime".to_vec(), b"text".to_vec())],
        data: Some(vec![(0, 4096), (1 << 20, 4096)]),
    }
}

fn entry(kind: Kind) -> Entry {
    Entry {
        id: EntryId(11),
        folder: FolderId(12),
        name: b"caf\xe9".to_vec(),
        first: SnapshotId(1),
        last: SnapshotId(i64::MAX),
        meta: meta(kind),
        size: LARGE,
        content: Some(ContentId(13)),
        child: (kind == Kind::Folder).then_some(FolderId(14)),
        link: Some(15),
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        id: SnapshotId(3),
        line: LineId(2),
        name: "2026-11-20_03-14-59".into(),
        time: 1_795_144_499,
        host: "laptop".into(),
        tags: vec!["weekly".into()],
        roots: vec![b"/etc".to_vec(), b"/home/ann".to_vec()],
        root: FolderId(1),
        files: 45_613,
        folders: 4_000,
        others: 12,
        bytes: LARGE,
        new_bytes: 1 << 20,
        unread: 1,
        check: -81_985_529,
    }
}

fn frame(encoding: Encoding) -> Frame {
    Frame {
        encoding,
        length: 4,
        bytes: b"data".to_vec(),
    }
}

fn failure(kind: FailureKind) -> Packet {
    let text = "what happened".into();
    Packet::Failed(SMALL, Failure { kind, text })
}

fn ask(question: Question) -> Packet {
    Packet::Ask(SMALL, question)
}

fn more(answer: Answer) -> Packet {
    Packet::More(MEDIUM, vec![answer])
}

/// Every packet, question, message, answer and failure. A variant that is not here does not compile
/// in [`name`]; two examples of one kind have the same name.
pub fn packets() -> Vec<Packet> {
    let mut all = vec![
        Packet::Hello(Hello {
            oldest: 1,
            newest: 2,
            program: "yore 0.1.0".into(),
        }),
        Packet::Welcome(Welcome {
            version: 1,
            oldest: 1,
            newest: 1,
            program: "yored 0.1.0".into(),
        }),
        Packet::Alive,
        Packet::Done(SMALL, vec![Answer::Number(1), Answer::Number(-2)]),
        Packet::PushFailed(Failure {
            kind: FailureKind::Other,
            text: "the connection was lost".into(),
        }),
    ];
    all.extend(messages().into_iter().map(Packet::Tell));
    all.extend(questions().into_iter().map(ask));
    all.extend(answers().into_iter().map(more));
    all.extend(failures().into_iter().map(failure));
    all
}

fn messages() -> Vec<Message> {
    vec![
        Message::Enter {
            name: Vec::new(),
            meta: Some(meta(Kind::Folder)),
        },
        Message::Enter {
            name: b"home".to_vec(),
            meta: None,
        },
        Message::Leave,
        Message::Put {
            name: b"file".to_vec(),
            meta: Box::new(meta(Kind::File)),
            body: Some(Body {
                hash: hash(1),
                size: MEDIUM,
            }),
            link: Some(1),
        },
        Message::Remove { name: b"gone".to_vec() },
        Message::Contents {
            contents: vec![(hash(2), 1), (hash(3), 3)],
            frames: vec![frame(Encoding::Zstd)],
        },
        Message::LargeBegin {
            base: Some(hash(4)),
            key: [5; 16],
        },
        Message::Large(LargeOp::Frame(frame(Encoding::Raw))),
        Message::Large(LargeOp::Same { groups: MEDIUM }),
        Message::Large(LargeOp::Copy {
            from: LARGE,
            length: MEDIUM,
        }),
        Message::Large(LargeOp::Zeros { length: LARGE }),
        Message::Large(LargeOp::Kept { groups: SMALL }),
        Message::LargeEnd {
            hash: hash(6),
            size: LARGE,
        },
    ]
}

fn questions() -> Vec<Question> {
    let (snapshot, folder, content) = (SnapshotId(3), FolderId(12), ContentId(13));
    vec![
        Question::Open {
            repository: "laptop".into(),
            to_push: true,
        },
        Question::Enrol(Enrolment {
            key: "ssh-ed25519 AAAA".into(),
            machine: "laptop".into(),
            repository: "laptop".into(),
            force: false,
            replace: true,
        }),
        Question::Version,
        Question::Snapshots,
        Question::Root { snapshot },
        Question::Folder { snapshot, folder },
        Question::Entry { id: EntryId(11) },
        Question::Links { snapshot, link: 15 },
        Question::List { snapshot, folder },
        Question::ListBelow { snapshot, folder },
        Question::Repair { dry_run: true },
        Question::Read {
            content,
            offset: LARGE,
            length: 4096,
        },
        Question::ReadSmall {
            contents: vec![content, ContentId(14)],
        },
        Question::Space,
        Question::Versions {
            path: b"/etc/passwd".to_vec(),
        },
        Question::Find {
            pattern: b"*.tex".to_vec(),
        },
        Question::Diff {
            a: SnapshotId(1),
            b: SnapshotId(3),
        },
        Question::Stats,
        Question::Verify { read_data: true },
        Question::Forget {
            snapshots: vec![SnapshotId(1), SnapshotId(2)],
        },
        Question::Sweep,
        Question::Push(PushStart {
            host: "laptop".into(),
            roots: vec![b"/home/ann".to_vec()],
            tags: vec!["weekly".into()],
            interval: Some(86_400),
            dry_run: false,
        }),
        Question::Listing,
        Question::BaseValues { hash: hash(4) },
        Question::Signature {
            hash: hash(4),
            block_len: 2048,
            ranges: vec![(0, 131_072), (LARGE, 131_072)],
        },
        Question::Commit { unread: SMALL },
        Question::Abort {
            failure: "/home: gone".into(),
        },
        Question::Report {
            failure: "before: exit status 1".into(),
        },
        Question::Rows {
            a: SnapshotId(1),
            b: SnapshotId(3),
        },
        Question::Hashes {
            contents: vec![content, ContentId(14)],
        },
        Question::Made {
            time: 1_795_144_499,
            name: "2026-11-20_03-14-59".into(),
        },
        Question::Has {
            names: vec![hash(1), hash(2)],
        },
    ]
}

fn answers() -> Vec<Answer> {
    let mut all = vec![
        Answer::Opened(Opened {
            id: "00112233445566778899aabbccddeeff".into(),
            compression: Compression::Zstd(3),
            may_prune: false,
        }),
        Answer::Enrolled {
            user: "ann".into(),
            repository: "laptop".into(),
            before: Some("old-laptop".into()),
        },
        Answer::Number(-2),
        Answer::Snapshot(snapshot()),
        Answer::Entry(entry(Kind::Folder)),
        Answer::Listing(FolderId(7)),
        Answer::Bytes(b"bytes".to_vec()),
        Answer::Small {
            content: ContentId(13),
            bytes: b"small".to_vec(),
        },
        Answer::Frame(frame(Encoding::Raw)),
        Answer::Shared {
            frame: frame(Encoding::Zstd),
            slices: vec![Slice {
                content: ContentId(13),
                skip: 1,
                size: 3,
            }],
        },
        Answer::Space(Space {
            block: 4096,
            blocks: 1000,
            free: 500,
            available: 400,
            files: 300,
            files_free: 200,
        }),
    ];
    let stored = [
        StoredAs::Whole,
        StoredAs::Packed,
        StoredAs::Delta { base_depth: 2 },
        StoredAs::Nothing,
    ];
    all.extend(stored.map(|stored_as| {
        Answer::Version(Version {
            snapshot: snapshot(),
            until: Some("2026-11-21_03-14-59".into()),
            entry: entry(Kind::File),
            stored_as,
        })
    }));
    all.push(Answer::Found(Found {
        path: b"/etc/passwd".to_vec(),
        entry: entry(Kind::Symlink),
        first: "2026-11-20_03-14-59".into(),
        last: "2026-11-21_03-14-59".into(),
    }));
    let (old, new) = (entry(Kind::File), entry(Kind::Fifo));
    let changes = [
        Change::Added(new.clone()),
        Change::Removed(old.clone()),
        Change::Modified(old.clone(), new.clone()),
        Change::Meta(old, new),
    ];
    all.extend(changes.map(|change| Answer::Changed {
        path: b"/etc/passwd".to_vec(),
        change,
    }));
    all.extend(numbers());
    all.extend(of_a_push());
    all
}

fn numbers() -> Vec<Answer> {
    vec![
        Answer::Stats(Stats {
            snapshots: 1,
            entries: 2,
            logical_bytes: 3,
            contents: 4,
            content_bytes: 5,
            file_bytes: 6,
            catalog_bytes: 7,
            heads: 8,
            head_bytes: 9,
            deltas: DeltaStats {
                count: 10,
                content_bytes: 11,
                stream_bytes: 12,
                stored_bytes: 13,
                longest_chain: 14,
                mean_chain: 1.5,
            },
            dead_bytes: 15,
            each: vec![SnapshotStats {
                name: "2026-11-20_03-14-59".into(),
                bytes: 16,
                new_bytes: 17,
                files: 18,
            }],
        }),
        Answer::Progress { done: 1, all: LARGE },
        Answer::Verified(Verified {
            snapshots: 1,
            entries: 2,
            contents: 3,
            bytes: 4,
            damages: vec![Damage {
                what: "packs/2a/000000000000062a is missing".into(),
                paths: vec![(b"/etc/passwd".to_vec(), "2026-11-20_03-14-59".into())],
            }],
        }),
        Answer::Forgotten(Forgotten {
            snapshots: 1,
            entries: 2,
            contents: 3,
            bytes: -4,
        }),
        Answer::Swept(Swept {
            pushes: 1,
            files: 2,
            bytes: 3,
        }),
    ]
}

fn of_a_push() -> Vec<Answer> {
    vec![
        Answer::Kept(vec![[1; 16], [2; 16]]),
        Answer::KeptGroups {
            key: [5; 16],
            first: 32,
            values: vec![[6; 32]],
        },
        Answer::Begun {
            base: Some(snapshot()),
            line: "2".into(),
        },
        Answer::Listed(ListedStep::Enter(entry(Kind::Folder))),
        Answer::Listed(ListedStep::Leave),
        Answer::Listed(ListedStep::Item {
            entry: entry(Kind::File),
            hash: Some(hash(1)),
        }),
        Answer::Values {
            size: LARGE,
            groups: vec![Some([7; 32]), None],
            zero_segments: vec![None, Some([8; 32])],
        },
        Answer::Sums(vec![BlockSum {
            weak: LARGE,
            strong: [9; 16],
        }]),
        Answer::Committed {
            snapshot: snapshot(),
            deltas: 5,
        },
        Answer::Wanted(vec![[3; 16], [4; 16]]),
        Answer::Healed(LARGE),
        Answer::Hashes(vec![Some(hash(1)), None]),
    ]
}

fn failures() -> Vec<FailureKind> {
    vec![
        FailureKind::Other,
        FailureKind::NoSnapshot,
        FailureKind::Busy,
        FailureKind::OverBudget {
            used: LARGE,
            limit: LARGE,
            needed: MEDIUM,
        },
        FailureKind::Refused,
        FailureKind::Damaged,
        FailureKind::Denied,
        FailureKind::Again,
        FailureKind::OverFloor {
            free: 1,
            floor: 2,
            needed: 3,
        },
        FailureKind::NoRepository,
        FailureKind::KeyRevoked,
        FailureKind::Leaving,
    ]
}
