//! A mount of many repositories. These need /dev/fuse and root, and fail without.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, Weak, mpsc};

use yore_mount::{Mounted, Options, Shelf, ShelfRepository, ShelfUser, UnixUser, mount_all};
use yore_store::{History, Repository, Result};
use yore_tests::{Stage, names, noise, run, until};

/// The Unix user of the tests: nobody.
const NOBODY: UnixUser = UnixUser { uid: 65534, gid: 65534 };

/// A shelf of temporary repositories.
#[derive(Default)]
struct Stages {
    users: Mutex<Vec<ShelfUser>>,
    paths: Mutex<BTreeMap<u32, PathBuf>>,
    /// All that were opened, to count those that still are.
    opened: Mutex<Vec<Weak<Repository>>>,
    /// Opening this repository waits for a word.
    gate: Mutex<Option<(u32, mpsc::Receiver<()>)>>,
}

impl Stages {
    fn user(&self, number: u32, name: &str, owner: Option<UnixUser>) {
        self.users.lock().unwrap().push(ShelfUser {
            number,
            name: name.into(),
            owner,
            repositories: vec![],
        });
    }

    fn put(&self, user: u32, number: u32, name: &str, path: &Path) {
        self.paths.lock().unwrap().insert(number, path.to_owned());
        self.change(user, |user| {
            user.repositories.push(ShelfRepository {
                number,
                name: name.into(),
            });
        });
    }

    fn change(&self, user: u32, change: impl FnOnce(&mut ShelfUser)) {
        let mut users = self.users.lock().unwrap();
        change(users.iter_mut().find(|it| it.number == user).expect("a user"));
    }

    fn open_now(&self) -> usize {
        let opened = self.opened.lock().unwrap();
        opened.iter().filter(|it| it.strong_count() > 0).count()
    }
}

impl Shelf for Stages {
    fn users(&self) -> Result<Vec<ShelfUser>> {
        Ok(self.users.lock().unwrap().clone())
    }

    fn open(&self, number: u32) -> Result<Arc<dyn History>> {
        let gate = self.gate.lock().unwrap().take_if(|(gated, _)| *gated == number);
        if let Some((_, word)) = gate {
            word.recv().expect("a word");
        }
        let path = self.paths.lock().unwrap()[&number].clone();
        let repository = Arc::new(Repository::open(&path)?);
        self.opened.lock().unwrap().push(Arc::downgrade(&repository));
        Ok(Arc::new(repository))
    }
}

/// A mounted shelf; unmounted when dropped.
struct View {
    shelf: Arc<Stages>,
    folder: tempfile::TempDir,
    _mounted: Mounted,
}

impl View {
    /// Of a shelf with two users: ann, who is nobody, and bob, who is no Unix user.
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let folder = tempfile::Builder::new().prefix("yore-").tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let mountpoint = folder.path().join("mnt");
        fs::create_dir(&mountpoint).unwrap();
        let shelf = Arc::new(Stages::default());
        shelf.user(1, "ann", Some(NOBODY));
        shelf.user(2, "bob", None);
        let mounted = mount_all(shelf.clone(), &mountpoint, options).expect("a mount; is there /dev/fuse?");
        View {
            shelf,
            folder,
            _mounted: mounted,
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join("mnt").join(path)
    }

    /// The source of a stage through the mount.
    fn source(&self, repository: &str, snapshot: &str, stage: &Stage) -> PathBuf {
        let source = stage.source();
        self.at(repository)
            .join(snapshot)
            .join(source.strip_prefix("/").unwrap())
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let _ = yore_mount::detach(&self.at(""));
    }
}

