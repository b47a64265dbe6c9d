//! `yore status`: how it goes with this machine's backups.

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use yore_agent::config::AgentConfig;
use yore_agent::status::{Failure, Pause, Results, Running, StateFolder, Success, WatchStatus};
use yore_terminal::output::Out;
use yore_terminal::text::{count, one_line, rfc3339, size, time};

use super::Context;
use super::schedule::{how_to_start, next_run};
use crate::error::Status;

/// Show how it goes with this machine's backups
///
/// The last success, the last failure and why, the push under way, when the next is due, and whether
/// `yore watch` runs. Of pushes by `yore watch`, `yore run` and `yore snapshot` without PATH.
#[derive(Args)]
#[command(after_long_help = "\
Example:
  yore status --json

JSON: one object:
  repository    where it pushes to; null if nothing says
  watching      whether `yore watch` runs
  last_success  null, or an object: time, snapshot (its name), seconds (how long it took), bytes_read,
                bytes_new (that it added to the repository), unreadable (paths that could not be read),
                full_scan (whether everything was looked at)
  last_failure  null, or an object: time, error; an older one than the last success has passed
  running       null, or the push under way, an object: since, why (schedule, change, retry or full scan),
                files (looked at so far), bytes (done so far)
  next_run      when the next push is due, null if none is planned
  paused        null, until when nothing is pushed, or \"until resumed\"
  watches       folders that are watched
  watch_limit_reached  whether there are more folders than the system allows watches
  marked        names and folders that were seen to change since the last push
  full_scan_next  whether the next push looks at everything
Times are RFC 3339 in UTC.")]
pub struct StatusArgs {}

#[derive(Serialize)]
struct Shown<'a> {
    repository: Option<&'a str>,
    watching: bool,
    last_success: Option<&'a Success>,
    last_failure: Option<&'a Failure>,
    running: Option<&'a Running>,
    next_run: Option<String>,
    paused: Option<String>,
    watches: u64,
    watch_limit_reached: bool,
    marked: u64,
    full_scan_next: bool,
}

/// Everything that there is to show.
struct Facts {
    config: AgentConfig,
    results: Results,
    /// Of a watch that runs.
    watch: Option<WatchStatus>,
    next: Option<Timestamp>,
    pause: Option<Pause>,
}

/// Runs it.
pub fn run(context: &Context, _args: &StatusArgs) -> Result<Status> {
    let state = StateFolder::of_environment()?;
    let config = context.config()?.cloned().unwrap_or_default();
    let watching = state.is_watching();
    let watch = state.watch().filter(|_| watching);
    let planned = || next_run(&config, &state);
    let facts = Facts {
        next: watch.as_ref().map_or_else(planned, |watch| {
            let next: Timestamp = watch.next_run.as_ref()?.parse().ok()?;
            Some(next.max(Timestamp::now()))
        }),
        results: state.results(),
        pause: state.pause().filter(|pause| pause.holds(Timestamp::now())),
        config,
        watch: watch.or(watching.then(WatchStatus::default)),
    };
    let mut out = Out::new();
    match context.global.json {
        true => out.object(&shown(&facts))?,
        false => print(&facts, &mut out)?,
    }
    out.finish()?;
    Ok(Status::DONE)
}

fn shown(facts: &Facts) -> Shown<'_> {
    let watch = facts.watch.as_ref();
    Shown {
        repository: facts.config.repository.as_deref(),
        watching: watch.is_some(),
        last_success: facts.results.success.as_ref(),
        last_failure: facts.results.failure.as_ref(),
        running: watch.and_then(|watch| watch.running.as_ref()),
        next_run: facts.next.map(|next| rfc3339(next.as_second())),
        paused: facts.pause.map(|pause| match pause {
            Pause::Until(end) => rfc3339(end.as_second()),
            Pause::Open => "until resumed".to_owned(),
        }),
        watches: watch.map_or(0, |watch| watch.watches),
        watch_limit_reached: watch.is_some_and(|watch| watch.watch_limit_reached),
        marked: watch.map_or(0, |watch| watch.marked),
        full_scan_next: watch.is_none_or(|watch| watch.full_scan_next),
    }
}

fn print(facts: &Facts, out: &mut Out) -> Result<()> {
    let mut line = |what: &str, text: String| out.line(format_args!("{what:<14}{text}"));
    let repository = facts.config.repository.as_deref();
    line(
        "repository:",
        repository.map_or("none is named in agent.toml".into(), one_line),
    )?;
    line(
        "last success:",
        facts.results.success.as_ref().map_or("none".into(), success),
    )?;
    if let Some(failure) = &facts.results.failure {
        line(
            "last failure:",
            format!("{} {}", when(&failure.time), one_line(&failure.error)),
        )?;
    }
    if let Some(running) = facts.watch.as_ref().and_then(|watch| watch.running.as_ref()) {
        let (files, bytes) = (count(running.files, "file"), size(running.bytes));
        line(
            "running:",
            format!("since {} ({}): {files}, {bytes}", when(&running.since), running.why),
        )?;
    }
    match (facts.pause, facts.next) {
        (Some(Pause::Open), _) => line("next push:", "paused until `yore resume`".into())?,
        (Some(Pause::Until(end)), _) => line("next push:", format!("paused until {} UTC", time(end.as_second())))?,
        (None, None) if is_running(facts) => {}
        (None, None) => line("next push:", "none is planned".into())?,
        (None, Some(next)) if next <= Timestamp::now() => line("next push:", "due now".into())?,
        (None, Some(next)) => line("next push:", format!("{} UTC", time(next.as_second())))?,
    }
    match &facts.watch {
        None => line("watch:", format!("does not run; {}", how_to_start()))?,
        Some(watch) => line("watch:", watching(watch))?,
    }
    Ok(())
}

fn is_running(facts: &Facts) -> bool {
    facts.watch.as_ref().is_some_and(|watch| watch.running.is_some())
}

fn success(success: &Success) -> String {
    let unread = match success.unreadable {
        0 => String::new(),
        number => format!(", {} not read", count(number, "path")),
    };
    format!(
        "{} snapshot {}: read {}, stored {}{unread}",
        when(&success.time),
        success.snapshot,
        size(success.bytes_read),
        size(success.bytes_new)
    )
}

fn watching(watch: &WatchStatus) -> String {
    let folders = count(watch.watches, "folder");
    let limit = match watch.watch_limit_reached {
        true => ", as many as the system allows (raise fs.inotify.max_user_watches)",
        false => "",
    };
    let next = match watch.full_scan_next {
        true => "the next push looks at everything".to_owned(),
        false => format!("{} changed since the last push", count(watch.marked, "name")),
    };
    format!("runs, {folders} watched{limit}; {next}")
}

/// A time of a state file for people; what is none is shown as it is.
fn when(text: &str) -> String {
    let parsed = text.parse::<Timestamp>();
    parsed.map_or_else(|_| one_line(text), |at| format!("{} UTC", time(at.as_second())))
}
