//! Repositories with histories, for tests.

use std::sync::Arc;

use yore_store::{
    Body, Clock, Compression, Frame, Hash, Ingest, Kind, Meta, PushOptions, Repository, Snapshot, StepClock, Unlimited,
};

/// The time of day 0: noon in UTC of Monday, 2023-11-13.
pub const START: i64 = 1_699_876_800;

/// A repository in a folder that goes with it, and its clock.
pub struct History {
    _folder: tempfile::TempDir,
    pub repository: Arc<Repository>,
    clock: Arc<StepClock>,
}

impl History {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r");
        drop(Repository::init(&path, Compression::Zstd(1)).unwrap());
        let clock = Arc::new(StepClock::new(START));
        History {
            _folder: folder,
            repository: Arc::new(Repository::open_with_clock(&path, clock.clone()).unwrap()),
            clock,
        }
    }

    pub fn begin(&self) -> Ingest {
        let options = PushOptions {
            host: "host".into(),
            roots: vec![b"/".to_vec()],
            tags: Vec::new(),
            made: None,
        };
        Ingest::begin(&self.repository, options, Box::new(Unlimited)).unwrap()
    }

    /// Makes a snapshot of one file, `day` days after the start, or now if that is past.
    pub fn push(&self, day: i64, bytes: &[u8]) -> Snapshot {
        self.clock.advance((START + day * super::DAY - self.clock.now()).max(0));
        self.finish(self.begin(), bytes)
    }

    pub fn finish(&self, mut push: Ingest, bytes: &[u8]) -> Snapshot {
        let root = push.base().is_none().then(|| Meta::plain(Kind::Folder, 0o755));
        push.enter(b"", root).unwrap();
        file(&mut push, bytes);
        push.leave().unwrap();
        push.commit(0).unwrap().snapshot
    }

    /// Leaves what a push leaves whose process was killed, long ago.
    pub fn leave_a_dead_push(&self) {
        let catalog = rusqlite::Connection::open(self.repository.path().join("catalog.sqlite3")).unwrap();
        let row = "INSERT INTO pushes (id, line, snapshot, entry, time) VALUES (777777, 1, 777777, 777777, 0)";
        assert_eq!(catalog.execute(row, []).unwrap(), 1);
    }
}

fn file(push: &mut Ingest, bytes: &[u8]) {
    let body = Body {
        hash: Hash::of(bytes),
        size: bytes.len() as u64,
    };
    let frame = Frame::encode(bytes, Compression::Zstd(1));
    push.contents(&[(body.hash, body.size)], vec![frame]).unwrap();
    push.put(b"file", Meta::plain(Kind::File, 0o644), Some(body), None)
        .unwrap();
}

/// Bytes that do not compress, the same for the same seed; less than a group.
pub fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}
