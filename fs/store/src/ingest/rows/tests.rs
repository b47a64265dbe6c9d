//! What rows take is asked for before they are written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::MOST_OWNERS;
use crate::testing::{Bench, file, folder, noise};
use crate::{Budget, Ingest, Kind, Meta, PushOptions, Result};

/// Counts what is asked for.
struct Counting(Arc<AtomicU64>);

impl Budget for Counting {
    fn reserve(&mut self, bytes: u64) -> Result<()> {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

/// How much larger a push made the catalog, and how much it asked for.
fn grown(bench: &Bench, tell: impl FnOnce(&mut Ingest)) -> (u64, u64) {
    let pages =
        "SELECT (SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count)";
    let before = bench.number(pages);
    let asked = Arc::new(AtomicU64::new(0));
    let options = PushOptions {
        host: "host".into(),
        roots: vec![b"/".to_vec()],
        tags: Vec::new(),
        made: None,
    };
    let mut push = Ingest::begin(&bench.repository, options, Box::new(Counting(asked.clone()))).unwrap();
    let root = push.base().is_none().then(|| Meta::plain(Kind::Folder, 0o755));
    push.enter(b"", root).unwrap();
    tell(&mut push);
    push.leave().unwrap();
    push.commit(0).unwrap();
    (
        (bench.number(pages) - before) as u64 * 4096,
        asked.load(Ordering::Relaxed),
    )
}

/// Rows of each sort.
const COUNT: u64 = 1500;

/// Puts entries with names of so many letters.
fn put(push: &mut Ingest, name: usize, change: &dyn Fn(u64, &mut Meta)) {
    for number in 0..COUNT {
        let mut meta = Meta::plain(Kind::CharDevice, 0o7777);
        change(number, &mut meta);
        let name = format!("{number:0name$}");
        push.put(name.as_bytes(), meta, None, Some(number)).unwrap();
    }
}

/// Puts files that share no frame.
fn files(push: &mut Ingest) {
    for number in 0..COUNT {
        file(push, &format!("{number:05}"), &number.to_le_bytes());
    }
}

fn assert_asked(what: &str, (took, asked): (u64, u64)) {
    assert!(took <= asked, "{what}: {took} taken, {asked} asked for");
}

#[test]
fn rows_take_no_more_than_was_asked_for() {
    let bench = Bench::new();
    assert_asked("names", grown(&bench, |push| put(push, 5, &|_, _| ())));
    let remove = |push: &mut Ingest| (0..COUNT).for_each(|n| push.remove(format!("{n:05}").as_bytes()).unwrap());
    assert_asked("closings", grown(&bench, remove));
    assert_asked("files", grown(&Bench::new(), files));
    let folders = |push: &mut Ingest| {
        for number in 0..COUNT {
            folder(push, &format!("{number:05}"), 0o755);
            push.leave().unwrap();
        }
    };
    assert_asked("folders", grown(&Bench::new(), folders));
    let large = |_, meta: &mut Meta| {
        (meta.mtime, meta.mtime_ns, meta.owner.uid) = (i64::MIN, 999_999_999, u32::MAX);
        meta.rdev = 1 << 62;
    };
    assert_asked("numbers", grown(&Bench::new(), |push| put(push, 5, &large)));
    assert_asked("long names", grown(&Bench::new(), |push| put(push, 255, &|_, _| ())));
    for length in [10, 128, 256] {
        let owners = |number, meta: &mut Meta| meta.owner.user = format!("{number:0length$}");
        assert_asked("owners", grown(&Bench::new(), |push| put(push, 5, &owners)));
    }
}

#[test]
fn long_rows_take_no_more_than_was_asked_for() {
    for length in [100, 900, 1000, 1300, 1990, 2100, 3800, 4000] {
        let targets = |_, meta: &mut Meta| (meta.kind, meta.target) = (Kind::Symlink, vec![b'x'; length]);
        let grown = grown(&Bench::new(), |push| put(push, 255, &targets));
        assert_asked(&format!("targets of {length}"), grown);
    }
    for length in [10, 500, 970, 1000, 2000, 4000, 6000, 20_000] {
        let attributes = |number: u64, meta: &mut Meta| {
            let value = [&number.to_le_bytes()[..], &noise(number as u8, length)].concat();
            meta.xattrs = vec![(b"user.a".to_vec(), value)];
        };
        let grown = grown(&Bench::new(), |push| put(push, 5, &attributes));
        assert_asked(&format!("attributes of {length}"), grown);
    }
    let extents = |number: u64, meta: &mut Meta| {
        meta.kind = Kind::File;
        meta.data = Some((0..100).map(|extent| (number + 2 * extent, 1)).collect());
    };
    assert_asked("extents", grown(&Bench::new(), |push| put(push, 5, &extents)));
}

#[test]
fn what_is_kept_once_is_asked_for_once() {
    let same = |_, meta: &mut Meta| {
        meta.owner.user = "x".repeat(256);
        meta.xattrs = vec![(b"user.a".to_vec(), vec![0; 3000])];
    };
    let (plain, with) = (
        grown(&Bench::new(), |push| put(push, 5, &|_, _| ())).1,
        grown(&Bench::new(), |push| put(push, 5, &same)).1,
    );
    assert!(with < plain + 20_000, "{plain}, {with}");
}

#[test]
fn owners_are_remembered_up_to_a_number() {
    let bench = Bench::new();
    let mut push = bench.begin("host");
    push.enter(b"", Some(Meta::plain(Kind::Folder, 0o755))).unwrap();
    let mut owners = 0;
    for _ in 0..3 {
        for _ in 0..MOST_OWNERS / 2 + 1 {
            let mut meta = Meta::plain(Kind::Fifo, 0o644);
            meta.owner.uid = owners;
            push.put(format!("{owners:05}").as_bytes(), meta, None, None).unwrap();
            owners += 1;
        }
        push.flush().unwrap();
    }
    assert!(push.rows.owners.len() <= MOST_OWNERS, "{}", push.rows.owners.len());
    assert_eq!(bench.number("SELECT count(*) FROM owners"), i64::from(owners));
}
