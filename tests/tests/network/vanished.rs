//! The other end is gone, and nobody says so: who waits for it gives up by itself, whatever it was doing.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use yore_tests::daemon::Daemon;
use yore_tests::machine::Machine;
use yore_tests::proxy::{Fate, Fault, Proxy, Way};
use yore_tests::{noise, until, until_still};

/// The five minutes after which a connection that nobody reads from is ended, and some time for a busy machine.
const GIVEN_UP: Duration = Duration::from_secs(6 * 60);

/// Bytes after which an agent has logged in, and before which it has asked for nothing but its repository.
const LOGGED_IN: u64 = 2_700;

/// Bytes after which so much is left of what SSH lets be sent at once that the socket has no room for it.
const WRITING: u64 = 200_000;

/// Waits until something is so that takes minutes; says how long it took.
fn until_given_up(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < GIVEN_UP, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
    eprintln!("{what}: after {:?}", begun.elapsed());
}

fn start(machine: &Machine, words: &[&str]) -> Child {
    let mut command = machine.command(words);
    command.stderr(Stdio::piped()).spawn().expect("yore")
}

/// A machine with a large file, and its server; it is there once `after` bytes have passed this way.
fn vanishing(way: Way, after: u64) -> (Daemon, Proxy, Machine) {
    let (daemon, proxy, laptop) = Proxy::before_a_server();
    std::fs::write(laptop.source().join("image"), noise(1, 64 << 20)).unwrap();
    if way == Way::Down {
        laptop.snapshotted();
    }
    let fate = Fate::Held;
    proxy.plan(Fault { way, after, fate });
    (daemon, proxy, laptop)
}

fn assert_gives_up(mut command: Child) {
    until_given_up("the agent", || command.try_wait().unwrap().is_some());
    let output = command.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("yore: ssh://ann@127.0.0.1"), "{said}");
}

#[test]
#[ignore = "minutes; run it with --ignored"]
fn an_agent_that_waits_for_a_server_that_vanished_gives_up() {
    let (_daemon, _proxy, laptop) = vanishing(Way::Up, 20 << 20);
    assert_gives_up(laptop.start_snapshot());
}

#[test]
#[ignore = "minutes; run it with --ignored"]
fn an_agent_that_waits_to_write_to_a_server_that_vanished_gives_up() {
    let (_daemon, _proxy, laptop) = vanishing(Way::Up, WRITING);
    assert_gives_up(laptop.start_snapshot());
}

#[test]
#[ignore = "minutes; run it with --ignored"]
fn a_session_whose_machine_vanished_ends() {
    for (way, after) in [(Way::Up, 20 << 20), (Way::Down, WRITING)] {
        let (daemon, proxy, laptop) = vanishing(way, after);
        let words = match way {
            Way::Up => ["snapshot", "source", "--quiet"],
            Way::Down => ["restore", "latest", "out"],
        };
        let mut command = start(&laptop, &words);
        until_given_up("it is held", || !proxy.met(0).is_empty());
        let _ = command.kill();
        let _ = command.wait();
        until_given_up("the session", || {
            let status = daemon.json(&["status"]);
            status["sessions"].as_array().is_some_and(Vec::is_empty)
        });
    }
}

/// One connection is for the push, the other one for what the progress needs to know.
#[test]
fn a_snapshot_does_not_wait_for_its_estimate() {
    let (_daemon, proxy, laptop) = Proxy::before_a_server();
    std::fs::write(laptop.source().join("file"), "a file").unwrap();
    laptop.snapshotted();
    // Which is the first, nobody can say.
    for _ in 0..20 {
        let (met, made) = (proxy.met(0).len(), laptop.snapshots().len());
        for (way, after, fate) in [(Way::Up, LOGGED_IN, Fate::Held); 2] {
            proxy.plan(Fault { way, after, fate });
        }
        let mut push = start(&laptop, &["snapshot", "source"]);
        until("both are held", || proxy.met(met).len() == 2);
        let [first, second] = [0, 1].map(|at| proxy.met(met)[at].0);
        proxy.release(first);
        until_still(|| (proxy.up(), proxy.down()));
        let is_done = laptop.snapshots().len() > made;
        if !is_done {
            proxy.release(second);
        }
        until("it ends", || push.try_wait().unwrap().is_some());
        assert!(push.wait().unwrap().success());
        proxy.cut();
        if is_done {
            return;
        }
    }
    panic!("the push was never the first");
}

#[test]
fn a_login_that_is_cut_is_no_refusal() {
    let (_daemon, proxy, laptop) = Proxy::before_a_server();
    for after in (2_000..LOGGED_IN).step_by(40) {
        let (way, fate) = (Way::Up, Fate::Cut);
        proxy.plan(Fault { way, after, fate });
        let output = laptop.yore(&["snapshots"]);
        let said = String::from_utf8_lossy(&output.stderr);
        let is_told = said.contains("the connection was") || said.contains("closed the connection");
        assert!(output.status.success() || is_told, "cut after {after} bytes: {said}");
        assert!(!said.contains("not let in"), "cut after {after} bytes: {said}");
    }
    assert!(proxy.met(0).len() > 10);
}
