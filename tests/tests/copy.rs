//! A second repository: each of its snapshots is as the first one has it, and needs nothing of that.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use yore_agent::copy::{Copied, CopyRequest, copy};
use yore_agent::restore::{RestoreOptions, restore};
use yore_agent::snapshot::{AgentError, Progress, snapshot};
use yore_agent::target::Target;
use yore_store::{Compression, Repository, Snapshot};
use yore_tests::machine::Machine;
use yore_tests::proxy::Proxy;
use yore_tests::{Stage, differences, disk_usage, fill, names, noise};

/// A repository, and the one that it is copied to.
struct Pair {
    stage: Stage,
    second: Arc<Repository>,
}

impl Pair {
    fn new() -> Self {
        let stage = Stage::new();
        let second = Repository::init(&stage.folder.path().join("second"), Compression::Zstd(3)).unwrap();
        Pair {
            stage,
            second: Arc::new(second),
        }
    }

    fn source(&self) -> PathBuf {
        self.stage.source()
    }

    /// A snapshot of another machine's folder.
    fn snapshot_of(&self, host: &str) -> Snapshot {
        let folder = self.stage.folder.path().join(host);
        fs::create_dir_all(&folder).unwrap();
        let mut request = self.stage.request(&[&folder]);
        request.host = host.into();
        snapshot(&self.stage.target(), request, &()).unwrap().snapshot.unwrap()
    }

    fn request(&self) -> CopyRequest {
        CopyRequest {
            cache_dir: self.stage.folder.path().join("cache"),
            ..CopyRequest::default()
        }
    }

    fn copy(&self, request: &CopyRequest, progress: &dyn Progress) -> Result<Copied, AgentError> {
        copy(
            &self.stage.repository,
            &Target::Here(self.second.clone()),
            request,
            progress,
        )
    }

    fn copied(&self) -> Copied {
        self.copy(&self.request(), &()).unwrap()
    }

    /// Restores everything that a repository has of a snapshot.
    fn restored(&self, repository: &Arc<Repository>, snapshot: &Snapshot, name: &str) -> PathBuf {
        let target = self.stage.folder.path().join(name);
        let _ = fs::remove_dir_all(&target);
        fs::create_dir_all(&target).unwrap();
        let report = restore(repository, snapshot, b"/", &target, &RestoreOptions::default(), &()).unwrap();
        assert_eq!(report.errors, vec![], "{}", snapshot.name);
        target
    }

    /// Each snapshot of the first is in the second and the same, which is well.
    fn assert_same(&self) {
        let there = self.second.snapshots().unwrap();
        for snapshot in self.stage.repository.snapshots().unwrap() {
            let copy = there
                .iter()
                .find(|copy| (&copy.name, &copy.host) == (&snapshot.name, &snapshot.host));
            let copy = copy.unwrap_or_else(|| panic!("{} was not copied", snapshot.name));
            let of_both = |snapshot: &Snapshot| (snapshot.time, snapshot.tags.clone(), snapshot.files, snapshot.bytes);
            assert_eq!(of_both(copy), of_both(&snapshot));
            let here = self.restored(&self.stage.repository, &snapshot, "of-first");
            let there = self.restored(&self.second, copy, "of-second");
            assert_eq!(all_differences(&here, &there), "", "{}", snapshot.name);
        }
        self.assert_well();
    }

    fn assert_well(&self) {
        let second = Arc::new(Repository::open(self.second.path()).unwrap());
        let verified = second.verify(true, &mut |_, _| Ok(())).unwrap();
        assert_eq!(verified.damages, vec![]);
    }
}

/// What is different below two folders; they themselves were made by the test.
fn all_differences(a: &Path, b: &Path) -> String {
    assert_eq!(names(a), names(b));
    names(a)
        .iter()
        .map(|name| differences(&a.join(name), &b.join(name)))
        .collect()
}

fn write_sparse(path: &Path, at: u64) {
    let file = File::create(path).unwrap();
    file.write_all_at(&noise(at, 10_000), at).unwrap();
    file.set_len(40 << 20).unwrap();
}

/// What happens to a tree before its next snapshot.
type Happening = Box<dyn Fn(&Path)>;

