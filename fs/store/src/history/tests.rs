use std::ops::ControlFlow;

use super::*;
use crate::testing::{Bench, file, folder, noise};
use crate::{Kind, Meta};

/// Four snapshots of one host and one of another.
///
/// ```text
/// s0  /docs/a=1  /docs/sub/deep=1  /big=A   /gone
/// s1  /docs/a=1  /docs/sub/deep=1  /big=B   ─
/// s2  /docs (touched)  a=1  sub/deep=2      ─      /link, in place of a file that came in s1
/// s3  /docs/a=1  sub/deep=2  /big=B        /gone
/// ```
fn history() -> (Bench, Vec<Snapshot>) {
    let bench = Bench::new();
    let (old, mut new) = (noise(1, 100_000), noise(1, 100_000));
    new[50_000] ^= 1;
    let s0 = bench.push("host", |ingest| {
        file(ingest, "big", &old);
        folder(ingest, "docs", 0o755);
        file(ingest, "a", b"1");
        folder(ingest, "sub", 0o755);
        file(ingest, "deep", b"deep 1");
        ingest.leave().unwrap();
        ingest.leave().unwrap();
        file(ingest, "gone", b"gone");
    });
    let s1 = bench.push("host", |ingest| {
        file(ingest, "big", &new);
        ingest.remove(b"gone").unwrap();
        file(ingest, "link", b"a file for now");
    });
    let s2 = bench.push("host", |ingest| {
        folder(ingest, "docs", 0o700);
        ingest.enter(b"sub", None).unwrap();
        file(ingest, "deep", b"deep 2");
        ingest.leave().unwrap();
        ingest.leave().unwrap();
        let link = Meta {
            target: b"docs".to_vec(),
            ..Meta::plain(Kind::Symlink, 0o777)
        };
        ingest.put(b"link", link, None, None).unwrap();
    });
    let s3 = bench.push("host", |ingest| file(ingest, "gone", b"gone"));
    let other = bench.push("other", |ingest| file(ingest, "gone", b"gone"));
    (bench, vec![s0, s1, s2, s3, other])
}

/// First and last snapshot of each version, as indexes; `None` for alive.
fn lives(snapshots: &[Snapshot], versions: &[Version]) -> Vec<(usize, Option<usize>)> {
    let index = |name: &String| snapshots.iter().position(|snapshot| snapshot.name == *name).unwrap();
    versions
        .iter()
        .map(|version| (index(&version.snapshot.name), version.until.as_ref().map(index)))
        .collect()
}

#[test]
fn versions_follow_a_path_and_say_how_it_is_kept() {
    let (bench, snapshots) = history();
    let versions = |path: &str| bench.repository.versions(path.as_bytes()).unwrap();
    let big = versions("/big");
    assert_eq!(lives(&snapshots, &big), [(0, Some(0)), (1, None)]);
    assert_eq!(big[0].stored_as, StoredAs::Delta { base_depth: 0 });
    assert_eq!(big[1].stored_as, StoredAs::Packed);
    // The touched folder above it makes no version.
    assert_eq!(lives(&snapshots, &versions("/docs/a")), [(0, None)]);
    assert_eq!(
        lives(&snapshots, &versions("/docs/sub/deep")),
        [(0, Some(1)), (2, None)]
    );
    assert_eq!(
        lives(&snapshots, &versions("/gone")),
        [(0, Some(0)), (3, None), (4, None)]
    );
    assert_eq!(lives(&snapshots, &versions("/link")), [(1, Some(1)), (2, None)]);
    assert_eq!(versions("/link")[1].stored_as, StoredAs::Nothing);
    assert_eq!(lives(&snapshots, &versions("/")), [(0, None), (4, None)]);
    assert!(versions("/docs/a/b").is_empty() && versions("/nothing").is_empty());
}

#[test]
fn versions_agree_with_a_look_into_every_snapshot() {
    let (bench, snapshots) = history();
    for path in ["/big", "/docs", "/docs/a", "/docs/sub/deep", "/gone", "/link", "/none"] {
        let mut looked_up = Vec::new();
        for snapshot in &snapshots {
            if let Ok(entry) = bench.repository.lookup(snapshot, path.as_bytes()) {
                looked_up.push(entry.id);
            }
        }
        looked_up.dedup();
        let versions = bench.repository.versions(path.as_bytes()).unwrap();
        assert_eq!(
            versions.iter().map(|version| version.entry.id).collect::<Vec<_>>(),
            looked_up,
            "{path}"
        );
    }
}

#[test]
fn find_tells_every_entry_once_with_its_life() {
    let (bench, snapshots) = history();
    let mut pending = bench.begin("host");
    pending.enter(b"", None).unwrap();
    file(&mut pending, "deep", b"not yet committed");
    // A large content writes the rows that wait before it begins.
    pending.large_begin(None, [0; 16]).unwrap();
    let find = |name: &'static [u8]| {
        let mut all = Vec::new();
        let mut found = |found: Found| {
            all.push((String::from_utf8(found.path).unwrap(), found.first, found.last));
            ControlFlow::Continue(())
        };
        Repository::find(&bench.repository, &|given, _| given == name, &mut found).unwrap();
        all
    };
    let mut first = None;
    let mut one = |found: Found| go_on(&mut Ok(()), Err(first.replace(found.path).is_some()));
    Repository::find(&bench.repository, &|_, _| true, &mut one).unwrap();
    assert_eq!(first.as_deref(), Some(&b"/"[..]), "it breaks off when it is told to");
    let name = |index: usize| snapshots[index].name.clone();
    let deep = || "/docs/sub/deep".to_owned();
    assert_eq!(find(b"deep"), [(deep(), name(0), name(1)), (deep(), name(2), name(3))]);
    assert_eq!(
        find(b""),
        [("/".to_owned(), name(0), name(3)), ("/".to_owned(), name(4), name(4))]
    );
    assert_eq!(find(b"gone").len(), 3);
}

