//! Values on the command line.

use std::str::FromStr;

use crate::accounts::{RepositoryName, UserName};

/// A value, or the word for its absence (`none`, `default`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Or<T>(pub Option<T>);

impl<T: FromStr> FromStr for Or<T>
where
    T::Err: std::fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" | "default" => Ok(Or(None)),
            text => text
                .parse()
                .map(|value| Or(Some(value)))
                .map_err(|error: T::Err| error.to_string()),
        }
    }
}

/// A mail address alone, without a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(pub String);

impl FromStr for Email {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address: Result<lettre::Address, _> = text.parse();
        match address {
            Ok(_) => Ok(Email(text.to_owned())),
            Err(_) => Err("write it like ann@example.org".into()),
        }
    }
}

/// `USER/NAME`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullName {
    /// The user.
    pub user: UserName,
    /// The repository.
    pub repository: RepositoryName,
}

impl FromStr for FullName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (user, repository) = text.split_once('/').ok_or("write it as USER/NAME")?;
        Ok(FullName {
            user: user
                .parse()
                .map_err(|error: crate::accounts::Error| error.to_string())?,
            repository: repository
                .parse()
                .map_err(|error: crate::accounts::Error| error.to_string())?,
        })
    }
}

impl std::fmt::Display for FullName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.user, self.repository)
    }
}

/// A moment: a day or a time in UTC, or a length of time before now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Seconds since 1970.
    At(i64),
    /// Seconds before now.
    Ago(i64),
}

impl Moment {
    /// In seconds since 1970.
    pub fn seconds(self, now: i64) -> i64 {
        match self {
            Moment::At(time) => time,
            Moment::Ago(seconds) => now.saturating_sub(seconds),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(crate::units::Seconds(ago)) = text.parse() {
            return Ok(Moment::Ago(ago));
        }
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(Moment::At(time.as_second()));
        }
        let day = text.parse::<jiff::civil::DateTime>();
        let time = day.and_then(|day| jiff::tz::TimeZone::UTC.to_timestamp(day));
        time.map(|time| Moment::At(time.as_second()))
            .map_err(|_| "write it like 7d, 2026-11-20 or 2026-11-20T18:00".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let day = 1_795_132_800;
        for (text, seconds) in [
            ("2026-11-20", day),
            ("2026-11-20T18:00", day + 18 * 3600),
            ("2026-11-20T18:00:00Z", day + 18 * 3600),
            ("1d", 0),
        ] {
            assert_eq!(text.parse::<Moment>().unwrap().seconds(86_400), seconds, "{text}");
        }
        assert!("yesterday".parse::<Moment>().is_err());
    }

    #[test]
    fn names_have_two_parts() {
        let name: FullName = "ann/docs".parse().unwrap();
        assert_eq!((name.user.as_str(), name.repository.as_str()), ("ann", "docs"));
        for bad in ["ann", "ann/", "/docs", "ann/../bob", "ann/a/b"] {
            assert!(bad.parse::<FullName>().is_err(), "{bad}");
        }
    }
}
