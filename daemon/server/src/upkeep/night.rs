//! When the server may do its own work: `01:00-06:00`, by the clock on the wall.
//!
//! What counts is what the clock shows, so a change of the clock needs no rule of its own: in spring
//! `02:30-05:00` begins at 03:00, when the clock jumps there; in autumn `02:30-03:00` comes twice.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::DAY;

/// A stretch of every day, over midnight if it ends before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Night {
    from: Time,
    /// If it is `from`, the night is the whole day.
    to: Time,
}

impl Night {
    /// Whether the moment `now` (seconds since 1970) is inside.
    pub fn is_now(&self, now: i64, zone: &TimeZone) -> bool {
        let time = zone.to_datetime(moment(now)).time();
        if self.from < self.to {
            self.from <= time && time < self.to
        } else {
            self.from <= time || time < self.to
        }
    }

    /// When the night begins: `now` if it has begun, else the first second of the next one.
    pub fn begins(&self, now: i64, zone: &TimeZone) -> i64 {
        if self.is_now(now, zone) {
            return now;
        }
        let begins = |time: &i64| *time > now && self.is_now(*time, zone) && !self.is_now(*time - 1, zone);
        let next = self.possible_beginnings(now, zone).into_iter().filter(begins).min();
        // Only a zone that skips days has none in the next ones.
        next.unwrap_or(now + DAY)
    }

    /// When the clock shows `from` on the next days, and when it jumps.
    fn possible_beginnings(&self, now: i64, zone: &TimeZone) -> Vec<i64> {
        let today = zone.to_datetime(moment(now)).date();
        let mut times: Vec<i64> = zone
            .following(moment(now))
            .take(2)
            .map(|jump| jump.timestamp().as_second())
            .collect();
        for day in 0..=2 {
            let Ok(date) = today.checked_add(day.days()) else {
                continue;
            };
            let at = zone.to_ambiguous_zoned(DateTime::from_parts(date, self.from));
            times.extend(at.clone().earlier().map(|at| at.timestamp().as_second()));
            times.extend(at.later().map(|at| at.timestamp().as_second()));
        }
        times
    }
}

fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Reads `01:00-06:00` or `22:30-04:00`; `00:00-24:00` is always.
///
/// # Errors
/// A text for the user.
impl FromStr for Night {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a stretch of the day; write it like 01:00-06:00");
        let (from, to) = text.split_once('-').ok_or_else(bad)?;
        let night = Night {
            from: time(from.trim()).ok_or_else(bad)?,
            to: match to.trim() {
                "24:00" => Time::midnight(),
                to => time(to).ok_or_else(bad)?,
            },
        };
        if night.from == night.to && to.trim() != "24:00" {
            return Err(format!("{text:?} ends when it begins; write 00:00-24:00 for always"));
        }
        Ok(night)
    }
}

/// Reads `6:05` or `06:05`.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>| -> Option<i8> {
        let is_number = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok())?
    };
    Time::new(number(hour, 1..=2)?, number(minute, 2..=2)?, 0, 0).ok()
}