fn changes() -> Vec<Happening> {
    let large = |salt: u8| {
        move |source: &Path| {
            let mut bytes = noise(2, 9 << 20);
            bytes[5 << 20] ^= salt;
            fs::write(source.join("large"), bytes).unwrap();
        }
    };
    vec![
        Box::new(fill),
        Box::new(|source| write_sparse(&source.join("sparse"), 8 << 20)),
        Box::new(large(1)),
        Box::new(|source| fs::write(source.join("folder/inner/medium"), noise(3, 300_001)).unwrap()),
        Box::new(|source| fs::hard_link(source.join("folder/small"), source.join("folder/other name")).unwrap()),
        // Back to what it was.
        Box::new(large(0)),
        Box::new(|source| fs::rename(source.join("folder"), source.join("moved")).unwrap()),
        Box::new(|source| {
            fs::remove_file(source.join("moved/small")).unwrap();
            fs::create_dir(source.join("moved/small")).unwrap();
            fs::write(source.join("moved/small/file"), "below").unwrap();
        }),
        Box::new(|source| {
            fs::remove_dir_all(source.join("moved/small")).unwrap();
            fs::write(source.join("moved/small"), "a file again").unwrap();
            write_sparse(&source.join("sparse"), 30 << 20);
        }),
        Box::new(|source| {
            let mut bytes = noise(2, 9 << 20);
            bytes.insert(0, 7);
            fs::write(source.join("large"), bytes).unwrap();
        }),
        Box::new(|source| fs::remove_file(source.join("linked")).unwrap()),
        Box::new(|_| ()),
    ]
}

#[test]
fn every_snapshot_of_every_line_is_copied_as_it_is() {
    let pair = Pair::new();
    let other = pair.stage.folder.path().join("other");
    for (number, change) in changes().iter().enumerate() {
        change(&pair.source());
        pair.stage.snapshot();
        if number % 3 == 0 {
            fs::create_dir_all(&other).unwrap();
            fs::write(other.join("same"), noise(1, 300_000)).unwrap();
            fs::write(other.join("own"), format!("{number}")).unwrap();
            pair.snapshot_of("other");
        }
        if number == 6 {
            pair.copied();
        }
    }
    // In the midst, before it was copied and after.
    let snapshots = pair.stage.repository.snapshots().unwrap();
    let going: Vec<_> = [2, 5, snapshots.len() - 3].map(|at| snapshots[at].id).into();
    pair.stage.repository.forget(&going).unwrap();
    pair.copied();
    pair.assert_same();
    let stored = disk_usage(pair.second.path());
    let again = pair.copied();
    assert_eq!((again.snapshots.len(), again.bytes_read), (0, 0));
    assert_eq!(disk_usage(pair.second.path()), stored);
    // What the first one takes, and no more: deltas are deltas, what is shared is shared.
    let first = disk_usage(pair.stage.repository.path());
    assert!(stored < first + (1 << 20), "{stored} bytes for {first}");
    fs::remove_dir_all(pair.stage.repository.path()).unwrap();
    pair.assert_well();
}

#[test]
fn many_small_changes_cost_what_has_changed() {
    let pair = Pair::new();
    for number in 0..300 {
        let folder = pair.source().join(format!("{}", number % 10));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(number.to_string()), noise(number + 1, 3000)).unwrap();
    }
    let change = |number: u64| {
        let path = pair.source().join(format!("{}/{}", number % 10, number % 300));
        fs::write(path, format!("change {number}")).unwrap();
        pair.stage.snapshot();
    };
    pair.stage.snapshot();
    (0..200).for_each(change);
    let copied = pair.copied();
    assert_eq!(copied.snapshots.len(), 201);
    assert!(copied.bytes_read < 300 * 3000 + 200 * 20, "{}", copied.bytes_read);
    change(200);
    let copied = pair.copied();
    assert_eq!((copied.snapshots.len(), copied.there), (1, 201));
    assert!(copied.bytes_read < 100 && copied.bytes_new < 1000, "{copied:?}");
    let made = |repository: &Arc<Repository>| {
        let snapshots = repository.snapshots().unwrap().into_iter();
        snapshots
            .map(|snapshot| (snapshot.name, snapshot.time, snapshot.bytes))
            .collect::<Vec<_>>()
    };
    assert_eq!(made(&pair.second), made(&pair.stage.repository));
    let last = pair.second.snapshots().unwrap().pop().unwrap();
    let here = pair.restored(&pair.second, &last, "last");
    let source = here.join(pair.source().strip_prefix("/").unwrap());
    assert_eq!(differences(&pair.source(), &source), "");
    pair.assert_well();
}

#[test]
fn what_one_forgets_the_other_keeps() {
    let pair = Pair::new();
    fill(&pair.source());
    let mut made = vec![];
    for number in 0..4 {
        fs::write(pair.source().join("folder/small"), format!("{number}")).unwrap();
        made.push(pair.stage.snapshot().snapshot.unwrap());
    }
    pair.copied();
    // The newest, so that there is nothing here to tell the next one against.
    pair.stage.repository.forget(&[made[1].id, made[3].id]).unwrap();
    fs::remove_file(pair.source().join("empty")).unwrap();
    fs::write(pair.source().join("new"), "!").unwrap();
    fs::hard_link(pair.source().join("folder/small"), pair.source().join("a link")).unwrap();
    pair.stage.snapshot();
    let copied = pair.copied();
    assert_eq!(
        (copied.snapshots.len(), copied.bytes_read),
        (1, 1),
        "only what is new was read"
    );
    pair.assert_same();
    assert_eq!(pair.second.snapshots().unwrap().len(), 5);
    // And the other way round: it does not come back.
    let there = pair.second.snapshots().unwrap();
    pair.second.forget(&[there[0].id]).unwrap();
    let copied = pair.copied();
    assert_eq!((copied.snapshots.len(), copied.older), (0, 1));
}

