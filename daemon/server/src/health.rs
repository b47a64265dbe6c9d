//! What is wrong with a repository, and how much it matters.
//!
//! Pure: rows and the configuration in, findings out. `check`, `status` and mail all ask here, so that
//! they never disagree.
//!
//! ```text
//! damage, overdue                                   critical
//! the last push failed, pruning is suspended,
//! more than 90 % of the quota is used               warning
//! ```

use jiff::tz::TimeZone;
use yore_terminal::text::{one_line, size, span, time};

use crate::accounts::{RepositoryRow, User};
use crate::config::Config;

/// How much a finding matters, as monitoring systems count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All is well.
    #[default]
    Ok,
    /// Somebody should look at it.
    Warning,
    /// Files may be lost if nobody does.
    Critical,
}

/// A kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Stored bytes are not what they were.
    Damage,
    /// No success for longer than the maximum age.
    Overdue,
    /// The last push failed.
    Failed,
    /// Nothing is pruned any more.
    Suspended,
    /// The quota is nearly used up.
    Quota,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind it is of.
    pub kind: Kind,
    /// In words, one line.
    pub text: String,
}

/// Seconds in a day.
const DAY: i64 = 24 * 60 * 60;

/// From this share of the quota on there is a warning.
const QUOTA_WARNING: u64 = 90;

impl Kind {
    /// How much it matters.
    pub fn level(self) -> Level {
        match self {
            Kind::Damage | Kind::Overdue => Level::Critical,
            Kind::Failed | Kind::Suspended | Kind::Quota => Level::Warning,
        }
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Damage => "damaged",
            Kind::Overdue => "overdue",
            Kind::Failed => "failed",
            Kind::Suspended => "suspended",
            Kind::Quota => "quota",
        }
    }
}

/// The age of a repository, and what it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// Its last success; when it was made if there was none. Seconds since 1970.
    pub since: i64,
    /// Seconds since then on days that count.
    pub seconds: i64,
    /// More is too much.
    pub allowed: i64,
    /// Whether the clock has not come to it yet, by more than a day.
    pub is_in_future: bool,
}

impl Age {
    /// Of a repository; days begin in `zone`.
    pub fn of(row: &RepositoryRow, config: &Config, now: i64, zone: &TimeZone) -> Self {
        let since = row.last_success.as_ref().map_or(row.created, |(time, _)| *time);
        let skip = row.skip_weekdays.unwrap_or(config.skip_weekdays);
        Age {
            since,
            seconds: skip.seconds_without(since, now, zone),
            allowed: row.max_age.unwrap_or(config.max_age).0,
            is_in_future: since > now + DAY,
        }
    }

    /// Whether it is too much. A success of tomorrow says that the clock was wrong then, and nothing of
    /// how old it is.
    pub fn is_overdue(&self) -> bool {
        self.seconds > self.allowed || self.is_in_future
    }
}

/// What is wrong with a repository; the worst first. `used` is what all repositories of its user take.
pub fn findings(row: &RepositoryRow, user: &User, used: u64, age: &Age) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |kind, text| findings.push(Finding { kind, text });
    if let Some((when, what)) = &row.damage {
        found(
            Kind::Damage,
            format!("damage found {}: {}", time(*when), one_line(what)),
        );
    }
    // Who is let in no more cannot push: that is meant so.
    if age.is_overdue() && !user.disabled {
        found(Kind::Overdue, overdue(row, age));
    }
    if let (Some((when, why)), true) = (&row.last_failure, row.last_push_failed) {
        found(
            Kind::Failed,
            format!("the last push failed {}: {}", time(*when), one_line(why)),
        );
    }
    if let Some((when, why)) = &row.pruning_suspended {
        found(
            Kind::Suspended,
            format!("pruning suspended {}: {}", time(*when), one_line(why)),
        );
    }
    if let Some(quota) = user.quota.filter(|&quota| percent(used, quota) > QUOTA_WARNING) {
        let (percent, user) = (percent(used, quota), &user.name);
        found(
            Kind::Quota,
            format!("{user} uses {} of {} ({percent} %)", size(used), size(quota)),
        );
    }
    findings
}

fn overdue(row: &RepositoryRow, age: &Age) -> String {
    let (ago, allowed) = (span(age.seconds), span(age.allowed));
    match &row.last_success {
        Some((when, _)) if age.is_in_future => format!(
            "overdue: the last success is dated {}, which has not come yet: the clock was wrong; snapshot again",
            time(*when)
        ),
        Some((when, _)) => format!(
            "overdue: the last success was {}, {ago} ago; allowed are {allowed}",
            time(*when)
        ),
        None => format!(
            "overdue: no success since it was made {}, {ago} ago; allowed are {allowed}",
            time(row.created)
        ),
    }
}

