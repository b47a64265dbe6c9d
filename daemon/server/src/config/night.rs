//! The hours in which the server does its own work.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Time;
use serde::{Deserialize, Deserializer};

/// A stretch of every day in local time; it may go over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Night {
    /// It begins.
    pub from: Time,
    /// It is over. The same as `from`: all day.
    pub to: Time,
}

impl Night {
    /// Whether it is night at this time of the day.
    pub fn has(&self, time: Time) -> bool {
        match self.from < self.to {
            true => self.from <= time && time < self.to,
            false => self.from <= time || time < self.to,
        }
    }
}

impl Default for Night {
    fn default() -> Self {
        Night {
            from: Time::constant(1, 0, 0, 0),
            to: Time::constant(6, 0, 0, 0),
        }
    }
}

/// Reads `01:00-06:00`.
///
/// # Errors
/// A text for the administrator.
impl FromStr for Night {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let times = text
            .split_once('-')
            .and_then(|(from, to)| Some((time(from)?, time(to)?)));
        times
            .map(|(from, to)| Night { from, to })
            .ok_or_else(|| format!("{text:?} is not a stretch of the day; write it like 01:00-06:00"))
    }
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let is_short = |number: &str| number.len() <= 2 && number.bytes().all(|byte| byte.is_ascii_digit());
    if !is_short(hour) || !is_short(minute) {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

impl fmt::Display for Night {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from.strftime("%H:%M"), self.to.strftime("%H:%M"))
    }
}

impl<'de> Deserialize<'de> for Night {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        crate::units::from_text(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_may_go_over_midnight() {
        let at = |hour| Time::constant(hour, 30, 0, 0);
        let early = Night::default();
        assert_eq!([0, 1, 5, 6].map(|hour| early.has(at(hour))), [false, true, true, false]);
        let late: Night = "22:00-5:00".parse().unwrap();
        assert_eq!(
            [21, 22, 0, 4, 5].map(|hour| late.has(at(hour))),
            [false, true, true, true, false]
        );
        assert_eq!(late.to_string(), "22:00-05:00");
        for bad in ["", "1-6", "01:00", "25:00-06:00", "01:00-06:00-07:00", "+1:00-06:00"] {
            assert!(bad.parse::<Night>().is_err(), "{bad}");
        }
    }
}
