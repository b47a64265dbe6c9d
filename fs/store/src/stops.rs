//! Where a test can stop the process: before and after everything that changes the disk for good.
//!
//! ```text
//! Stop::FileSynced.around(|| file.sync_all())
//!
//!   file: fsync, before ─▶ the step ─▶ file: fsync, after         two points, each of which can be told to kill
//! ```
//!
//! Only a build with the feature `fail-points` has them, and none that is shipped does: elsewhere a step is just done.
//! There `YORE_STOP="file: fsync, after#3"` kills the process, by a signal and without any destructor, the third time
//! that it gets there after [`watch`] was called.
//!
//! A step that is new goes into the list below; the tests stop at all that are in it, and look whether the source has an
//! fsync, a rename, an unlink or a commit without one.

macro_rules! stops {
    ($($stop:ident: $name:literal,)*) => {
        /// A step that changes the disk for good.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Stop { $($stop),* }

        /// The points of all steps, before and after, as they are written.
        #[cfg(feature = "fail-points")]
        pub const POINTS: &[&str] = &[$(concat!($name, ", before"), concat!($name, ", after")),*];
    };
}

stops! {
    // A repository is made.
    HalfMadeRemoved: "half-made repository: unlink",
    RepositoryNamed: "new repository: folder fsync",
    ConfigSynced: "yore.toml: fsync",
    ConfigRenamed: "yore.toml: rename",
    ConfigFolderSynced: "yore.toml: folder fsync",
    Migrated: "new catalog, or one of an older version: commit",
    BallastHeld: "ballast: taken up",

    // A push, from its beginning to its end.
    LineMade: "line: commit",
    NumbersTaken: "numbers: commit",
    PushBegun: "push: commit",
    FilesRegistered: "files: commit",
    FileSynced: "file: fsync",
    FolderSynced: "folder: fsync",
    RowsFlushed: "rows: commit",
    SnapshotMade: "snapshot: commit",
    LogFolded: "log: folded in",
    LockRemoved: "lock: unlink",

    // One that goes on where another died.
    ClaimedFolderSynced: "claimed folder: fsync",
    ClaimCleared: "claim: commit",
    KeptRunDropped: "kept run: commit",
    UnclaimedDropped: "unclaimed: commit",

    // What a dead one left is swept.
    PushCondemned: "condemned: commit",
    EntriesDropped: "told entries: commit",
    ClosingsDropped: "told closings: commit",
    PartsDropped: "parts: commit",
    PushRowsDropped: "rows of a dead push: commit",
    PushDropped: "dead push: commit",
    DeadFileUnlinked: "dead file: unlink",
    UnlinkedFolderSynced: "folder of a dead file: fsync",
    DeadRowsDropped: "rows of dead files: commit",
    HoleMade: "hole in a file: made",
    HolesSynced: "holes: fsync",
    HolesTold: "holes: commit",

    // Forgetting, and what follows from it.
    SnapshotsForgotten: "forgotten: commit",
    GoingDropped: "going: commit",
    FreeDropped: "free contents: commit",
    ContentSettled: "nameless content: commit",
    MadeWhole: "made whole: commit",
    Rebased: "rebased: commit",
    Repacked: "repacked: commit",
    UnusedDropped: "unused owners: commit",

    // Copies of the catalog.
    CopyMade: "copy: made",
    CopySynced: "copy: fsync",
    CopyTidied: "copy: unlink of what it was made from",
    CopyRenamed: "copy: rename",
    CopyFolderSynced: "copy: folder fsync",
    CopyThinned: "older copy: unlink",

    // Verification and repair.
    DamageNoted: "damage: commit",
    Recovered: "recovered: commit",
    Healed: "healed: commit",
    ConfigSetAside: "damaged yore.toml: rename",
    CatalogReplaced: "repaired catalog: commit",
    OldLogRemoved: "log of a lost catalog: unlink",
    NewCatalogSynced: "repaired catalog: fsync",
    NewCatalogRenamed: "repaired catalog: rename",
    NewCatalogFolderSynced: "repaired catalog: folder fsync",
}

impl Stop {
    /// Does a step.
    #[inline(always)]
    pub fn around<T>(self, step: impl FnOnce() -> T) -> T {
        self.reach(0);
        let done = step();
        self.reach(1);
        done
    }

