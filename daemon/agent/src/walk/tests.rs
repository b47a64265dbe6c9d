use std::convert::Infallible;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use rustix::fs::{Mode, OFlags, mkdirat, openat};

use super::*;

/// Writes down a walk, one line an event, with `base` cut off the paths.
struct Log {
    base: Vec<u8>,
    lines: Vec<String>,
    deepest: usize,
    depth: usize,
}

impl Log {
    fn say(&mut self, what: &str, path: &[u8]) {
        let path = path.strip_prefix(self.base.as_slice()).unwrap_or(path);
        self.lines.push(format!("{what} {}", path.escape_ascii()));
    }
}

impl Visitor for Log {
    type Error = Infallible;

    fn enter(&mut self, folder: &Visited) -> Result<bool, Infallible> {
        assert!(folder.readable || self.lines.last().is_some_and(|line| line.starts_with("unreadable")));
        assert_eq!(Stat::at(folder.parent, folder.name).unwrap().ino, folder.stat.ino);
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        if folder.path.len() < 4096 {
            self.say("enter", folder.path);
        }
        Ok(!folder.name.starts_with(b"closed"))
    }

    fn leave(&mut self) -> Result<(), Infallible> {
        self.depth -= 1;
        Ok(())
    }

    fn item(&mut self, item: &Visited) -> Result<(), Infallible> {
        assert_eq!(Stat::at(item.parent, item.name).unwrap(), item.stat);
        self.say("item", item.path);
        Ok(())
    }

    fn unreadable(&mut self, path: &[u8], _error: io::Error) -> Result<(), Infallible> {
        self.say("unreadable", path);
        Ok(())
    }

    fn skipped(&mut self, path: &[u8], reason: SkipReason) -> Result<(), Infallible> {
        self.say(&format!("{reason:?}"), path);
        Ok(())
    }
}

fn run(base: &Path, roots: &[&str], options: &WalkOptions) -> Log {
    let base = base.canonicalize().unwrap();
    let roots: Vec<_> = roots.iter().map(|root| base.join(root)).collect();
    let mut log = Log {
        base: [base.as_os_str().as_bytes(), b"/"].concat(),
        lines: vec![],
        deepest: 0,
        depth: 0,
    };
    let walked = walk(&Roots::resolve(&roots).unwrap(), options, &mut log).unwrap();
    assert_eq!((log.depth, walked.vanished), (0, 0), "each enter has its leave");
    // The folders from `/` down to the temporary one are not the test's own.
    let parents = base.components().count();
    assert!(
        log.lines[..parents].iter().all(|line| line.starts_with("enter /")),
        "{:?}",
        log.lines
    );
    log.lines.drain(..parents);
    log
}

#[test]
fn names_of_any_bytes_come_sorted() {
    let tree = tempfile::tempdir().unwrap();
    let longest = [b'x'; 255];
    for name in [&b"new\nline"[..], b"bad\xff", b"a b", b"a", &longest] {
        fs::write(tree.path().join("r").join(std::ffi::OsStr::from_bytes(name)), "").unwrap_or_else(|_| {
            fs::create_dir(tree.path().join("r")).unwrap();
            fs::write(tree.path().join("r").join(std::ffi::OsStr::from_bytes(name)), "").unwrap();
        });
    }
    symlink("nowhere", tree.path().join("r/link")).unwrap();
    let log = run(tree.path(), &["r"], &WalkOptions::default());
    let x = "x".repeat(255);
    let expected = [
        "enter r",
        "item r/a",
        "item r/a b",
        r"item r/bad\xff",
        "item r/link",
        r"item r/new\nline",
        &format!("item r/{x}"),
    ];
    assert_eq!(log.lines, expected);
}

#[test]
fn parents_of_roots_show_the_roots_only() {
    let tree = tempfile::tempdir().unwrap();
    for folder in ["a/b/c", "a/b-other", "a/x/y", "z"] {
        fs::create_dir_all(tree.path().join(folder)).unwrap();
    }
    fs::write(tree.path().join("a/x/file"), "").unwrap();
    fs::write(tree.path().join("z/file"), "").unwrap();
    let log = run(tree.path(), &["z/file", "a/x", "a/b", "a/b/c"], &WalkOptions::default());
    let expected = [
        "enter a",
        "enter a/b",
        "enter a/b/c",
        "enter a/x",
        "item a/x/file",
        "enter a/x/y",
        "enter z",
        "item z/file",
    ];
    assert_eq!(log.lines, expected);
}

#[test]
fn what_is_left_out_is_said() {
    let tree = tempfile::tempdir().unwrap();
    let base = tree.path();
    for folder in ["r/cache/deep", "r/closed", "r/fake", "r/repo/packs", "r/tmp"] {
        fs::create_dir_all(base.join(folder)).unwrap();
    }
    fs::write(
        base.join("r/cache/CACHEDIR.TAG"),
        [b"Signature: 8a477f597d28d172789f06886806bc55\n# x".as_slice()].concat(),
    )
    .unwrap();
    fs::write(base.join("r/cache/thing"), "").unwrap();
    fs::write(base.join("r/closed/thing"), "").unwrap();
    fs::write(base.join("r/fake/CACHEDIR.TAG"), "Signature: none").unwrap();
    fs::write(base.join("r/fake/thing.o"), "").unwrap();
    let repo = fs::metadata(base.join("r/repo")).unwrap();
    let options = WalkOptions {
        exclude_caches: true,
        // The root itself is named, so that a pattern cannot take it.
        filter: Filter::new::<_, &str>("--exclude", &["*.o", "tmp/", "r"], &[]).unwrap(),
        skip: vec![(repo.dev(), repo.ino())],
        ..WalkOptions::default()
    };
    let expected = [
        "enter r",
        "enter r/cache",
        "Cache r/cache",
        "item r/cache/CACHEDIR.TAG",
        "enter r/closed",
        "enter r/fake",
        "item r/fake/CACHEDIR.TAG",
        "Excluded r/fake/thing.o",
        "Asked r/repo",
        "Excluded r/tmp",
    ];
    assert_eq!(run(base, &["r"], &options).lines, expected);
}

