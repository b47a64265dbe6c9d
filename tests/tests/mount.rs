//! Real mounts. These need /dev/fuse and fail where it is missing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};
use std::thread;

use yore_mount::{Mounted, Options, mount};
use yore_store::Repository;
use yore_tests::{Stage, differences, fill, names, noise, run};

/// A mounted stage; unmounted when dropped.
struct View {
    mountpoint: PathBuf,
    _mounted: Mounted,
}

impl View {
    fn of(stage: &Stage, options: Options) -> Self {
        let mountpoint = stage.folder.path().join("mnt");
        fs::create_dir_all(&mountpoint).unwrap();
        let repository = Arc::new(Repository::open(stage.repository.path()).unwrap());
        let mounted = mount(Arc::new(repository), &mountpoint, options).expect("a mount; is there /dev/fuse?");
        View {
            mountpoint,
            _mounted: mounted,
        }
    }

    fn path(&self, snapshot: &str, path: &Path) -> PathBuf {
        self.mountpoint.join(snapshot).join(path.strip_prefix("/").unwrap())
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let _ = yore_mount::detach(&self.mountpoint);
    }
}

fn tree(source: &Path) {
    fill(source);
    let sparse = File::create(source.join("sparse")).unwrap();
    sparse.set_len(10 << 20).unwrap();
    sparse.write_all_at(&[7; 4096], 5 << 20).unwrap();
}

#[test]
fn cp_through_the_mount_equals_the_source() {
    let stage = Stage::new();
    tree(&stage.source());
    let first = stage.snapshot().snapshot.unwrap();
    let copy = stage.restored(&first, "first");
    fs::write(stage.source().join("large"), &noise(2, 9 << 20)[1..]).unwrap();
    fs::remove_file(stage.source().join("folder/small")).unwrap();
    let second = stage.snapshot().snapshot.unwrap();
    let view = View::of(&stage, Options::default());
    for (snapshot, like) in [(&first, &copy), (&second, &stage.source())] {
        let out = stage.folder.path().join(format!("cp-{}", snapshot.name));
        run(Command::new("cp")
            .arg("-a")
            .arg(view.path(&snapshot.name, &stage.source()))
            .arg(&out));
        assert_eq!(differences(like, &out), "", "{}", snapshot.name);
        assert_eq!(
            differences(like, &view.path(&snapshot.name, &stage.source())),
            "",
            "{}",
            snapshot.name
        );
    }
}

#[test]
fn links_holes_kinds_and_numbers_are_right() {
    let stage = Stage::new();
    tree(&stage.source());
    let snapshot = stage.snapshot().snapshot.unwrap();
    let view = View::of(&stage, Options::default());
    let at = |name: &str| view.path(&snapshot.name, &stage.source().join(name));
    let (large, linked) = (fs::metadata(at("large")).unwrap(), fs::metadata(at("linked")).unwrap());
    assert_eq!((large.nlink(), large.ino()), (2, linked.ino()));
    let sparse = File::open(at("sparse")).unwrap();
    let seek = |from| rustix::fs::seek(&sparse, from).unwrap();
    assert_eq!(seek(rustix::fs::SeekFrom::Data(0)), 5 << 20);
    assert_eq!(seek(rustix::fs::SeekFrom::Hole(5 << 20)), (5 << 20) + 4096);
    let kinds = run(Command::new("find")
        .arg(at(""))
        .args(["-mindepth", "1", "-maxdepth", "1", "-printf", "%f%y "]));
    for kind in ["dangling", "fifo", "folder", "large"].iter().zip(["l", "p", "d", "f"]) {
        assert!(kinds.contains(&format!("{}{} ", kind.0, kind.1)), "{kinds}");
    }
    let space = rustix::fs::statvfs(&view.mountpoint).unwrap();
    assert!(space.f_blocks > 0 && space.f_namemax == 255);
}

#[test]
fn nothing_can_be_written() {
    let stage = Stage::new();
    tree(&stage.source());
    let snapshot = stage.snapshot().snapshot.unwrap();
    let view = View::of(&stage, Options::default());
    let at = view.path(&snapshot.name, &stage.source());
    let read_only = |result: std::io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    };
    read_only(fs::write(at.join("large"), "x"));
    read_only(fs::write(at.join("new"), "x"));
    read_only(fs::create_dir(at.join("new")));
    read_only(fs::remove_file(at.join("large")));
    read_only(fs::rename(at.join("large"), at.join("other")));
    read_only(fs::create_dir(view.mountpoint.join("new")));
}

