//! `yored status`: what goes on now, and how each repository's backups go.

use anyhow::Result;
use clap::Args;
use jiff::tz::TimeZone;
use serde::Serialize;
use yore_terminal::output::{Out, Table};
use yore_terminal::text::{one_line, rfc3339, size, span, time};

use super::Context;
use super::objects::{REPOSITORY_FIELDS, RepositoryObject, SESSION_FIELDS, SessionObject};
use crate::accounts::{RepositoryRow, SessionRow};
use crate::config::Config;
use crate::error::{Status, warn};
use crate::health::Age;
use crate::only::Only;

/// Show who is connected, and each repository's last success, last failure, age and size
///
/// AGE counts from the last success, or from the making of the repository if there was none; with `!` it
/// is more than is allowed. NEXT is when the machine means to push again.
#[derive(Args)]
#[command(after_long_help = format!("\
JSON: one object:
  running       whether the daemon runs
  sessions      array of objects, who is connected now:
{SESSION_FIELDS}
  repositories  array of objects:
    next_expected     when the next push is expected
    age, allowed_age  seconds since the last success, without days that do not count; how many may be
    overdue           whether these are too many
  and
{REPOSITORY_FIELDS}"))]
pub struct StatusArgs {}

#[derive(Serialize)]
struct StatusObject<'a> {
    running: bool,
    sessions: Vec<SessionObject<'a>>,
    repositories: Vec<Each<'a>>,
}

#[derive(Serialize)]
struct Each<'a> {
    #[serde(flatten)]
    repository: RepositoryObject<'a>,
    next_expected: Option<String>,
    age: i64,
    allowed_age: i64,
    overdue: bool,
}

/// Runs it.
pub fn run(context: &Context, _args: &StatusArgs) -> Result<Status> {
    let config = context.config()?;
    let accounts = context.accounts()?;
    let (sessions, rows, now) = (accounts.sessions()?, accounts.repositories()?, accounts.now());
    let runs = Only::is_taken(&config.data);
    // A daemon that died has left its own.
    let sessions = if runs { sessions } else { Vec::new() };
    if !runs {
        warn("yored does not run here: no backups are received; `yored serve` receives them");
    }
    let mut out = Out::new();
    match context.global.json {
        true => out.object(&StatusObject {
            running: runs,
            ..object(&sessions, &rows, &config, now)
        })?,
        false => print(&mut out, &sessions, &rows, &config, now)?,
    }
    out.finish()?;
    Ok(Status::DONE)
}

/// When the next push is expected, in seconds since 1970.
fn next(row: &RepositoryRow) -> Option<i64> {
    let (last, _) = row.last_success.as_ref()?;
    Some(last.saturating_add(row.interval_seen?.0))
}

fn object<'a>(sessions: &'a [SessionRow], rows: &'a [RepositoryRow], config: &Config, now: i64) -> StatusObject<'a> {
    let zone = TimeZone::system();
    let each = |row: &'a RepositoryRow| {
        let age = Age::of(row, config, now, &zone);
        Each {
            repository: row.into(),
            next_expected: next(row).map(rfc3339),
            age: age.seconds,
            allowed_age: age.allowed,
            overdue: age.is_overdue(),
        }
    };
    StatusObject {
        running: true,
        sessions: sessions.iter().map(SessionObject::from).collect(),
        repositories: rows.iter().map(each).collect(),
    }
}

fn print(out: &mut Out, sessions: &[SessionRow], rows: &[RepositoryRow], config: &Config, now: i64) -> Result<()> {
    if sessions.is_empty() {
        out.line("nobody is connected")?;
    } else {
        session_table(sessions, now).print(out)?;
    }
    out.line("")?;
    if rows.is_empty() {
        out.line("no repositories; `yored invite USER` lets a machine make one")?;
    } else {
        repository_table(rows, config, now).print(out)?;
    }
    Ok(())
}

fn session_table(sessions: &[SessionRow], now: i64) -> Table {
    let mut table = Table::new(&["USER", "REPOSITORY", "FROM", "WHAT", ">FOR", ">QUIET", ">RECEIVED"]);
    for session in sessions {
        let repository = session.repository.as_ref().map(ToString::to_string);
        table.row([
            session.user.to_string(),
            repository.unwrap_or_else(|| "-".into()),
            one_line(&session.from),
            one_line(&session.what),
            span(now - session.since),
            span(now - session.progress),
            size(session.bytes),
        ]);
    }
    table
}

fn repository_table(rows: &[RepositoryRow], config: &Config, now: i64) -> Table {
    let zone = TimeZone::system();
    let mut table = Table::new(&[
        "REPOSITORY",
        "LAST SUCCESS",
        ">AGE",
        "",
        ">SIZE",
        "NEXT",
        "LAST FAILURE",
    ]);
    for row in rows {
        let age = Age::of(row, config, now, &zone);
        let failure = row.last_failure.as_ref();
        let failure = failure.map(|(when, why)| format!("{}: {}", time(*when), one_line(why)));
        table.row([
            row.full_name(),
            row.last_success
                .as_ref()
                .map_or_else(|| "never".into(), |(when, _)| time(*when)),
            span(now - age.since),
            if age.is_overdue() { "!" } else { "" }.into(),
            size(row.bytes),
            next(row).map_or_else(|| "-".into(), time),
            failure.unwrap_or_else(|| "-".into()),
        ]);
    }
    table
}
