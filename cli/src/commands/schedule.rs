//! `yore schedule`: when this machine pushes by itself.

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use yore_agent::config::{AgentConfig, Edit, Schedule, parse_time, time_text};
use yore_agent::status::StateFolder;
use yore_agent::watch::{Past, Timetable};
use yore_terminal::output::Out;
use yore_terminal::text::{rfc3339, time};

use super::Context;
use crate::backend;
use crate::error::{Status, Usage, warn};

/// Say when to push by itself
///
/// Without WHEN it shows the schedule and when the next push is due. `yore watch` keeps it, which runs as
/// a service. hourly, daily and weekly have a minute (and an hour of the night) of this machine's own, so
/// that not all machines push at once. What was missed while the machine was off is made up for.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  yore schedule hourly
  yore schedule '30 12 * * 1-5'            at half past twelve on weekdays, by this machine's clock
  yore schedule daily --after-change 5m    and five minutes after the last change

JSON: one object:
  schedule      hourly, daily, weekly, off or five fields as in a crontab
  after_change  how long after the last change, such as 5m; or off
  next_run      when the next push is due, RFC 3339 in UTC; null if none is planned
  watching      whether `yore watch` runs")]
pub struct ScheduleArgs {
    /// hourly, daily, weekly, off, or five fields as in a crontab, in one argument
    #[arg(value_name = "WHEN")]
    when: Option<Schedule>,
    /// Push this long after the last change too, such as 5m; or off
    #[arg(long, value_name = "TIME")]
    after_change: Option<String>,
}

#[derive(Serialize)]
struct Planned {
    schedule: String,
    after_change: String,
    next_run: Option<String>,
    watching: bool,
}

/// Runs it.
pub fn run(context: &Context, args: &ScheduleArgs) -> Result<Status> {
    let config = match args.when.is_some() || args.after_change.is_some() {
        true => change(args)?,
        false => context.config()?.cloned().unwrap_or_default(),
    };
    let state = StateFolder::of_environment()?;
    let next = next_run(&config, &state);
    let watching = state.is_watching();
    let after_change = config.after_change.map_or("off".into(), time_text);
    let mut out = Out::new();
    if context.global.json {
        out.object(&Planned {
            schedule: config.schedule.to_string(),
            after_change,
            next_run: next.map(|next| rfc3339(next.as_second())),
            watching,
        })?;
    } else if !context.global.quiet {
        out.line(format_args!("schedule:      {}", config.schedule))?;
        out.line(format_args!("after changes: {after_change}"))?;
        let next = next.map_or("none is planned".into(), |next| match next <= Timestamp::now() {
            true => "due now".into(),
            false => format!("{} UTC", time(next.as_second())),
        });
        out.line(format_args!("next push:     {next}"))?;
    }
    out.finish()?;
    let is_wanted = config.schedule != Schedule::Off || config.after_change.is_some();
    if !watching && is_wanted && !context.global.quiet {
        warn(&format!("nobody keeps the schedule: {}", how_to_start()));
    }
    Ok(Status::DONE)
}

fn change(args: &ScheduleArgs) -> Result<AgentConfig> {
    let mut edit = Edit::open(&AgentConfig::folder()?)?;
    if let Some(schedule) = &args.when {
        edit.set_schedule(schedule);
    }
    match args.after_change.as_deref() {
        None => {}
        Some("off") => edit.set_after_change(None),
        Some(text) => {
            let wrong = || {
                Usage(format!(
                    "--after-change: `{text}` is no time; write 90s, 5m, 1h30m or off"
                ))
            };
            edit.set_after_change(Some(parse_time(text).ok_or_else(wrong)?));
        }
    }
    Ok(edit.save()?)
}

/// When the next push is due by the schedule; changes are for the watch to see.
pub fn next_run(config: &AgentConfig, state: &StateFolder) -> Option<Timestamp> {
    let success = state.results().success;
    let now = Timestamp::now();
    let mut past = Past {
        last_push: success.and_then(|success| success.time.parse().ok()),
        pause: state.pause(),
        ..Past::default()
    };
    past.forget_future(now);
    let table = Timetable {
        after_change: None,
        ..Timetable::new(config, &backend::own_host())
    };
    table.next(&past).map(|(time, _)| time.max(now))
}

/// What starts the watch service, for this user.
pub fn how_to_start() -> &'static str {
    match rustix::process::geteuid().is_root() {
        true => "`systemctl enable --now yore` starts the service, `yore watch` runs it here",
        false => "`systemctl --user enable --now yore` starts the service, `yore watch` runs it here",
    }
}
