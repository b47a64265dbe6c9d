//! When the next push is due, and why: from the configuration and what has happened, by
//! nothing but its arguments.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::config::{AgentConfig, Schedule};
use crate::status::Pause;

/// A push waits for changes to end no longer than this many times [`AgentConfig::after_change`].
const PATIENCE: i32 = 10;

/// A look at everything that was given up is tried again after this time.
const AFTER_GIVING_UP: Duration = Duration::from_secs(3600);

/// No retry is planned later than this.
const LATEST_RETRY: Duration = Duration::from_secs(20 * 60);

/// What says when.
#[derive(Clone, Debug)]
pub struct Timetable {
    /// When to push.
    pub schedule: Schedule,
    /// How long after the last change.
    pub after_change: Option<Duration>,
    /// How often to look at everything.
    pub full_scan: Duration,
    /// The clock on the wall.
    pub zone: TimeZone,
    /// The name of this machine.
    pub host: String,
}

/// What has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The last push that was made, or that was given up.
    pub last_push: Option<Timestamp>,
    /// The last push that was given up, if none was made since.
    pub given_up: Option<Timestamp>,
    /// The last time that everything was looked at, since the watch began.
    pub last_full: Option<Timestamp>,
    /// The first change that was not pushed.
    pub first_change: Option<Timestamp>,
    /// The last one.
    pub last_change: Option<Timestamp>,
    /// When to try again what has failed.
    pub retry_at: Option<Timestamp>,
    /// Until when nothing is to be pushed.
    pub pause: Option<Pause>,
}

impl Past {
    /// Forgets what the clock has not come to yet: it was wrong then, and would be waited for.
    pub fn forget_future(&mut self, now: Timestamp) {
        let soon = later(now, Duration::from_secs(60));
        let times = [
            &mut self.last_push,
            &mut self.given_up,
            &mut self.last_full,
            &mut self.first_change,
            &mut self.last_change,
        ];
        for time in times {
            *time = time.filter(|time| *time <= soon);
        }
        let latest = later(now, LATEST_RETRY);
        self.retry_at = self.retry_at.filter(|time| *time <= latest);
    }
}

/// Why there is a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is time.
    Schedule,
    /// Something has changed.
    Change,
    /// The one before has failed.
    Retry,
    /// It is not known what changed while nobody watched, or everything is to be looked at again.
    FullScan,
}

impl Why {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Why::Schedule => "schedule",
            Why::Change => "change",
            Why::Retry => "retry",
            Why::FullScan => "full scan",
        }
    }
}

impl Timetable {
    /// What a configuration says, on the machine called `host`, by its own clock.
    pub fn new(config: &AgentConfig, host: &str) -> Self {
        Timetable {
            schedule: config.schedule.clone(),
            after_change: config.after_change,
            full_scan: config.full_scan,
            zone: TimeZone::system(),
            host: host.to_owned(),
        }
    }

    /// When the next push is due: perhaps a time that has passed, then it is due now.
    pub fn next(&self, past: &Past) -> Option<(Timestamp, Why)> {
        let (time, why) = match past.retry_at {
            // It makes up for whatever else is due meanwhile.
            Some(time) => (time, Why::Retry),
            None => {
                let due = [self.by_schedule(past), self.by_change(past), self.by_full_scan(past)];
                due.into_iter().flatten().min_by_key(|(time, _)| *time)?
            }
        };
        match past.pause {
            None => Some((time, why)),
            Some(Pause::Until(end)) => Some((time.max(end), why)),
            Some(Pause::Open) => None,
        }
    }

    /// Whether a push at this time has to look at everything.
    pub fn wants_full_scan(&self, past: &Past, now: Timestamp) -> bool {
        past.last_full.is_none_or(|last| now >= later(last, self.full_scan))
    }

    fn by_schedule(&self, past: &Past) -> Option<(Timestamp, Why)> {
        let first = (self.schedule != Schedule::Off).then_some(Timestamp::UNIX_EPOCH);
        let time = match past.last_push {
            None => first?,
            Some(last) => self.schedule.next(last, &self.zone, &self.host)?,
        };
        Some((time, Why::Schedule))
    }

    fn by_change(&self, past: &Past) -> Option<(Timestamp, Why)> {
        let wait = self.after_change?;
        let quiet = later(past.last_change?, wait);
        let patience = later(past.first_change?, wait.saturating_mul(PATIENCE as u32));
        Some((quiet.min(patience), Why::Change))
    }

    /// Who wants changes to be pushed soon wants those soon that nobody saw.
    fn by_full_scan(&self, past: &Past) -> Option<(Timestamp, Why)> {
        self.after_change?;
        let time = past
            .last_full
            .map_or(Timestamp::UNIX_EPOCH, |last| later(last, self.full_scan));
        let soonest = past.given_up.map_or(time, |last| later(last, AFTER_GIVING_UP));
        Some((time.max(soonest), Why::FullScan))
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        format!("2026-11-21T{time}Z").parse().unwrap()
    }