#[test]
fn the_list_of_snapshots_lives() {
    let stage = Stage::new();
    tree(&stage.source());
    let first = stage.snapshot().snapshot.unwrap();
    let view = View::of(&stage, Options::default());
    let names = || {
        let mut names: Vec<String> = fs::read_dir(&view.mountpoint)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let latest = || {
        fs::read_link(view.mountpoint.join("latest"))
            .unwrap()
            .into_os_string()
            .into_string()
            .unwrap()
    };
    assert_eq!(
        (names(), latest()),
        (vec![first.name.clone(), "latest".into()], first.name.clone())
    );
    fs::write(stage.source().join("new"), "new").unwrap();
    let second = stage.snapshot().snapshot.unwrap();
    assert_eq!(names(), [first.name.clone(), second.name.clone(), "latest".into()]);
    assert_eq!(latest(), second.name);
    assert_eq!(
        fs::read(view.path("latest", &stage.source().join("new"))).unwrap(),
        b"new"
    );
    stage.repository.forget(&[second.id]).unwrap();
    assert_eq!(
        (names(), latest()),
        (vec![first.name.clone(), "latest".into()], first.name)
    );
}

#[test]
fn a_new_snapshot_is_in_the_next_listing_however_often_it_was_listed_before() {
    let stage = Stage::new();
    let view = View::of(&stage, Options::default());
    let list = || names(&view.mountpoint);
    let (working, over) = mpsc::channel::<()>();
    thread::scope(|scope| {
        // Somebody else lists it all the time.
        scope.spawn(|| {
            let over = over;
            while over.try_recv() == Err(TryRecvError::Empty) {
                list();
            }
        });
        let _working = working;
        let mut there = BTreeSet::from(["latest".to_string()]);
        let present = |there: &BTreeSet<String>| there.iter().cloned().collect::<Vec<_>>();
        for number in 0..40 {
            fs::write(stage.source().join("file"), format!("{number}")).unwrap();
            let made = stage.snapshot().snapshot.unwrap();
            there.insert(made.name.clone());
            assert_eq!(list(), present(&there));
            if number % 3 == 2 {
                stage.repository.forget(&[made.id]).unwrap();
                there.remove(&made.name);
                assert_eq!(list(), present(&there));
            }
            // What is below a snapshot may be kept for ever, and is.
            let below = view.path(there.first().unwrap(), &stage.source());
            assert_eq!([names(&below), names(&below)], [["file"], ["file"]]);
        }
    });
}

#[test]
fn an_open_file_is_read_on_while_its_snapshot_is_rebased_and_repacked() {
    let stage = Stage::new();
    let path = stage.source().join("file");
    let mut bytes = noise(1, 6 << 20);
    fs::write(&path, &bytes).unwrap();
    let first = stage.snapshot().snapshot.unwrap();
    let oldest = bytes.clone();
    let mut between = Vec::new();
    for version in 0..4usize {
        bytes[version << 20..(version << 20) + 5000].copy_from_slice(&noise(9 + version as u64, 5000));
        fs::write(&path, &bytes).unwrap();
        between.push(stage.snapshot().snapshot.unwrap());
    }
    let view = View::of(&stage, Options::default());
    let open = File::open(view.path(&first.name, &path)).unwrap();
    let mut start = vec![0; 100_000];
    open.read_exact_at(&mut start, 0).unwrap();
    for gone in &between[..3] {
        stage.repository.forget(&[gone.id]).unwrap();
    }
    fs::write(&path, noise(77, 6 << 20)).unwrap();
    stage.snapshot();
    let mut all = vec![0; oldest.len()];
    open.read_exact_at(&mut all, 0).unwrap();
    assert!(start == oldest[..100_000] && all == oldest);
}

#[test]
fn what_was_forgotten_after_it_was_listed_is_stale_and_not_damaged() {
    let stage = Stage::new();
    let folder = stage.source().join("folder");
    fs::create_dir_all(&folder).unwrap();
    for (name, length) in [("small", 100), ("large", 3 << 20)] {
        fs::write(folder.join(name), noise(1, length)).unwrap();
    }
    let first = stage.snapshot().snapshot.unwrap();
    fs::remove_dir_all(&folder).unwrap();
    stage.snapshot();
    let view = View::of(&stage, Options::default());
    // Who has the folder open still finds names in it.
    let listed = File::open(view.path(&first.name, &folder)).unwrap();
    let within = PathBuf::from(format!("/proc/self/fd/{}", listed.as_raw_fd()));
    assert_eq!(fs::read_dir(&within).unwrap().count(), 2);
    let open = File::open(within.join("large")).unwrap();
    stage.repository.forget(&[first.id]).unwrap();
    stage.repository.sweep().unwrap();
    for name in ["small", "large"] {
        let error = fs::read(within.join(name)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(116), "{name}: {error}");
    }
    // The kernel opens files without asking; that nothing is there shows when they are read.
    File::open(within.join("small")).unwrap();
    let error = open.read_exact_at(&mut [0; 4096], 2 << 20).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(116), "{error}");
}

