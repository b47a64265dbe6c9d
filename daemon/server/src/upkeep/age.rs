//! Ages: for how long a repository has had no success, and whether that is too long.
//!
//! Days of the week can be left out: a machine in an office is not missed on Sunday. Time on them does
//! not count, by the clock on the wall:
//!
//! ```text
//! success          Fri 18 ────── 24 │ Sat │ Sun │ 0 ── Mon 9
//! without Sat, Sun        6 h       │  –  │  –  │     9 h       15 hours old
//! ```

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// Ages are not told apart beyond this many seconds: a hundred years.
const OLDEST: i64 = 100 * 366 * super::DAY;

/// The age of a repository if it is too old: seconds since its last success (or since it was made, if it
/// never had one), without those on days that are left out. `None` if that is not more than `max_age`.
pub fn overdue(since: i64, max_age: i64, skip_weekdays: &[Weekday], now: i64, zone: &TimeZone) -> Option<i64> {
    Some(counted_age(since, skip_weekdays, now, zone)).filter(|age| *age > max_age)
}

/// The seconds from `since` to `now` without those on days that are left out; 0 if `since` is
/// still to come.
pub fn counted_age(since: i64, skip_weekdays: &[Weekday], now: i64, zone: &TimeZone) -> i64 {
    let since = since.max(now.saturating_sub(OLDEST));
    if skip_weekdays.is_empty() {
        return (now - since).max(0);
    }
    let (mut age, mut at) = (0, since);
    while at < now {
        let (weekday, midnight) = day(at, zone);
        let end = midnight.min(now);
        if !skip_weekdays.contains(&weekday) {
            age += end - at;
        }
        at = end;
    }
    age
}

/// The day of the week at a moment, and the moment at which that day ends.
fn day(at: i64, zone: &TimeZone) -> (Weekday, i64) {
    let moment = Timestamp::from_second(at).unwrap_or(Timestamp::UNIX_EPOCH);
    let date = zone.to_datetime(moment).date();
    let next = date.checked_add(1.days()).and_then(|next| next.to_zoned(zone.clone()));
    let midnight = next.map_or(at + super::DAY, |next| next.timestamp().as_second());
    // Where the clock is set back over midnight, it may be that the next day began already.
    (date.weekday(), midnight.max(at + 1))
}

