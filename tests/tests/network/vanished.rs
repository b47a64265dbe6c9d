//! The other end is gone, and nobody says so: who waits for it gives up by itself, whatever it was doing.

use std::process::{Child, Stdio};

use yore_tests::machine::Machine;
use yore_tests::proxy::{Fate, Fault, Proxy, Way};
use yore_tests::{until, until_still};

/// Bytes after which an agent has logged in, and before which it has asked for nothing but its repository.
const LOGGED_IN: u64 = 2_700;

fn start(machine: &Machine, words: &[&str]) -> Child {
    let mut command = machine.command(words);
    command.stderr(Stdio::piped()).spawn().expect("yore")
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
