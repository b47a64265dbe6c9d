//! Rules of keeping as the server has them: in the configuration, or a repository's own.

use serde::{Deserialize, Serialize, Serializer};
use yore_store::{Policy, Within};

use crate::units::{Seconds, from_text_if_any};

/// What the server keeps when it prunes by itself. A number of 0 is no rule; without any rule
/// nothing is pruned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Keep {
    /// This many of the newest, at most one an interval.
    pub keep_last: u32,
    /// The newest of each of this many hours.
    pub keep_hourly: u32,
    /// The newest of each of this many days.
    pub keep_daily: u32,
    /// The newest of each of this many weeks.
    pub keep_weekly: u32,
    /// The newest of each of this many months.
    pub keep_monthly: u32,
    /// The newest of each of this many years.
    pub keep_yearly: u32,
    /// All that are younger than this, counted back from the newest.
    #[serde(deserialize_with = "from_text_if_any", serialize_with = "as_text")]
    pub keep_within: Option<Within>,
}

impl Keep {
    /// Whether there is no rule: everything stays.
    pub fn is_empty(&self) -> bool {
        *self == Keep::default()
    }

    /// The rules as the store judges by them.
    /// `interval` is the time in which rules that count snapshots count one at most.
    pub fn policy(&self, interval: Seconds) -> Policy {
        Policy {
            interval: u32::try_from(interval.0).ok().filter(|seconds| *seconds > 0),
            last: self.keep_last,
            hourly: self.keep_hourly,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            monthly: self.keep_monthly,
            yearly: self.keep_yearly,
            within: self.keep_within,
            tags: Vec::new(),
        }
    }
}

/// Tags are the agents', and no rule of a server goes by them.
impl From<Policy> for Keep {
    fn from(policy: Policy) -> Self {
        Keep {
            keep_last: policy.last,
            keep_hourly: policy.hourly,
            keep_daily: policy.daily,
            keep_weekly: policy.weekly,
            keep_monthly: policy.monthly,
            keep_yearly: policy.yearly,
            keep_within: policy.within,
        }
    }
}

/// The rules in words: `daily 7, within 30d`, or `everything`.
impl std::fmt::Display for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counted = [
            ("last", self.keep_last),
            ("hourly", self.keep_hourly),
            ("daily", self.keep_daily),
            ("weekly", self.keep_weekly),
            ("monthly", self.keep_monthly),
            ("yearly", self.keep_yearly),
        ];
        let counted = counted.iter().filter(|(_, number)| *number > 0);
        let mut rules: Vec<String> = counted.map(|(name, number)| format!("{name} {number}")).collect();
        rules.extend(self.keep_within.map(|within| format!("within {within}")));
        match rules.is_empty() {
            true => f.write_str("everything"),
            false => f.write_str(&rules.join(", ")),
        }
    }
}

fn as_text<S: Serializer>(within: &Option<Within>, serializer: S) -> Result<S::Ok, S::Error> {
    within.map(|within| within.to_string()).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_survive_being_written_down() {
        let keep = Keep {
            keep_daily: 7,
            keep_within: Some("30d".parse().unwrap()),
            ..Keep::default()
        };
        let text = serde_json::to_string(&keep).unwrap();
        assert_eq!(serde_json::from_str::<Keep>(&text).unwrap(), keep);
        assert_eq!(keep.to_string(), "daily 7, within 30d");
        assert_eq!(
            (keep.policy(Seconds(3600)).daily, keep.policy(Seconds(3600)).within),
            (7, keep.keep_within)
        );
        assert!(Keep::default().is_empty() && Keep::default().policy(Seconds(0)).is_empty());
    }
}
