//! A stolen key against the rules; see [`server`] for the table.

use super::tests::{line, seconds, snapshot};
use super::*;
use crate::SnapshotId;

const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;

/// One snapshot an hour, the last one at `end`.
fn hourly(count: i64, end: i64) -> Vec<Snapshot> {
    every(3600, count, end)
}

fn every(seconds: i64, count: i64, end: i64) -> Vec<Snapshot> {
    (0..count)
        .map(|number| at(number, end - (count - 1 - number) * seconds))
        .collect()
}

fn at(id: i64, time: i64) -> Snapshot {
    Snapshot {
        time,
        ..snapshot(1, id, "2025-01-01T00:00:00")
    }
}

fn theft() -> i64 {
    seconds("2025-06-18T14:30:00")
}

fn kept(verdicts: Vec<Verdict>) -> Vec<SnapshotId> {
    let kept = verdicts.into_iter().filter(|verdict| !verdict.reasons.is_empty());
    let mut ids: Vec<_> = kept.map(|verdict| verdict.snapshot.id).collect();
    ids.sort();
    ids
}

/// Rules in words: `daily=7 interval=1h`.
fn policy(text: &str) -> Policy {
    let mut policy = Policy::default();
    for (rule, value) in text.split(' ').map(|word| word.split_once('=').unwrap()) {
        let number = || value.parse().unwrap();
        match rule {
            "last" => policy.last = number(),
            "hourly" => policy.hourly = number(),
            "daily" => policy.daily = number(),
            "weekly" => policy.weekly = number(),
            "monthly" => policy.monthly = number(),
            "yearly" => policy.yearly = number(),
            "within" => policy.within = Some(value.parse().unwrap()),
            "tag" => policy.tags.push(value.to_owned()),
            "interval" if value == "1d" => policy.interval = Some(86_400),
            "interval" => policy.interval = Some(3600 * value.strip_suffix('h').unwrap().parse::<u32>().unwrap()),
            _ => panic!("{rule}"),
        }
    }
    policy
}

#[test]
fn many_in_a_row_count_as_one_an_interval() {
    let good = hourly(20, theft());
    let flood = (0..1000).map(|number| at(1000 + number, theft() + 1 + number));
    let all: Vec<_> = good.iter().cloned().chain(flood).collect();
    let good_kept = |policy: &Policy| kept(policy.judge(all.clone())).iter().filter(|id| id.0 < 1000).count();
    assert_eq!(good_kept(&policy("last=10")), 0, "without an interval all is lost");
    // 14:30 and the 1000 seconds after it are one hour.
    assert_eq!(good_kept(&policy("last=10 interval=1h")), 9);
}

#[test]
fn an_interval_keeps_the_newest_of_each_whenever_it_is_asked() {
    let snapshots = every(600, 30, theft());
    let policy = policy("last=3 interval=1h");
    let times: Vec<i64> = kept(policy.judge(snapshots.clone()))
        .iter()
        .map(|id| snapshots[id.0 as usize].time)
        .collect();
    let day = theft() - theft().rem_euclid(DAY);
    let minute = |hour: i64, minute: i64| day + hour * 3600 + minute * 60;
    assert_eq!(times, [minute(12, 50), minute(13, 50), minute(14, 30)]);
    // Asked again of what stayed, it wants the same.
    let left: Vec<_> = snapshots
        .into_iter()
        .filter(|snapshot| times.contains(&snapshot.time))
        .collect();
    assert_eq!(kept(policy.judge(left)).len(), 3);
}

#[test]
fn whatever_was_wanted_at_the_theft_is_there_for_the_minimum_age() {
    let policies = [
        "last=5",
        "last=5 interval=1d",
        "hourly=24",
        "daily=7",
        "weekly=4",
        "monthly=3",
        "yearly=2",
        "within=30d",
        "last=2 daily=3 weekly=2 within=2d",
    ];
    let histories = [
        hourly(2000, theft()),
        every(DAY, 400, theft()),
        every(DAY, 400, theft() - 500 * DAY),
        every(5, 300, theft()),
        every(40 * DAY, 30, theft() - 3600),
    ];
    let attacks = [(1, 2000), (3599, 160), (3600, 168), (DAY, 6), (1, 1), (WEEK - 10, 1)];
    for text in policies {
        for history in &histories {
            let wanted = kept(policy(text).judge(history.clone()));
            for (pause, count) in attacks {
                let flood = (0..count).map(|number| at(100_000 + number, theft() + 1 + number * pause));
                let all: Vec<_> = history.iter().cloned().chain(flood).collect();
                let now = theft() + WEEK;
                let left = kept(policy(text).judge_for_server(all, now, WEEK));
                assert!(
                    wanted.iter().all(|id| left.contains(id)),
                    "{text}: {count} every {pause} s"
                );
            }
        }
    }
}

