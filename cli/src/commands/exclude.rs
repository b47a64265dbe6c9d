//! `yore exclude`: what is left out of what this machine backs up.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use yore_agent::config::{AgentConfig, Edit};
use yore_terminal::output::Out;
use yore_terminal::text::one_line;

use super::Context;
use crate::backend;
use crate::error::{Status, Usage};

/// Say what to leave out
///
/// Without PATTERN it lists the patterns, which are those of .gitignore, over absolute paths: /tmp is that
/// folder, *.o any name at any depth, cache/ any folder of that name, !keep.o takes back what an earlier
/// pattern said. What fits none is backed up; the last that fits a path decides.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  yore exclude '*.iso' .cache/
  yore exclude --remove '*.iso'

JSON: one object:
  exclude  array of the patterns, in their order")]
pub struct Exclude {
    /// Patterns, added behind those that are there
    #[arg(value_name = "PATTERN", allow_hyphen_values = false)]
    patterns: Vec<String>,
    /// Do not leave these out any more
    #[arg(long, requires = "patterns")]
    remove: bool,
}

#[derive(Serialize)]
struct Excluded<'a> {
    exclude: &'a [String],
}

/// Runs it.
pub fn run(context: &Context, args: &Exclude) -> Result<Status> {
    let config = match args.patterns.is_empty() {
        true => context.config()?.cloned().unwrap_or_default(),
        false => change(args)?,
    };
    let mut out = Out::new();
    if context.global.json {
        out.object(&Excluded {
            exclude: &config.exclude,
        })?;
    } else if !context.global.quiet {
        config
            .exclude
            .iter()
            .try_for_each(|pattern| out.line(one_line(pattern)))?;
    }
    out.finish()?;
    Ok(Status::DONE)
}

fn change(args: &Exclude) -> Result<AgentConfig> {
    // A pattern that does not parse would stop every push.
    backend::patterns("PATTERN", &args.patterns)?;
    let mut edit = Edit::open(&AgentConfig::folder()?)?;
    for pattern in &args.patterns {
        if !args.remove {
            edit.exclude(pattern);
        } else if !edit.remove_exclude(pattern) {
            return Err(Usage(format!("{}: is not excluded", one_line(pattern))).into());
        }
    }
    Ok(edit.save()?)
}
