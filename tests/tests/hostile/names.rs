//! Names that no file has, told to the store itself: whatever comes between, here they end.

use std::sync::Arc;

use yore_store::{Compression, Error, Ingest, PushOptions, Repository, Unlimited};
use yore_wire::{Message, deliver};

use crate::{folder, put, root};

/// As many ways out of a folder, and out of what a file system can hold.
pub const NAMES: [&[u8]; 9] = [
    b"",
    b".",
    b"..",
    b"a/b",
    b"/",
    b"a\0",
    b"../../ann",
    &[b'x'; 256],
    &[b'x'; 70_000],
];

#[test]
fn the_store_takes_no_name_that_no_file_has() {
    let place = tempfile::tempdir().unwrap();
    let repository = Arc::new(Repository::init(&place.path().join("r"), Compression::Off).unwrap());
    let push = |message: Message| {
        let options = PushOptions {
            host: "h".into(),
            roots: vec![b"/".to_vec()],
            tags: vec![],
            made: None,
        };
        let mut ingest = Ingest::begin(&repository, options, Box::new(Unlimited)).unwrap();
        deliver(&mut ingest, root()).unwrap();
        deliver(&mut ingest, message).map_err(|error| ingest.fail(error))
    };
    for name in NAMES {
        let enter = Message::Enter {
            name: name.to_vec(),
            meta: Some(folder()),
        };
        for message in [enter, put(name, None), Message::Remove { name: name.to_vec() }] {
            let what = format!(
                "{:?} of {} bytes",
                String::from_utf8_lossy(&name[..name.len().min(20)]),
                name.len()
            );
            let refused = push(message);
            assert!(matches!(refused, Err(Error::Refused(_))), "{what}: {refused:?}");
        }
    }
}