/// Reads days of the week, apart by commas: `sat,sun`.
///
/// # Errors
/// A text for the user.
pub fn parse_weekdays(text: &str) -> Result<Vec<Weekday>, String> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let weekday = |word: &str| match word.to_ascii_lowercase().as_str() {
        "mon" | "monday" => Ok(Weekday::Monday),
        "tue" | "tuesday" => Ok(Weekday::Tuesday),
        "wed" | "wednesday" => Ok(Weekday::Wednesday),
        "thu" | "thursday" => Ok(Weekday::Thursday),
        "fri" | "friday" => Ok(Weekday::Friday),
        "sat" | "saturday" => Ok(Weekday::Saturday),
        "sun" | "sunday" => Ok(Weekday::Sunday),
        _ => Err(format!("{word:?} is not a day of the week; write them like sat,sun")),
    };
    words.map(weekday).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;
    const WEEKEND: [Weekday; 2] = [Weekday::Saturday, Weekday::Sunday];

    /// Summer time from Sunday, 2025-03-30 02:00, to Sunday, 2025-10-26 03:00.
    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn hours(zone: &TimeZone, since: &str, now: &str, skip: &[Weekday]) -> f64 {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        counted_age(at(since), skip, at(now), zone) as f64 / HOUR as f64
    }

    #[test]
    fn days_that_are_left_out_do_not_count() {
        for (since, now, expected) in [
            // 2025-06-13 is a Friday.
            ("2025-06-13T18:00:00+02", "2025-06-16T09:00:00+02", 15.0),
            ("2025-06-13T18:00:00+02", "2025-06-14T12:00:00+02", 6.0),
            ("2025-06-14T10:00:00+02", "2025-06-15T23:00:00+02", 0.0),
            ("2025-06-14T10:00:00+02", "2025-06-16T00:00:01+02", 1.0 / 3600.0),
            ("2025-06-16T10:00:00+02", "2025-06-16T12:30:00+02", 2.5),
            ("2025-06-09T00:00:00+02", "2025-06-30T00:00:00+02", 15.0 * 24.0),
            ("2025-06-16T10:00:00+02", "2025-06-15T10:00:00+02", 0.0),
        ] {
            assert_eq!(hours(&berlin(), since, now, &WEEKEND), expected, "{since} {now}");
        }
    }

    #[test]
    fn a_day_with_a_change_of_the_clock_has_its_own_length() {
        // Both changes are on Sundays: leaving out Sunday leaves 24 hours of each other day.
        for (since, now) in [
            ("2025-03-28T12:00:00+01", "2025-03-31T12:00:00+02"),
            ("2025-10-24T12:00:00+02", "2025-10-27T12:00:00+01"),
        ] {
            assert_eq!(hours(&berlin(), since, now, &WEEKEND), 24.0);
            assert_eq!(hours(&berlin(), since, now, &[Weekday::Sunday]), 48.0);
        }
        let monday = [Weekday::Monday];
        let (spring, autumn) = ("2025-03-30T00:00:00+01", "2025-10-26T00:00:00+02");
        assert_eq!(hours(&berlin(), spring, "2025-03-31T10:00:00+02", &monday), 23.0);
        assert_eq!(hours(&berlin(), autumn, "2025-10-27T10:00:00+01", &monday), 25.0);
    }

    #[test]
    fn a_clock_that_is_set_back_at_midnight_makes_a_longer_saturday() {
        // At 24:00 on Saturday, 2025-10-25, the clock shows 23:00 again.
        let zone = TimeZone::posix("AAA0BBB-1,M3.5.0/0,M10.5.0/0").unwrap();
        let (since, now) = ("2025-10-25T00:00:00+01", "2025-10-26T12:00:00+00");
        assert_eq!(hours(&zone, since, now, &[Weekday::Sunday]), 25.0);
        assert_eq!(hours(&zone, since, now, &[Weekday::Saturday]), 12.0);
    }

    #[test]
    fn a_clock_that_is_set_back_over_midnight_loses_no_second() {
        // At 00:30 it shows 23:30 again. No second is lost, whichever day it is of.
        let zone = TimeZone::posix("AAA0BBB-1,M3.5.0/0,M10.5.0/0:30").unwrap();
        for since in [
            "2025-10-25T00:00:00+01",
            "2025-10-26T00:10:00+01",
            "2025-10-25T23:40:00+00",
        ] {
            let all = hours(&zone, since, "2025-10-26T12:00:00+00", &[Weekday::Wednesday]);
            let skipping = [Weekday::Saturday, Weekday::Sunday];
            let parts = skipping.map(|day| hours(&zone, since, "2025-10-26T12:00:00+00", &[day]));
            assert_eq!(all, parts[0] + parts[1], "{since}");
        }
    }

    #[test]
    fn overdue_is_what_is_older_than_it_may_be() {
        let zone = TimeZone::UTC;
        let week = 7 * super::super::DAY;
        assert_eq!(overdue(1000, 500, &[], 1500, &zone), None);
        assert_eq!(overdue(1000, 500, &[], 1501, &zone), Some(501));
        assert_eq!(overdue(1000, week, &WEEKEND, 1000 + week + 86_400, &zone), None);
        assert!(overdue(i64::MIN, week, &WEEKEND, 1_750_000_000, &zone).is_some());
        let all: Vec<Weekday> = parse_weekdays("mon,tue,wed,thu,fri,sat,sun").unwrap();
        assert_eq!(overdue(0, 0, &all, 1_750_000_000, &zone), None);
    }

    #[test]
    fn weekdays_are_read_and_nonsense_is_not() {
        assert_eq!(parse_weekdays("sat,sun"), Ok(WEEKEND.to_vec()));
        assert_eq!(parse_weekdays(" Saturday , sun,"), Ok(WEEKEND.to_vec()));
        assert_eq!(parse_weekdays(""), Ok(Vec::new()));
        assert!(parse_weekdays("sat sun").unwrap_err().contains("sat,sun"));
    }
}