impl fmt::Display for Night {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = match self.to == Time::midnight() {
            true => "24:00".to_owned(),
            false => self.to.strftime("%H:%M").to_string(),
        };
        write!(f, "{}-{to}", self.from.strftime("%H:%M"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Summer time from 2025-03-30 02:00 to 2025-10-26 03:00.
    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    /// Seconds since 1970 of a time with its offset.
    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    fn night(text: &str) -> Night {
        text.parse().unwrap()
    }

    #[test]
    fn nights_are_read_and_nonsense_is_not() {
        for text in ["01:00-06:00", "22:30-04:05", "00:00-24:00", "18:00-24:00"] {
            assert_eq!(night(text).to_string(), text);
        }
        assert_eq!(night("1:00 - 6:00"), night("01:00-06:00"));
        for bad in [
            "",
            "1-6",
            "01:00",
            "01:00-25:00",
            "24:00-06:00",
            "01:60-02:00",
            "01:00-01:00",
            "-1:00-02:00",
            "1:0-2:0",
        ] {
            assert!(bad.parse::<Night>().is_err(), "{bad}");
        }
    }

    #[test]
    fn it_begins_and_ends_to_the_second_also_over_midnight() {
        for (text, inside, outside) in [
            (
                "01:00-06:00",
                ["2025-06-10T01:00:00+02", "2025-06-10T05:59:59+02"],
                ["2025-06-10T00:59:59+02", "2025-06-10T06:00:00+02"],
            ),
            (
                "22:30-04:00",
                ["2025-06-10T22:30:00+02", "2025-06-11T03:59:59+02"],
                ["2025-06-10T22:29:59+02", "2025-06-11T04:00:00+02"],
            ),
            (
                "18:00-24:00",
                ["2025-06-10T18:00:00+02", "2025-06-10T23:59:59+02"],
                ["2025-06-11T00:00:00+02", "2025-06-10T17:59:59+02"],
            ),
        ] {
            assert!(
                inside.iter().all(|time| night(text).is_now(at(time), &berlin())),
                "{text}"
            );
            assert!(
                outside.iter().all(|time| !night(text).is_now(at(time), &berlin())),
                "{text}"
            );
        }
        let always = night("00:00-24:00");
        assert!((0..48).all(|hour| always.is_now(at("2025-06-10T00:00:00Z") + hour * 1800, &berlin())));
    }

    #[test]
    fn the_next_night_is_tonight_or_tomorrow() {
        for (text, now, begins) in [
            ("01:00-06:00", "2025-06-10T00:10:00+02", "2025-06-10T01:00:00+02"),
            ("01:00-06:00", "2025-06-10T06:00:00+02", "2025-06-11T01:00:00+02"),
            ("01:00-06:00", "2025-06-10T03:00:00+02", "2025-06-10T03:00:00+02"),
            ("22:30-04:00", "2025-06-10T04:00:00+02", "2025-06-10T22:30:00+02"),
            ("22:30-04:00", "2025-06-11T00:00:00+02", "2025-06-11T00:00:00+02"),
            ("01:00-06:00", "2025-12-31T12:00:00+01", "2026-01-01T01:00:00+01"),
        ] {
            assert_eq!(night(text).begins(at(now), &berlin()), at(begins), "{text} {now}");
        }
    }

    #[test]
    fn when_the_clock_jumps_forward_the_night_begins_with_the_jump() {
        let night = night("02:30-05:00");
        let jump = at("2025-03-30T03:00:00+02");
        assert!(!night.is_now(jump - 1, &berlin()) && night.is_now(jump, &berlin()));
        assert_eq!(night.begins(at("2025-03-30T00:00:00+01"), &berlin()), jump);
        // One that lies in the hour that is not there is left out.
        let skipped: Night = "02:10-02:50".parse().unwrap();
        assert_eq!(
            skipped.begins(at("2025-03-29T12:00:00+01"), &berlin()),
            at("2025-03-31T02:10:00+02")
        );
    }

    #[test]
    fn when_the_clock_is_set_back_the_hour_counts_twice() {
        let first = at("2025-10-26T02:30:00+02");
        let second = at("2025-10-26T02:30:00+01");
        let night = night("02:30-03:00");
        assert_eq!(night.begins(at("2025-10-26T00:00:00+02"), &berlin()), first);
        assert!(!night.is_now(at("2025-10-26T02:10:00+01"), &berlin()));
        assert_eq!(night.begins(at("2025-10-26T02:10:00+01"), &berlin()), second);
        // And a night that began before goes on through it.
        let long: Night = "01:00-06:00".parse().unwrap();
        let minutes = (at("2025-10-26T06:00:00+01") - at("2025-10-26T01:00:00+02")) / 60;
        assert_eq!(minutes, 6 * 60);
        assert!((0..minutes).all(|minute| long.is_now(at("2025-10-26T01:00:00+02") + minute * 60, &berlin())));
    }
}
