//! The daemon itself.

use std::path::Path;

use anyhow::{Result, bail};

use crate::config::Config;

/// Serves until SIGTERM.
///
/// # Errors
/// What keeps it from serving.
pub fn run(_config: Config) -> Result<()> {
    bail!("this build of yored has no daemon")
}

/// Mounts every repository until it is unmounted.
///
/// # Errors
/// What keeps it from mounting.
pub fn mount(_config: Config, mountpoint: &Path) -> Result<()> {
    bail!("{}: this build of yored has no mount", mountpoint.display())
}
