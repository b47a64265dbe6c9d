//! `yored completions`: what a shell can complete.

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::error::Status;
use crate::output::Out;

/// Write a shell's completions to standard output
#[derive(Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// Runs it.
pub fn run(args: &Completions) -> Result<Status> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "yored", &mut script);
    let mut out = Out::new();
    out.bytes(&script)?;
    out.finish()?;
    Ok(Status::DONE)
}
