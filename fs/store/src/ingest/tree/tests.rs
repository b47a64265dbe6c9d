//! Trees that no agent of ours tells.

use crate::testing::{Bench, file, folder};
use crate::{Error, Ingest, Kind, LONGEST_PATH, Meta, Result};

/// `told` is refused, in `/` of a line that has a snapshot.
fn assert_refused(what: &str, told: impl FnOnce(&mut Ingest) -> Result<()>) {
    let bench = Bench::new();
    bench.push("host", |push| file(push, "a", b"1"));
    let mut ingest = bench.begin("host");
    ingest.enter(b"", None).unwrap();
    let refused = told(&mut ingest);
    assert!(matches!(refused, Err(Error::Refused(_))), "{what}: {refused:?}");
}

fn plain(kind: Kind) -> Meta {
    Meta::plain(kind, 0o644)
}

#[test]
fn the_root_is_entered_once() {
    for meta in [None, Some(plain(Kind::Folder))] {
        assert_refused("/ again", |push| {
            push.put(b"a", plain(Kind::Fifo), None, None)?;
            push.leave()?;
            push.enter(b"", meta)
        });
    }
    assert_refused("/ inside /", |push| push.enter(b"", None));
    assert_refused("left twice", |push| {
        folder(push, "b", 0o755);
        push.leave()?;
        push.leave()?;
        push.leave()
    });
}

#[test]
fn metadata_that_no_file_has_is_refused() {
    let mut meta = plain(Kind::Fifo);
    meta.xattrs = vec![(b"user.a".to_vec(), vec![]); 2];
    let folder = Meta {
        kind: Kind::Folder,
        ..meta.clone()
    };
    assert_refused("an attribute twice", |push| push.put(b"b", meta, None, None));
    assert_refused("of a folder", |push| push.enter(b"b", Some(folder)));
}

#[test]
fn folders_are_entered_up_to_a_length_of_their_path() {
    let bench = Bench::new();
    let name = "x".repeat(255);
    let fit = LONGEST_PATH / 256;
    bench.push("host", |push| {
        (0..fit).for_each(|_| folder(push, &name, 0o755));
        file(push, "file", b"1");
        let refused = push.enter(b"y", Some(plain(Kind::Folder)));
        assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
        (0..fit).for_each(|_| push.leave().unwrap());
        // What was left does not count.
        folder(push, "y", 0o755);
        push.leave().unwrap();
    });
}