/// How many hundredths of a quota are used; of none, all.
pub fn percent(used: u64, quota: u64) -> u64 {
    match quota {
        0 => 100,
        quota => (u128::from(used) * 100 / u128::from(quota)) as u64,
    }
}

/// The worst of what was found.
pub fn level(findings: &[Finding]) -> Level {
    findings
        .iter()
        .map(|finding| finding.kind.level())
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{Accounts, By, UserChange};
    use crate::units::Seconds;

    const DAY: i64 = 86_400;
    /// Friday, 2026-11-20, 12:00 UTC.
    const FRIDAY_NOON: i64 = 1_795_176_000;

    fn rows() -> (User, RepositoryRow) {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(folder.path()).unwrap();
        let by = By { who: "t", from: "t" };
        let name = "ann".parse().unwrap();
        let user = accounts.add_user(&name, &UserChange::default(), by).unwrap();
        let mut row = accounts
            .add_repository(user.id, &"docs".parse().unwrap(), None, None, "t")
            .unwrap();
        row.created = FRIDAY_NOON;
        (user, row)
    }

    fn kinds(row: &RepositoryRow, user: &User, used: u64, now: i64) -> Vec<Kind> {
        let age = Age::of(row, &Config::default(), now, &TimeZone::UTC);
        findings(row, user, used, &age)
            .iter()
            .map(|finding| finding.kind)
            .collect()
    }

    #[test]
    fn a_repository_without_a_success_counts_from_its_creation() {
        let (user, mut row) = rows();
        assert!(kinds(&row, &user, 0, FRIDAY_NOON + 2 * DAY).is_empty());
        assert_eq!(kinds(&row, &user, 0, FRIDAY_NOON + 2 * DAY + 1), [Kind::Overdue]);
        row.last_success = Some((FRIDAY_NOON + DAY, "s".into()));
        assert!(kinds(&row, &user, 0, FRIDAY_NOON + 3 * DAY).is_empty());
    }

    #[test]
    fn a_success_of_tomorrow_says_nothing_of_today() {
        let (user, mut row) = rows();
        row.last_success = Some((FRIDAY_NOON + 10 * DAY, "s".into()));
        assert_eq!(kinds(&row, &user, 0, FRIDAY_NOON), [Kind::Overdue]);
        assert!(kinds(&row, &user, 0, FRIDAY_NOON + 9 * DAY).is_empty());
    }

    #[test]
    fn its_own_rules_come_before_the_configuration() {
        let (user, mut row) = rows();
        row.max_age = Some(Seconds(DAY));
        assert_eq!(kinds(&row, &user, 0, FRIDAY_NOON + 2 * DAY), [Kind::Overdue]);
        row.skip_weekdays = Some("sat,sun".parse().unwrap());
        // Monday noon: one day has gone by, and half of Friday with half of Monday is all of it.
        assert!(kinds(&row, &user, 0, FRIDAY_NOON + 3 * DAY).is_empty());
        assert_eq!(kinds(&row, &user, 0, FRIDAY_NOON + 3 * DAY + 1), [Kind::Overdue]);
    }

    #[test]
    fn a_disabled_account_is_not_overdue() {
        let (mut user, row) = rows();
        user.disabled = true;
        assert!(kinds(&row, &user, 0, FRIDAY_NOON + 9 * DAY).is_empty());
    }

    #[test]
    fn everything_at_once_and_the_worst_first() {
        let (mut user, mut row) = rows();
        user.quota = Some(100);
        row.damage = Some((FRIDAY_NOON, "pack 3".into()));
        row.last_failure = Some((FRIDAY_NOON, "line\nbreak".into()));
        row.last_push_failed = true;
        row.pruning_suspended = Some((FRIDAY_NOON, "all gone".into()));
        let now = FRIDAY_NOON + 3 * DAY;
        let all = [Kind::Damage, Kind::Overdue, Kind::Failed, Kind::Suspended, Kind::Quota];
        assert_eq!(kinds(&row, &user, 91, now), all);
        let age = Age::of(&row, &Config::default(), now, &TimeZone::UTC);
        let found = findings(&row, &user, 91, &age);
        assert_eq!(level(&found), Level::Critical);
        assert!(found.iter().all(|finding| !finding.text.contains('\n')));
        // Only more than 90 % is too much.
        assert_eq!(kinds(&row, &user, 90, now), all[..4]);
        assert_eq!(level(&[]), Level::Ok);
    }
}
