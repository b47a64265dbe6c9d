//! Quotas hold while bytes are written, and the ledger is what the disk counts.

use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use yore_tests::daemon::{Daemon, pid_of};
use yore_tests::machine::Machine;
use yore_tests::proxy::Proxy;
use yore_tests::{noise, until};

/// What users have here.
const QUOTA: u64 = 20 << 20;

/// How far the ledger may be from the disk at rest.
const MARGIN: u64 = 64 << 10;

/// What the disk counts for a user's folder, ballast and all; files may come and go meanwhile, as those of a
/// session that ends.
fn on_disk(daemon: &Daemon, user: &str) -> u64 {
    let du = Command::new("du")
        .args(["-s", "--block-size=1"])
        .arg(daemon.user_folder(user))
        .output();
    let text = String::from_utf8(du.unwrap().stdout).unwrap();
    text.split_whitespace()
        .next()
        .map_or(0, |number| number.parse().unwrap())
}

/// The ledger is right, soon after the last session has ended.
fn assert_exact(daemon: &Daemon, user: &str) {
    let mut last = (0, 0);
    let is_exact = || {
        last = (daemon.used(user), on_disk(daemon, user));
        last.0.abs_diff(last.1) <= MARGIN
    };
    let sessions = || daemon.json(&["status"])["sessions"].as_array().map(Vec::len);
    until("nobody is connected", || sessions() == Some(0));
    let watched = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| until("it is exact", is_exact)));
    assert!(watched.is_ok(), "the ledger has {}, the disk {}", last.0, last.1);
}

fn daemon_with_quota() -> Daemon {
    let daemon = Daemon::configured("keep_at_least = \"0s\"\n");
    daemon.add("ann", &["--quota", "20M", "--may-prune"]);
    daemon
}

fn with_quota() -> (Daemon, Machine) {
    let daemon = daemon_with_quota();
    let laptop = daemon.linked("ann", "laptop");
    (daemon, laptop)
}

fn assert_over_quota(said: &str) {
    let (used, needed) = said
        .split_once("quota: ")
        .and_then(|(_, rest)| rest.split_once(" used of 20 MiB, this push needs at least "))
        .unwrap_or_else(|| panic!("no quota in: {said}"));
    assert!(used.ends_with("iB") && needed.contains(" more"), "{said}");
}

