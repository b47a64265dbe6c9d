//! `yore watch`: pushes by itself.

use anyhow::Result;
use clap::Args;

use super::Context;
use crate::backend;
use crate::error::Status;

/// Push by itself, when it is time and when something has changed
///
/// It stays, as a service does (yore.service for systemd comes with it), until SIGTERM or Ctrl-C, which stop
/// a push under way within seconds. It sees what changes, so that a push reads only that; once a day, after
/// a restart and when the system could not tell what changed, it looks at everything. A file that stays
/// open for writing, such as a log, is looked at by each push.
///
/// It keeps to agent.toml (see `yore include`) and reads it again when it changes, or on SIGHUP. A push
/// that fails is tried again, later each time, for an hour unless retry_for says otherwise.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  yore include /home/ann
  yore schedule daily --after-change 5m
  systemctl --user enable --now yore       or, without systemd: yore watch")]
pub struct Watch {}

/// Runs it.
pub fn run(context: &Context, _args: &Watch) -> Result<Status> {
    yore_agent::watch::watch(backend::setting(context)?)?;
    Ok(Status::DONE)
}
