//! `yored serve`: the daemon.

use anyhow::Result;
use clap::Args;

use super::Context;
use crate::error::Status;

/// Receive pushes until told to stop
///
/// The host key, the database and the folders are made at the first start. SIGTERM ends sessions
/// cleanly; SIGHUP reads the configuration again. Needs no root: it runs as a user of its own, who owns
/// the data folder.
#[derive(Args)]
pub struct Serve {}

/// Runs it.
pub fn run(context: &Context, _args: &Serve) -> Result<Status> {
    crate::serve::run(context.config()?)?;
    Ok(Status::DONE)
}