#[test]
fn a_push_that_would_cross_the_quota_ends_and_nothing_else() {
    let (daemon, laptop) = with_quota();
    fs::write(laptop.source().join("first"), noise(1, 6 << 20)).unwrap();
    let first = laptop.snapshotted();
    assert_exact(&daemon, "ann");
    fs::write(laptop.source().join("second"), noise(2, 40 << 20)).unwrap();
    let said = laptop.refused(1, &["snapshot", "source", "--quiet"]);
    assert_over_quota(&said);
    assert_eq!(said.lines().count(), 1, "{said}");
    let failure = daemon.status_of("ann", "laptop")["failure"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_over_quota(&failure);
    assert_exact(&daemon, "ann");
    assert!(on_disk(&daemon, "ann") <= QUOTA);
    until("a failure counts, once it is not of the same second", || {
        laptop.snapshot();
        daemon.yored(&["check"]).status.code() == Some(1)
    });

    assert_eq!(laptop.snapshots(), std::slice::from_ref(&first));
    daemon.assert_well("ann", "laptop");
    let restored = laptop.restored(&first, "out");
    assert!(fs::read(restored.join("first")).unwrap() == noise(1, 6 << 20));
    // What fits goes in: what the push before had sent is in nobody's way.
    fs::write(laptop.source().join("second"), noise(3, 6 << 20)).unwrap();
    laptop.snapshotted();
    assert_exact(&daemon, "ann");
    assert_eq!(daemon.json(&["check"])["status"], "OK");
    // More quota, and what was refused goes in too.
    fs::write(laptop.source().join("second"), noise(2, 40 << 20)).unwrap();
    laptop.refused(1, &["snapshot", "source", "--quiet"]);
    daemon.text(&["user", "set", "ann", "--quota", "100M"]);
    laptop.snapshotted();
    assert_exact(&daemon, "ann");
}

#[test]
fn pruning_works_when_the_quota_is_used_up() {
    let (daemon, laptop) = with_quota();
    for version in 1..=2 {
        fs::write(laptop.source().join("file"), noise(version, 6 << 20)).unwrap();
        laptop.snapshotted();
    }
    daemon.text(&["user", "set", "ann", "--quota", "1M"]);
    fs::write(laptop.source().join("file"), noise(3, 6 << 20)).unwrap();
    laptop.refused(1, &["snapshot", "source", "--quiet"]);
    let before = on_disk(&daemon, "ann");
    laptop.text(&["prune", "--keep-last", "1"]);
    assert_eq!(laptop.snapshots().len(), 1);
    assert!(on_disk(&daemon, "ann") + (5 << 20) < before);
    assert_exact(&daemon, "ann");
    daemon.text(&["user", "set", "ann", "--quota", "20M"]);
    laptop.snapshotted();
}

#[test]
fn pushes_at_once_share_one_quota() {
    let daemon = Daemon::start();
    daemon.add("ann", &["--quota", "20M"]);
    let machines: Vec<Machine> = ["one", "two"].map(|name| daemon.linked("ann", name)).into();
    for (number, machine) in machines.iter().enumerate() {
        // Large files and small ones.
        fs::write(machine.source().join("large"), noise(number as u64 + 1, 8 << 20)).unwrap();
        for small in 0..500 {
            fs::write(machine.source().join(small.to_string()), noise(small + 7, 3000)).unwrap();
        }
    }
    let mut pushes: Vec<Child> = machines.iter().map(Machine::start_snapshot).collect();
    let mut most = 0;
    let mut running = true;
    while running {
        most = most.max(on_disk(&daemon, "ann"));
        running = pushes.iter_mut().any(|push| push.try_wait().unwrap().is_none());
    }
    let said: Vec<(bool, String)> = pushes
        .into_iter()
        .map(|push| push.wait_with_output().unwrap())
        .map(|output| {
            (
                output.status.success(),
                String::from_utf8_lossy(&output.stderr).into_owned(),
            )
        })
        .collect();
    eprintln!("two pushes at once: {most} bytes at most of {QUOTA}");
    assert!(most <= QUOTA, "{most} bytes were stored at once");
    let refused: Vec<&String> = said.iter().filter(|(well, _)| !well).map(|(_, said)| said).collect();
    assert!(
        !refused.is_empty(),
        "16 MiB and two ballasts do not fit into 20: {said:?}"
    );
    refused.into_iter().for_each(|said| assert_over_quota(said));
    assert_exact(&daemon, "ann");
    for machine in &machines {
        daemon.assert_well("ann", &machine.name);
    }
}

#[test]
fn what_dead_pushes_left_goes_when_room_is_wanted() {
    let daemon = daemon_with_quota();
    let proxy = Proxy::to(daemon.port);
    let laptop = daemon.linked_by(proxy.port, "ann", "laptop");
    let desktop = daemon.linked("ann", "desktop");
    // Each of the two has its ballast.
    assert_exact(&daemon, "ann");
    let empty = on_disk(&daemon, "ann");
    assert!(empty > 2 << 20, "{empty}");
    fs::write(laptop.source().join("image"), noise(1, 15 << 20)).unwrap();
    // Slow enough that it cannot be done before it is killed.
    proxy.delay(Duration::from_millis(20));
    let mut push = laptop.start_snapshot();
    until("much of it is there", || on_disk(&daemon, "ann") > empty + (6 << 20));
    kill_process(pid_of(push.id()), Signal::KILL).unwrap();
    push.wait().unwrap();
    proxy.delay(Duration::ZERO);
    daemon.until_idle();
    assert_exact(&daemon, "ann");
    assert!(daemon.used("ann") >= empty + (6 << 20), "it waits for the next push");
    // Another repository of the same user wants the room.
    fs::write(desktop.source().join("image"), noise(2, 14 << 20)).unwrap();
    desktop.snapshotted();
    assert_exact(&daemon, "ann");
    assert!(on_disk(&daemon, "ann") <= QUOTA);
    daemon.assert_well("ann", "desktop");
    assert!(laptop.snapshots().is_empty());
}

#[test]
fn room_that_the_administrator_makes_is_there_for_the_next_push() {
    let daemon = Daemon::start();
    daemon.add("ann", &["--quota", "24M"]);
    let laptop = daemon.linked("ann", "laptop");
    fs::write(laptop.source().join("file"), noise(1, 14 << 20)).unwrap();
    let first = laptop.snapshotted();
    fs::remove_file(laptop.source().join("file")).unwrap();
    laptop.snapshotted();
    daemon.text(&["repo", "forget", "ann/laptop", &first, "--yes", "ann/laptop"]);
    fs::write(laptop.source().join("file"), noise(2, 14 << 20)).unwrap();
    laptop.snapshotted();
    daemon.assert_well("ann", "laptop");
}

#[test]
fn the_disk_keeps_its_floor_for_everybody() {
    let daemon = Daemon::start();
    daemon.add("ann", &[]);
    let laptop = daemon.linked("ann", "laptop");
    laptop.snapshotted();
    let disk = rustix::fs::statvfs(daemon.folder.path()).unwrap();
    // A little less than is free: the first megabytes fit.
    let floor = disk.f_bavail * disk.f_frsize - (256 << 20);
    daemon.configure(&format!("keep_free = \"{floor}\"\n"));
    daemon.signal(Signal::HUP);
    daemon.said("read again");
    fs::write(laptop.source().join("small"), noise(1, 1 << 20)).unwrap();
    laptop.snapshotted();
    daemon.configure("keep_free = \"4096T\"\n");
    daemon.signal(Signal::HUP);
    fs::write(laptop.source().join("more"), noise(2, 1 << 20)).unwrap();
    until("the new floor counts", || {
        let output = laptop.snapshot();
        String::from_utf8_lossy(&output.stderr).contains("must stay free")
    });
    let failure = &daemon.status_of("ann", "laptop")["failure"];
    assert!(
        failure.as_str().is_some_and(|why| why.contains("must stay free")),
        "{failure}"
    );
    daemon.assert_well("ann", "laptop");
}
