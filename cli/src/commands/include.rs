//! `yore include`: what this machine backs up.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use yore_agent::config::{AgentConfig, Edit};
use yore_agent::roots::Roots;
use yore_terminal::output::{ManyBytes, Out};
use yore_terminal::text::printable;

use super::Context;
use crate::error::{Status, Usage};

/// Say what this machine backs up
///
/// Without PATH it lists what is included. `yore snapshot` without PATH, `yore run` and `yore watch`
/// take what is included here. It is kept in agent.toml in $YORE_CONFIG_DIR, else /etc/yore for root, else
/// $XDG_CONFIG_HOME/yore or ~/.config/yore: a file that you can edit.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  yore include /home/ann /etc
  yore include --remove /etc

JSON: one object:
  include  array of the paths that are included")]
pub struct Include {
    /// Files and folders, which have to be there
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Do not back these up any more; what snapshots have of them stays
    #[arg(long, requires = "paths")]
    remove: bool,
}

#[derive(Serialize)]
struct Included<'a> {
    #[serde(flatten)]
    include: ManyBytes<'a>,
}

/// Runs it.
pub fn run(context: &Context, args: &Include) -> Result<Status> {
    let config = match args.paths.is_empty() {
        true => context.config()?.cloned().unwrap_or_default(),
        false => change(args)?,
    };
    let paths: Vec<Vec<u8>> = config
        .include
        .iter()
        .map(|path| path.as_os_str().as_bytes().to_vec())
        .collect();
    let mut out = Out::new();
    if context.global.json {
        out.object(&Included {
            include: ManyBytes("include", &paths),
        })?;
    } else if !context.global.quiet {
        paths.iter().try_for_each(|path| out.line(printable(path)))?;
    }
    out.finish()?;
    if paths.is_empty() {
        context.note("nothing is included; `yore include PATH` includes something");
    }
    Ok(Status::DONE)
}

fn change(args: &Include) -> Result<AgentConfig> {
    let mut edit = Edit::open(&AgentConfig::folder()?)?;
    for path in &args.paths {
        match args.remove {
            true => remove(&mut edit, path)?,
            // Absolute, and there: what is misspelt now would be missed when it is wanted.
            false => {
                let roots = Roots::resolve(&[path])?;
                edit.include(&roots.paths()[0])?;
            }
        }
    }
    Ok(edit.save()?)
}

/// What is not there any more can be removed too, as it was written or made absolute.
fn remove(edit: &mut Edit, path: &Path) -> Result<()> {
    let absolute = std::path::absolute(path).with_context(|| path.display().to_string())?;
    let resolved = Roots::resolve(&[path]).ok().map(|roots| roots.paths()[0].clone());
    let mut spellings = [Some(path.to_owned()), Some(absolute), resolved].into_iter().flatten();
    match spellings.any(|spelling| edit.remove_include(&spelling)) {
        true => Ok(()),
        false => Err(Usage(format!("{}: is not included", printable(path.as_os_str().as_bytes()))).into()),
    }
}