#[test]
fn a_later_newest_of_the_period_does_not_replace_the_good_one_at_once() {
    let good = at(1, theft());
    let his = at(2, theft() + 60);
    let policy = policy("yearly=3");
    assert_eq!(kept(policy.judge(vec![good.clone(), his.clone()])), [SnapshotId(2)]);
    let left = |now| kept(policy.judge_for_server(vec![good.clone(), his.clone()], now, WEEK));
    assert_eq!(left(theft() + 30 * 3600).len(), 2);
    assert_eq!(left(theft() + WEEK + 59).len(), 2);
    assert_eq!(left(theft() + WEEK + 60), [SnapshotId(2)]);
}

#[test]
fn an_idle_repository_keeps_its_newest_history_for_ever() {
    let history = every(DAY, 400, theft());
    for text in ["last=5", "hourly=24 daily=7", "weekly=4 monthly=3", "within=30d"] {
        let judge = |now| kept(policy(text).judge_for_server(history.clone(), now, WEEK));
        let soon = judge(theft() + WEEK);
        assert!(soon.contains(&SnapshotId(399)), "{text}");
        for years in [1, 10, 1000] {
            assert_eq!(judge(theft() + years * 366 * DAY), soon, "{text}");
        }
    }
}

#[test]
fn the_newest_of_a_line_stays_even_if_no_rule_wants_it() {
    let snapshots = line(&["2001-01-01T00:00:00", "2025-01-01T00:00:00"]);
    let verdicts = policy("tag=release").judge_for_server(snapshots, theft(), WEEK);
    let reasons: Vec<_> = verdicts.iter().map(|verdict| verdict.reasons.join(" ")).collect();
    assert_eq!(reasons, ["newest", ""]);
}

#[test]
fn other_lines_push_nothing_out() {
    let good = every(DAY, 10, theft() - 30 * DAY);
    let flood = (0..500).map(|number| snapshot(2 + number, 1000 + number, "2025-06-01T00:00:00"));
    let all: Vec<_> = good.into_iter().chain(flood).collect();
    let left = kept(policy("daily=7").judge_for_server(all, theft(), WEEK));
    assert_eq!(left.iter().filter(|id| id.0 < 1000).count(), 7);
}

#[test]
fn what_the_rules_keep_today_stays_whatever_the_minimum_age() {
    let all: Vec<_> = every(7 * 3600, 500, theft());
    for text in [
        "last=5 interval=1d",
        "hourly=9",
        "daily=7 monthly=2",
        "weekly=4",
        "within=20d",
    ] {
        let today = kept(policy(text).judge(all.clone()));
        for keep_at_least in [-5, 0, 3600, WEEK, 100 * DAY] {
            let left = kept(policy(text).judge_for_server(all.clone(), theft() + 5, keep_at_least));
            assert!(today.iter().all(|id| left.contains(id)), "{text} {keep_at_least}");
        }
        assert_eq!(kept(policy(text).judge_for_server(all.clone(), theft() + 5, 0)), today);
    }
}

#[test]
fn the_young_are_spared_and_the_reason_says_so() {
    let snapshots = vec![
        at(1, theft() - 8 * DAY),
        at(2, theft() - WEEK),
        at(3, theft() - WEEK + 1),
        at(4, theft()),
        at(5, theft() + DAY),
    ];
    let verdicts = super::server::spare_young(policy("last=1").judge(snapshots), theft(), WEEK);
    let reasons: Vec<_> = verdicts.iter().map(|verdict| verdict.reasons.join(" ")).collect();
    assert_eq!(reasons, ["last", "younger than 7d", "younger than 7d", "", ""]);
}
