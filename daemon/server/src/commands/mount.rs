//! `yored mount`: every repository as folders.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::Context;
use crate::error::Status;

/// Show every snapshot of every repository as a folder
///
/// MOUNTPOINT/USER/REPOSITORY/DATE, live, until it is unmounted or interrupted. root sees all; the Unix
/// user of an account sees its repositories (yored user set --unix-user).
#[derive(Args)]
#[command(after_long_help = "\
Example:
  yored mount /mnt/backups &
  ls /mnt/backups/ann/laptop/latest

With `mount = \"/mnt/backups\"` in the configuration the daemon does this by itself.")]
pub struct Mount {
    /// A folder; made if it is not there
    mountpoint: PathBuf,
}

/// Runs it.
pub fn run(context: &Context, args: &Mount) -> Result<Status> {
    crate::serve::mount(context.config()?, &args.mountpoint)?;
    Ok(Status::DONE)
}
