//! Retention: which snapshots stay.
//!
//! Pure: snapshots in, verdicts out. Nothing is forgotten here.
//!
//! A policy judges each line by itself. Its rules are independent of each other, and a
//! snapshot stays if any of them wants it, as with `restic forget` and `borg prune`:
//!
//! ```text
//! daily 3     Mon 09  Mon 21  Tue 21  Wed 02  Wed 21  Thu 21   (newest on the right)
//!                     ·       keep            keep    keep     the newest of each of the 3 latest
//!                                                              days that have one
//! ```
//!
//! Days without a snapshot do not count, so history does not melt while a machine is off.
//! Periods are those of UTC, as the snapshots' names are; weeks are ISO 8601's, from Monday.
//!
//! `yore prune` asks [`Policy::judge`]; a server that prunes by itself asks [`Policy::judge_for_server`],
//! which trusts young snapshots less.

mod server;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use jiff::{Span, Timestamp, civil, tz::TimeZone};

use crate::{LineId, Snapshot};

/// What to keep. As text it is `last=3 daily=7 within=30d tag=release interval=1h`. A number of 0 and an empty option mean that there is no such rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// This many of the newest.
    pub last: u32,
    /// The newest of each of this many hours.
    pub hourly: u32,
    /// The newest of each of this many days.
    pub daily: u32,
    /// The newest of each of this many weeks.
    pub weekly: u32,
    /// The newest of each of this many months.
    pub monthly: u32,
    /// The newest of each of this many years.
    pub yearly: u32,
    /// All that are younger than this, counted back from the newest of the line: a machine that
    /// was off for a year keeps what it had.
    pub within: Option<Within>,
    /// All that have one of these tags.
    pub tags: Vec<String>,
    /// Seconds. With it `last` counts, and keeps, only the newest snapshot of each such stretch of
    /// the clock, so that many in a row count as one. It keeps nothing by itself.
    pub interval: Option<u32>,
}

/// What a policy says of one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The rules that want it: `daily`, `within 30d`, `tag release`. Empty: it goes.
    pub reasons: Vec<String>,
}

/// A length of time in units of the calendar, because a month is not a number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// Years.
    pub years: u32,
    /// Months.
    pub months: u32,
    /// Days; a week is seven.
    pub days: u32,
    /// Hours.
    pub hours: u32,
}

/// How time is divided for a rule.
#[derive(Clone, Copy)]
enum Period {
    /// Every snapshot is a period of its own.
    Each,
    /// Stretches of this many seconds, counted from 1970.
    Seconds(i64),
    /// Gives a number that differs from period to period.
    Calendar(fn(i64) -> i64),
}

const SECONDS_AN_HOUR: i64 = 3600;

const SECONDS_A_DAY: i64 = 86_400;

impl Policy {
    /// Whether no rule is set. Such a policy keeps everything.
    pub fn is_empty(&self) -> bool {
        let rules = Policy {
            interval: None,
            ..self.clone()
        };
        rules == Policy::default()
    }

    /// Judges snapshots, each line by itself; gives all of them, newest first.
    ///
    /// A rule whose number is not used up does not keep the oldest snapshot besides (borg since
    /// 1.2 and restic since 0.16 do, restic did not before): what a rule keeps depends on the
    /// periods alone, and does not change when an older snapshot comes or goes.
    pub fn judge(&self, mut snapshots: Vec<Snapshot>) -> Vec<Verdict> {
        snapshots.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.time, snapshot.id)));
        let mut lines: HashMap<LineId, Judge> = HashMap::new();
        let judged = snapshots.into_iter().map(|snapshot| {
            let judge = lines
                .entry(snapshot.line)
                .or_insert_with(|| Judge::new(self, snapshot.time));
            let reasons = judge.reasons(self, &snapshot);
            Verdict { snapshot, reasons }
        });
        judged.collect()
    }
}

/// Goes through one line from its newest snapshot to its oldest.
struct Judge {
    rules: Vec<Rule>,
    /// Snapshots after this second are within.
    since: Option<i64>,
}

/// A rule with a number.
struct Rule {
    name: &'static str,
    left: u32,
    period: Period,
    latest: Option<i64>,
}

