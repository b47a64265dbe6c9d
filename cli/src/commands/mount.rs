//! `yore mount`: every snapshot as a folder, in the background or not.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use yore_terminal::output::{Bytes, Out};
use yore_terminal::text::{one_line, printable};

use super::{Context, background};
use crate::backend;
use crate::error::{Status, line, warn};

/// Show every snapshot as a folder
///
/// It returns when the mount answers, and the mount stays until `yore umount` or a reboot. What it has
/// to say later goes to $XDG_STATE_HOME/yore/mount.log, or ~/.local/state/yore/mount.log.
///
/// The mount is read-only and live: a snapshot that is made meanwhile shows up, and `latest` follows.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  yore mount /mnt/past
  ls /mnt/past
  cp -a /mnt/past/latest/home/ann/report.odt .
  yore umount /mnt/past

JSON: one object:
  repository  what is mounted
  mountpoint  where")]
pub struct Mount {
    /// Where to mount: a folder, best an empty one
    pub mountpoint: PathBuf,
    /// Stay, until it is unmounted, or until Ctrl-C or SIGTERM unmount it
    #[arg(short, long)]
    pub foreground: bool,
    /// Let other users in, as far as the files' modes let them
    #[arg(long)]
    pub allow_other: bool,
    /// Show everything as your own, and readable
    #[arg(long)]
    pub own: bool,
    /// Let the kernel read files without our verification: faster, if the disk is to be trusted
    ///
    /// As root, and of files that are stored as they are: those above 1 MiB that nowhere compress, until they
    /// change. All others are read and verified as ever.
    #[arg(long)]
    pub trust_disk: bool,
    /// Serve as the background process that `yore mount` starts; see `background`
    #[arg(long, hide = true)]
    pub detached: bool,
}

/// Runs it.
pub fn run(context: &Context, args: &Mount) -> Result<Status> {
    if args.detached {
        return background::serve(|ready| serve(context, args, ready));
    }
    // Also so that a repository that cannot be opened is said by this process.
    let repository = context.open()?;
    if args.foreground {
        serve(context, args, &mut || said(context, args, &*repository))?;
    } else {
        background::start(context.repository_path()?, repository.folder_here(), args)?;
        said(context, args, &*repository)?;
    }
    Ok(Status::DONE)
}

#[derive(Serialize)]
struct MountedObject<'a> {
    repository: String,
    #[serde(flatten)]
    mountpoint: Bytes<'a>,
}

/// Says that it is mounted.
fn said(context: &Context, args: &Mount, repository: &dyn yore_store::History) -> Result<()> {
    let mut out = Out::new();
    let to = args.mountpoint.as_os_str().as_bytes();
    if context.global.json {
        out.object(&MountedObject {
            repository: repository.place(),
            mountpoint: Bytes("mountpoint", to),
        })?;
    } else if !context.global.quiet {
        let to = printable(to);
        out.line(format_args!("{}: mounted on {to}", one_line(&repository.place())))?;
    }
    Ok(out.finish()?)
}

/// Mounts, says that it is `ready`, and serves until somebody unmounts.
fn serve(context: &Context, args: &Mount, ready: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let mounted = backend::mount(context.open()?, args)?;
    let mountpoint = mounted.mountpoint().to_owned();
    let asked = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        // Who asks twice does not want to wait for the programs that use it.
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(1);
        }
        if let Err(error) = backend::unmount(&mountpoint) {
            warn(&line(&error.into()));
            warn("so it is taken away now, and served until the last of them is done");
            let _ = backend::detach(&mountpoint);
        }
    })
    .context("waiting for signals")?;
    ready()?;
    mounted.wait()?;
    Ok(())
}
