//! Who may forget: an agent only with the right, nothing that is young, and the administrator anything.

use std::fs;

use yore_tests::daemon::Daemon;
use yore_tests::machine::Machine;

/// A machine with three snapshots.
fn three_snapshots(daemon: &Daemon) -> (Machine, Vec<String>) {
    daemon.add("ann", &[]);
    let laptop = daemon.linked("ann", "laptop");
    for text in ["one", "two", "three"] {
        fs::write(laptop.source().join("file"), text).unwrap();
        laptop.snapshotted();
    }
    let names = laptop.snapshots();
    assert_eq!(names.len(), 3);
    (laptop, names)
}

#[test]
fn forgetting_wants_the_right_and_can_be_taken_away_again() {
    let daemon = Daemon::configured("keep_at_least = \"0s\"\n");
    let (laptop, names) = three_snapshots(&daemon);
    for args in [&["forget", &names[0]][..], &["prune", "--keep-last", "1"]] {
        let said = laptop.refused(1, args);
        assert!(
            said.contains("ann may not forget or prune") && said.lines().count() == 1,
            "{said}"
        );
    }
    assert_eq!(laptop.snapshots(), names);
    daemon.text(&["user", "set", "ann", "--may-prune"]);
    laptop.text(&["forget", &names[0]]);
    laptop.text(&["prune", "--keep-last", "1"]);
    assert_eq!(laptop.snapshots(), names[2..]);
    daemon.text(&["user", "set", "ann", "--may-prune=false"]);
    laptop.refused(1, &["forget", &names[2]]);
    assert_eq!(laptop.snapshots(), names[2..]);
    let audit = daemon.text(&["audit"]);
    assert!(
        audit.contains("forget ann/laptop") && audit.contains(&names[0]),
        "{audit}"
    );
}

#[test]
fn what_is_young_stays_but_for_the_administrator() {
    let daemon = Daemon::configured("keep_at_least = \"7d\"\n");
    let (laptop, names) = three_snapshots(&daemon);
    daemon.text(&["user", "set", "ann", "--may-prune"]);
    let said = laptop.refused(1, &["forget", &names[0]]);
    assert!(said.contains("younger than 7d"), "{said}");
    laptop.yore(&["prune", "--keep-last", "1"]);
    assert_eq!(laptop.snapshots(), names);
    // One repository may have its own minimum.
    daemon.text(&["repo", "set", "ann/laptop", "--keep-at-least", "0s"]);
    laptop.text(&["forget", &names[0]]);
    daemon.text(&["repo", "set", "ann/laptop", "--keep-at-least", "1d"]);
    laptop.refused(1, &["forget", &names[1]]);
    // The administrator, at the folder.
    let folder = daemon.user_folder("ann/laptop").display().to_string();
    daemon.machine("root").text(&["forget", &names[1], "-r", &folder]);
    assert_eq!(laptop.snapshots(), names[2..]);
    daemon.assert_well("ann", "laptop");
}
