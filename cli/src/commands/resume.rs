//! `yore resume`: the end of a pause.

use anyhow::Result;
use clap::Args;
use yore_agent::status::StateFolder;

use super::Context;
use crate::error::Status;

/// End a pause
///
/// What became due meanwhile is pushed now, if `yore watch` runs.
#[derive(Args)]
#[command(after_long_help = "\
Example:
  yore resume")]
pub struct Resume {}

/// Runs it.
pub fn run(_context: &Context, _args: &Resume) -> Result<Status> {
    StateFolder::of_environment()?.set_pause(None)?;
    Ok(Status::DONE)
}
