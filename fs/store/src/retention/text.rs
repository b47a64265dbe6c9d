//! Policies and lengths of time as text, for configurations and databases.
//!
//! ```text
//! last=3 hourly=24 daily=7 weekly=5 monthly=12 yearly=3 within=30d tag=release interval=1h
//! ```
//!
//! Words in any order, apart by white space; written in the order above. Only `tag` may come more
//! than once. In a tag `%`, white space and control characters are written as `%20`. An empty text
//! has no rule: it keeps everything.

use std::fmt;
use std::str::FromStr;

use crate::retention::Policy;

/// Units of a length of time, the longest first. `m` is a month elsewhere, so minutes are `min`.
const UNITS: [(&str, i64); 5] = [("w", 604_800), ("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)];

/// The words of a policy.
const WORDS: &str = "last, hourly, daily, weekly, monthly, yearly, within, tag and interval";

/// Writes a number of seconds as `7d`, `36h`, `90min` or `45s`: one number, in the longest unit
/// that it is a multiple of.
pub fn length_of_time(seconds: i64) -> String {
    // Days are easier to compare than weeks.
    let (unit, length) = UNITS[1..]
        .iter()
        .find(|(_, length)| seconds != 0 && seconds % length == 0)
        .unwrap_or(&UNITS[4]);
    format!("{}{unit}", seconds / length)
}

/// Reads `7d`, `36h`, `90min`, `45s` or `2w`; gives seconds.
///
/// # Errors
/// A text for the user.
pub fn parse_length_of_time(text: &str) -> Result<i64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let seconds = || {
        let length = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        number.parse::<i64>().ok()?.checked_mul(length)
    };
    seconds().ok_or_else(|| format!("{text:?} is not a length of time; write it like 7d, 36h, 90min, 45s or 2w"))
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = [
            ("last", self.last),
            ("hourly", self.hourly),
            ("daily", self.daily),
            ("weekly", self.weekly),
            ("monthly", self.monthly),
            ("yearly", self.yearly),
        ];
        let numbers = numbers.iter().filter(|(_, number)| *number > 0);
        let mut words: Vec<String> = numbers.map(|(name, number)| format!("{name}={number}")).collect();
        words.extend(self.within.map(|within| format!("within={within}")));
        words.extend(self.tags.iter().map(|tag| format!("tag={}", escape(tag))));
        let interval = self.interval.map(|seconds| length_of_time(seconds.into()));
        words.extend(interval.map(|interval| format!("interval={interval}")));
        f.write_str(&words.join(" "))
    }
}

/// # Errors
/// A text for the user.
impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut policy = Policy::default();
        let mut seen = Vec::new();
        for word in text.split_whitespace() {
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| format!("{word:?} is not a rule; write it like daily=7"))?;
            if name != "tag" && seen.contains(&name) {
                return Err(format!("{name} is there twice"));
            }
            seen.push(name);
            policy.set(name, value)?;
        }
        Ok(policy)
    }
}

impl Policy {
    /// Sets what one word says.
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = || {
            let number = value.parse::<u32>();
            number.map_err(|_| format!("{name}={value}: {value:?} is not a number; write it like {name}=7"))
        };
        match name {
            "last" => self.last = number()?,
            "hourly" => self.hourly = number()?,
            "daily" => self.daily = number()?,
            "weekly" => self.weekly = number()?,
            "monthly" => self.monthly = number()?,
            "yearly" => self.yearly = number()?,
            "within" => self.within = Some(value.parse()?),
            "tag" => self.tags.push(unescape(value)?),
            "interval" => self.interval = Some(interval(value)?),
            _ => return Err(format!("{name:?} is not a rule; there are {WORDS}")),
        }
        Ok(())
    }
}

fn interval(value: &str) -> Result<u32, String> {
    let seconds = parse_length_of_time(value)?;
    let seconds = u32::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    seconds.ok_or_else(|| format!("interval={value}: it must be longer than nothing and shorter than a century"))
}

fn escape(tag: &str) -> String {
    let mut text = String::new();
    for character in tag.chars() {
        if character == '%' || character.is_whitespace() || character.is_control() {
            let mut bytes = [0; 4];
            let bytes = character.encode_utf8(&mut bytes).bytes();
            text.extend(bytes.map(|byte| format!("%{byte:02X}")));
        } else {
            text.push(character);
        }
    }
    text
}

fn unescape(text: &str) -> Result<String, String> {
    let bad = || format!("tag={text}: a % that is meant is written as %25, and a tag is not empty");
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            let digits = str::from_utf8(digits.ok_or_else(bad)?).map_err(|_| bad())?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| bad())?);
            rest = &rest[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|tag| !tag.is_empty())
        .ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_written_and_read_back() {
        for text in [
            "",
            "daily=7",
            "last=3 hourly=24 daily=7 weekly=5 monthly=12 yearly=3 within=1y30d tag=release tag=v%201%25 interval=1h",
            "last=1 interval=90s",
            "tag=größe",
        ] {
            let policy: Policy = text.parse().unwrap();
            assert_eq!(policy.to_string(), text);
        }
        let policy: Policy = "  within=2w\ttag=a%0Ab daily=7 ".parse().unwrap();
        assert_eq!(policy.tags, ["a\nb"]);
        assert_eq!(policy.to_string(), "daily=7 within=14d tag=a%0Ab");
        assert!("".parse::<Policy>().unwrap().is_empty());
        assert!("interval=1h".parse::<Policy>().unwrap().is_empty());
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (text, part) in [
            ("daily", "like daily=7"),
            ("dayly=7", "there are last, hourly"),
            ("daily=-1", "is not a number"),
            ("daily=7 daily=8", "daily is there twice"),
            ("within=30", "30d"),
            ("interval=0s", "longer than nothing"),
            ("interval=99999w", "shorter than a century"),
            ("tag=", "not empty"),
            ("tag=50%", "%25"),
            ("tag=%FF", "%25"),
            ("tag=%+1", "%25"),
        ] {
            let message = text.parse::<Policy>().unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn lengths_of_time_are_written_and_read_back() {
        for (seconds, text) in [
            (0, "0s"),
            (45, "45s"),
            (5400, "90min"),
            (3600, "1h"),
            (129_600, "36h"),
            (604_800, "7d"),
        ] {
            assert_eq!(length_of_time(seconds), text);
            assert_eq!(parse_length_of_time(text), Ok(seconds));
        }
        assert_eq!(parse_length_of_time("2w"), Ok(14 * 86_400));
        for bad in [
            "",
            "7",
            "d",
            "7 d",
            "-7d",
            "7m",
            "9999999999999999999d",
            "9223372036854775807d",
        ] {
            assert!(parse_length_of_time(bad).is_err(), "{bad}");
        }
    }
}