#[test]
fn damage_is_an_error_and_never_wrong_bytes() {
    let stage = Stage::new();
    fs::write(stage.source().join("large"), noise(2, 9 << 20)).unwrap();
    fs::write(stage.source().join("well"), noise(3, 2 << 20)).unwrap();
    let snapshot = stage.snapshot().snapshot.unwrap();
    let heads = run(Command::new("find")
        .arg(stage.repository.path().join("heads"))
        .args(["-type", "f", "-size", "+4000k"]));
    let victim = heads.lines().next().expect("a whole segment");
    let file = File::options().read(true).write(true).open(victim).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1 << 20).unwrap();
    file.write_all_at(&[byte[0] ^ 4], 1 << 20).unwrap();
    let view = View::of(&stage, Options::default());
    let error = fs::read(view.path(&snapshot.name, &stage.source().join("large"))).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    assert!(fs::read(view.path(&snapshot.name, &stage.source().join("well"))).unwrap() == noise(3, 2 << 20));
}

/// A small generator of random numbers; the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// Changes a few random things in a source folder.
fn change(source: &Path, dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let folder = source.join(format!("folder{}", dice.below(3)));
        let file = folder.join(format!("file{}", dice.below(5)));
        match dice.below(7) {
            0 => drop(fs::remove_dir_all(&folder)),
            1 => drop(fs::remove_file(&file)),
            2 => drop(fs::rename(&file, folder.join("moved"))),
            3 => drop(fs::hard_link(&file, folder.join(format!("link{}", dice.below(3))))),
            4 if file.exists() => {
                let mut bytes = fs::read(&file).unwrap();
                let at = dice.below(bytes.len() as u64 + 1) as usize;
                bytes.insert(at, 7);
                fs::write(&file, bytes).unwrap();
            }
            _ => {
                fs::create_dir_all(&folder).unwrap();
                let length = [0, 100, 40_000, 300_000, 5 << 20][dice.below(5) as usize];
                fs::write(&file, noise(dice.below(1000), length)).unwrap();
            }
        }
    }
}

#[test]
fn random_histories_show_in_a_live_mount_as_they_were() {
    for seed in [1, 2] {
        let stage = Stage::new();
        let mut dice = Dice(seed);
        let mut model: Vec<(yore_store::Snapshot, PathBuf)> = Vec::new();
        let mut view = None;
        for step in 0..10 {
            change(&stage.source(), &mut dice);
            let snapshot = stage.snapshot().snapshot.unwrap();
            let copy = stage.folder.path().join(format!("model-{step}"));
            run(Command::new("cp").arg("-a").arg(stage.source()).arg(&copy));
            model.push((snapshot, copy));
            if dice.below(3) == 0 && model.len() > 1 {
                let (gone, _) = model.remove(dice.below(model.len() as u64 - 1) as usize);
                stage.repository.forget(&[gone.id]).unwrap();
            }
            let view = view.get_or_insert_with(|| View::of(&stage, Options::default()));
            for (snapshot, copy) in &model {
                let shown = view.path(&snapshot.name, &stage.source());
                assert_eq!(
                    differences(copy, &shown),
                    "",
                    "seed {seed}, step {step}, {}",
                    snapshot.name
                );
            }
        }
    }
}

#[test]
fn what_the_kernel_reads_by_itself_stays_as_it_is_when_the_file_changes() {
    let stage = Stage::new();
    // Three segments and a bit: one file of the repository, which gives back what a change makes superfluous.
    let old = noise(7, 13 << 20);
    fs::write(stage.source().join("film"), &old).unwrap();
    stage.snapshot();
    let trusting = Options {
        trust_disk: true,
        ..Options::default()
    };
    let view = View::of(&stage, trusting);
    let film = || File::open(view.path("latest", &stage.source().join("film"))).unwrap();
    let held = film();
    let changed = File::options().write(true).open(stage.source().join("film")).unwrap();
    changed.write_all_at(&noise(8, 4 << 20), 4 << 20).unwrap();
    stage.snapshot();
    let mut bytes = vec![0; old.len()];
    held.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == old, "who has it open reads on in what he opened");
    drop(held);
    changed.write_all_at(&noise(9, 1 << 20), 8 << 20).unwrap();
    stage.snapshot();
    film().read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == fs::read(stage.source().join("film")).unwrap());
}
