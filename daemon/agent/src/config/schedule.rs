//! When to push: a word or a crontab's five fields, and the times that they stand for.
//!
//! `hourly`, `daily` and `weekly` are cron patterns too, at a minute (and an hour of the night)
//! that comes from the machine's name: always the same one for a machine, and another one for
//! the next machine, so that a server's agents do not all come at once.

use std::fmt;
use std::str::FromStr;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// When to push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// Once an hour.
    Hourly,
    /// Once a night.
    #[default]
    Daily,
    /// In the night to Sunday.
    Weekly,
    /// Minute, hour, day of month, month and day of week, as in a crontab.
    Cron(String),
    /// Never by itself.
    Off,
}

/// A text that is no schedule.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no schedule ({why}); say hourly, daily, weekly, off, or five fields such as \"30 12 * * 1-5\"")]
pub struct ScheduleError {
    text: String,
    why: String,
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let pattern = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(match pattern.as_str() {
            "hourly" => Schedule::Hourly,
            "daily" => Schedule::Daily,
            "weekly" => Schedule::Weekly,
            "off" => Schedule::Off,
            _ => {
                let wrong = |why: String| ScheduleError {
                    text: text.to_owned(),
                    why,
                };
                let cron = parse(&pattern).map_err(|error| wrong(error.to_string()))?;
                // `0 0 30 2 *` parses, and would be a backup that never comes.
                cron.find_next_occurrence(&Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC), false)
                    .map_err(|_| wrong("that day never comes".into()))?;
                Schedule::Cron(pattern)
            }
        })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Schedule::Hourly => "hourly",
            Schedule::Daily => "daily",
            Schedule::Weekly => "weekly",
            Schedule::Cron(pattern) => pattern,
            Schedule::Off => "off",
        })
    }
}

impl Schedule {
    /// The first time after `after` that a push is due on the machine called `host`, by the
    /// clocks of `zone`; `None` where there is none.
    pub fn next(&self, after: Timestamp, zone: &TimeZone, host: &str) -> Option<Timestamp> {
        let cron = parse(&self.pattern(host)?).ok()?;
        let next = cron.find_next_occurrence(&after.to_zoned(zone.clone()), false).ok()?;
        Some(next.timestamp())
    }

    /// Seconds between the next two times after `after`.
    pub fn interval(&self, after: Timestamp, zone: &TimeZone, host: &str) -> Option<u64> {
        let first = self.next(after, zone, host)?;
        let second = self.next(first, zone, host)?;
        u64::try_from(second.as_second() - first.as_second()).ok()
    }

    fn pattern(&self, host: &str) -> Option<String> {
        let own = own_number(host);
        let (minute, hour) = (own % 60, own / 60 % 6);
        match self {
            Schedule::Hourly => Some(format!("{minute} * * * *")),
            Schedule::Daily => Some(format!("{minute} {hour} * * *")),
            Schedule::Weekly => Some(format!("{minute} {hour} * * 0")),
            Schedule::Cron(pattern) => Some(pattern.clone()),
            Schedule::Off => None,
        }
    }
}

fn parse(pattern: &str) -> Result<Cron, croner::errors::CronError> {
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(pattern)
}

/// FNV-1a: the same number for the same name in every version of this program.
fn own_number(host: &str) -> u64 {
    host.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str, zone: &TimeZone) -> String {
        let schedule: Schedule = schedule.parse().unwrap();
        let after: Timestamp = after.parse().unwrap();
        schedule.next(after, zone, "host").unwrap().to_string()
    }

    #[test]
    fn cron_goes_by_the_clock_on_the_wall() {
        assert_eq!(
            next("30 12 * * 1-5", "2026-11-20T12:30:00Z", &TimeZone::UTC),
            "2026-11-23T12:30:00Z"
        );
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(
            next("30 12 * * *", "2026-07-01T00:00:00Z", &berlin),
            "2026-07-01T10:30:00Z"
        );
        assert_eq!(
            next("30 12 * * *", "2026-12-01T00:00:00Z", &berlin),
            "2026-12-01T11:30:00Z"
        );
        // A time that the change to summer leaves out: the push is late, not lost.
        let spring = next("30 2 * * *", "2026-03-29T00:00:00Z", &berlin);
        assert!(spring.starts_with("2026-03-29T01"), "{spring}");
    }

    #[test]
    fn words_have_a_minute_of_their_own() {
        let zone = TimeZone::UTC;
        let first = next("hourly", "2026-11-20T00:00:00Z", &zone);
        let later = next("hourly", &first, &zone);
        let hour = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        assert_eq!(hour(&later) - hour(&first), 3600);
        let minutes: std::collections::HashSet<u64> = (0..50).map(|n| own_number(&format!("pc{n}")) % 60).collect();
        assert!(minutes.len() > 20, "{minutes:?}");
        let daily = next("daily", "2026-11-20T06:00:00Z", &zone);
        assert!(daily.as_str() < "2026-11-21T06", "{daily}");
        assert!(next("weekly", "2026-11-20T06:00:00Z", &zone).starts_with("2026-11-22"));
        assert_eq!(Schedule::Off.next(Timestamp::UNIX_EPOCH, &zone, "host"), None);
    }

    #[test]
    fn what_is_no_schedule_is_named() {
        for text in ["often", "", "61 * * * *", "* * * *", "0 0 30 2 *", "0 0 0 * * * *"] {
            let error = text.parse::<Schedule>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is no schedule (")), "{error}");
        }
        assert_eq!(
            "  5   4 * * sun ".parse::<Schedule>().unwrap().to_string(),
            "5 4 * * sun"
        );
    }
}
