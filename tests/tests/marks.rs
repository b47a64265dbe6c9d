//! A push of what was marked makes the snapshot that a push of everything would have made, and
//! looks at what was marked only.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use yore_agent::marks::Marks;
use yore_agent::roots::Roots;
use yore_agent::snapshot::{Outcome, SnapshotRequest, snapshot};
use yore_agent::walk::WalkOptions;
use yore_agent::watch::{Scope, Watcher, Work};
use yore_store::Snapshot;
use yore_tests::model::random::Random;
use yore_tests::{Stage, differences};

fn watcher(stage: &Stage) -> Watcher {
    let mut watcher = Watcher::new(Scope {
        roots: Roots::resolve(&[stage.source()]).unwrap(),
        options: WalkOptions::default(),
        quiet: vec![],
        told: vec![],
    })
    .unwrap();
    assert_eq!(watcher.take(), Work::Everything);
    watcher
}

fn marked(stage: &Stage, marks: Marks) -> Outcome {
    let request = SnapshotRequest {
        marks: Some(marks),
        ..stage.request(&[&stage.source()])
    };
    snapshot(&stage.target(), request, &()).unwrap()
}

fn taken(watcher: &mut Watcher) -> Marks {
    match watcher.take() {
        Work::Marked(marks) => marks,
        Work::Everything => panic!("inotify lost something"),
    }
}

/// What differs in the source from one snapshot to another.
fn changes(stage: &Stage, a: &Snapshot, b: &Snapshot) -> Vec<String> {
    let source = stage.source();
    let mut changes = Vec::new();
    let mut tell = |path: &[u8], change| {
        if path.starts_with(source.as_os_str().as_bytes()) {
            changes.push(format!("{}: {change:?}", path.escape_ascii()));
        }
        ControlFlow::Continue(())
    };
    stage.repository.diff(a, b, &mut tell).unwrap();
    changes
}

/// Changes of a tree that come from a seed.
struct Changer(Random);

impl Changer {
    fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    /// One of few names, so that things meet.
    fn name(&mut self) -> String {
        ["a", "b", "c", "d.e", "f"][self.below(5)].to_owned()
    }

    /// A folder of the tree.
    fn folder(&mut self, top: &Path) -> PathBuf {
        let mut at = top.to_owned();
        while self.below(4) != 0 {
            let next = at.join(self.name());
            if next.is_symlink() || !next.is_dir() {
                break;
            }
            at = next;
        }
        at
    }

    /// Changes something; what cannot be done is not done.
    fn change(&mut self, top: &Path) {
        let path = self.folder(top).join(self.name());
        let other = self.folder(top).join(self.name());
        let length = [0, 10, 5000, 50_000][self.below(4)];
        let bytes = self.0.noise(length);
        let _ = match self.below(12) {
            0..3 => fs::write(&path, bytes),
            3 => fs::create_dir(&path),
            4 => fs::create_dir_all(path.join("a/b")).and_then(|()| fs::write(path.join("a/b/c"), bytes)),
            5 => fs::remove_file(&path),
            6 => fs::remove_dir_all(&path),
            // A linked file in a folder that is renamed is one that no push tells right.
            7 | 8 if has_linked_files(&path) => Ok(()),
            7 | 8 => fs::rename(&path, &other),
            9 => fs::hard_link(&path, &other),
            10 => symlink("a", &path),
            _ if !path.is_symlink() => {
                fs::set_permissions(&path, PermissionsExt::from_mode(0o700 | (length as u32 % 8)))
            }
            _ => Ok(()),
        };
    }
}

/// Whether a folder has files in it that have several names.
fn has_linked_files(path: &Path) -> bool {
    let is_linked = |path: &Path| match path.symlink_metadata() {
        Ok(status) if status.is_dir() => has_linked_files(path),
        Ok(status) => status.nlink() > 1,
        Err(_) => false,
    };
    let inside = fs::read_dir(path).into_iter().flatten();
    inside.into_iter().any(|entry| is_linked(&entry.unwrap().path()))
}

#[test]
fn marked_pushes_are_those_of_everything() {
    for seed in 1..=20 {
        let stage = Stage::new();
        let mut changer = Changer(Random::new(seed));
        (0..40).for_each(|_| changer.change(&stage.source()));
        let mut watcher = watcher(&stage);
        stage.snapshot();
        for round in 0..6 {
            let mut last = None;
            for _ in 0..3 {
                let count = changer.below(12);
                (0..count).for_each(|_| changer.change(&stage.source()));
                let outcome = marked(&stage, taken(&mut watcher));
                assert!(!outcome.full_scan);
                last = outcome.snapshot;
            }
            let last = last.unwrap();
            let restored = stage.restored(&last, &format!("restored-{round}"));
            assert_eq!(
                differences(&stage.source(), &restored),
                "",
                "seed {seed}, round {round}"
            );
            let full = stage.snapshot();
            let counted = (full.files_new, full.files_changed, full.removed);
            let changes = changes(&stage, &last, &full.snapshot.unwrap());
            assert_eq!((counted, changes), ((0, 0, 0), vec![]), "seed {seed}, round {round}");
        }
    }
}

/// A tree of 100 folders with a file each, one inside the other by tens, pushed once.
fn large() -> Stage {
    let stage = Stage::new();
    for number in 0..100 {
        let folder = stage.source().join(format!("{}/{}", number / 10, number % 10));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("file"), "text").unwrap();
    }
    stage.snapshot();
    stage
}

#[test]
fn what_is_not_marked_is_not_listed() {
    let stage = large();
    let source = stage.source().canonicalize().unwrap();
    let path = |name: &str| source.join(name).as_os_str().as_bytes().to_vec();
    fs::write(source.join("3/4/file"), "changed").unwrap();
    fs::write(source.join("5/5/file"), "changed, and nobody says so").unwrap();

    let mut marks = Marks::default();
    marks.touch(&path("3/4/file"));
    let outcome = marked(&stage, marks);
    assert_eq!(
        (outcome.folders_listed, outcome.files_changed, outcome.files_unchanged),
        (0, 1, 0)
    );

    let mut marks = Marks::default();
    marks.dirty(&path("3"));
    assert_eq!(marked(&stage, marks).folders_listed, 1);

    let mut marks = Marks::default();
    marks.deep(&path("4"));
    let outcome = marked(&stage, marks);
    assert_eq!((outcome.folders_listed, outcome.files_unchanged), (11, 10));

    let full = stage.snapshot();
    assert_eq!((full.folders_listed, full.files_changed), (111, 1));
}

#[test]
fn marks_are_ignored_if_the_state_is_not_that_of_the_newest_snapshot() {
    let stage = large();
    fs::write(stage.source().join("5/5/file"), "changed").unwrap();
    fs::remove_dir_all(stage.folder.path().join("cache")).unwrap();
    let outcome = marked(&stage, Marks::default());
    assert_eq!(
        (outcome.full_scan, outcome.folders_listed, outcome.files_changed),
        (true, 111, 1)
    );
}

#[test]
fn a_root_that_is_gone_is_an_error_though_nothing_is_marked() {
    let stage = large();
    fs::rename(stage.source(), stage.folder.path().join("elsewhere")).unwrap();
    let request = SnapshotRequest {
        marks: Some(Marks::default()),
        ..stage.request(&[&stage.source()])
    };
    assert!(snapshot(&stage.target(), request, &()).is_err());
}
