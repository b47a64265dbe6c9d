//! `yore pause`: no pushes for a while.

use anyhow::Result;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use yore_agent::config::parse_time;
use yore_agent::status::{Pause, StateFolder};
use yore_terminal::text::time;

use super::Context;
use crate::error::{Status, Usage};

/// Let `yore watch` push nothing for a while
///
/// A push under way is stopped; what it has sent is not lost. What changes meanwhile is seen, and what is
/// due is made up for at the end. A push by hand (`yore snapshot`, `yore run`) is not held.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  yore pause 4h
  yore pause           until `yore resume`")]
pub struct PauseArgs {
    /// How long: 90s, 30m, 4h, 2d
    #[arg(value_name = "TIME")]
    time: Option<String>,
}

/// Runs it.
pub fn run(context: &Context, args: &PauseArgs) -> Result<Status> {
    let pause = match args.time.as_deref() {
        None => Pause::Open,
        Some(text) => {
            let wrong = || Usage(format!("`{text}` is no time; write 90s, 30m, 4h or 2d"));
            let pause = SignedDuration::try_from(parse_time(text).ok_or_else(wrong)?)?;
            Pause::Until(Timestamp::now().checked_add(pause)?)
        }
    };
    StateFolder::of_environment()?.set_pause(Some(pause))?;
    context.note(&match pause {
        Pause::Open => "paused until `yore resume`".into(),
        Pause::Until(end) => format!("paused until {} UTC", time(end.as_second())),
    });
    Ok(Status::DONE)
}
