//! What the end-to-end tests share.

pub mod cgroup;
pub mod daemon;
pub mod killed;
pub mod liar;
pub mod machine;
pub mod model;
pub mod power;
pub mod proxy;
pub mod raw;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use yore_agent::filter::Filter;
use yore_agent::restore::{RestoreOptions, restore};
use yore_agent::snapshot::{Outcome, SnapshotRequest, snapshot};
use yore_agent::target::Target;
use yore_store::{Compression, Repository, Snapshot};

/// How long anything may take that should happen soon. Long, because machines that test are busy.
pub const SOON: Duration = Duration::from_secs(60);

/// Files of all kinds and sizes.
///
/// # Panics
/// If they cannot be made.
pub fn fill(source: &Path) {
    std::fs::create_dir_all(source.join("folder/inner")).expect("it can be made");
    std::fs::write(source.join("folder/small"), "small\n").expect("it can be made");
    std::fs::write(source.join("folder/inner/medium"), noise(1, 300_000)).expect("it can be made");
    std::fs::write(source.join("large"), noise(2, 9 << 20)).expect("it can be made");
    std::fs::write(source.join("empty"), "").expect("it can be made");
    std::fs::hard_link(source.join("large"), source.join("linked")).expect("it can be made");
    std::os::unix::fs::symlink("nowhere", source.join("dangling")).expect("it can be made");
    run(Command::new("mkfifo").arg(source.join("fifo")));
    run(Command::new("setfattr")
        .args(["-n", "user.note", "-v", "kept"])
        .arg(source.join("empty")));
}

/// A repository in a temporary folder, with a source folder beside it.
pub struct Stage {
    /// Holds everything; removed at the end.
    pub folder: tempfile::TempDir,
    /// The repository.
    pub repository: Arc<Repository>,
}

impl Stage {
    /// An empty repository and an empty source.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("yore-")
            .tempdir()
            .expect("a temporary folder");
        std::fs::create_dir(folder.path().join("source")).expect("a source");
        let repository =
            Repository::init(&folder.path().join("repository"), Compression::Zstd(3)).expect("a repository");
        Stage {
            folder,
            repository: Arc::new(repository),
        }
    }

    /// The source folder.
    pub fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    /// What to ask for to snapshot these paths.
    pub fn request(&self, paths: &[&Path]) -> SnapshotRequest {
        SnapshotRequest {
            paths: paths.iter().map(|path| path.to_path_buf()).collect(),
            filter: Filter::default(),
            exclude_caches: false,
            one_file_system: false,
            tags: vec![],
            host: "host".into(),
            dry_run: false,
            cache_dir: self.folder.path().join("cache"),
            limit: None,
            limit_rate: None,
            retry_for: std::time::Duration::ZERO,
            marks: None,
        }
    }

    /// Where pushes go.
    pub fn target(&self) -> Target {
        Target::Here(self.repository.clone())
    }

    /// Snapshots the source.
    pub fn snapshot(&self) -> Outcome {
        snapshot(&self.target(), self.request(&[&self.source()]), &()).expect("a snapshot")
    }

    /// Restores the source as it was in a snapshot; gives where it is now.
    pub fn restored(&self, of: &Snapshot, name: &str) -> PathBuf {
        let target = self.folder.path().join(name);
        std::fs::create_dir_all(&target).expect("a target");
        let source = self.source();
        let path = std::os::unix::ffi::OsStrExt::as_bytes(source.as_os_str());
        let report = restore(&self.repository, of, path, &target, &RestoreOptions::default(), &()).expect("a restore");
        assert_eq!(report.errors, vec![], "restoring {}", of.name);
        target.join(source.strip_prefix("/").expect("it is absolute"))
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs a command; panics with what it printed if it fails.
pub fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; contrib/test installs what is missing"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A number that the environment asks for: how long a random test is, or its seed.
///
/// # Panics
/// If it is no number.
pub fn asked(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}: no number")))
}

/// Waits until something is so; panics when it takes too long.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < SOON, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until something has not changed for so long that whoever works at it has had a turn, on a busy machine too;
/// panics when it takes too long.
pub fn until_still<T: PartialEq>(mut look: impl FnMut() -> T) {
    let (mut last, mut since) = (look(), Instant::now());
    until("it is still", || {
        let now = look();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        since.elapsed() > Duration::from_millis(1500)
    });
}

/// What rsync finds different between two trees, in everything that it can compare.
pub fn differences(a: &Path, b: &Path) -> String {
    let slash = |path: &Path| format!("{}/", path.display());
    run(Command::new("rsync")
        .args([
            "-aHAXn",
            "--checksum",
            "--modify-window=-1",
            "--itemize-changes",
            "--delete",
        ])
        .args([slash(a), slash(b)]))
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Bytes that the files below a folder take on the disk, ballast left out.
pub fn disk_usage(folder: &Path) -> u64 {
    let text = run(Command::new("du")
        .args(["-s", "--block-size=1", "--exclude=ballast"])
        .arg(folder));
    text.split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .expect("du prints a number first")
}
