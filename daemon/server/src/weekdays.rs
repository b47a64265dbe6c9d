//! Weekdays that do not count: a machine that is off at week-ends is not overdue on Monday.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::de::{Deserialize, Deserializer, Error as _};

const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A set of weekdays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weekdays(u8);

impl Weekdays {
    /// No day.
    pub const NONE: Weekdays = Weekdays(0);

    /// Whether the set has no day.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the set has this day.
    pub fn has(self, day: Weekday) -> bool {
        self.0 & 1 << day.to_monday_zero_offset() != 0
    }

    /// The names of its days, from Monday: `sat`, `sun`.
    pub fn names(self) -> Vec<&'static str> {
        (0..7)
            .filter(|day| self.0 & 1 << day != 0)
            .map(|day| NAMES[day])
            .collect()
    }

    /// The seconds between two moments that lie on no day of the set; days begin and end in `zone`.
    pub fn seconds_without(self, from: i64, to: i64, zone: &TimeZone) -> i64 {
        if self.is_empty() || to <= from {
            return (to - from).max(0);
        }
        days(from, to, zone)
            .filter(|(day, ..)| !self.has(*day))
            .map(|(_, begins, ends)| ends - begins)
            .sum()
    }
}

/// Cuts the time between two moments at every midnight.
fn days(from: i64, to: i64, zone: &TimeZone) -> impl Iterator<Item = (Weekday, i64, i64)> {
    let mut at = from;
    std::iter::from_fn(move || {
        if at >= to {
            return None;
        }
        let begins = at;
        let day = Timestamp::from_second(begins).ok()?.to_zoned(zone.clone());
        let midnight = day.start_of_day().and_then(|day| day.checked_add(1.day()));
        at = midnight.map_or(to, |midnight| midnight.timestamp().as_second().clamp(begins + 1, to));
        Some((day.weekday(), begins, at))
    })
}

/// Reads `sat,sun`, and `none`.
///
/// # Errors
/// A text for the administrator.
impl FromStr for Weekdays {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" | "" => Ok(Weekdays::NONE),
            text => text.split(',').try_fold(Weekdays::NONE, |set, day| {
                let day = day.trim();
                let place = NAMES.iter().position(|name| day.eq_ignore_ascii_case(name));
                place
                    .map(|place| Weekdays(set.0 | 1 << place))
                    .ok_or_else(|| format!("{day:?} is not a weekday; they are {}", NAMES.join(", ")))
            }),
        }
    }
}

impl fmt::Display for Weekdays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&self.names().join(",")),
        }
    }
}

/// From an array of names.
impl<'de> Deserialize<'de> for Weekdays {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(from)?;
        names.join(",").parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    /// Friday, 2026-11-20, 12:00 UTC.
    const FRIDAY_NOON: i64 = 1_795_176_000;

    #[test]
    fn a_set_is_read_and_shown() {
        let weekend: Weekdays = "sun, Sat".parse().unwrap();
        assert_eq!(weekend.to_string(), "sat,sun");
        assert!(weekend.has(Weekday::Saturday) && !weekend.has(Weekday::Monday));
        assert_eq!("none".parse(), Ok(Weekdays::NONE));
        assert!("sat,someday".parse::<Weekdays>().unwrap_err().contains("someday"));
    }

    #[test]
    fn days_of_the_set_do_not_count() {
        let weekend: Weekdays = "sat,sun".parse().unwrap();
        let monday_noon = FRIDAY_NOON + 3 * DAY;
        let without = |set: Weekdays, to| set.seconds_without(FRIDAY_NOON, to, &TimeZone::UTC);
        assert_eq!(without(Weekdays::NONE, monday_noon), 3 * DAY);
        assert_eq!(without(weekend, monday_noon), DAY);
        assert_eq!(without(weekend, FRIDAY_NOON + DAY), DAY / 2);
        assert_eq!(without(weekend, FRIDAY_NOON - 5), 0);
    }

    #[test]
    fn midnight_is_that_of_the_zone() {
        let weekend: Weekdays = "sat,sun".parse().unwrap();
        let east = TimeZone::fixed(jiff::tz::offset(11));
        // Friday noon in UTC is 23:00 there: one hour of Friday is left.
        assert_eq!(weekend.seconds_without(FRIDAY_NOON, FRIDAY_NOON + DAY, &east), 3600);
    }
}
