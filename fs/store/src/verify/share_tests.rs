//! Rounds of shares: everything is read once, and damage is found once.

use std::cell::Cell;

use super::tests::{file_of_run, flip, history, reached};
use super::*;
use crate::testing::{Bench, file, folder, noise};

/// Shares of a round, from its beginning to its end.
fn round(bench: &Bench, bytes: u64) -> Vec<VerifiedShare> {
    let (mut shares, mut after) = (Vec::new(), Some(Repository::ROUND));
    while let Some(from) = after {
        let share = share(bench, from, bytes);
        assert!(share.next.is_none_or(|next| next > from), "every share goes on");
        after = share.next;
        shares.push(share);
    }
    shares
}

fn share(bench: &Bench, after: ContentId, bytes: u64) -> VerifiedShare {
    let mut last = (0, 0);
    let share = bench
        .reopened()
        .verify_from(after, bytes, &|| false, &mut |done, total| {
            last = (done, total);
            Ok(())
        })
        .unwrap();
    assert_eq!(last.0, last.1, "progress ends at its end");
    share
}

/// A history of many small and some large contents.
fn many() -> Bench {
    let (bench, _) = history();
    bench.push("other", |ingest| {
        for number in 0..40 {
            file(
                ingest,
                &format!("f{number:02}"),
                &noise(number, 1000 + usize::from(number)),
            );
        }
    });
    bench
}

#[test]
fn a_round_of_small_shares_reads_every_content_once() {
    let bench = many();
    let contents = bench.number("SELECT count(*) FROM contents") as u64;
    let total = bench.repository.bytes_to_verify(Repository::ROUND).unwrap();
    assert_eq!(total as i64, bench.number("SELECT sum(size) FROM contents"));
    for bytes in [1, 5000, 300_000, 1 << 40] {
        let shares = round(&bench, bytes);
        let sum = |of: fn(&Verified) -> u64| shares.iter().map(|share| of(&share.verified)).sum::<u64>();
        assert_eq!(sum(|verified| verified.contents), contents, "shares of {bytes}");
        assert_eq!(sum(|verified| verified.bytes), total, "shares of {bytes}");
        assert_eq!(sum(|verified| verified.damages.len() as u64), 0);
        // The catalog is checked when the round begins.
        assert_eq!(shares[0].verified.snapshots, 4);
        assert!(shares[1..].iter().all(|share| share.verified.snapshots == 0));
        for share in &shares[..shares.len() - 1] {
            assert!(share.verified.bytes >= bytes, "a share is as large as it may be");
        }
    }
}

#[test]
fn a_round_takes_no_more_shares_than_it_was_divided_into() {
    let bench = many();
    let total = bench.repository.bytes_to_verify(Repository::ROUND).unwrap();
    for nights in [1, 2, 3, 7] {
        assert!(round(&bench, total.div_ceil(nights)).len() as u64 <= nights);
    }
}

#[test]
fn flipped_bytes_are_found_exactly_once_a_round() {
    let (bench, names) = history();
    let run = bench.number("SELECT c.run FROM contents c WHERE c.size = 12");
    let (path, offset) = file_of_run(&bench, run);
    flip(&path, offset + 5);
    for bytes in [1, 100_000, 1 << 40] {
        let shares = round(&bench, bytes);
        let hit: Vec<_> = shares
            .iter()
            .filter(|share| !share.verified.damages.is_empty())
            .collect();
        assert_eq!(hit.len(), 1, "shares of {bytes}");
        assert_eq!(hit[0].verified.damages.len(), 1);
        assert_eq!(reached(&hit[0].verified, &names), ["/small@0", "/small@1", "/small@2"]);
    }
}