    #[cfg(not(feature = "fail-points"))]
    #[inline(always)]
    fn reach(self, _side: usize) {}

    #[cfg(feature = "fail-points")]
    fn reach(self, side: usize) {
        fail::fail_point!(POINTS[2 * self as usize + side]);
    }
}

#[cfg(feature = "fail-points")]
pub use watching::{reached, watch};

#[cfg(feature = "fail-points")]
mod watching {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::POINTS;

    /// How often each point was reached.
    static REACHED: [AtomicU64; POINTS.len()] = [const { AtomicU64::new(0) }; POINTS.len()];

    /// Counts from here on how often each point is reached, and kills the process at the one that `YORE_STOP` names.
    ///
    /// # Panics
    /// If it names none.
    pub fn watch() {
        let told = std::env::var("YORE_STOP").ok();
        let told = told
            .as_deref()
            .map(|told| parse(told).expect("YORE_STOP: POINT#NUMBER"));
        for (at, point) in POINTS.iter().enumerate() {
            let fatal = told.filter(|(of, _)| *of == at).map(|(_, number)| number);
            fail::cfg_callback(*point, move || reach(at, fatal)).expect("a point can be watched");
        }
    }

    /// The points that were reached since [`watch`], and how often.
    pub fn reached() -> Vec<(&'static str, u64)> {
        let counts = REACHED.iter().map(|count| count.load(Ordering::SeqCst));
        POINTS
            .iter()
            .copied()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    fn parse(told: &str) -> Option<(usize, u64)> {
        let (name, number) = told.split_once('#')?;
        Some((POINTS.iter().position(|point| *point == name)?, number.parse().ok()?))
    }

    fn reach(at: usize, fatal: Option<u64>) {
        let number = REACHED[at].fetch_add(1, Ordering::SeqCst) + 1;
        if fatal == Some(number) {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// What changes the disk for good, as it is written in the source.
    const STEPS: [&str; 5] = [
        ".sync_all()",
        ".sync_data()",
        "fs::rename(",
        "fs::remove_file(",
        "transaction.commit()",
    ];

    /// Lines without a stop, and why they need none.
    const WITHOUT: [(&str, &str); 6] = [
        ("remove_file(&path);", "ballast that did not fit"),
        (
            "remove_file(path)?;",
            "a probe for room, which is no part of the repository",
        ),
        ("remove_file(path(repository)).is_ok()", "the ballast, on a full disk"),
        ("remove_file(&packed);", "a copy that could not be written"),
        ("remove_file(left);", "what lay in the way of a copy"),
        (
            "remove_file(&plain);",
            "an unpacked copy, beside a catalog that is being built",
        ),
    ];

    fn unguarded(source: &str) -> Vec<&str> {
        let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines: Vec<&str> = code.lines().collect();
        let is_step = |line: &str| STEPS.iter().any(|step| line.contains(step)) && !line.trim().starts_with("//");
        // A formatter may put the step a line or two below its stop.
        let has_stop = |at: usize| {
            let stop = |line: &&str| line.contains("Stop::") || line.contains("stop.around");
            lines[at.saturating_sub(2)..=at].iter().any(stop)
        };
        let is_known = |line: &str| WITHOUT.iter().any(|(known, _)| line.contains(known));
        let steps = (0..lines.len()).filter(|at| is_step(lines[*at]) && !has_stop(*at));
        steps.map(|at| lines[at]).filter(|line| !is_known(line)).collect()
    }

    fn look(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() {
                look(&path, found);
            } else if !["tests.rs", "share_tests.rs", "attacks.rs", "stops.rs"]
                .iter()
                .any(|not| name == *not)
            {
                let source = std::fs::read_to_string(&path).unwrap();
                found.extend(
                    unguarded(&source)
                        .iter()
                        .map(|line| format!("{}: {}", path.display(), line.trim())),
                );
            }
        }
    }

    #[test]
    fn every_step_on_the_disk_has_its_stop() {
        let mut found = Vec::new();
        look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        assert!(found.is_empty(), "without a stop:\n{}", found.join("\n"));
    }

    #[test]
    fn one_that_is_missing_is_seen() {
        assert_eq!(unguarded("  file.sync_all()?;"), ["  file.sync_all()?;"]);
        assert!(unguarded("Stop::FileSynced.around(|| file.sync_all())?;").is_empty());
    }
}
