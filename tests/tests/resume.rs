//! Pushes that are cut off, and go on: what had arrived is not sent again.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use yore_tests::daemon::{Daemon, pid_of};
use yore_tests::machine::Machine;
use yore_tests::proxy::Proxy;
use yore_tests::{differences, disk_usage, noise, until, until_still};

/// What may be sent twice each time that the connection is cut: what the server had not taken yet.
const A_CUT: u64 = 1_677_722; // 1.6 MiB

/// What may be sent twice each time that the server is killed: what it had not synced, or not written down, and the
/// segment under way.
const A_KILL: u64 = 20 << 20;

/// What a push sends beside the file itself: packets, names, encryption, a login each time.
fn beside(size: u64, pushes: u64) -> u64 {
    size / 200 + pushes * (64 << 10)
}

/// Bytes of large contents that the server has stored.
fn stored(daemon: &Daemon) -> u64 {
    disk_usage(&daemon.user_folder("ann/laptop/heads"))
}

/// A file of this length that does not compress, made piece by piece.
fn write_noise(path: &Path, size: u64) {
    let mut file = fs::File::create(path).unwrap();
    for piece in 0..size.div_ceil(16 << 20) {
        let length = (16 << 20).min(size - piece * (16 << 20));
        std::io::Write::write_all(&mut file, &noise(piece + 1, length as usize)).unwrap();
    }
}

/// Everything that was pushed is there and is as it is here.
fn assert_equal(daemon: &Daemon, machine: &Machine) {
    daemon.assert_well("ann", "laptop");
    assert_eq!(differences(&machine.source(), &machine.restored("latest", "out")), "");
}

/// Pushes one large file over a connection that is cut `cuts` times inside it.
fn cut_in_a_file(size: u64, cuts: u64) {
    let (daemon, proxy, laptop) = Proxy::before_a_server();
    write_noise(&laptop.source().join("image"), size);
    let before = proxy.up();
    for _ in 0..cuts {
        proxy.cut_after(size / (cuts + 1));
        let cut = laptop.snapshot();
        assert_eq!(cut.status.code(), Some(1), "{}", String::from_utf8_lossy(&cut.stderr));
        daemon.until_idle();
    }
    assert_eq!(proxy.cuts(), cuts, "each of them was cut off");
    assert!(laptop.snapshots().is_empty());
    laptop.snapshotted();
    let sent = proxy.up() - before;
    let again = sent.saturating_sub(size);
    eprintln!("{size} bytes, cut {cuts} times: {sent} sent, {again} more than there are");
    assert!(
        sent <= size + cuts * A_CUT,
        "{sent} bytes for {size}, cut {cuts} times: {} a cut",
        again / cuts
    );
    assert_equal(&daemon, &laptop);
}

#[test]
fn a_file_of_which_no_segment_is_complete_goes_on() {
    let (daemon, proxy, laptop) = Proxy::before_a_server();
    let size = 3 << 20;
    write_noise(&laptop.source().join("image"), size);
    let before = proxy.up();
    proxy.cut_after(2 << 20);
    assert_eq!(laptop.snapshot().status.code(), Some(1));
    daemon.until_idle();
    laptop.snapshotted();
    let sent = proxy.up() - before;
    assert!(sent < size + (1 << 20), "{sent} bytes for {size}");
    assert_equal(&daemon, &laptop);
}

#[test]
fn a_file_that_is_cut_at_ten_places_is_sent_once() {
    cut_in_a_file(64 << 20, 10);
}

#[test]
#[ignore = "gigabytes; run it with --ignored"]
fn a_file_of_2_gib_that_is_cut_at_ten_places_is_sent_once() {
    cut_in_a_file(2 << 30, 10);
}

#[test]
fn a_push_goes_on_by_itself_when_the_connection_comes_back() {
    let (daemon, proxy, laptop) = Proxy::before_a_server();
    write_noise(&laptop.source().join("image"), 16 << 20);
    proxy.cut_after(8 << 20);
    laptop.snapshotted();
    assert_eq!((proxy.cuts(), laptop.snapshots().len()), (1, 1));
    assert_equal(&daemon, &laptop);
}

