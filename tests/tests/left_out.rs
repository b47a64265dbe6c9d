//! What cannot be kept of one file is said, and costs no other file its snapshot.

use std::fs::{self, File};

use yore_agent::snapshot::snapshot;
use yore_store::LARGEST;
use yore_tests::Stage;

#[test]
fn a_file_that_is_too_large_is_named_and_left_out() {
    let stage = Stage::new();
    // A file system in memory takes files of any length.
    let source = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::write(source.path().join("other"), "kept").unwrap();
    let path = source.path().join("sparse");
    for size in [LARGEST + 1, i64::MAX as u64] {
        File::create(&path).unwrap().set_len(size).unwrap();
        let outcome = snapshot(&stage.target(), stage.request(&[source.path()]), &()).unwrap();
        let [(named, why)] = &outcome.unreadable[..] else {
            panic!("{:?}", outcome.unreadable)
        };
        assert!(named.ends_with(b"/sparse") && why.contains("16 TiB"), "{why}");
        assert_eq!((outcome.snapshot.unwrap().files, outcome.removed), (1, 0));
    }
}
