//! Tables of dates, and what a policy keeps of them.

use super::*;
use crate::{FolderId, SnapshotId};

pub(super) fn seconds(text: &str) -> i64 {
    let moment: civil::DateTime = text.parse().unwrap();
    TimeZone::UTC.to_timestamp(moment).unwrap().as_second()
}

pub(super) fn snapshot(line: i64, id: i64, text: &str) -> Snapshot {
    Snapshot {
        id: SnapshotId(id),
        line: LineId(line),
        name: text.to_owned(),
        time: seconds(text),
        host: "host".into(),
        tags: Vec::new(),
        roots: Vec::new(),
        root: FolderId(1),
        files: 0,
        folders: 0,
        others: 0,
        bytes: 0,
        new_bytes: 0,
        unread: 0,
        check: 0,
    }
}

pub(super) fn line(times: &[&str]) -> Vec<Snapshot> {
    times
        .iter()
        .enumerate()
        .map(|(id, time)| snapshot(1, id as i64, time))
        .collect()
}

/// The names that are kept, newest first.
fn kept(policy: &Policy, snapshots: Vec<Snapshot>) -> Vec<String> {
    let verdicts = policy.judge(snapshots).into_iter();
    verdicts
        .filter(|verdict| !verdict.reasons.is_empty())
        .map(|verdict| verdict.snapshot.name)
        .collect()
}

#[test]
fn each_rule_keeps_the_newest_of_the_latest_periods_that_have_one() {
    let rule = |set: fn(&mut Policy)| {
        let mut policy = Policy::default();
        set(&mut policy);
        policy
    };
    let times = [
        "2024-12-29T23:59:59", // Sunday of 2024-W52
        "2024-12-30T00:00:00", // Monday of 2025-W01
        "2024-12-31T23:59:59",
        "2025-01-01T00:00:00", // still 2025-W01
        "2025-01-05T10:00:00", // its Sunday
        "2025-01-06T10:10:00", // Monday of 2025-W02
        "2025-01-06T10:50:00",
        "2025-03-01T00:00:00", // after a gap
    ];
    let table: [(Policy, &[usize]); 8] = [
        (rule(|policy| policy.last = 2), &[7, 6]),
        (rule(|policy| policy.last = 99), &[7, 6, 5, 4, 3, 2, 1, 0]),
        (rule(|policy| policy.hourly = 3), &[7, 6, 4]),
        (rule(|policy| policy.daily = 4), &[7, 6, 4, 3]),
        (rule(|policy| policy.weekly = 4), &[7, 6, 4, 0]),
        (rule(|policy| policy.monthly = 2), &[7, 6]),
        (rule(|policy| policy.monthly = 9), &[7, 6, 2]),
        (rule(|policy| policy.yearly = 9), &[7, 2]),
    ];
    for (policy, expected) in table {
        let expected: Vec<_> = expected.iter().map(|&index| times[index]).collect();
        assert_eq!(kept(&policy, line(&times)), expected, "{policy:?}");
    }
}

#[test]
fn weeks_cross_the_end_of_a_year_as_iso_says() {
    // 2020 has 53 weeks: W53 runs from 2020-12-28 to 2021-01-03.
    for (a, b, same) in [
        ("2020-12-27T23:59:59", "2020-12-28T00:00:00", false),
        ("2020-12-28T00:00:00", "2021-01-03T23:59:59", true),
        ("2021-01-03T23:59:59", "2021-01-04T00:00:00", false),
        ("2018-12-31T00:00:00", "2019-01-01T00:00:00", true),
        ("1969-12-28T23:59:59", "1969-12-29T00:00:00", false),
        ("1969-12-31T23:00:00", "1970-01-04T00:00:00", true),
    ] {
        assert_eq!(week(seconds(a)) == week(seconds(b)), same, "{a} {b}");
        assert_eq!(
            date(seconds(a)).iso_week_date().week() == date(seconds(b)).iso_week_date().week(),
            same
        );
    }
}

#[test]
fn rules_are_independent_and_say_why() {
    let policy = Policy {
        last: 1,
        daily: 2,
        ..Policy::default()
    };
    let verdicts = policy.judge(line(&[
        "2025-01-01T10:00:00",
        "2025-01-02T10:00:00",
        "2025-01-02T11:00:00",
    ]));
    let reasons: Vec<_> = verdicts.iter().map(|verdict| verdict.reasons.join(" ")).collect();
    assert_eq!(reasons, ["last daily", "", "daily"]);
}

#[test]
fn an_unused_number_does_not_keep_the_oldest() {
    let policy = Policy {
        daily: 9,
        ..Policy::default()
    };
    assert_eq!(
        kept(&policy, line(&["2025-01-01T10:00:00", "2025-01-01T11:00:00"])),
        ["2025-01-01T11:00:00"]
    );
}

#[test]
fn lines_are_judged_apart() {
    let policy = Policy {
        last: 1,
        ..Policy::default()
    };
    let snapshots = vec![
        snapshot(1, 1, "2025-01-01T00:00:00"),
        snapshot(2, 2, "2025-01-02T00:00:00"),
        snapshot(1, 3, "2025-01-03T00:00:00"),
    ];
    assert_eq!(kept(&policy, snapshots), ["2025-01-03T00:00:00", "2025-01-02T00:00:00"]);
}

#[test]
fn within_goes_back_from_the_newest_by_the_calendar() {
    let times = [
        "2024-01-31T12:00:00",
        "2024-02-29T12:00:00",
        "2024-02-29T12:00:01",
        "2024-03-31T12:00:00",
    ];
    for (within, expected) in [
        ("1m", 2),
        ("1m1h", 3),
        ("31d", 2),
        ("32d", 3),
        ("2m", 3),
        ("2m1h", 4),
        ("9999y", 4),
        ("1h", 1),
    ] {
        let policy = Policy {
            within: Some(within.parse().unwrap()),
            ..Policy::default()
        };
        assert_eq!(kept(&policy, line(&times)).len(), expected, "{within}");
    }
}

#[test]
fn tags_keep_whatever_the_age() {
    let mut snapshots = line(&["2001-01-01T00:00:00", "2025-01-01T00:00:00"]);
    snapshots[0].tags = vec!["release".into()];
    let policy = Policy {
        tags: vec!["release".into()],
        ..Policy::default()
    };
    assert_eq!(kept(&policy, snapshots), ["2001-01-01T00:00:00"]);
}

#[test]
fn an_empty_policy_keeps_everything() {
    assert!(Policy::default().is_empty());
    assert_eq!(
        kept(
            &Policy::default(),
            line(&["2001-01-01T00:00:00", "2001-01-01T00:00:00"])
        )
        .len(),
        2
    );
}

#[test]
fn lengths_are_read_and_nonsense_is_not() {
    let within = |years, months, days, hours| {
        Ok(Within {
            years,
            months,
            days,
            hours,
        })
    };
    for (text, expected) in [
        ("30d", within(0, 0, 30, 0)),
        ("2w", within(0, 0, 14, 0)),
        ("6m", within(0, 6, 0, 0)),
        ("1y5m7d2h", within(1, 5, 7, 2)),
        ("1w1d", within(0, 0, 8, 0)),
    ] {
        assert_eq!(text.parse(), expected, "{text}");
    }
    for bad in [
        "",
        "0d",
        "d",
        "3",
        "3x",
        "1d1d",
        "-1d",
        "1.5d",
        "99999999999d",
        "4294967295w",
        "1ü",
    ] {
        assert!(bad.parse::<Within>().is_err(), "{bad}");
    }
    assert_eq!("2h1y3w".parse::<Within>().unwrap().to_string(), "1y21d2h");
}