#[test]
fn a_push_whose_machine_vanished_is_taken_over() {
    let daemon = Daemon::configured("stale_after = \"1s\"\n");
    daemon.add("ann", &[]);
    let (silent, other) = (Proxy::to(daemon.port), Proxy::to(daemon.port));
    let laptop = daemon.linked_by(silent.port, "ann", "laptop");
    let size = 32 << 20;
    write_noise(&laptop.source().join("image"), size);
    let before = silent.up();
    let mut push = laptop.start_snapshot();
    until("much of it was sent", || silent.up() - before > size / 2);
    silent.stall(true);
    kill_process(pid_of(push.id()), Signal::KILL).unwrap();
    push.wait().unwrap();
    until_still(|| (stored(&daemon), daemon.processor_time()));
    let arrived = silent.up() - before;
    // The machine comes again by another way; to the server the old connection still stands.
    let config = laptop.config().join("agent.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace(&silent.port.to_string(), &other.port.to_string())).unwrap();
    until("the next push takes over", || laptop.snapshot().status.success());
    assert!(
        other.up() < size - arrived + A_CUT + beside(size, 1),
        "{} bytes",
        other.up()
    );
    assert_equal(&daemon, &laptop);
    assert_eq!(laptop.snapshots().len(), 1);
}

#[test]
fn a_slow_network_is_not_waited_for_with_each_file() {
    let (daemon, proxy, laptop) = Proxy::before_a_server();
    let (files, delay) = (600, Duration::from_millis(20));
    for number in 0..files {
        fs::write(laptop.source().join(number.to_string()), format!("file {number}")).unwrap();
    }
    proxy.delay(delay);
    let begun = Instant::now();
    laptop.snapshotted();
    let took = begun.elapsed();
    proxy.delay(Duration::ZERO);
    assert!(took < delay * files, "{files} files over {delay:?} took {took:?}");
    assert_equal(&daemon, &laptop);
}

#[test]
fn small_files_that_have_arrived_are_not_sent_again() {
    let (daemon, proxy, laptop) = Proxy::before_a_server();
    let (count, length) = (2000, 8000);
    for number in 0..count {
        let folder = laptop.source().join(format!("{}", number % 20));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(number.to_string()), noise(number + 1, length as usize)).unwrap();
    }
    let size = count * length;
    let before = proxy.up();
    for _ in 0..3 {
        proxy.cut_after(size / 4);
        assert_eq!(laptop.snapshot().status.code(), Some(1));
        daemon.until_idle();
    }
    laptop.snapshotted();
    let sent = proxy.up() - before;
    eprintln!("{size} bytes in {count} files, cut 3 times: {sent} sent");
    assert!(sent <= size + 3 * A_CUT + count * 300, "{sent} bytes for {size}");
    assert_equal(&daemon, &laptop);
    let before = proxy.up();
    laptop.snapshotted();
    let sent = proxy.up() - before;
    assert!(sent < 100_000, "{sent} bytes, and nothing has changed");
}

#[test]
fn an_agent_that_is_killed_goes_on_the_next_time() {
    let (daemon, proxy, laptop) = Proxy::before_a_server();
    let size = 48 << 20;
    write_noise(&laptop.source().join("image"), size);
    let before = proxy.up();
    for kill in 1..=2 {
        let mut push = laptop.start_snapshot();
        until("much of it is there", || proxy.up() - before > kill * (16 << 20));
        kill_process(pid_of(push.id()), Signal::KILL).unwrap();
        push.wait().unwrap();
        daemon.until_idle();
    }
    laptop.snapshotted();
    let sent = proxy.up() - before;
    eprintln!("{size} bytes, the agent killed twice: {sent} sent");
    assert!(sent <= size + 2 * A_CUT + beside(size, 3), "{sent} bytes for {size}");
    assert_equal(&daemon, &laptop);
}

#[test]
fn a_server_that_is_killed_loses_no_more_than_what_was_not_synced() {
    let (daemon, proxy, laptop) = Proxy::before_a_server();
    let size = 96 << 20;
    write_noise(&laptop.source().join("image"), size);
    let before = proxy.up();
    for kill in 1..=2 {
        let push = laptop.start_snapshot();
        until("much of it was sent", || proxy.up() - before > kill * (32 << 20));
        // What is on the way is not the server's to keep: that is let in first.
        proxy.stall(true);
        until_still(|| (stored(&daemon), daemon.processor_time()));
        daemon.end(Signal::KILL);
        proxy.cut();
        proxy.stall(false);
        assert_eq!(push.wait_with_output().unwrap().status.code(), Some(1));
        daemon.run();
        daemon.assert_well("ann", "laptop");
    }
    laptop.snapshotted();
    let sent = proxy.up() - before;
    eprintln!("{size} bytes, the server killed twice: {sent} sent");
    assert!(sent <= size + 2 * A_KILL + beside(size, 3), "{sent} bytes for {size}");
    assert_equal(&daemon, &laptop);
    // The sweep of what nobody claimed leaves the user's folder as the ledger counts it.
    let status = daemon.status_of("ann", "laptop");
    assert_eq!(status["failure"], serde_json::Value::Null, "{status}");
}