#[test]
fn a_missing_file_is_told_with_what_it_reaches_when_the_round_begins() {
    let (bench, names) = history();
    let run = bench.number("SELECT run FROM parts WHERE segment = 1");
    std::fs::remove_file(file_of_run(&bench, run).0).unwrap();
    let first = share(&bench, Repository::ROUND, 1);
    assert_eq!(
        reached(&first.verified, &names),
        ["/d/large@0", "/d/large@1", "/d/large@2"]
    );
    // The file and the content; in one share the content is not reported twice.
    assert_eq!(first.verified.damages.len(), 2);
    let whole = share(&bench, Repository::ROUND, u64::MAX);
    assert_eq!(whole.verified.damages, first.verified.damages);
    assert_eq!(whole.next, None);
}

#[test]
fn a_file_that_goes_missing_during_the_round_is_found_by_the_cursor() {
    let bench = many();
    let first = share(&bench, Repository::ROUND, 1);
    let next = first.next.unwrap();
    let run = bench.number("SELECT run FROM contents WHERE size = 1039");
    std::fs::remove_file(file_of_run(&bench, run).0).unwrap();
    let rest = share(&bench, next, u64::MAX);
    assert!(rest.verified.damages.len() >= 40, "{:?}", rest.verified.damages);
}

#[test]
fn what_comes_meanwhile_is_read_in_this_round_or_the_next() {
    let (bench, _) = history();
    // A push that has numbers already and commits when the cursor has passed them.
    let mut slow = bench.begin("slow");
    let root = crate::Meta::plain(crate::Kind::Folder, 0o755);
    slow.enter(b"", Some(root)).unwrap();
    file(&mut slow, "early", &noise(20, 3000));
    for number in 0..40 {
        // Enough of them for their rows to be written.
        file(&mut slow, &format!("f{number:02}"), &noise(30 + number, 130_000));
    }
    let quick = bench.push("quick", |ingest| {
        folder(ingest, "d", 0o755);
        file(ingest, "quick", &noise(21, 4000));
        ingest.leave().unwrap();
    });
    let first = share(&bench, Repository::ROUND, 1);
    let (mut after, mut read) = (first.next, first.verified.contents);
    assert!(after.is_some());
    bench.push("late", |ingest| file(ingest, "late", &noise(22, 5000)));
    while let Some(from) = after {
        let share = share(&bench, from, 1);
        read += share.verified.contents;
        after = share.next;
    }
    assert_eq!(
        read,
        5 + 2,
        "what was there, {} and what was pushed meanwhile",
        quick.name
    );
    slow.leave().unwrap();
    slow.commit(0).unwrap();
    let next: u64 = round(&bench, 1).iter().map(|share| share.verified.contents).sum();
    assert_eq!(next as i64, bench.number("SELECT count(*) FROM contents"));
    assert_eq!(next, read + 41);
}

#[test]
fn contents_that_go_meanwhile_are_no_damage() {
    let (bench, _) = history();
    let first = share(&bench, Repository::ROUND, 1);
    let snapshots = bench.repository.snapshots().unwrap();
    bench.repository.forget(&[snapshots[0].id, snapshots[1].id]).unwrap();
    let rest = share(&bench, first.next.unwrap(), u64::MAX);
    assert_eq!((rest.verified.damages, rest.next), (Vec::new(), None));
}

#[test]
fn it_stops_between_contents_and_says_where() {
    let bench = many();
    let left = Cell::new(4);
    // Asked once before anything is read, then before each content.
    let stop = || {
        left.set(left.get() - 1);
        left.get() < 0
    };
    let share = bench
        .repository
        .verify_from(Repository::ROUND, u64::MAX, &stop, &mut |_, _| Ok(()))
        .unwrap();
    assert_eq!(share.verified.contents, 3);
    let third = bench.number("SELECT id FROM contents ORDER BY id LIMIT 1 OFFSET 2");
    assert_eq!(share.next, Some(ContentId(third)));
    let stopped = bench
        .repository
        .verify_from(Repository::ROUND, u64::MAX, &|| true, &mut |_, _| Ok(()))
        .unwrap();
    assert_eq!(stopped.next, Some(Repository::ROUND));
    assert_eq!(stopped.verified, Verified::default());
}

#[test]
fn a_round_over_nothing_is_complete() {
    let share = share(&Bench::new(), Repository::ROUND, 100);
    assert_eq!(share, VerifiedShare::default());
}