/// Makes `depth` folders, each in the one before, and a file in the innermost.
fn make_deep(base: &Path, name: &str, depth: usize) {
    let mut at: OwnedFd = fs::File::open(base).unwrap().into();
    for _ in 0..depth {
        mkdirat(at.as_fd(), name, Mode::RWXU).unwrap();
        at = openat(at.as_fd(), name, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    }
    openat(at, "file", OFlags::CREATE | OFlags::CLOEXEC, Mode::RUSR).unwrap();
}

#[test]
fn depth_has_no_limit() {
    let tree = tempfile::tempdir().unwrap();
    make_deep(tree.path(), "deep", 5000);
    // In each folder something comes after `deep`, so that each is gone back to.
    let mut at: OwnedFd = fs::File::open(tree.path()).unwrap().into();
    for _ in 0..5000 {
        openat(at.as_fd(), "later", OFlags::CREATE | OFlags::CLOEXEC, Mode::RUSR).unwrap();
        at = openat(at.as_fd(), "deep", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    }
    let log = run(tree.path(), &["deep", "later"], &WalkOptions::default());
    let parents = tree.path().canonicalize().unwrap().components().count();
    assert_eq!(log.deepest, 5000 + parents);
    assert_eq!(log.lines.iter().filter(|line| line.starts_with("item")).count(), 5001);
    assert!(!log.lines.iter().any(|line| line.starts_with("unreadable")));
}

#[test]
fn a_root_that_went_ends_the_walk() {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir_all(tree.path().join("disk/data")).unwrap();
    let roots = Roots::resolve(&[tree.path().join("disk/data")]).unwrap();
    fs::remove_dir_all(tree.path().join("disk")).unwrap();
    let mut log = Log {
        base: vec![],
        lines: vec![],
        deepest: 0,
        depth: 0,
    };
    let error = walk(&roots, &WalkOptions::default(), &mut log).unwrap_err();
    assert!(
        matches!(&error, WalkError::Root { path, .. } if path.ends_with("disk")),
        "{error}"
    );
}

#[test]
fn another_file_system_is_an_empty_folder() {
    let mut log = Log {
        base: vec![],
        lines: vec![],
        deepest: 0,
        depth: 0,
    };
    // Only what is in `/` itself: everything below is taken by a pattern.
    let options = WalkOptions {
        one_file_system: true,
        filter: Filter::new::<_, &str>("--exclude", &["/*", "!/proc"], &[]).unwrap(),
        ..WalkOptions::default()
    };
    walk(&Roots::resolve(&["/"]).unwrap(), &options, &mut log).unwrap();
    let shown: Vec<_> = log.lines.iter().filter(|line| !line.starts_with("Excluded")).collect();
    assert_eq!(shown, ["enter /", "OtherFileSystem /proc", "enter /proc"]);
}

#[test]
fn a_folder_that_cannot_be_listed_is_kept_and_said() {
    let tree = tempfile::tempdir().unwrap();
    let mode = |path: &str, mode| {
        fs::set_permissions(
            tree.path().join(path),
            std::os::unix::fs::PermissionsExt::from_mode(mode),
        )
        .unwrap();
    };
    fs::create_dir_all(tree.path().join("search/root/sealed/thing")).unwrap();
    fs::write(tree.path().join("search/root/tail"), "").unwrap();
    mode("", 0o755);
    mode("search/root/sealed", 0o000);
    // A parent that can be searched but not listed is no obstacle.
    mode("search", 0o711);
    let lines = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                if rustix::process::geteuid().is_root() {
                    let nobody = rustix::process::Uid::from_raw(65534);
                    // Of this thread alone: root reads everything.
                    rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
                }
                run(tree.path(), &["search/root"], &WalkOptions::default()).lines
            })
            .join()
            .unwrap()
    });
    mode("search/root/sealed", 0o700);
    let sealed = "search/root/sealed";
    let expected = [
        "enter search",
        "enter search/root",
        &format!("unreadable {sealed}"),
        &format!("enter {sealed}"),
    ];
    assert_eq!(lines[..4], expected);
    assert_eq!(lines[4..], ["item search/root/tail"]);
}

#[test]
fn what_the_kernel_shows_of_itself_is_not_walked() {
    let options = WalkOptions {
        filter: Filter::new::<_, &str>("--exclude", &["/*", "!/proc"], &[]).unwrap(),
        ..WalkOptions::default()
    };
    let mut log = Log {
        base: vec![],
        lines: vec![],
        deepest: 0,
        depth: 0,
    };
    walk(&Roots::resolve(&["/"]).unwrap(), &options, &mut log).unwrap();
    log.lines.retain(|line| !line.starts_with("Excluded"));
    assert_eq!(log.lines, ["enter /", "Kernels /proc", "enter /proc"]);
}