/// A stage with a snapshot of some files that `seed` makes different from others.
fn stage(seed: u64) -> Stage {
    let stage = Stage::new();
    let source = stage.source();
    fs::create_dir_all(source.join("folder/inner")).unwrap();
    fs::write(source.join("folder/small"), noise(seed, 100)).unwrap();
    fs::write(source.join("folder/inner/medium"), noise(seed + 1, 300_000)).unwrap();
    fs::write(source.join("large"), noise(seed + 2, 5 << 20)).unwrap();
    fs::hard_link(source.join("large"), source.join("linked")).unwrap();
    std::os::unix::fs::symlink("large", source.join("symlink")).unwrap();
    fs::set_permissions(source.join("folder"), Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(source.join("folder/small"), Permissions::from_mode(0o640)).unwrap();
    stage.snapshot();
    stage
}

/// What a Unix user without any other group gets from a command.
fn as_nobody(command: &str, path: &Path) -> Output {
    let mut command = Command::new(command);
    command.arg(path).current_dir("/").uid(NOBODY.uid).gid(NOBODY.gid);
    command.env("LC_ALL", "C").output().unwrap()
}

/// What is compared of each file besides its bytes; whose it is may be shown otherwise.
const AS_OWN: &str = "%P %y %T@ %l";
/// The same with its owner and mode.
const AS_WAS: &str = "%P %y %T@ %l %U %G %m";

/// What `find` tells of a tree; of what is no folder also the size and the links.
fn listing(root: &Path, format: &str) -> Vec<String> {
    let mut find = Command::new("find");
    find.current_dir(root)
        .args([".", "-type", "d", "-printf", &format!("{format}\n")]);
    find.args(["-o", "-printf", &format!("{format} %s %n\n")]);
    let mut lines: Vec<String> = run(&mut find).lines().map(String::from).collect();
    lines.sort();
    lines
}

/// That two trees are equal, byte by byte and in what `format` tells.
fn assert_same(a: &Path, b: &Path, format: &str) {
    assert_eq!(listing(a, format), listing(b, format));
    run(Command::new("diff").args(["-r", "--no-dereference"]).arg(a).arg(b));
}

#[test]
fn every_repository_is_shown_below_its_user() {
    let (view, a, b, c) = (View::new(), stage(1), stage(10), stage(20));
    view.shelf.put(1, 1, "laptop", a.repository.path());
    view.shelf.put(1, 2, "desktop", b.repository.path());
    view.shelf.put(2, 3, "laptop", c.repository.path());
    assert_eq!(names(&view.at("")), ["ann", "bob"]);
    assert_eq!(names(&view.at("ann")), ["desktop", "laptop"]);
    assert_eq!(names(&view.at("bob")), ["laptop"]);
    assert!(!view.at("carl").exists() && !view.at("bob/desktop").exists());
    for (repository, stage, format) in [
        ("ann/laptop", &a, AS_OWN),
        ("ann/desktop", &b, AS_OWN),
        ("bob/laptop", &c, AS_WAS),
    ] {
        let name = stage.repository.snapshots().unwrap()[0].name.clone();
        assert_eq!(names(&view.at(repository)), [name.clone(), "latest".into()]);
        for snapshot in [name.as_str(), "latest"] {
            assert_same(&stage.source(), &view.source(repository, snapshot, stage), format);
        }
        let copy = stage.folder.path().join("copy");
        run(Command::new("cp")
            .arg("-a")
            .arg(view.source(repository, "latest", stage))
            .arg(&copy));
        assert_same(&stage.source(), &copy, format);
    }
    let (mut found, paths) = (0, run(Command::new("find").arg(view.at(""))));
    for repository in ["ann/laptop", "ann/desktop", "bob/laptop"] {
        found += paths.lines().filter(|path| path.contains(repository)).count();
    }
    let above = 3;
    assert_eq!(paths.lines().count(), found + above, "{paths}");
}

#[test]
fn equal_numbers_in_two_repositories_are_two_files() {
    let view = View::new();
    let stages = [stage(1), stage(50)];
    let ids = |stage: &Stage| {
        let snapshot = stage.repository.snapshots().unwrap().remove(0);
        let path = stage.source().join("large").into_os_string().into_encoded_bytes();
        stage.repository.lookup(&snapshot, &path).unwrap().id
    };
    assert_eq!(ids(&stages[0]), ids(&stages[1]), "else this tests nothing");
    for (number, stage) in (1..).zip(&stages) {
        view.shelf
            .put(2, number, &format!("r{number}"), stage.repository.path());
    }
    let files: Vec<[File; 2]> = (1..)
        .zip(&stages)
        .map(|(number, stage)| {
            let shown = view.source(&format!("bob/r{number}"), "latest", stage);
            [&shown, &stage.source()].map(|root| File::open(root.join("large")).unwrap())
        })
        .collect();
    let [a, b] = [&files[0][0], &files[1][0]].map(|file| file.metadata().unwrap());
    assert_eq!(a.dev(), b.dev());
    assert_ne!(a.ino(), b.ino());
    for round in 0..2 {
        for offset in (0..5 << 20).step_by(128 << 10) {
            for [shown, source] in &files {
                let [mut a, mut b] = [[0; 4096]; 2];
                shown.read_exact_at(&mut a, offset).unwrap();
                source.read_exact_at(&mut b, offset).unwrap();
                assert!(a == b, "round {round}, offset {offset}");
            }
        }
    }
}

#[test]
fn users_and_repositories_come_and_go() {
    let (view, a, b) = (View::new(), stage(1), stage(10));
    view.shelf.put(1, 1, "laptop", a.repository.path());
    assert_eq!(names(&view.at("ann")), ["laptop"]);
    assert!(!view.at("ann/new").exists() && !view.at("carl").exists());

    view.shelf.put(1, 2, "new", b.repository.path());
    view.shelf.user(3, "carl", None);
    view.shelf.put(3, 3, "his", b.repository.path());
    assert_eq!(names(&view.at("ann")), ["laptop", "new"]);
    assert_eq!(names(&view.at("")), ["ann", "bob", "carl"]);
    for new in ["ann/new", "carl/his"] {
        assert!(view.source(new, "latest", &b).join("large").exists());
    }

    let held = File::open(view.source("ann/new", "latest", &b).join("large")).unwrap();
    view.shelf.change(1, |ann| ann.repositories.retain(|it| it.number != 2));
    view.shelf.users.lock().unwrap().retain(|user| user.number != 3);
    assert_eq!(names(&view.at("ann")), ["laptop"]);
    assert_eq!(names(&view.at("")), ["ann", "bob"]);
    until("they go", || {
        !view.at("ann/new").exists() && !view.at("carl/his").exists()
    });
    let mut bytes = vec![0; 5 << 20];
    held.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == noise(12, 5 << 20), "an open file is read to its end");

    // Another one takes the name: nothing of the old one is remembered.
    view.shelf.put(1, 4, "laptop2", a.repository.path());
    view.shelf.change(1, |ann| {
        ann.repositories[0].name = "was-laptop".into();
        ann.repositories[1].name = "laptop".into();
    });
    let inode = |path: &str| fs::metadata(view.at(path)).map_or(0, |found| found.ino());
    until("the names change", || {
        inode("ann/was-laptop") != 0 && inode("ann/laptop") != inode("ann/was-laptop")
    });
    assert_same(
        &view.source("ann/was-laptop", "latest", &a),
        &view.source("ann/laptop", "latest", &a),
        AS_OWN,
    );
}

