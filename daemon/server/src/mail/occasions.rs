//! When there is something to tell.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::letters::Letter;
use super::{Audience, Post, letters};
use crate::accounts::{Error, Key, RepositoryRow, Result, User};
use crate::error::warn;
use crate::failure::{Cause, Failed};
use crate::health::{Age, percent};

/// Within so many seconds a machine that lost its connection comes again.
const SOON: i64 = 60 * 60;

/// Shares of a quota that are told of, in percent.
const MARKS: [u64; 3] = [75, 90, 95];

/// How a machine was linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enrolled {
    /// By the user's password.
    Password,
    /// By an invitation.
    Invitation,
}

/// Mail is never a reason to fail: what goes wrong here is told and forgotten.
fn or_warn(done: Result<()>) {
    done.unwrap_or_else(|error| warn(&format!("mail: {error}")));
}

impl Post {
    /// A push into a repository failed. Of one that only lost its connection nobody is told yet: it
    /// goes on by itself.
    pub fn push_failed(&self, repository: i64, failure: &Failed) {
        // Each cause by itself: a trifle in the morning does not hide what comes in the evening.
        let (kind, audience) = match failure.cause {
            Cause::Lost => return,
            Cause::Quota => ("failed quota", Audience::User),
            Cause::Disk => ("failed disk", Audience::Both),
            Cause::Other => ("failed", Audience::User),
        };
        or_warn(self.of_repository(kind, repository, audience, |row| {
            letters::push_failed(row, self.accounts.now(), failure)
        }));
    }

    /// Tells of pushes that lost their connections and did not come again; to be called now and then.
    pub fn lost(&self) {
        or_warn(self.tell_lost());
    }

    fn tell_lost(&self) -> Result<()> {
        if !self.is_on() {
            return Ok(());
        }
        let now = self.accounts.now();
        for row in self.accounts.repositories()?.iter().filter(|row| row.last_push_lost) {
            let Some((when, why)) = row.last_failure.as_ref().filter(|(when, _)| now - when > SOON) else {
                continue;
            };
            let failure = Failed::lost(why);
            or_warn(self.of_repository("failed", row.id, Audience::User, |row| {
                letters::push_failed(row, *when, &failure)
            }));
        }
        Ok(())
    }

    /// Damage was found in a repository.
    pub fn damage(&self, repository: i64, what: &str) {
        or_warn(self.of_repository("damage", repository, Audience::Both, |row| letters::damage(row, what)));
    }

    /// Most files vanished or changed at once, so nothing is pruned any more.
    pub fn pruning_suspended(&self, repository: i64, why: &str) {
        or_warn(self.of_repository("suspended", repository, Audience::Both, |row| {
            letters::pruning_suspended(row, why)
        }));
    }

    /// A machine was linked.
    pub fn key_added(&self, user: i64, key: &Key, from: &str, how: Enrolled) {
        or_warn(self.with_user(user, |user| {
            let subject = format!("key {}", key.id);
            if self.accounts.mail_due("key", &subject, self.accounts.now())? {
                self.tell(
                    "key",
                    &subject,
                    user,
                    Audience::Both,
                    &letters::key_added(user, key, from, how),
                );
            }
            Ok(())
        }));
    }

    /// A user's repositories take so many bytes now. A mark that is reached is told once, until they
    /// were below it.
    pub fn quota(&self, user: i64, used: u64) {
        or_warn(self.with_user(user, |user| match user.quota {
            Some(limit) => self.quota_of(user, used, limit),
            None => Ok(()),
        }));
    }

    fn quota_of(&self, user: &User, used: u64, limit: u64) -> Result<()> {
        let (name, now) = (user.name.as_str(), self.accounts.now());
        let kind = |mark: u64| format!("quota-{mark}");
        let (reached, below): (Vec<u64>, Vec<u64>) = MARKS.iter().partition(|&&mark| percent(used, limit) >= mark);
        for mark in below {
            self.accounts.mail_over(&kind(mark), name)?;
        }
        // One letter tells of the highest; those below it are known by that.
        let mut news = None;
        for mark in reached {
            let is_news = self.accounts.mail_once(&kind(mark), name, now)?;
            news = is_news.then_some(mark);
        }
        if let Some(mark) = news {
            self.tell(
                &kind(mark),
                name,
                user,
                Audience::Both,
                &letters::quota(user, used, limit),
            );
        }
        Ok(())
    }

    /// Tells of every repository that is overdue; to be called now and then.
    pub fn overdue(&self) {
        or_warn(self.tell_overdue(&TimeZone::system()));
    }

    pub(super) fn tell_overdue(&self, zone: &TimeZone) -> Result<()> {
        if !self.is_on() {
            return Ok(());
        }
        let now = self.accounts.now();
        let today = Timestamp::from_second(now)
            .unwrap_or_default()
            .to_zoned(zone.clone())
            .weekday();
        for row in self.accounts.repositories()? {
            let age = Age::of(&row, &self.config, now, zone);
            let is_day_off = row.skip_weekdays.unwrap_or(self.config.skip_weekdays).has(today);
            if !age.is_overdue() || is_day_off {
                continue;
            }
            // One that is removed meanwhile keeps nobody from hearing of the others.
            or_warn(self.of_repository("overdue", row.id, Audience::Both, |row| letters::overdue(row, &age)));
        }
        Ok(())
    }

    fn with_user(&self, id: i64, work: impl FnOnce(&User) -> Result<()>) -> Result<()> {
        if !self.is_on() {
            return Ok(());
        }
        let user = self.accounts.user_by_id(id)?;
        work(&user.ok_or_else(|| Error::NoSuchUser(format!("number {id}")))?)
    }

    /// Tells of a repository, at most once a day; not of one whose account is disabled.
    fn of_repository(
        &self,
        kind: &str,
        repository: i64,
        audience: Audience,
        letter: impl FnOnce(&RepositoryRow) -> Letter,
    ) -> Result<()> {
        if !self.is_on() {
            return Ok(());
        }
        let row = self.accounts.repository_by_id(repository)?;
        self.with_user(row.user, |user| {
            let subject = row.full_name();
            let is_meant_so = user.disabled && kind == "overdue";
            if !is_meant_so && self.accounts.mail_due(kind, &subject, self.accounts.now())? {
                self.tell(kind, &subject, user, audience, &letter(&row));
            }
            Ok(())
        })
    }
}
