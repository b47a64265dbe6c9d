//! Small repositories for tests.

use std::sync::Arc;

use crate::{
    Body, Compression, Frame, GROUP, Hash, Ingest, Kind, LargeOp, Made, Meta, PushOptions, Repository, Result,
    Snapshot, StepClock, Unlimited,
};

/// A repository in a folder that goes with it.
pub struct Bench {
    _folder: Option<tempfile::TempDir>,
    pub repository: Arc<Repository>,
}

impl Bench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r");
        drop(Repository::init(&path, Compression::Zstd(1)).unwrap());
        let repository = Repository::open_with_clock(&path, Arc::new(StepClock::new(1_700_000_000))).unwrap();
        Bench {
            _folder: Some(folder),
            repository: Arc::new(repository),
        }
    }

    /// One that is there already.
    pub fn over(repository: Arc<Repository>) -> Self {
        Bench {
            _folder: None,
            repository,
        }
    }

    /// The repository as another process would find it: nothing is remembered.
    pub fn reopened(&self) -> Arc<Repository> {
        Arc::new(Repository::open(self.repository.path()).unwrap())
    }

    pub fn begin(&self, host: &str) -> Ingest {
        self.begin_as(host, None).unwrap()
    }

    /// Begins a copy of a snapshot that was made then.
    pub fn begin_made(&self, host: &str, made: Made) -> Result<Ingest> {
        let mut ingest = self.begin_as(host, Some(made))?;
        let meta = ingest.base().is_none().then(|| Meta::plain(Kind::Folder, 0o755));
        ingest.enter(b"", meta)?;
        Ok(ingest)
    }

    fn begin_as(&self, host: &str, made: Option<Made>) -> Result<Ingest> {
        let options = PushOptions {
            host: host.into(),
            roots: vec![b"/".to_vec()],
            tags: Vec::new(),
            made,
        };
        Ingest::begin(&self.repository, options, Box::new(Unlimited))
    }

    /// Makes a snapshot of `host`; `tell` is called inside `/`.
    pub fn push(&self, host: &str, tell: impl FnOnce(&mut Ingest)) -> Snapshot {
        let mut ingest = self.begin(host);
        let meta = ingest.base().is_none().then(|| Meta::plain(Kind::Folder, 0o755));
        ingest.enter(b"", meta).unwrap();
        tell(&mut ingest);
        ingest.leave().unwrap();
        ingest.commit(0).unwrap().snapshot
    }

    /// Changes the catalog behind the store's back.
    pub fn sql(&self, statement: &str) -> usize {
        self.repository.connection().unwrap().execute(statement, []).unwrap()
    }

    /// One number out of the catalog.
    pub fn number(&self, query: &str) -> i64 {
        self.repository
            .connection()
            .unwrap()
            .query_row(query, [], |row| row.get(0))
            .unwrap()
    }
}

/// Puts a file with its content.
pub fn file(ingest: &mut Ingest, name: &str, bytes: &[u8]) {
    let body = Body {
        hash: Hash::of(bytes),
        size: bytes.len() as u64,
    };
    let frames: Vec<_> = bytes
        .chunks(GROUP as usize)
        .map(|group| Frame::encode(group, Compression::Zstd(1)))
        .collect();
    if body.size > crate::MEDIUM {
        ingest.large_begin(None, [0; 16]).unwrap();
        frames
            .into_iter()
            .for_each(|frame| ingest.large_op(LargeOp::Frame(frame)).unwrap());
        ingest.large_end(body.hash, body.size).unwrap();
    } else if body.size > 0 {
        ingest.contents(&[(body.hash, body.size)], frames).unwrap();
    }
    ingest
        .put(name.as_bytes(), Meta::plain(Kind::File, 0o644), Some(body), None)
        .unwrap();
}

/// Enters a folder that is new or has changed.
pub fn folder(ingest: &mut Ingest, name: &str, mode: u32) {
    ingest
        .enter(name.as_bytes(), Some(Meta::plain(Kind::Folder, mode)))
        .unwrap();
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}