#[test]
fn snapshots_come_and_go_in_each() {
    let (view, a, b) = (View::new(), stage(1), stage(10));
    view.shelf.put(1, 1, "laptop", a.repository.path());
    view.shelf.put(2, 2, "laptop", b.repository.path());
    let latest = |repository: &str| {
        let target = fs::read_link(view.at(repository).join("latest")).unwrap();
        target.into_os_string().into_string().unwrap()
    };
    for (repository, stage) in [("ann/laptop", &a), ("bob/laptop", &b)] {
        let first = stage.repository.snapshots().unwrap().remove(0);
        assert_eq!(latest(repository), first.name);
        fs::write(stage.source().join("new"), repository).unwrap();
        let second = stage.snapshot().snapshot.unwrap();
        assert_eq!(
            names(&view.at(repository)),
            [first.name.clone(), second.name.clone(), "latest".into()]
        );
        assert_eq!(latest(repository), second.name);
        let new = view.source(repository, "latest", stage).join("new");
        assert_eq!(fs::read_to_string(new).unwrap(), repository);
        let newest = fs::metadata(view.at(repository)).unwrap();
        assert!(newest.mtime() >= first.time, "a repository has the time of a snapshot");

        stage.repository.forget(&[second.id]).unwrap();
        assert_eq!(latest(repository), first.name);
        assert_eq!(names(&view.at(repository)), [first.name.clone(), "latest".into()]);
        until("the folder goes", || !view.at(repository).join(&second.name).exists());
    }
}

