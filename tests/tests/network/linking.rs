//! A link that is cut: the same words make it the next time, whatever the server had heard of it.

use std::process::Output;

use yore_tests::daemon::Daemon;
use yore_tests::machine::Machine;
use yore_tests::proxy::{Fate, Fault, Proxy, Way};

/// Connections of a link: the server's key is looked at, this machine's is enrolled, the whole of the server's is
/// fetched, and the new login is tried.
const CONNECTIONS: usize = 4;

/// Bytes of a connection between which it is cut: from the login to its end.
const CUTS: std::ops::Range<u64> = 1_700..3_200;

fn link(machine: &Machine, words: &[String]) -> Output {
    machine.command(&[]).args(words).output().expect("yore")
}

#[test]
fn a_link_that_is_cut_is_made_by_the_same_words() {
    let mut failed = 0;
    for cut in 0..CONNECTIONS {
        // Another one each time: an invitation that is used up counts as a failed login, and after some an address waits.
        let daemon = Daemon::start();
        let proxy = Proxy::to(daemon.port);
        daemon.add("ann", &[]);
        for after in CUTS.step_by(300) {
            let name = format!("machine-{cut}-{after}");
            let machine = daemon.machine(&name);
            let url = format!("ssh://127.0.0.1:{}", proxy.port);
            let mut words = daemon.invite("ann");
            let its = words.iter_mut().find(|word| word.starts_with("ssh://"));
            *its.expect("an address") = url;
            words.extend(["--repository", &name, "--yes"].map(str::to_owned));
            for connection in 0..=cut {
                let after = if connection == cut { after } else { u64::MAX };
                let (way, fate) = (Way::Down, Fate::Cut);
                proxy.plan(Fault { way, after, fate });
            }
            let first = link(&machine, &words);
            proxy.plan_nothing();
            if first.status.success() {
                continue;
            }
            failed += 1;
            // Where the link was made and its last words were lost, it is there.
            let second = link(&machine, &words);
            let said = [first, second].map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
            let is_linked = machine.config().join("agent.toml").exists();
            assert!(is_linked, "connection {cut}, cut after {after} bytes: {said:?}");
        }
    }
    assert!(failed >= CONNECTIONS, "{failed} links failed");
}
