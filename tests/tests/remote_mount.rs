//! A server's repository, mounted on another machine. Needs /dev/fuse, and fails where it is missing.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use yore_tests::machine::Machine;
use yore_tests::proxy::Proxy;
use yore_tests::{differences, noise, run, until};

/// A mount by `yore mount`; unmounted when dropped.
struct View<'a> {
    machine: &'a Machine,
    mountpoint: PathBuf,
}

impl<'a> View<'a> {
    fn of(machine: &'a Machine) -> Self {
        let mountpoint = machine.home.join("mnt");
        fs::create_dir_all(&mountpoint).unwrap();
        machine.text(&["mount", "mnt", "--quiet"]);
        View { machine, mountpoint }
    }

    /// Where the machine's source is in a snapshot.
    fn source(&self, snapshot: &str) -> PathBuf {
        let source = self.machine.source().canonicalize().unwrap();
        self.mountpoint.join(snapshot).join(source.strip_prefix("/").unwrap())
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        let _ = yore_mount::detach(&self.mountpoint);
    }
}

#[test]
fn a_small_file_costs_no_round_trip_of_its_own() {
    let (_daemon, proxy, laptop) = Proxy::before_a_server();
    let source = laptop.source();
    for number in 0..1000 {
        let folder = source.join(format!("folder{}", number % 5));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{number}.txt")), noise(number, 200)).unwrap();
    }
    let snapshot = laptop.snapshotted();
    let view = View::of(&laptop);
    let before = proxy.up();
    let copy = laptop.home.join("copy");
    run(Command::new("cp").arg("-a").arg(view.source(&snapshot)).arg(&copy));
    // A question is about a hundred bytes on the wire: cp asks five things of each file, and about its data.
    let asked = proxy.up() - before;
    assert!(asked < 40_000, "{asked} bytes of questions for 1000 files");
    assert_eq!(differences(&source, &copy), "");
}

#[test]
fn find_grep_and_cp_read_it_like_a_folder() {
    let (_daemon, _proxy, laptop) = Proxy::before_a_server();
    let source = laptop.source();
    for number in 0..300 {
        let folder = source.join(format!("folder{}/inner", number % 7));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{number}.txt")), format!("line\nnumber {number}\n")).unwrap();
    }
    fs::write(source.join("medium"), noise(1, 300_000)).unwrap();
    fs::write(source.join("large"), noise(2, 9 << 20)).unwrap();
    fs::hard_link(source.join("large"), source.join("linked")).unwrap();
    std::os::unix::fs::symlink("nowhere", source.join("dangling")).unwrap();
    run(Command::new("setfattr")
        .args(["-n", "user.note", "-v", "kept"])
        .arg(source.join("medium")));
    let first = laptop.snapshotted();
    let copy = laptop.home.join("copy");
    run(Command::new("cp").arg("-a").arg(&source).arg(&copy));
    fs::write(source.join("large"), &noise(2, 9 << 20)[1..]).unwrap();
    fs::remove_file(source.join("folder0/inner/0.txt")).unwrap();
    laptop.snapshotted();

    let view = View::of(&laptop);
    let found = |folder: PathBuf| run(Command::new("find").arg(".").current_dir(folder));
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(found(view.source(&first))), sorted(found(copy.clone())));
    let grep = run(Command::new("grep")
        .args(["-r", "number 29[0-9]"])
        .arg(".")
        .current_dir(view.source("latest")));
    assert_eq!(grep.lines().count(), 10, "{grep}");
    for (snapshot, like) in [(first.as_str(), &copy), ("latest", &source)] {
        let out = laptop.home.join(format!("cp-{snapshot}"));
        run(Command::new("cp").arg("-a").arg(view.source(snapshot)).arg(&out));
        assert_eq!(differences(like, &out), "", "{snapshot}");
        for name in ["large", "linked", "medium"] {
            run(Command::new("cmp")
                .arg(view.source(snapshot).join(name))
                .arg(like.join(name)));
        }
    }
    // A snapshot that is made meanwhile shows up.
    let third = laptop.snapshotted();
    until("the new snapshot is in the mount", || view.source(&third).exists());
    laptop.text(&["umount", "mnt"]);
}

#[test]
fn a_little_of_the_oldest_version_moves_little() {
    let (_daemon, proxy, laptop) = Proxy::before_a_server();
    let path = laptop.source().join("image");
    let mut bytes = noise(1, 64 << 20);
    fs::write(&path, &bytes).unwrap();
    let first = laptop.snapshotted();
    let oldest = bytes.clone();
    for version in 0..4 {
        // A byte in front, a block in the middle, some more at the end.
        bytes.insert(0, version);
        bytes[(32 << 20) + 4096 * usize::from(version)..][..4096].fill(version);
        bytes.extend(noise(u64::from(version) + 2, 10_000));
        fs::write(&path, &bytes).unwrap();
        laptop.snapshotted();
    }
    assert_eq!(laptop.snapshots().len(), 5);
    let view = View::of(&laptop);
    let before = proxy.down();
    let file = File::open(view.source(&first).join("image")).unwrap();
    let mut block = [0; 4096];
    file.read_exact_at(&mut block, 40 << 20).unwrap();
    let moved = proxy.down() - before;
    assert_eq!(block, oldest[40 << 20..][..4096]);
    eprintln!("4 KiB of the oldest of 5 versions of 64 MiB: {moved} bytes moved");
    assert!(moved < 1 << 20, "{moved} bytes were moved for 4096");
}

#[test]
fn a_mount_outlives_its_connection() {
    let (daemon, proxy, laptop) = Proxy::before_a_server();
    fs::write(laptop.source().join("file"), "kept\n").unwrap();
    fs::write(laptop.source().join("large"), noise(1, 24 << 20)).unwrap();
    let first = laptop.snapshotted();
    let view = View::of(&laptop);
    assert_eq!(fs::read_to_string(view.source(&first).join("file")).unwrap(), "kept\n");
    proxy.cut();
    let copy = view.source(&first).join("large");
    assert!(fs::read(copy).unwrap() == noise(1, 24 << 20));
    // The server is started anew, and another snapshot is made.
    daemon.end(rustix::process::Signal::TERM);
    daemon.run();
    fs::write(laptop.source().join("new"), "new\n").unwrap();
    let second = laptop.snapshotted();
    until("the new snapshot is in the mount", || {
        view.source(&second).join("new").exists()
    });
    assert_eq!(fs::read_to_string(view.source(&second).join("new")).unwrap(), "new\n");
}
