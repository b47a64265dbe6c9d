//! Large contents that break off.

use super::*;
use crate::Compression;
use crate::testing::{Bench, file, noise};

#[test]
fn a_content_that_breaks_off_is_given_up_and_the_push_goes_on() {
    let bench = Bench::new();
    let (broken, whole) = (noise(1, 5 << 20), noise(2, 2 << 20));
    let begin = |push: &mut Ingest| {
        push.large_begin(None, [1; 16]).unwrap();
        for group in broken.chunks(GROUP as usize) {
            let frame = Frame::encode(group, Compression::Off);
            push.large_op(LargeOp::Frame(frame)).unwrap();
        }
    };
    let taken = bench.push("host", |push| {
        begin(push);
        file(push, "whole", &whole);
        begin(push);
    });
    assert_eq!(taken.bytes, whole.len() as u64);
    assert_eq!(bench.number("SELECT count(*) FROM contents"), 1);
    assert_eq!(bench.number("SELECT sum(bytes) FROM runs"), whole.len() as i64);
    assert_eq!(bench.number("SELECT count(*) FROM partials"), 0);
    assert_eq!(bench.repository.verify(true, &mut |_, _| Ok(())).unwrap().damages, []);
}

#[test]
fn groups_that_were_put_together_are_kept_when_the_push_dies_in_their_midst() {
    let bench = Bench::new();
    let base = noise(1, 5 << 20);
    bench.push("host", |push| file(push, "image", &base));
    // A byte in front: each group is put together of two of the base; a segment and two groups more.
    let told = SEGMENT + 2 * GROUP;
    let begin = |push: &mut Ingest| {
        push.enter(b"", None).unwrap();
        push.large_begin(Some(Hash::of(&base)), [1; 16]).unwrap();
    };
    let mut push = bench.begin("host");
    begin(&mut push);
    push.large_op(LargeOp::Frame(Frame::encode(b"x", Compression::Off)))
        .unwrap();
    push.large_op(LargeOp::Copy { from: 0, length: told }).unwrap();
    drop(push);
    assert_eq!(bench.number("SELECT count(*) FROM partials"), 2);
    let mut image = b"x".to_vec();
    image.extend(&base[..told as usize + 4]);
    let (hash, size) = (Hash::of(&image), image.len() as u64);
    let mut push = bench.begin("host");
    begin(&mut push);
    push.large_op(LargeOp::Kept { groups: told / GROUP }).unwrap();
    push.large_op(LargeOp::Copy {
        from: told - 1,
        length: 5,
    })
    .unwrap();
    push.large_end(hash, size).unwrap();
    let meta = crate::Meta::plain(crate::Kind::File, 0o644);
    push.put(b"image", meta, Some(crate::Body { hash, size }), None)
        .unwrap();
    push.leave().unwrap();
    push.commit(0).unwrap();
    let mut back = vec![0; image.len()];
    bench
        .repository
        .open_hash(&hash)
        .unwrap()
        .read_at(0, &mut back)
        .unwrap();
    assert_eq!(back, image);
    assert_eq!(bench.repository.verify(true, &mut |_, _| Ok(())).unwrap().damages, []);
}

#[test]
fn what_takes_the_place_of_a_group_is_compressed_with_less_work() {
    let line = |i: u32| format!("{} of {} is {}\n", i * i % 977, i % 50, i * 7919 % 65_537);
    let text: Vec<u8> = (0..12_000).flat_map(|i| line(i).into_bytes()).collect();
    let bytes = &text[..GROUP as usize];
    let groups = vec![Group::Put(bytes.to_vec())];
    let settled = Settling::begin(groups, 0, GROUP, Compression::Zstd(3)).end();
    let [Group::New(frame, value)] = &settled[..] else {
        panic!("it is to be stored");
    };
    assert_eq!(frame, &Frame::encode(bytes, Compression::Zstd(1)));
    assert_ne!(frame, &Frame::encode(bytes, Compression::Zstd(3)));
    assert_eq!(value, &group_value(0, bytes));
}
