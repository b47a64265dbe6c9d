//! Damage that the machine still has the bytes for is gone after its next push.

use std::fs;
use std::path::{Path, PathBuf};

use yore_tests::daemon::Daemon;
use yore_tests::{Stage, differences, fill, noise, run};

/// Flips a bit in the midst of each stored file below a repository.
fn flip(repository: &Path) -> usize {
    let mut flipped = 0;
    for kind in ["packs", "heads"] {
        for folder in fs::read_dir(repository.join(kind)).unwrap() {
            for file in fs::read_dir(folder.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                let mut bytes = fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 4;
                fs::write(&path, bytes).unwrap();
                flipped += 1;
            }
        }
    }
    flipped
}

fn kept(source: &Path, to: PathBuf) -> PathBuf {
    run(std::process::Command::new("cp").arg("-a").args([source, to.as_path()]));
    to
}

#[test]
fn a_damaged_repository_is_healed_by_the_next_push() {
    let stage = Stage::new();
    fill(&stage.source());
    fs::write(stage.source().join("another"), noise(3, 200_000)).unwrap();
    let first = stage.snapshot().snapshot.unwrap();
    let then = kept(&stage.source(), stage.folder.path().join("then"));
    let mut changed = noise(3, 200_000);
    changed[1000..1100].fill(0);
    fs::write(stage.source().join("another"), changed).unwrap();
    let second = stage.snapshot().snapshot.unwrap();
    assert!(flip(stage.repository.path()) > 1);
    // As another process finds it: nothing is remembered.
    let stage = Stage {
        repository: std::sync::Arc::new(yore_store::Repository::open(stage.repository.path()).unwrap()),
        ..stage
    };
    let damages = || stage.repository.verify(true, &mut |_, _| Ok(())).unwrap().damages;
    let before = damages();
    assert!(before.len() > 1, "{before:?}");
    let outcome = stage.snapshot();
    assert_eq!(outcome.healed as usize, before.len() - damages().len());
    assert!(outcome.healed > 0);
    assert_eq!(damages(), vec![]);
    assert_eq!(differences(&then, &stage.restored(&first, "first")), "");
    assert_eq!(differences(&stage.source(), &stage.restored(&second, "second")), "");
    assert_eq!(stage.snapshot().healed, 0);
}

#[test]
fn a_server_asks_the_machine_for_what_is_damaged() {
    let daemon = Daemon::start();
    daemon.add("ann", &[]);
    let laptop = daemon.linked("ann", "laptop");
    fill(&laptop.source());
    let first = laptop.snapshotted();
    assert!(flip(&daemon.user_folder("ann/laptop")) > 1);
    let verified = laptop.yore(&["verify", "--read-data"]);
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    let said = laptop.text(&["snapshot", "source"]);
    assert!(said.contains("in the repository: whole again"), "{said}");
    assert_eq!(laptop.yore(&["verify", "--read-data"]).status.code(), Some(0));
    assert_eq!(differences(&laptop.source(), &laptop.restored(&first, "restored")), "");
}

#[test]
fn a_file_of_which_the_catalog_has_lost_the_content_comes_again() {
    let stage = Stage::new();
    fill(&stage.source());
    stage.snapshot();
    let catalog = rusqlite::Connection::open(stage.repository.path().join("catalog.sqlite3")).unwrap();
    assert_eq!(
        catalog.execute("DELETE FROM contents WHERE size = 300000", []).unwrap(),
        1
    );
    // After a repair no machine remembers what the newest snapshot has.
    fs::remove_dir_all(stage.folder.path().join("cache")).unwrap();
    let next = stage.snapshot().snapshot.unwrap();
    assert_eq!(differences(&stage.source(), &stage.restored(&next, "next")), "");
}