#[test]
fn a_unix_user_sees_his_own_and_nothing_else() {
    let (view, a, b) = (View::new(), stage(1), stage(10));
    view.shelf.put(1, 1, "laptop", a.repository.path());
    view.shelf.put(2, 2, "laptop", b.repository.path());
    let his = view.source("ann/laptop", "latest", &a);
    let not_his = view.source("bob/laptop", "latest", &b);
    // Owned by root and 0640 where they came from.
    for name in ["folder/small", "folder/inner/medium", "large"] {
        let read = as_nobody("cat", &his.join(name));
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        assert!(read.stdout == fs::read(a.source().join(name)).unwrap());
    }
    assert!(as_nobody("find", &view.at("ann")).status.success());
    assert_eq!(as_nobody("ls", &view.at("")).stdout, b"ann\nbob\n");
    for closed in [
        &not_his.join("large"),
        &not_his,
        &view.at("bob/laptop"),
        &view.at("bob"),
    ] {
        // Root looked first, so the kernel knows it all; it must still not tell.
        fs::metadata(closed).unwrap();
        let refused = as_nobody("ls", &closed.join(""));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && said.contains("Permission denied"),
            "{said}"
        );
    }
    let owner = |path: &Path| fs::metadata(path).map(|it| (it.uid(), it.mode() & 0o7777)).unwrap();
    assert_eq!(owner(&view.at("")), (0, 0o555));
    assert_eq!(owner(&view.at("ann")), (NOBODY.uid, 0o500));
    assert_eq!(owner(&view.at("bob")), (0, 0o500));
    assert_eq!(owner(&his.join("folder/small")), (NOBODY.uid, 0o640));
    assert_eq!(owner(&not_his.join("folder/small")), (0, 0o640));

    // And bob becomes that Unix user in ann's place.
    view.shelf.change(1, |ann| ann.owner = None);
    view.shelf.change(2, |bob| bob.owner = Some(NOBODY));
    until("bob gets in", || {
        as_nobody("cat", &not_his.join("folder/small")).status.success()
    });
    until("ann is closed", || !as_nobody("ls", &view.at("ann")).status.success());
    assert!(!as_nobody("cat", &his.join("folder/small")).status.success());
    assert_eq!(owner(&his.join("folder/small")), (0, 0o640));
}

#[test]
fn one_that_cannot_be_opened_is_an_error_in_its_folder_only() {
    let (view, well, broken) = (View::new(), stage(1), stage(10));
    view.shelf.put(1, 1, "well", well.repository.path());
    view.shelf.put(1, 2, "broken", broken.repository.path());
    // No row of a catalog is as large.
    view.shelf.put(1, 8192, "too-large", broken.repository.path());
    let config = broken.repository.path().join("yore.toml");
    let good = fs::read(&config).unwrap();
    fs::write(&config, "gar = [bage").unwrap();
    let number = |error: io::Error| error.raw_os_error().unwrap();
    for _ in 0..3 {
        assert_eq!(names(&view.at("ann")), ["broken", "well"]);
        run(Command::new("ls").arg("-l").arg(view.at("ann")));
        assert_eq!(
            number(
                fs::read_dir(view.at("ann/broken"))
                    .unwrap()
                    .next()
                    .unwrap()
                    .unwrap_err()
            ),
            5
        );
        assert_eq!(number(fs::read_link(view.at("ann/broken/latest")).unwrap_err()), 5);
        assert_eq!(
            number(fs::metadata(view.at("ann/too-large")).unwrap_err()),
            75,
            "EOVERFLOW"
        );
        assert_same(&well.source(), &view.source("ann/well", "latest", &well), AS_OWN);
    }
    fs::write(&config, good).unwrap();
    until("it is mended", || view.at("ann/broken/latest").exists());
    assert_same(&broken.source(), &view.source("ann/broken", "latest", &broken), AS_OWN);
}

