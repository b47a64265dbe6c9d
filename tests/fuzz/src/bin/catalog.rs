//! A catalog of which some bytes have changed: open, list, read, verify and repair neither panic nor hang.
//!
//! The input is not a catalog but what changes in a sound one: four bytes where, one what. So every input is near a catalog.
#![no_main]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use yore_store::{Repository, Snapshot};

/// The fixture of the format, unpacked once.
static SOUND: LazyLock<(tempfile::TempDir, Vec<u8>)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/repository-1/repository.tar.zst");
    let unpacked = Command::new("tar")
        .args(["--zstd", "-xf"])
        .arg(fixture)
        .arg("-C")
        .arg(folder.path())
        .status();
    assert!(unpacked.expect("tar").success());
    let bytes = std::fs::read(folder.path().join("repository/catalog.sqlite3")).expect("a catalog");
    (folder, bytes)
});

fn damaged(changes: &[u8]) -> PathBuf {
    let (folder, sound) = &*SOUND;
    let (repository, mut bytes) = (folder.path().join("repository"), sound.clone());
    for change in changes.chunks_exact(5) {
        let at = u32::from_le_bytes([change[0], change[1], change[2], change[3]]) as usize % bytes.len();
        bytes[at] = change[4];
    }
    for beside in ["sqlite3-wal", "sqlite3-shm"] {
        let _ = std::fs::remove_file(repository.join("catalog").with_extension(beside));
    }
    std::fs::write(repository.join("catalog.sqlite3"), bytes).expect("it can be written");
    repository
}

fn read(repository: &Arc<Repository>, snapshot: &Snapshot) -> yore_store::Result<()> {
    let root = repository.root(snapshot.id)?;
    let listing = repository.list(snapshot.id, root.child.unwrap_or(snapshot.root))?;
    for content in listing.iter().filter_map(|entry| entry.content) {
        let _ = repository
            .open_content(content)
            .and_then(|reader| reader.read_at(0, &mut [0; 100]));
    }
    repository.versions(b"/large").map(drop)
}

fuzz_target!(|changes: &[u8]| {
    let path = damaged(changes);
    // Without changing anything: the packs are the same for every input.
    let _ = Repository::repair(&path, true, &mut |_, _| Ok(()));
    let Ok(repository) = Repository::open(&path).map(Arc::new) else {
        return;
    };
    for snapshot in repository.snapshots().unwrap_or_default() {
        let _ = read(&repository, &snapshot);
    }
    let _ = repository.verify(false, &mut |_, _| Ok(()));
});