#[test]
fn a_repository_with_newer_snapshots_of_its_own_is_refused() {
    let pair = Pair::new();
    fs::write(pair.source().join("file"), "bytes").unwrap();
    pair.stage.snapshot();
    let mut own = pair.stage.request(&[&pair.source()]);
    own.host = "its own".into();
    snapshot(&Target::Here(pair.second.clone()), own, &()).unwrap();
    let error = pair.copy(&pair.request(), &()).unwrap_err().to_string();
    assert!(error.contains("newer snapshots of its own"), "{error}");
    assert_eq!(pair.second.snapshots().unwrap().len(), 1);
}

#[test]
fn snapshots_are_chosen_and_a_dry_run_changes_nothing() {
    let pair = Pair::new();
    fs::write(pair.source().join("file"), "bytes").unwrap();
    let first = pair.stage.snapshot().snapshot.unwrap();
    pair.snapshot_of("other");
    pair.stage.snapshot();
    let dry = CopyRequest {
        dry_run: true,
        ..pair.request()
    };
    assert_eq!(pair.copy(&dry, &()).unwrap().snapshots.len(), 3);
    assert!(pair.second.snapshots().unwrap().is_empty());
    let one = CopyRequest {
        snapshots: vec![first.name.clone()],
        ..pair.request()
    };
    assert_eq!(pair.copy(&one, &()).unwrap().snapshots.len(), 1);
    let of_other = CopyRequest {
        host: Some("other".into()),
        ..pair.request()
    };
    assert_eq!(pair.copy(&of_other, &()).unwrap().snapshots[0].host, "other");
    assert_eq!(pair.copied().snapshots.len(), 1);
    pair.assert_same();
}

/// Ends the work after so many bytes.
struct EndsAfter(u64, AtomicU64);

impl Progress for EndsAfter {
    fn bytes(&self, more: u64) {
        self.1.fetch_add(more, Ordering::Relaxed);
    }
    fn is_stopped(&self) -> bool {
        self.1.load(Ordering::Relaxed) >= self.0
    }
}

#[test]
fn a_copy_that_was_cut_goes_on_where_it_was() {
    let pair = Pair::new();
    let size = 24 << 20;
    fs::write(pair.source().join("large"), noise(1, size)).unwrap();
    for number in 0..100 {
        fs::write(pair.source().join(number.to_string()), noise(number + 2, 50_000)).unwrap();
    }
    pair.stage.snapshot();
    let begun = disk_usage(pair.second.path());
    let cut = pair.copy(&pair.request(), &EndsAfter(16 << 20, 0.into())).unwrap_err();
    assert!(matches!(cut, AgentError::Stopped), "{cut}");
    let kept = disk_usage(pair.second.path()) - begun;
    assert!(kept > 12 << 20, "{kept} bytes were kept");
    let copied = pair.copied();
    let all = size as u64 + 100 * 50_000;
    assert!(copied.bytes_new <= all + all / 50, "{copied:?}");
    let stored = disk_usage(pair.second.path()) - begun;
    assert!(stored < all + (4 << 20), "{stored} bytes for {all}");
    pair.assert_same();
}

#[test]
fn a_damaged_file_is_left_out_and_named() {
    let pair = Pair::new();
    fill(&pair.source());
    pair.stage.snapshot();
    fs::write(pair.source().join("folder/small"), "changed").unwrap();
    pair.stage.snapshot();
    damage(&pair.stage.repository.path().join("heads"));
    let copied = pair.copied();
    let paths: Vec<_> = copied
        .left_out
        .iter()
        .map(|one| (one.snapshot.clone(), one.path.clone()))
        .collect();
    // Two names of one file, in each of two snapshots.
    assert_eq!(paths.len(), 4, "{paths:?}");
    assert!(
        paths
            .iter()
            .all(|(_, path)| path.ends_with(b"/large") || path.ends_with(b"/linked"))
    );
    let unread: Vec<u64> = pair
        .second
        .snapshots()
        .unwrap()
        .iter()
        .map(|copy| copy.unread)
        .collect();
    assert_eq!(unread, [2, 2]);
    pair.assert_well();
    // What changes heals it.
    fs::write(pair.source().join("large"), noise(9, 3 << 20)).unwrap();
    let last = pair.stage.snapshot().snapshot.unwrap();
    assert_eq!(pair.copied().left_out, vec![]);
    let copy = pair.second.snapshots().unwrap().pop().unwrap();
    let there = pair.restored(&pair.second, &copy, "of-second");
    let here = pair.restored(&pair.stage.repository, &last, "of-first");
    assert_eq!(all_differences(&here, &there), "");
}

