//! Full disks: what was committed stays, and forgetting works with no byte free.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::io::Errno;
use yore_agent::snapshot::{SnapshotRequest, snapshot};
use yore_agent::target::Target;
use yore_store::{Compression, Error, Repository, Snapshot};
use yore_tests::power::history::PowerHistory;
use yore_tests::{Stage, asked, differences, noise, run};

/// A file system of its own, unmounted at the end.
struct Small {
    at: PathBuf,
}

impl Small {
    fn tmpfs(at: PathBuf, options: &str) -> Self {
        fs::create_dir(&at).unwrap();
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(&at));
        Small { at }
    }

    fn ext4(at: PathBuf, mib: u64) -> Self {
        fs::create_dir(&at).unwrap();
        let image = at.with_extension("image");
        File::create(&image).unwrap().set_len(mib << 20).unwrap();
        let mkfs = ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
        run(Command::new("/sbin/mkfs.ext4").args(mkfs).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).args([&image, &at]));
        fs::remove_dir(at.join("lost+found")).unwrap();
        Small { at }
    }

    /// Takes up every byte and every file that is left.
    fn stuff(&self) {
        for number in 0.. {
            let Ok(mut file) = File::create(self.at.join(format!("filler-{number}"))) else {
                return;
            };
            while file.write_all(&[1; 4096]).is_ok() {}
            while file.write_all(&[1]).is_ok() {}
            if number > 0 {
                return;
            }
        }
    }

    fn unstuff(&self) {
        for number in 0..2 {
            let _ = fs::remove_file(self.at.join(format!("filler-{number}")));
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

/// A day of use: many small files change, and a large one; some go and some come.
fn day(source: &Path, number: u64) {
    for folder in 0..20 {
        let folder = source.join(format!("folder-{folder}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..30 {
            if !(file + number).is_multiple_of(3) {
                fs::write(folder.join(format!("file-{file}")), noise(number * 1000 + file, 200)).unwrap();
            }
        }
        let _ = fs::remove_file(folder.join(format!("of-day-{}", number.saturating_sub(1))));
        fs::write(folder.join(format!("of-day-{number}")), noise(number, 50)).unwrap();
    }
    let mut large = noise(7, 1_500_000);
    large[(number as usize * 100_000) % 1_400_000..][..50_000].copy_from_slice(&noise(number, 50_000));
    fs::write(source.join("large"), large).unwrap();
}

/// Days are pushed until there is no room for one, the rest is taken up, and all but the newest snapshot is forgotten.
fn filled_and_forgotten(small: impl FnOnce(PathBuf) -> Small) {
    let stage = Stage::new();
    let small = small(stage.folder.path().join("small"));
    let path = small.at.join("repository");
    let repository = Arc::new(Repository::init(&path, Compression::Zstd(3)).unwrap());
    let target = Target::Here(repository.clone());
    let kept = stage.folder.path().join("kept");
    let mut made: Vec<Snapshot> = Vec::new();
    let failure = loop {
        assert!(made.len() < 200, "the disk does not fill");
        day(&stage.source(), made.len() as u64);
        match snapshot(&target, stage.request(&[&stage.source()]), &()) {
            Ok(outcome) => made.extend(outcome.snapshot),
            Err(failure) => break failure,
        }
        run(Command::new("rsync")
            .args(["-aHAX", "--delete", "--ignore-times", "--modify-window=-1"])
            .args([format!("{}/", stage.source().display()), format!("{}/", kept.display())]));
    };
    let failure = format!("{failure:#}");
    assert!(failure.contains("space") || failure.contains("full"), "{failure}");
    assert!(made.len() > 3, "{} days fit", made.len());
    small.stuff();

    // Another process comes to make room, one snapshot after the other, each in the midst of others.
    drop((target, repository));
    let newest = made.pop().unwrap();
    while !made.is_empty() {
        let repository = Arc::new(Repository::open(&path).unwrap());
        let gone = made.remove(made.len() / 2);
        let forgotten = repository.forget(&[gone.id]).unwrap();
        assert_eq!(forgotten.snapshots, 1, "{}", gone.name);
        let names: Vec<String> = repository
            .snapshots()
            .unwrap()
            .into_iter()
            .map(|one| one.name)
            .collect();
        assert!(
            !names.contains(&gone.name) && names.len() == made.len() + 1,
            "{names:?}"
        );
        small.stuff();
    }
    small.unstuff();
    let stage = Stage {
        repository: Arc::new(Repository::open(&path).unwrap()),
        ..stage
    };
    let verified = stage.repository.verify(true, &mut |_, _| Ok(())).unwrap();
    assert_eq!(verified.damages, vec![]);
    let restored = stage.restored(&newest, "restored");
    assert_eq!(differences(&kept, &restored), "");
    // And the room is there again.
    day(&stage.source(), 300);
    snapshot(&stage.target(), stage.request(&[&stage.source()]), &()).unwrap();
}

#[test]
fn forgetting_works_on_a_full_tmpfs() {
    filled_and_forgotten(|at| Small::tmpfs(at, "size=12m"));
}

#[test]
fn forgetting_works_on_a_full_ext4() {
    filled_and_forgotten(|at| Small::ext4(at, 16));
}

#[test]
fn forgetting_works_without_a_free_inode() {
    filled_and_forgotten(|at| Small::tmpfs(at, "size=64m,nr_inodes=60"));
}

#[test]
fn a_disk_that_is_full_from_the_start_is_said_to_be() {
    let stage = Stage::new();
    let small = Small::tmpfs(stage.folder.path().join("small"), "size=512k");
    small.stuff();
    match Repository::init(&small.at.join("repository"), Compression::Zstd(3)).map(drop) {
        Err(error @ Error::Io { .. }) | Err(error @ Error::Catalog(_)) => {
            assert!(error.is_want_of_room(), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

/// Fills a disk at each step of what changes a repository. `YORE_FULL_EVERY=1` fills it at every operation, and
/// `YORE_FULL_SEED=N` does so with another history.
fn filled_at_every_step(errno: Errno) {
    let every = asked("YORE_FULL_EVERY").unwrap_or(9);
    let seed = asked("YORE_FULL_SEED").unwrap_or(3);
    let filled = PowerHistory::filled(seed, errno, every, Path::new(env!("CARGO_BIN_EXE_power-worker")));
    println!("seed {seed}: steps at which the disk was full: {filled:?}");
    assert!(filled.failed[0] > 3 && filled.done[1] > 3, "{filled:?}");
}

#[test]
fn a_disk_that_becomes_full_at_any_step_loses_nothing() {
    filled_at_every_step(Errno::NOSPC);
}

#[test]
fn a_quota_of_the_disk_that_is_used_up_at_any_step_loses_nothing() {
    filled_at_every_step(Errno::DQUOT);
}

#[test]
fn a_budget_that_ends_at_any_step_loses_nothing() {
    const STEP: u64 = 48 << 10;
    let stage = Stage::new();
    day(&stage.source(), 0);
    stage.snapshot();
    let kept = stage.folder.path().join("kept");
    run(Command::new("cp").arg("-a").args([&stage.source(), &kept]));
    let first = stage.repository.snapshots().unwrap();
    let mut ended = 0;
    // What one had sent waits for the next, whose files are others.
    for step in 0.. {
        day(&stage.source(), 1 + step);
        let request = SnapshotRequest {
            limit: Some(step * STEP),
            ..stage.request(&[&stage.source()])
        };
        match snapshot(&stage.target(), request, &()) {
            Ok(_) => break,
            Err(error) => {
                let error = format!("{error:#}");
                assert!(error.starts_with("quota:"), "{error}");
                ended += 1;
            }
        }
        assert_eq!(stage.repository.snapshots().unwrap(), first);
        let restored = stage.restored(&first[0], &format!("restored-{step}"));
        assert_eq!(differences(&kept, &restored), "");
    }
    assert!(ended > 10, "{ended} pushes ended");
    let newest = stage.repository.snapshots().unwrap().pop().unwrap();
    assert_eq!(differences(&stage.source(), &stage.restored(&newest, "newest")), "");
    let verified = stage.repository.verify(true, &mut |_, _| Ok(())).unwrap();
    assert_eq!(verified.damages, vec![]);
}
