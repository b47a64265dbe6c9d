//! When a snapshot was made, and what it is called: now, or, of one that is copied, as it was.
//!
//! Along all lines of a repository time does not go back, whatever the clock does: retention and `latest` go by it.
//! So a copy is taken only if it is later than whatever is there, and not later than now.

use rusqlite::{Connection, OptionalExtension};

use crate::catalog::Snapshot;
use crate::time::snapshot_name;
use crate::{Error, Result};

/// The most snapshots of one second that names are given to.
const MOST_IN_A_SECOND: i64 = 1_000_000;

/// When a snapshot was made, and its name: of one that is copied from another repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Seconds since 1970.
    pub time: i64,
    /// `YYYY-MM-DD_HH-MM-SS` of that time, with `-2`, `-3`… if several fell in a second.
    pub name: String,
}

impl Made {
    /// When this one was.
    pub fn of(snapshot: &Snapshot) -> Self {
        Made {
            time: snapshot.time,
            name: snapshot.name.clone(),
        }
    }

    /// By what snapshots of a repository follow each other: the time, and which of its second it is.
    pub fn order(&self) -> (i64, i64) {
        (self.time, self.number().unwrap_or(1))
    }

    /// Which of its second it is, from 1 on; `None` if that is no name of this time.
    fn number(&self) -> Option<i64> {
        match self.name.strip_prefix(&snapshot_name(self.time))? {
            "" => Some(1),
            rest => {
                let number = rest.strip_prefix('-')?.parse().ok()?;
                let is_ours = (2..=MOST_IN_A_SECOND).contains(&number) && rest == format!("-{number}");
                is_ours.then_some(number)
            }
        }
    }

    /// Refuses what cannot be the next snapshot here.
    ///
    /// # Errors
    /// [`Error::Refused`], which says what is in the way.
    pub(super) fn check(&self, connection: &Connection, now: i64) -> Result<()> {
        if self.number().is_none() {
            return Err(Error::Refused(format!("{} is no name of its time", self.name)));
        }
        if self.time > now {
            return Err(Error::Refused(format!(
                "{} has not come yet by the clock here; set the clocks and copy again",
                self.name
            )));
        }
        match later(connection, self)? {
            None => Ok(()),
            Some(name) => Err(Error::Refused(format!(
                "{name} is here, which is not earlier than {}: the repository has newer snapshots of its own; copy into \
                 a repository that has none",
                self.name
            ))),
        }
    }
}

/// A snapshot that is not earlier. Forgotten ones do not count: what was copied and forgotten may be copied again.
fn later(connection: &Connection, made: &Made) -> Result<Option<String>> {
    let mut statement =
        connection.prepare_cached("SELECT time, name FROM snapshots WHERE time >= ?1 ORDER BY time DESC, id DESC")?;
    let of_row = |row: &rusqlite::Row<'_>| {
        let (time, name) = (row.get(0)?, row.get(1)?);
        Ok(Made { time, name })
    };
    let found = statement.query_map([made.time], of_row)?;
    let mut found = found.collect::<rusqlite::Result<Vec<_>>>()?.into_iter();
    Ok(found
        .find(|other| other.order() >= made.order())
        .map(|other| other.name))
}

/// The time and the name of the next snapshot: time does not go back, whatever the clock does, and a name that was
/// given once is not given again, even if its snapshot was forgotten in the same second: a mount may still show the
/// old one. A copy has the name that it had.
pub(super) fn next_name(connection: &Connection, now: i64, made: Option<&Made>) -> Result<(i64, String)> {
    let before = (
        remembered(connection, SECOND)?,
        remembered(connection, NUMBER)?.unwrap_or(0),
    );
    if let Some(made) = made {
        made.check(connection, now)?;
        if before.0.is_none_or(|second| (second, before.1) < made.order()) {
            remember(connection, made.order())?;
        }
        return Ok((made.time, made.name.clone()));
    }
    let time = before.0.map_or(now, |before| before.max(now));
    let number = if before.0 == Some(time) { before.1 + 1 } else { 1 };
    remember(connection, (time, number))?;
    let plain = snapshot_name(time);
    let name = if number == 1 {
        plain
    } else {
        format!("{plain}-{number}")
    };
    Ok((time, name))
}

/// What `next_ids` calls the second of the last snapshot, and how many it had.
const SECOND: &str = "snapshot second";
const NUMBER: &str = "snapshots in it";

fn remembered(connection: &Connection, name: &str) -> Result<Option<i64>> {
    let get = "SELECT next FROM next_ids WHERE name = ?1";
    Ok(connection.query_row(get, [name], |row| row.get(0)).optional()?)
}

fn remember(connection: &Connection, (second, number): (i64, i64)) -> Result<()> {
    let set = "INSERT INTO next_ids (name, next) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET next = ?2";
    connection.execute(set, (SECOND, second))?;
    connection.execute(set, (NUMBER, number))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, file};

    fn made(time: i64, more: &str) -> Made {
        Made {
            time,
            name: snapshot_name(time) + more,
        }
    }

    fn copy(bench: &Bench, host: &str, made: &Made) -> Result<Snapshot> {
        let mut ingest = bench.begin_made(host, made.clone())?;
        file(&mut ingest, "file", made.name.as_bytes());
        ingest.leave()?;
        Ok(ingest.commit(0)?.snapshot)
    }

    #[test]
    fn a_copy_keeps_its_time_and_its_name() {
        let bench = Bench::new();
        let moments = [made(1000, ""), made(1000, "-3"), made(2000, "-2")];
        for (moment, host) in moments.iter().zip(["a", "b", "a"]) {
            let snapshot = copy(&bench, host, moment).unwrap();
            assert_eq!(Made::of(&snapshot), *moment);
        }
        // What is made here follows.
        let next = bench.push("a", |push| file(push, "file", b"own"));
        assert!(next.time > 2000);
        assert!(
            matches!(copy(&bench, "c", &made(3000, "")), Err(Error::Refused(_))),
            "there is a newer one"
        );
    }

    #[test]
    fn nothing_is_dated_before_what_is_there_nor_into_the_future() {
        let bench = Bench::new();
        copy(&bench, "a", &made(1000, "-2")).unwrap();
        for bad in [made(999, ""), made(1000, ""), made(1000, "-2"), made(1 << 40, "")] {
            let error = copy(&bench, "b", &bad).unwrap_err();
            assert!(matches!(error, Error::Refused(_)), "{bad:?}: {error}");
        }
        for name in ["2020", "-1", "-0", "-02", "-x", "-99999999"] {
            let error = copy(&bench, "b", &made(5000, name)).unwrap_err();
            assert!(error.to_string().contains("no name of its time"), "{error}");
        }
        assert_eq!(bench.repository.snapshots().unwrap().len(), 1);
    }

    #[test]
    fn what_was_copied_and_forgotten_may_come_again() {
        let bench = Bench::new();
        let moment = made(1000, "");
        let snapshot = copy(&bench, "a", &moment).unwrap();
        bench.repository.forget(&[snapshot.id]).unwrap();
        assert_eq!(Made::of(&copy(&bench, "a", &moment).unwrap()), moment);
    }
}
