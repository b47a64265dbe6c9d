use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::filter::Filter;

thread_local! {
    /// As if the system allowed so many.
    pub(super) static MOST_WATCHES: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
}

struct Tree {
    folder: tempfile::TempDir,
    watcher: Watcher,
}

impl Tree {
    /// A watched folder `r` with what `prepare` puts into it; its first push is done.
    fn new(options: WalkOptions, prepare: impl Fn(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("r");
        fs::create_dir(&root).unwrap();
        prepare(&root);
        let own = folder.path().canonicalize().unwrap().join("own");
        fs::create_dir_all(&own).unwrap();
        let scope = Scope {
            roots: Roots::resolve(&[&root]).unwrap(),
            options,
            quiet: vec![bytes(&root.join("quiet"))],
            told: vec![bytes(&own)],
        };
        let mut watcher = Watcher::new(scope).unwrap();
        assert_eq!(watcher.take(), Work::Everything);
        Tree { folder, watcher }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    /// What is marked by what happened, as it would be by `expect`.
    fn expect(&mut self, expect: impl Fn(&mut Marks, &dyn Fn(&str) -> Vec<u8>)) {
        let mut expected = Marks::default();
        let base = self.path("");
        expect(&mut expected, &|name| bytes(&base.join(name)));
        assert_eq!(self.watcher.take(), Work::Marked(expected));
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

#[test]
fn names_that_change_are_marked() {
    let mut tree = Tree::new(WalkOptions::default(), |root| {
        fs::create_dir_all(root.join("a/b")).unwrap();
        for file in ["a/changed", "a/b/gone", "a/b/moved", "a/b/mode", "a/read"] {
            fs::write(root.join(file), "x").unwrap();
        }
    });
    fs::write(tree.path("r/a/changed"), "y").unwrap();
    fs::remove_file(tree.path("r/a/b/gone")).unwrap();
    fs::rename(tree.path("r/a/b/moved"), tree.path("r/there")).unwrap();
    fs::set_permissions(tree.path("r/a/b/mode"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::read(tree.path("r/a/read")).unwrap();
    fs::write(tree.path("beside"), "not in the root").unwrap();
    assert!(tree.watcher.look().changed);
    tree.expect(|marks, path| {
        for name in ["r/a/changed", "r/a/b/gone", "r/a/b/moved", "r/there", "r/a/b/mode"] {
            marks.touch(&path(name));
        }
    });
    assert!(!tree.watcher.look().changed);
    tree.expect(|_, _| {});
}

#[test]
fn a_folder_that_appears_is_deep_and_watched_below() {
    let mut tree = Tree::new(WalkOptions::default(), |_| {});
    fs::create_dir_all(tree.path("r/new/in/side")).unwrap();
    fs::create_dir_all(tree.path("other/deep")).unwrap();
    fs::rename(tree.path("other"), tree.path("r/other")).unwrap();
    tree.expect(|marks, path| {
        marks.deep(&path("r/new"));
        marks.deep(&path("r/other"));
    });
    fs::write(tree.path("r/new/in/side/file"), "x").unwrap();
    fs::write(tree.path("r/other/deep/file"), "x").unwrap();
    tree.expect(|marks, path| {
        marks.touch(&path("r/new/in/side/file"));
        marks.touch(&path("r/other/deep/file"));
    });
    // A renamed folder has its new name from now on.
    fs::rename(tree.path("r/new"), tree.path("r/renamed")).unwrap();
    tree.expect(|marks, path| {
        marks.deep(&path("r/new"));
        marks.deep(&path("r/renamed"));
    });
    fs::write(tree.path("r/renamed/in/side/file"), "y").unwrap();
    tree.expect(|marks, path| marks.touch(&path("r/renamed/in/side/file")));
    let before = tree.watcher.watches();
    fs::remove_dir_all(tree.path("r/renamed")).unwrap();
    tree.expect(|marks, path| marks.deep(&path("r/renamed")));
    assert_eq!(tree.watcher.watches(), before - 3);
}

#[test]
fn what_is_left_out_marks_nothing() {
    let options = WalkOptions {
        filter: Filter::new::<_, &str>("--exclude", &["*.o", "tmp/"], &[]).unwrap(),
        exclude_caches: true,
        ..WalkOptions::default()
    };
    let mut tree = Tree::new(options, |root| {
        for folder in ["tmp/in", "quiet/in", "cache/in"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(
            root.join("cache/CACHEDIR.TAG"),
            "Signature: 8a477f597d28d172789f06886806bc55",
        )
        .unwrap();
    });
    for file in [
        "a.o",
        "tmp/x",
        "tmp/in/x",
        "quiet/x",
        "quiet/in/x",
        "cache/x",
        "cache/in/x",
    ] {
        fs::write(tree.path("r").join(file), "x").unwrap();
    }
    assert_eq!(tree.watcher.look(), News::default());
    // Without its tag it is a folder like others.
    fs::remove_file(tree.path("r/cache/CACHEDIR.TAG")).unwrap();
    tree.expect(|marks, path| marks.dirty(&path("r/cache")));
    fs::write(tree.path("r/cache/in/x"), "y").unwrap();
    tree.expect(|marks, path| marks.touch(&path("r/cache/in/x")));
}

#[test]
fn names_of_our_own_are_told() {
    let mut tree = Tree::new(WalkOptions::default(), |_| {});
    fs::write(tree.path("own/agent.toml"), "").unwrap();
    let news = tree.watcher.look();
    assert_eq!(
        (news.changed, news.told),
        (false, BTreeSet::from([b"agent.toml".to_vec()]))
    );
}

#[test]
fn an_overflow_makes_the_next_push_look_at_everything() {
    let mut tree = Tree::new(WalkOptions::default(), |root| fs::create_dir(root.join("a")).unwrap());
    let overflow = Event {
        wd: -1,
        what: ReadFlags::QUEUE_OVERFLOW,
        name: vec![],
    };
    tree.watcher.handle(overflow, &mut News::default());
    // A folder whose event was lost.
    fs::create_dir(tree.path("r/lost")).unwrap();
    assert!(tree.watcher.look().changed && tree.watcher.is_blind());
    assert_eq!(tree.watcher.take(), Work::Everything);
    fs::write(tree.path("r/lost/file"), "x").unwrap();
    tree.expect(|marks, path| marks.touch(&path("r/lost/file")));
}

#[test]
fn marks_of_a_push_that_failed_are_kept() {
    let mut tree = Tree::new(WalkOptions::default(), |_| {});
    fs::write(tree.path("r/one"), "x").unwrap();
    let work = tree.watcher.take();
    fs::write(tree.path("r/two"), "x").unwrap();
    tree.watcher.put_back(work);
    tree.expect(|marks, path| {
        marks.touch(&path("r/one"));
        marks.touch(&path("r/two"));
    });
    tree.watcher.put_back(Work::Everything);
    assert_eq!(tree.watcher.take(), Work::Everything);
}

#[test]
fn a_file_with_several_names_is_noted() {
    let mut tree = Tree::new(WalkOptions::default(), |root| fs::write(root.join("one"), "x").unwrap());
    fs::hard_link(tree.path("r/one"), tree.path("r/two")).unwrap();
    let stat = fs::metadata(tree.path("r/one")).unwrap();
    use std::os::unix::fs::MetadataExt;
    tree.expect(|marks, path| {
        marks.touch(&path("r/two"));
        marks.linked(stat.dev(), stat.ino());
    });
}

#[test]
fn with_too_few_watches_every_push_looks_at_everything() {
    MOST_WATCHES.set(3);
    let mut tree = Tree::new(WalkOptions::default(), |root| {
        fs::create_dir_all(root.join("a/b/c")).unwrap()
    });
    assert!(tree.watcher.limit_reached() && tree.watcher.is_blind());
    // What is watched still tells that something changed.
    fs::write(tree.path("r/file"), "x").unwrap();
    assert!(tree.watcher.look().changed);
    assert_eq!(tree.watcher.take(), Work::Everything);
    assert_eq!(tree.watcher.take(), Work::Everything);
    // The limit was raised: from the next push on it is as it should be.
    MOST_WATCHES.set(usize::MAX);
    assert_eq!(tree.watcher.take(), Work::Everything);
    assert!(!tree.watcher.limit_reached());
    fs::write(tree.path("r/a/b/c/file"), "x").unwrap();
    tree.expect(|marks, path| marks.touch(&path("r/a/b/c/file")));
}

#[test]
fn files_that_are_open_are_marked_where_they_are_watched() {
    let options = WalkOptions {
        filter: Filter::new::<_, &str>("--exclude", &["*.o"], &[]).unwrap(),
        ..WalkOptions::default()
    };
    let mut tree = Tree::new(options, |root| fs::create_dir_all(root.join("quiet")).unwrap());
    let open = ["r/log", "r/a.o", "r/quiet/db", "beside"].map(|name| bytes(&tree.path(name)));
    tree.watcher.mark_if_watched(open.into_iter());
    tree.expect(|marks, path| marks.touch(&path("r/log")));
}

#[test]
fn a_root_that_went_and_came_back_is_watched_again() {
    let mut tree = Tree::new(WalkOptions::default(), |_| {});
    fs::rename(tree.path("r"), tree.path("away")).unwrap();
    tree.expect(|marks, path| marks.deep(&path("r")));
    fs::write(tree.path("away/file"), "x").unwrap();
    fs::rename(tree.path("away"), tree.path("r")).unwrap();
    tree.expect(|marks, path| marks.deep(&path("r")));
    fs::write(tree.path("r/file"), "y").unwrap();
    tree.expect(|marks, path| marks.touch(&path("r/file")));
}

#[test]
fn what_lies_too_deep_is_walked_by_every_push() {
    let deep = [&*"n".repeat(200); 8].join("/");
    let mut tree = Tree::new(WalkOptions::default(), |root| {
        fs::create_dir_all(root.join(&deep)).unwrap();
    });
    let is_kept = |watcher: &Watcher| watcher.paths.keys().all(|path| path.len() <= LONGEST_PATH);
    assert!(is_kept(&tree.watcher) && !tree.watcher.limit_reached());
    let last = tree.watcher.paths.keys().max_by_key(|path| path.len()).unwrap().clone();
    tree.expect(|marks, _| marks.deep(&last));
    tree.expect(|marks, _| marks.deep(&last));
    // One that comes is no other.
    fs::remove_dir_all(tree.path("r").join("n".repeat(200))).unwrap();
    tree.watcher.take();
    tree.expect(|_, _| {});
    fs::create_dir_all(tree.path("r/new").join(&deep)).unwrap();
    tree.watcher.take();
    assert!(is_kept(&tree.watcher) && !tree.watcher.too_deep.is_empty());
}
