//! The repository that rots: everything that a repository can have, in six MiB.
//!
//! ```text
//! FOLDER/sound/repository, sound/cache    as they are before each case
//! FOLDER/older/                           the repository as it was two snapshots before
//! FOLDER/repository, cache                copies of them, which a case damages
//! FOLDER/source/                          what is pushed; each case changes some of it
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use yore_agent::snapshot::{AgentError, Outcome, snapshot};
use yore_store::{Compression, Hash, Repository, Snapshot, StepClock};
use yore_tests::model::random::Random;
use yore_tests::{Stage, noise, run};

use crate::survey::{Shown, Survey, survey};

/// Seconds from one snapshot to the next: a day, so that each has its copy of the catalog.
const DAY: i64 = 86_400;

/// When the first snapshot is made.
const BEGIN: i64 = 1_700_000_000;

/// A repository to be damaged, and what it should show.
pub struct World {
    stage: Stage,
    clock: Arc<StepClock>,
    /// What each snapshot of the sound repository has.
    pub truth: Survey,
    /// The same, once what cases have pushed is left out.
    sound: Survey,
    /// Files of the source that were changed, as the sound repository has them.
    changed: BTreeMap<PathBuf, Vec<u8>>,
}

impl World {
    /// Four snapshots: packs, heads, deltas of both sizes, chains, shared contents and segments, a hole, links.
    pub fn new() -> Self {
        let clock = Arc::new(StepClock::new(BEGIN));
        let mut world = World {
            stage: Stage::new(),
            clock,
            truth: Survey::default(),
            sound: Survey::default(),
            changed: BTreeMap::new(),
        };
        world.stage.repository = Arc::new(world.open().expect("a repository"));
        for number in 0..4 {
            generation(&world.source(), number);
            world.clock.advance(DAY);
            world.stage.snapshot();
            world.stage.repository.copy_catalog().expect("a copy of the catalog");
            if number == 1 {
                copy(&world.repository(), &world.path("older"));
            }
        }
        world.sound = survey(&world.stage.repository);
        // The last of its connections folds SQLite's log into the catalog.
        world.stage.repository = Arc::new(elsewhere(&world.path("elsewhere")));
        fs::create_dir(world.path("sound")).expect("it can be made");
        for part in ["repository", "cache"] {
            fs::rename(world.path(part), world.path("sound").join(part)).expect("it can be moved");
        }
        world
    }

    /// As it was before any damage.
    pub fn reset(&mut self) {
        self.forget();
        self.truth = self.sound.clone();
        for (file, bytes) in std::mem::take(&mut self.changed) {
            fs::write(file, bytes).expect("it can be written");
        }
        for part in ["repository", "cache"] {
            let _ = fs::remove_dir_all(self.path(part));
            copy(&self.path("sound").join(part), &self.path(part));
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.stage.folder.path().join(below)
    }

    /// The repository that is damaged.
    pub fn repository(&self) -> PathBuf {
        self.path("repository")
    }

    /// A file of the repository as it was two snapshots before.
    pub fn older(&self, file: &Path) -> PathBuf {
        self.path("older")
            .join(file.strip_prefix(self.repository()).expect("a file of the repository"))
    }

    fn source(&self) -> PathBuf {
        self.stage.source()
    }

    /// Opens the repository as another process finds it.
    pub fn open(&self) -> yore_store::Result<Repository> {
        Repository::open_with_clock(&self.repository(), self.clock.clone())
    }

    /// Changes some of the source and pushes it; what the new snapshot should show is in the truth then.
    pub fn push(&mut self, random: &mut Random) -> Result<Outcome, AgentError> {
        self.edit(random);
        self.clock.advance(DAY);
        self.stage.repository = Arc::new(self.open()?);
        let outcome = snapshot(&self.stage.target(), self.stage.request(&[&self.source()]), &());
        self.forget();
        let outcome = outcome?;
        let made = outcome.snapshot.as_ref().expect("no dry run");
        self.learn(made);
        Ok(outcome)
    }

    /// Changes a small file, and a part of one of the others.
    fn edit(&mut self, random: &mut Random) {
        self.change("folder/small-3", |bytes| *bytes = random.noise(2_000));
        let names = ["medium", "rewritten", "large", "folder/two groups", "twin"];
        self.change(random.pick(&names).expect("there are some"), |bytes| {
            let at = random.below(bytes.len() - 3_000);
            bytes[at..at + 3_000].copy_from_slice(&random.noise(3_000));
        });
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.source().join(name);
        let mut bytes = fs::read(&path).expect("it is there");
        self.changed.entry(path.clone()).or_insert_with(|| bytes.clone());
        change(&mut bytes);
        fs::write(path, bytes).expect("it can be written");
    }

    /// No connection stays open.
    fn forget(&mut self) {
        self.stage.repository = Arc::new(Repository::open(&self.path("elsewhere")).expect("it is sound"));
    }

    /// What a snapshot of the source as it is now shows.
    fn learn(&mut self, made: &Snapshot) {
        for path in below(Path::new("/"), &self.source()) {
            let bytes = path.is_file().then(|| fs::read(&path).expect("a file of the source"));
            let name = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec();
            let shown = Shown::Entry {
                digest: None,
                content: bytes.filter(|bytes| !bytes.is_empty()).map(|bytes| Hash::of(&bytes)),
                is_folder: path.is_dir() && !path.is_symlink(),
            };
            self.truth.0.insert((made.name.clone(), name), shown);
        }
    }
}

fn elsewhere(path: &Path) -> Repository {
    Repository::init(path, Compression::Off).expect("a repository")
}

fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").args([from, to]));
}

