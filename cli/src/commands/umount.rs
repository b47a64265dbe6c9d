//! `yore umount`: takes a mount away.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::Context;
use crate::backend;
use crate::error::Status;

/// Take a mount away
///
/// If programs still use it, it stays, unless --lazy is given.
#[derive(Args)]
#[command(after_long_help = "\
Example:
  yore umount /mnt/past")]
pub struct Umount {
    /// Where it is mounted
    mountpoint: PathBuf,
    /// Take it away now; programs that still use it keep it until they are done
    #[arg(short = 'z', long)]
    lazy: bool,
}

/// Runs it.
pub fn run(_context: &Context, args: &Umount) -> Result<Status> {
    match args.lazy {
        true => backend::detach(&args.mountpoint)?,
        false => backend::unmount(&args.mountpoint)?,
    }
    Ok(Status::DONE)
}
