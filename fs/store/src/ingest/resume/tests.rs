//! What a dead push leaves, and what the next one makes of it.

use crate::testing::{Bench, file, noise};
use crate::{Body, Compression, Error, Frame, GROUP, Hash, Ingest, Kind, LargeOp, Meta, SEGMENT};

fn body(bytes: &[u8]) -> Body {
    Body {
        hash: Hash::of(bytes),
        size: bytes.len() as u64,
    }
}

/// Two segments, and one that differs in its last bytes.
fn versions() -> (Vec<u8>, Vec<u8>) {
    let old = noise(1, 2 * SEGMENT as usize);
    let mut new = old.clone();
    new[SEGMENT as usize..].copy_from_slice(&noise(2, SEGMENT as usize));
    (old, new)
}

/// Sends `new` against `old`, of which it shares the first segment.
fn send_sharing(ingest: &mut Ingest, old: &[u8], new: &[u8]) {
    ingest.large_begin(Some(Hash::of(old)), [7; 16]).unwrap();
    let groups = SEGMENT / GROUP;
    ingest.large_op(LargeOp::Same { groups }).unwrap();
    for group in new[SEGMENT as usize..].chunks(GROUP as usize) {
        let frame = Frame::encode(group, Compression::Zstd(1));
        ingest.large_op(LargeOp::Frame(frame)).unwrap();
    }
    ingest.large_end(Hash::of(new), new.len() as u64).unwrap();
}

fn read(bench: &Bench, bytes: &[u8]) -> crate::Result<Vec<u8>> {
    let mut found = vec![0; bytes.len()];
    let reader = bench.reopened().open_hash(&Hash::of(bytes))?;
    reader.read_at(0, &mut found)?;
    Ok(found)
}

#[test]
fn a_damaged_segment_that_a_dead_push_shares_stays_that_of_the_committed_content() {
    let (bench, (old, new)) = (Bench::new(), versions());
    bench.push("host", |push| file(push, "file", &old));
    let first = bench.number("SELECT run FROM parts WHERE segment = 0");
    let mut dying = bench.begin("host");
    dying.enter(b"", None).unwrap();
    send_sharing(&mut dying, &old, &new);
    drop(dying);

    let number = bench.number(&format!("SELECT file FROM runs WHERE id = {first}"));
    let path = crate::layout::stored_file(
        bench.repository.path(),
        crate::layout::FileKind::Head,
        crate::FileId(number),
    );
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[1000] ^= 1;
    std::fs::write(&path, bad).unwrap();
    let mut next = bench.begin("host");
    next.enter(b"", None).unwrap();
    let put = next.put(b"file", Meta::plain(Kind::File, 0o644), Some(body(&new)), None);
    assert!(matches!(put, Err(Error::Again(_))), "{put:?}");
    drop(next);
    std::fs::write(&path, good).unwrap();
    assert!(read(&bench, &old).unwrap() == old);
}

#[test]
fn contents_of_any_size_are_kept_of_a_dead_push() {
    let bench = Bench::new();
    let sent: Vec<Vec<u8>> = [100, 50_000, 200_000, 5 << 20].map(|size| noise(3, size)).into();
    let mut dying = bench.begin("host");
    dying.enter(b"", Some(Meta::plain(Kind::Folder, 0o755))).unwrap();
    for (number, bytes) in sent.iter().enumerate() {
        file(&mut dying, &number.to_string(), bytes);
    }
    drop(dying);
    let next = bench.begin("host");
    let mut kept = Vec::new();
    next.kept(&mut |hash| {
        kept.push(hash);
        Ok(())
    })
    .unwrap();
    kept.sort_unstable_by_key(|hash| hash.0);
    let mut wanted: Vec<Hash> = sent.iter().map(|bytes| Hash::of(bytes)).collect();
    wanted.sort_unstable_by_key(|hash| hash.0);
    assert_eq!(kept, wanted);
}

#[test]
fn rows_of_a_dead_push_that_have_changed_are_dropped_and_stop_nobody() {
    let change = [
        "UPDATE contents SET size = size + 1 WHERE push IS NOT NULL",
        "UPDATE runs SET offset = offset + 1 WHERE file IN (SELECT id FROM files WHERE push IS NOT NULL)",
        "UPDATE parts SET sum = sum + 1 WHERE content IN (SELECT id FROM contents WHERE push IS NOT NULL)",
    ];
    for statement in change {
        let (bench, (old, new)) = (Bench::new(), versions());
        bench.push("host", |push| file(push, "file", &old));
        let mut dying = bench.begin("host");
        dying.enter(b"", None).unwrap();
        send_sharing(&mut dying, &old, &new);
        drop(dying);
        assert!(bench.sql(statement) > 0, "{statement}");
        bench.push("host", |push| file(push, "file", &new));
        assert!(read(&bench, &old).unwrap() == old && read(&bench, &new).unwrap() == new);
    }
}

#[test]
fn a_segment_shared_with_a_forgotten_content_goes_with_the_dead_push() {
    let (bench, (old, new)) = (Bench::new(), versions());
    let first = bench.push("host", |push| file(push, "file", &old));
    let mut dying = bench.begin("other");
    dying.enter(b"", Some(Meta::plain(Kind::Folder, 0o755))).unwrap();
    send_sharing(&mut dying, &old, &new);
    drop(dying);
    bench.push("host", |push| push.remove(b"file").unwrap());
    bench.repository.forget(&[first.id]).unwrap();
    assert_eq!(
        bench.number("SELECT count(*) FROM runs"),
        2,
        "the shared one and the new one"
    );
    bench.repository.sweep_all().unwrap();
    for table in ["runs", "parts", "contents", "files", "pushes"] {
        assert_eq!(bench.number(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
}

#[test]
fn a_push_that_is_being_swept_is_finished_before_the_next_one_of_its_line() {
    let bench = Bench::new();
    bench.push("host", |push| file(push, "kept", b"kept"));
    let mut dying = bench.begin("host");
    dying.enter(b"", None).unwrap();
    file(&mut dying, "ghost", b"ghost");
    dying.put_away().unwrap();
    drop(dying);
    assert_eq!(
        bench.number("SELECT count(*) FROM entries WHERE name = CAST('ghost' AS BLOB)"),
        1
    );
    // As a sweep leaves it that was killed after its first step.
    bench.sql("UPDATE pushes SET time = 0");
    let snapshot = bench.push("host", |push| file(push, "new", b"new"));
    let root = bench.repository.root(snapshot.id).unwrap().child.unwrap();
    let listing = bench.repository.list(snapshot.id, root).unwrap();
    let names: Vec<_> = listing
        .iter()
        .map(|entry| String::from_utf8_lossy(&entry.name).into_owned())
        .collect();
    assert_eq!(names, ["kept", "new"]);
}
