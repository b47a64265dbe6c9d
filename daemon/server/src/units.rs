//! Sizes and lengths of time as an administrator writes them, and as we show them.
//!
//! ```text
//! 20G  512M  1.5GiB  4096      powers of 1024; the letters may be small, `iB` or `B` may follow
//! 30s  5m  1h  7d  2w  1d12h   a day has 24 hours here; calendars are `yore_store::Within`'s
//! ```
//!
//! The same texts are read from the configuration and from the command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A length of time in whole seconds, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub i64);

const SIZE_LETTERS: &str = "kmgtpe";

const SPANS: [(char, i64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

impl Seconds {
    /// As the standard library has it.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.unsigned_abs())
    }
}

/// Reads `20G`, `512 MiB`, `1.5T` or a bare number of bytes.
///
/// # Errors
/// A text for the administrator.
impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a size; write it like 512M, 20G or 1.5T");
        let number_ends = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(number_ends);
        let factor = factor(unit.trim_start()).ok_or_else(bad)?;
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(Size).ok_or_else(bad);
        }
        let value = number.parse::<f64>().map_err(|_| bad())? * factor as f64;
        match value < u64::MAX as f64 {
            true => Ok(Size(value as u64)),
            false => Err(bad()),
        }
    }
}

/// What a unit stands for: nothing or `B`, or a letter that `iB` or `B` may follow.
fn factor(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    let Some(letter) = unit.chars().next().filter(|letter| *letter != 'b') else {
        return matches!(unit.as_str(), "" | "b").then_some(1);
    };
    let power = SIZE_LETTERS.find(letter)? as u32 + 1;
    matches!(&unit[letter.len_utf8()..], "" | "b" | "ib").then(|| 1u64 << (10 * power))
}

/// As it would be written, exactly: `20G`, `1536M`, `1000`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let power = (self.0.trailing_zeros() / 10).min(6) as usize;
        match (self.0, power) {
            (0, _) | (_, 0) => write!(f, "{}", self.0),
            (bytes, power) => {
                let letter = SIZE_LETTERS.as_bytes()[power - 1].to_ascii_uppercase();
                write!(f, "{}{}", bytes >> (10 * power), letter as char)
            }
        }
    }
}

/// Reads `30s`, `5m`, `1h`, `7d`, `2w`, `1d12h`: numbers with a unit each, largest first.
///
/// # Errors
/// A text for the administrator.
impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a length of time; write it like 30s, 5m, 12h, 7d or 2w");
        let (mut total, mut rest, mut units) = (0i64, text.trim(), &SPANS[..]);
        if rest == "0" {
            return Ok(Seconds(0));
        }
        while !rest.is_empty() || total == 0 {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: i64 = rest[..digits].parse().map_err(|_| bad())?;
            let unit = rest[digits..].chars().next().ok_or_else(bad)?;
            let place = units.iter().position(|(letter, _)| *letter == unit).ok_or_else(bad)?;
            let seconds = number.checked_mul(units[place].1).ok_or_else(bad)?;
            total = total.checked_add(seconds).ok_or_else(bad)?;
            (rest, units) = (&rest[digits + 1..], &units[place + 1..]);
            if rest.is_empty() {
                break;
            }
        }
        Ok(Seconds(total))
    }
}

/// As it would be written, exactly: `7d`, `1d12h`, `90s` as `1m30s`. Weeks are shown as days.
impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.max(0);
        if left == 0 {
            return f.write_str("0s");
        }
        for (letter, seconds) in &SPANS[1..] {
            if left >= *seconds {
                write!(f, "{}{letter}", left / seconds)?;
                left %= seconds;
            }
        }
        Ok(())
    }
}

struct Text<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes, such as \"20G\" or \"7d\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Reads a text that has a syntax of its own.
///
/// # Errors
/// What its `FromStr` says.
pub fn from_text<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(from: D) -> Result<T, D::Error> {
    from.deserialize_str(Text(std::marker::PhantomData))
}

/// As [`from_text`], for what need not be there.
///
/// # Errors
/// What its `FromStr` says.
pub fn from_text_if_any<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(from: D) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from_text(from)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from_text(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024_however_they_are_spelled() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("7B", 7),
            ("20G", 20 << 30),
            ("20g", 20 << 30),
            ("20GiB", 20 << 30),
            ("512 MB", 512 << 20),
            ("1.5K", 1536),
            ("15E", 15 << 60),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for bad in ["", "G", "20X", "-1G", "20Gi", "16E", "1e3", "99999999999E", "1.2.3M"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths_of_time_have_units_from_large_to_small() {
        for (text, seconds) in [
            ("0", 0),
            ("0s", 0),
            ("30s", 30),
            ("5m", 300),
            ("1h", 3600),
            ("7d", 604_800),
            ("2w", 1_209_600),
            ("1d12h", 129_600),
        ] {
            assert_eq!(text.parse(), Ok(Seconds(seconds)), "{text}");
        }
        for bad in [
            "",
            "7",
            "d",
            "-1d",
            "1d1d",
            "1h1d",
            "1y",
            "7 d",
            "99999999999999999w",
            "1dx",
        ] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        for bytes in [0, 1, 1000, 1024, 1536 << 20, 20 << 30, u64::MAX] {
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
        assert_eq!(
            (Size(20 << 30).to_string(), Size(1536).to_string()),
            ("20G".into(), "1536".into())
        );
        for seconds in [0, 59, 90, 3600, 604_800, 129_601] {
            assert_eq!(Seconds(seconds).to_string().parse(), Ok(Seconds(seconds)));
        }
        assert_eq!(
            (Seconds(604_800).to_string(), Seconds(90).to_string()),
            ("7d".into(), "1m30s".into())
        );
    }
}