/// A path, the folders above it up to the root, and everything in it.
fn below(root: &Path, path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = path.ancestors().skip(1).map(Path::to_owned).collect();
    debug_assert!(found.last().is_some_and(|last| last == root));
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() && !path.is_symlink() {
            let inside = fs::read_dir(&path).expect("a folder of the source");
            waiting.extend(inside.map(|item| item.expect("an item").path()));
        }
        found.push(path);
    }
    found
}

/// Text that compresses, the same for the same number.
fn text(number: u64, length: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|line: u64| format!("{number} {} line {line}\n", line.wrapping_mul(line)).into_bytes());
    lines.take(length).collect()
}

/// Bytes of which each generation has some of its own, in the middle.
fn edited(seed: u64, number: u64, length: usize, own: usize) -> Vec<u8> {
    let mut bytes = noise(seed, length);
    bytes[length / 8..][..own].copy_from_slice(&noise(seed * 100 + number, own));
    bytes
}

/// The source as the snapshot of this number has it.
fn generation(source: &Path, number: u64) {
    fs::create_dir_all(source.join("folder/inner")).expect("it can be made");
    let put = |name: &str, bytes: &[u8]| fs::write(source.join(name), bytes).expect("it can be written");
    for small in 0..6 {
        put(
            &format!("folder/small-{small}"),
            &text(small * number.min(small), 900 + 800 * small as usize),
        );
    }
    put("folder/inner/same", &noise(7, 3_000));
    put("again", &noise(7, 3_000));
    put("medium", &edited(1, number, 150_000, 4_000));
    put("folder/two groups", &edited(2, number, 200_000, 40_000));
    put("rewritten", &edited(3, number, 1_400_000, 1_100_000));
    let large = [text(5, 4_300_000), text(6 + number, 20_000)].concat();
    put("large", &large);
    match number {
        0 => first(source, &large),
        2 => fs::remove_file(source.join("short-lived")).expect("it was there"),
        _ => {}
    }
}

/// What only the first snapshot brings.
fn first(source: &Path, large: &[u8]) {
    fs::write(source.join("twin"), large).expect("it can be written");
    fs::write(source.join("short-lived"), noise(8, 40_000)).expect("it can be written");
    fs::write(source.join("empty"), "").expect("it can be written");
    fs::hard_link(source.join("twin"), source.join("folder/linked")).expect("it can be made");
    std::os::unix::fs::symlink("nowhere", source.join("dangling")).expect("it can be made");
    let sparse = fs::File::create(source.join("sparse")).expect("it can be made");
    sparse.set_len(5 << 20).expect("it can be sparse");
    std::os::unix::fs::FileExt::write_all_at(&sparse, &noise(9, 5_000), 9 << 19).expect("it can be written");
}