#[test]
fn one_that_opens_slowly_holds_up_no_other() {
    let (view, slow, well) = (View::new(), stage(1), stage(10));
    let (word, gate) = mpsc::channel();
    *view.shelf.gate.lock().unwrap() = Some((1, gate));
    view.shelf.put(1, 1, "slow", slow.repository.path());
    view.shelf.put(1, 2, "well", well.repository.path());
    std::thread::scope(|scope| {
        // Lost if we panic, which lets the others go.
        let word = word;
        // More than threads serve the mount. Different names: the kernel asks for one once.
        let waiting: Vec<_> = (0..12)
            .map(|number| {
                scope.spawn({
                    let view = &view;
                    move || fs::read_link(view.at(&format!("ann/slow/{number}")))
                })
            })
            .collect();
        until("it is being opened", || view.shelf.gate.lock().unwrap().is_none());
        assert_same(&well.source(), &view.source("ann/well", "latest", &well), AS_OWN);
        assert!(waiting.iter().all(|thread| !thread.is_finished()));
        word.send(()).unwrap();
        for thread in waiting {
            let error = thread.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    });
    assert!(view.at("ann/slow/latest").exists());
    assert_eq!(view.shelf.open_now(), 2, "of the twelve, one opened it");
}

#[test]
fn few_of_many_are_open_at_once() {
    let (view, stage) = (View::new(), stage(1));
    let large = |number: u32| view.source(&format!("bob/r{number}"), "latest", &stage).join("large");
    // The same one many times over: what counts is who opens and closes it.
    for number in 1..=40 {
        view.shelf
            .put(2, number, &format!("r{number}"), stage.repository.path());
    }
    run(Command::new("ls").arg(view.at("bob")));
    assert_eq!(view.shelf.open_now(), 0, "a listing opens nothing");
    let held = File::open(large(1)).unwrap();
    for number in 1..=40 {
        run(Command::new("cmp").arg(large(number)).arg(stage.source().join("large")));
        assert!(
            view.shelf.open_now() <= 8 + 1,
            "after {number}: {}",
            view.shelf.open_now()
        );
    }
    let mut bytes = vec![0; 5 << 20];
    held.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == noise(3, 5 << 20), "an open file keeps its own");
    run(Command::new("cmp").arg(large(1)).arg(stage.source().join("large")));
    assert_eq!(
        view.shelf.opened.lock().unwrap().len(),
        40,
        "so it was not opened twice"
    );
}

#[test]
fn files_that_the_kernel_reads_by_itself_are_not_mixed_up() {
    let view = View::with(Options {
        trust_disk: true,
        ..Options::default()
    });
    let stages: Vec<Stage> = [1, 50].map(stage).into();
    for (number, stage) in (1..).zip(&stages) {
        // One segment, which does not compress: a file of the repository is just this.
        fs::write(stage.source().join("whole"), noise(number, 2 << 20)).unwrap();
        stage.snapshot();
        view.shelf
            .put(2, number as u32, &format!("r{number}"), stage.repository.path());
    }
    let held: Vec<File> = (1..)
        .zip(&stages)
        .map(|(number, stage)| {
            File::open(view.source(&format!("bob/r{number}"), "latest", stage).join("whole")).unwrap()
        })
        .collect();
    for (number, file) in (1..).zip(&held) {
        let mut bytes = vec![0; 2 << 20];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes == noise(number, 2 << 20));
    }
}