/// Flips a byte of some file below a folder.
fn damage(folder: &Path) {
    let below = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let path = below(folder)
        .flat_map(|folder| below(&folder).collect::<Vec<_>>())
        .next()
        .unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&path, bytes).unwrap();
}

/// Both have the same snapshots, and the newest is as the machine's source is now.
fn assert_copied(machine: &Machine, from: &str, to: &str) {
    let list = |place: &str| machine.text(&["-r", place, "snapshots", "--json"]);
    let made = |place: &str| {
        let list: serde_json::Value = serde_json::from_str(&list(place)).unwrap();
        let names = list
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(made(from), made(to));
    for name in made(from) {
        let restored = |place: &str, target: &str| {
            let target = machine.home.join(target);
            let _ = fs::remove_dir_all(&target);
            fs::create_dir_all(&target).unwrap();
            machine.text(&["-r", place, "restore", &name, target.to_str().unwrap(), "--quiet"]);
            target
        };
        let (first, second) = (restored(from, "of-first"), restored(to, "of-second"));
        assert_eq!(all_differences(&first, &second), "", "{name}");
    }
    machine.text(&["-r", to, "verify", "--read-data"]);
}

#[test]
fn a_copy_goes_to_a_server_and_back() {
    let (daemon, proxy, laptop) = Proxy::before_a_server();
    laptop.text(&["init", "-r", "here", "--quiet"]);
    laptop.text(&["init", "-r", "back", "--quiet"]);
    let server = format!("{}-copy", laptop.url());
    let copy = ["-r", "here", "copy", &server, "--json"];
    let snapshot = || laptop.text(&["-r", "here", "snapshot", "source", "--quiet"]);
    for change in &changes()[..6] {
        change(&laptop.source());
        snapshot();
    }
    let refused = laptop.refused(1, &copy);
    assert!(refused.contains("--may-copy"), "{refused}");
    daemon.text(&["user", "set", "ann", "--may-copy"]);
    laptop.text(&copy);
    for change in &changes()[6..] {
        change(&laptop.source());
        snapshot();
    }
    laptop.text(&copy);
    assert_copied(&laptop, "here", &server);
    let before = proxy.up();
    laptop.text(&copy);
    let sent = proxy.up() - before;
    assert!(sent < 20_000, "{sent} bytes, and nothing is new");
    // A byte of a large file.
    let file = File::options().write(true).open(laptop.source().join("large")).unwrap();
    file.write_all_at(b"x", 4 << 20).unwrap();
    snapshot();
    let before = proxy.up();
    laptop.text(&copy);
    let sent = proxy.up() - before;
    assert!(sent < 400_000, "{sent} bytes for one that changed");

    let home = ["-r", &server, "copy", "back"];
    laptop.text(&home);
    assert_copied(&laptop, &server, "back");
    file.write_all_at(b"y", 4 << 20).unwrap();
    snapshot();
    laptop.text(&copy);
    let before = proxy.down();
    laptop.text(&home);
    let came = proxy.down() - before;
    assert!(came < 400_000, "{came} bytes for one that changed");
    assert_copied(&laptop, "here", "back");
    daemon.assert_well("ann", "laptop-copy");
}

#[test]
fn a_copy_to_a_server_that_is_cut_goes_on() {
    let (daemon, proxy, laptop) = Proxy::before_a_server();
    daemon.text(&["user", "set", "ann", "--may-copy"]);
    laptop.text(&["init", "-r", "here", "--quiet"]);
    let size = 24 << 20;
    fs::write(laptop.source().join("large"), noise(1, size)).unwrap();
    laptop.text(&["-r", "here", "snapshot", "source", "--quiet"]);
    let server = format!("{}-copy", laptop.url());
    let copy = ["-r", "here", "copy", &server];
    let before = proxy.up();
    proxy.cut_after(size as u64 / 2);
    laptop.refused(1, &copy);
    yore_tests::until("the session has ended", || {
        daemon.json(&["status"])["sessions"]
            .as_array()
            .is_some_and(Vec::is_empty)
    });
    laptop.text(&copy);
    let sent = proxy.up() - before;
    assert!(sent < size as u64 + (4 << 20), "{sent} bytes for {size}");
    assert_copied(&laptop, "here", &server);
}
