//! `yore run`: the push of the schedule, now.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use yore_agent::watch::push_once;

use super::{Context, snapshot};
use crate::backend;
use crate::error::{Status, Usage};
use crate::progress::Meter;

/// The longest that it goes on if the connection to the server breaks.
const RETRY_FOR: Duration = Duration::from_secs(600);

/// Push now what the schedule would push
///
/// This is what `yore watch` does when it is time: with the commands before and after, and all that
/// agent.toml says (see `yore include`). It looks at everything. For cron, or a timer of systemd, where
/// `yore watch` is not wanted; a pause does not hold it. If the server cannot be reached it tries again for ten
/// minutes, or for `retry_for` if that is less.
#[derive(Args)]
#[command(after_long_help = "\
Example, in a crontab:
  15 * * * *  yore run --quiet

JSON: as of `yore snapshot`")]
pub struct Run {}

/// Runs it.
pub fn run(context: &Context, _args: &Run) -> Result<Status> {
    let setting = backend::setting(context)?;
    let unlinked = || Usage("this machine has no agent.toml; `yore include PATH` makes one".into());
    let config = setting.config()?.ok_or_else(unlinked)?;
    let meter = Meter::new("run", context.global.quiet);
    let outcome = push_once(&setting, &config, || None, config.retry_for.min(RETRY_FOR), &meter);
    drop(meter);
    snapshot::tell(context, &outcome?)
}