impl Judge {
    fn new(policy: &Policy, newest: i64) -> Self {
        let each = policy
            .interval
            .map_or(Period::Each, |seconds| Period::Seconds(i64::from(seconds.max(1))));
        let rules: [(&'static str, u32, Period); 6] = [
            ("last", policy.last, each),
            ("hourly", policy.hourly, Period::Seconds(SECONDS_AN_HOUR)),
            ("daily", policy.daily, Period::Seconds(SECONDS_A_DAY)),
            ("weekly", policy.weekly, Period::Calendar(week)),
            ("monthly", policy.monthly, Period::Calendar(month)),
            ("yearly", policy.yearly, Period::Calendar(year)),
        ];
        let rules = rules
            .into_iter()
            .map(|(name, left, period)| Rule {
                name,
                left,
                period,
                latest: None,
            })
            .collect();
        Judge {
            rules,
            since: policy.within.map(|within| within.before(newest)),
        }
    }

    fn reasons(&mut self, policy: &Policy, snapshot: &Snapshot) -> Vec<String> {
        if policy.is_empty() {
            return vec!["no rule is set".into()];
        }
        let counted = self
            .rules
            .iter_mut()
            .filter_map(|rule| rule.wants(snapshot.time).then(|| rule.name.to_owned()));
        let mut reasons: Vec<String> = counted.collect();
        if let (Some(since), Some(within)) = (self.since, policy.within)
            && snapshot.time > since
        {
            reasons.push(format!("within {within}"));
        }
        let tags = policy.tags.iter().filter(|tag| snapshot.tags.contains(tag));
        reasons.extend(tags.map(|tag| format!("tag {tag}")));
        reasons
    }
}

impl Rule {
    /// Whether the rule wants a snapshot of this time; all newer ones were asked about before.
    fn wants(&mut self, time: i64) -> bool {
        let period = self.period.of(time);
        if self.left == 0 || (period.is_some() && period == self.latest) {
            return false;
        }
        self.left -= 1;
        self.latest = period;
        true
    }
}

impl Period {
    /// The number of the period that a time lies in; `None` if it has one of its own.
    fn of(self, time: i64) -> Option<i64> {
        match self {
            Period::Each => None,
            Period::Seconds(length) => Some(time.div_euclid(length)),
            Period::Calendar(number) => Some(number(time)),
        }
    }
}

/// The number of the ISO week: it begins on Monday, and 1970 began on a Thursday. A week belongs
/// to one ISO year, so a run of weeks without names is the same partition.
fn week(time: i64) -> i64 {
    (time.div_euclid(SECONDS_A_DAY) + 3).div_euclid(7)
}

fn month(time: i64) -> i64 {
    year(time) * 12 + i64::from(date(time).month())
}

fn year(time: i64) -> i64 {
    i64::from(date(time).year())
}

fn date(time: i64) -> civil::Date {
    moment(time).date()
}

fn moment(time: i64) -> civil::DateTime {
    let time = Timestamp::from_second(time).unwrap_or(if time < 0 { Timestamp::MIN } else { Timestamp::MAX });
    TimeZone::UTC.to_datetime(time)
}

impl Within {
    /// The second that lies this long before `time`. From the 31st a month back is the last day
    /// of the month before. What would lie before the calendar is its beginning.
    fn before(&self, time: i64) -> i64 {
        let back = || {
            let span = Span::new().try_years(self.years).ok()?.try_months(self.months).ok()?;
            let span = span.try_days(self.days).ok()?.try_hours(self.hours).ok()?;
            let moment = moment(time).checked_sub(span).ok()?;
            Some(TimeZone::UTC.to_timestamp(moment).ok()?.as_second())
        };
        back().unwrap_or(i64::MIN)
    }
}

/// Reads `30d`, `2w`, `6m`, `1y5m7d2h`: numbers with a unit each, a unit at most once.
///
/// # Errors
/// A text for the user.
impl FromStr for Within {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a length of time; write it like 30d, 2w, 6m or 1y5m7d2h");
        let mut within = Within::default();
        let mut weeks = 0u32;
        let mut seen = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u32 = rest[..digits].parse().map_err(|_| bad())?;
            let unit = rest[digits..]
                .chars()
                .next()
                .filter(|unit| !seen.contains(*unit))
                .ok_or_else(bad)?;
            match unit {
                'y' => within.years = number,
                'm' => within.months = number,
                'w' => weeks = number,
                'd' => within.days = number,
                'h' => within.hours = number,
                _ => return Err(bad()),
            }
            seen.push(unit);
            rest = &rest[digits + 1..];
        }
        let days = weeks
            .checked_mul(7)
            .and_then(|days| days.checked_add(within.days))
            .ok_or_else(bad)?;
        within.days = days;
        if within == Within::default() {
            Err(bad())
        } else {
            Ok(within)
        }
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, unit) in [
            (self.years, 'y'),
            (self.months, 'm'),
            (self.days, 'd'),
            (self.hours, 'h'),
        ] {
            if number > 0 {
                write!(f, "{number}{unit}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod tests;