    fn table(schedule: &str, after_change: Option<u64>) -> Timetable {
        Timetable {
            schedule: schedule.parse().unwrap(),
            after_change: after_change.map(Duration::from_secs),
            full_scan: Duration::from_secs(86_400),
            zone: TimeZone::UTC,
            host: "host".into(),
        }
    }

    fn pushed(time: &str) -> Past {
        Past {
            last_push: Some(at(time)),
            last_full: Some(at(time)),
            ..Past::default()
        }
    }

    #[test]
    fn a_clock_that_was_wrong_once_is_not_waited_for() {
        let mut past = pushed("09:30:00");
        past.forget_future(at("09:00:00"));
        assert_eq!(past, Past::default());
        let mut past = Past {
            retry_at: Some(at("11:00:00")),
            ..Past::default()
        };
        past.forget_future(at("10:50:00"));
        assert_eq!(past.retry_at, Some(at("11:00:00")));
        past.forget_future(at("09:00:00"));
        assert_eq!(past.retry_at, None);
        let mut past = pushed("09:30:00");
        past.forget_future(at("09:29:30"));
        assert_eq!(past, pushed("09:30:00"), "clocks are never quite the same");
    }

    #[test]
    fn the_first_push_is_due_at_once_and_a_missed_one_too() {
        let table = table("0 * * * *", None);
        assert_eq!(
            table.next(&Past::default()),
            Some((Timestamp::UNIX_EPOCH, Why::Schedule))
        );
        // At 12:30 this is due now, whatever happened in between.
        assert_eq!(table.next(&pushed("09:30:00")), Some((at("10:00:00"), Why::Schedule)));
    }

    #[test]
    fn a_push_waits_for_quiet_but_not_for_ever() {
        let table = table("off", Some(60));
        let mut past = pushed("09:00:00");
        let tomorrow = "2026-11-22T09:00:00Z".parse().unwrap();
        assert_eq!(table.next(&past), Some((tomorrow, Why::FullScan)));
        (past.first_change, past.last_change) = (Some(at("10:00:00")), Some(at("10:00:30")));
        assert_eq!(table.next(&past), Some((at("10:01:30"), Why::Change)));
        past.last_change = Some(at("10:59:00"));
        assert_eq!(table.next(&past), Some((at("10:10:00"), Why::Change)));
    }

    #[test]
    fn changes_are_for_the_schedule_if_nothing_else_is_said() {
        let mut past = pushed("09:30:00");
        (past.first_change, past.last_change) = (Some(at("09:40:00")), Some(at("09:40:00")));
        assert_eq!(
            table("0 * * * *", None).next(&past),
            Some((at("10:00:00"), Why::Schedule))
        );
        assert_eq!(
            table("0 * * * *", Some(7200)).next(&past),
            Some((at("10:00:00"), Why::Schedule))
        );
        assert_eq!(table("off", None).next(&past), None);
    }

    #[test]
    fn what_failed_is_tried_again_before_anything_else() {
        let mut past = pushed("09:30:00");
        past.retry_at = Some(at("10:20:00"));
        assert_eq!(
            table("0 * * * *", Some(1)).next(&past),
            Some((at("10:20:00"), Why::Retry))
        );
    }

    #[test]
    fn a_pause_puts_off() {
        let table = table("0 * * * *", None);
        let mut past = pushed("09:30:00");
        past.pause = Some(Pause::Until(at("11:15:00")));
        assert_eq!(table.next(&past), Some((at("11:15:00"), Why::Schedule)));
        past.pause = Some(Pause::Until(at("09:45:00")));
        assert_eq!(table.next(&past), Some((at("10:00:00"), Why::Schedule)));
        past.pause = Some(Pause::Open);
        assert_eq!(table.next(&past), None);
    }

    #[test]
    fn everything_is_looked_at_first_and_daily() {
        let table = table("0 * * * *", Some(60));
        let mut past = pushed("09:30:00");
        assert!(!table.wants_full_scan(&past, at("23:00:00")));
        assert!(table.wants_full_scan(&past, "2026-11-22T09:30:00Z".parse().unwrap()));
        past.last_full = None;
        assert!(table.wants_full_scan(&past, at("09:30:01")));
        // Who pushes what changes wants to know at once what changed before.
        assert_eq!(table.next(&past), Some((Timestamp::UNIX_EPOCH, Why::FullScan)));
        past.given_up = Some(at("09:40:00"));
        past.last_push = past.given_up;
        assert_eq!(table.next(&past), Some((at("10:00:00"), Why::Schedule)));
        past.last_push = Some(at("10:30:00"));
        assert_eq!(table.next(&past), Some((at("10:40:00"), Why::FullScan)));
    }
}