fn diff(bench: &Bench, a: &Snapshot, b: &Snapshot) -> Vec<String> {
    let mut all = Vec::new();
    let mut change = |path: &[u8], change: Change| {
        let sign = match change {
            Change::Added(_) => '+',
            Change::Removed(_) => '-',
            Change::Modified(..) => 'M',
            Change::Meta(..) => 'U',
        };
        all.push(format!("{sign}{}", String::from_utf8_lossy(path)));
        ControlFlow::Continue(())
    };
    bench.repository.diff(a, b, &mut change).unwrap();
    all
}

#[test]
fn diff_tells_what_changed_in_order() {
    let (bench, s) = history();
    assert_eq!(diff(&bench, &s[0], &s[1]), ["M/big", "-/gone", "+/link"]);
    assert_eq!(
        diff(&bench, &s[1], &s[2]),
        ["U/docs", "M/docs/sub/deep", "-/link", "+/link"]
    );
    assert_eq!(
        diff(&bench, &s[0], &s[3]),
        ["M/big", "U/docs", "M/docs/sub/deep", "+/link"]
    );
    assert_eq!(
        diff(&bench, &s[3], &s[0]),
        ["M/big", "U/docs", "M/docs/sub/deep", "-/link"]
    );
    assert!(diff(&bench, &s[2], &s[2]).is_empty());
    // Another line: everything is compared, and the same bytes are no difference.
    let removed = ["-/big", "-/docs", "-/docs/a", "-/docs/sub", "-/docs/sub/deep", "-/link"];
    assert_eq!(diff(&bench, &s[3], &s[4]), removed);
}

#[test]
fn diff_tells_paths_on_the_way_down_and_up_again() {
    let bench = Bench::new();
    let (pipe, mode) = (Meta::plain(Kind::Fifo, 0o644), 0o755);
    let a = bench.push("host", |push| {
        folder(push, "a", mode);
        folder(push, "b", mode);
        file(push, "c", b"1");
        push.leave().unwrap();
        file(push, "d", b"1");
        push.leave().unwrap();
        file(push, "e", b"1");
    });
    let b = bench.push("host", |push| {
        push.enter(b"a", None).unwrap();
        push.put(b"b", pipe.clone(), None, None).unwrap();
        folder(push, "c", mode);
        push.leave().unwrap();
        folder(push, "d", mode);
        file(push, "f", b"1");
        push.leave().unwrap();
        push.leave().unwrap();
        push.put(b"e", pipe, None, None).unwrap();
    });
    let there = [
        "-/a/b", "-/a/b/c", "+/a/b", "+/a/c", "-/a/d", "+/a/d", "+/a/d/f", "-/e", "+/e",
    ];
    assert_eq!(diff(&bench, &a, &b), there);
    let back = [
        "-/a/b", "+/a/b", "+/a/b/c", "-/a/c", "-/a/d", "-/a/d/f", "+/a/d", "-/e", "+/e",
    ];
    assert_eq!(diff(&bench, &b, &a), back);
}

#[test]
fn diff_looks_below_unchanged_folders_and_only_where_something_changed() {
    let bench = Bench::new();
    let tree = |ingest: &mut crate::Ingest, text: &[u8]| {
        for name in ["x", "y"] {
            folder(ingest, name, 0o755);
            folder(ingest, "in", 0o755);
            file(ingest, "f", if name == "x" { text } else { b"same" });
            ingest.leave().unwrap();
            ingest.leave().unwrap();
        }
    };
    let a = bench.push("host", |ingest| tree(ingest, b"1"));
    let b = bench.push("host", |ingest| tree(ingest, b"2"));
    assert_eq!(diff(&bench, &a, &b), ["M/x/in/f"]);
    assert_eq!(bench.repository.touched(a.id, b.id).unwrap().len(), 3, "/, x and in");
}

#[test]
fn rows_tell_names_that_only_became_others_of_one_file() {
    let bench = Bench::new();
    let body = crate::Body {
        hash: crate::Hash::of(b"bytes"),
        size: 5,
    };
    let meta = || Meta::plain(Kind::File, 0o644);
    let first = bench.push("host", |push| file(push, "a", b"bytes"));
    let second = bench.push("host", |push| {
        push.put(b"a", meta(), Some(body), Some(1)).unwrap();
        push.put(b"b", meta(), Some(body), Some(1)).unwrap();
    });
    assert_eq!(diff(&bench, &first, &second), ["+/b"]);
    let mut rows = Vec::new();
    let mut row = |path: &[u8], change: Change| {
        let is_new = matches!(change, Change::Added(_));
        rows.push((String::from_utf8_lossy(path).into_owned(), is_new));
        ControlFlow::Continue(())
    };
    bench.repository.rows(&first, &second, &mut row).unwrap();
    assert_eq!(rows, [("/a".to_owned(), false), ("/b".to_owned(), true)]);
}
