//! The inner parts, each beside what it can be compared with: `cargo bench -p yore-store`.
//!
//! Times drift on shared machines; read them as ratios inside one run (`blake3` and `memcpy` are there for that).

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use yore_store::delta::{Map, Match, Op, Scanner, Signature, SignatureBuilder, Source, block_len_for, invert};
use yore_store::{
    Compression, ContentId, Frame, GROUP, Hash, Ingest, Kind, Meta, PushOptions, Repository, SnapshotId, StepClock,
    Unlimited,
};

/// Bytes that do not compress, always the same for a seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    let mut bytes = vec![0; length];
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// Bytes that compress about as a program's text does.
fn text(seed: u64, length: usize) -> Vec<u8> {
    let words: Vec<String> = noise(seed, 4096).chunks(4).map(|word| format!("{word:x?} ")).collect();
    let picks = noise(seed + 1, length);
    let picked = picks.iter().flat_map(|pick| words[usize::from(*pick)].bytes());
    picked.take(length).collect()
}

fn signature(base: &[u8]) -> Signature {
    let block = block_len_for(base.len() as u64);
    let mut builder = SignatureBuilder::new(block);
    for (index, bytes) in base.chunks_exact(block as usize).enumerate() {
        builder.block(index as u64 * u64::from(block), bytes);
    }
    builder.finish()
}

fn scan(signature: &Signature, bytes: &[u8]) -> u64 {
    let mut copied = 0;
    let mut scanner = Scanner::new(signature, |op| {
        if let Op::Copy { len, .. } = op {
            copied += len;
        }
        Ok(())
    });
    scanner.push(bytes).unwrap();
    scanner.finish().unwrap();
    copied
}

fn delta_scan(criterion: &mut Criterion) {
    const SIZE: usize = 16 << 20;
    let base = noise(1, SIZE);
    let signature = signature(&base);
    let mut in_front = base.clone();
    in_front.insert(0, 7);
    let mut group = criterion.benchmark_group("delta scan, 16 MiB");
    group.throughput(Throughput::Bytes(SIZE as u64)).sample_size(20);
    for (name, bytes) in [
        ("unchanged", &base),
        ("a byte in front", &in_front),
        ("unrelated", &noise(2, SIZE)),
    ] {
        group.bench_function(name, |bench| bench.iter(|| scan(&signature, black_box(bytes))));
    }
    group.bench_function("blake3, to compare", |bench| bench.iter(|| Hash::of(black_box(&base))));
    group.finish();
}

/// Matches of `count` blocks of 4 KiB, every second of which was moved.
fn matches(count: u64) -> Vec<Match> {
    let block = 4096;
    let of = |at: u64| Match {
        new: at * block,
        old: if at.is_multiple_of(2) { at } else { count - at } * block,
        len: block - 100,
    };
    (0..count).map(of).collect()
}

fn inversion(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inversion");
    for count in [1_000, 100_000] {
        let matches = matches(count);
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::from_parameter(count), |bench| {
            bench.iter(|| invert(black_box(&matches), (count + 1) * 4096));
        });
    }
    group.finish();
}

/// A map of `extents` extents of 64 KiB, each with a literal of its own in front.
fn map(extents: u64, content: i64) -> Map {
    let (unit, literal) = (64 << 10, 512);
    let mut map = Map::new();
    for at in 0..extents {
        map.push(
            literal,
            Source::Literal {
                content: ContentId(content),
                at: at * literal,
            },
        );
        map.push(unit - literal, Source::Base(at * unit + literal));
    }
    map
}

fn composition(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("composition");
    for extents in [1_000, 16_000] {
        let (above, below) = (map(extents, 1), map(extents, 2));
        group.throughput(Throughput::Elements(extents));
        group.bench_function(BenchmarkId::from_parameter(extents), |bench| {
            bench.iter(|| black_box(&above).compose(&below).unwrap());
        });
    }
    group.finish();
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame of 128 KiB");
    group.throughput(Throughput::Bytes(GROUP));
    for (name, bytes) in [("text", text(1, GROUP as usize)), ("noise", noise(3, GROUP as usize))] {
        let frame = Frame::encode(&bytes, Compression::Zstd(3));
        group.bench_function(format!("encode {name}"), |bench| {
            bench.iter(|| Frame::encode(black_box(&bytes), Compression::Zstd(3)));
        });
        group.bench_function(format!("decode {name}"), |bench| {
            bench.iter(|| black_box(&frame).decode().unwrap());
        });
        group.bench_function(format!("blake3 of {name}, to compare"), |bench| {
            bench.iter(|| Hash::of(black_box(&bytes)));
        });
    }
    group.finish();
}

/// A folder with `living` names of which `daily` go and as many come, `days` times; its repository and snapshots.
fn churned(living: u32, daily: u32, days: u32) -> (tempfile::TempDir, Arc<Repository>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r");
    drop(Repository::init(&path, Compression::Zstd(3)).unwrap());
    let clock = Arc::new(StepClock::new(1_700_000_000));
    let repository = Arc::new(Repository::open_with_clock(&path, clock).unwrap());
    let name = |number: u32| format!("{number:09}").into_bytes();
    for day in 0..=days {
        let options = PushOptions {
            host: "host".into(),
            roots: vec![b"/".to_vec()],
            tags: Vec::new(),
            made: None,
        };
        let mut ingest = Ingest::begin(&repository, options, Box::new(Unlimited)).unwrap();
        let root = (day == 0).then(|| Meta::plain(Kind::Folder, 0o755));
        ingest.enter(b"", root).unwrap();
        let (gone, there) = (day * daily, day * daily + living);
        for number in gone.saturating_sub(daily)..gone {
            ingest.remove(&name(number)).unwrap();
        }
        let first_new = if day == 0 { gone } else { there - daily };
        for number in first_new..there {
            ingest
                .put(&name(number), Meta::plain(Kind::File, 0o644), None, None)
                .unwrap();
        }
        ingest.leave().unwrap();
        ingest.commit(0).unwrap();
    }
    (folder, repository)
}

fn listing(criterion: &mut Criterion) {
    const DAYS: u32 = 1000;
    let (_folder, repository) = churned(1000, 300, DAYS);
    let snapshots = repository.snapshots().unwrap();
    let mut group = criterion.benchmark_group("listing of 1,000 names, 300 a day came and went for 1,000 days");
    for (name, at) in [("newest", DAYS), ("in the middle", DAYS / 2), ("oldest", 0)] {
        let snapshot: SnapshotId = snapshots[at as usize].id;
        let root = repository.root(snapshot).unwrap().child.unwrap();
        // Nothing is remembered: each is the first listing of a repository that was just opened.
        let reopen = || Repository::open(repository.path()).unwrap();
        group.bench_function(name, |bench| {
            bench.iter_batched(
                || {
                    let fresh = reopen();
                    fresh.snapshots().unwrap();
                    fresh
                },
                |fresh| assert_eq!(fresh.list(snapshot, root).unwrap().len(), 1000),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(inner, delta_scan, inversion, composition, frames, listing);
criterion_main!(inner);
