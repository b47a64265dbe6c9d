//! `yored man`: the man pages, made from the same definitions as `--help`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as Page;

use crate::args::Cli;
use crate::error::Status;

/// The date on the pages: that of their text, not of the day on which they were made.
const DATE: &str = "2026-11-21";

/// Of administration.
const SECTION: &str = "8";

/// Write the man pages into a folder
#[derive(Args)]
pub struct Man {
    /// The folder; pages that are there are replaced
    folder: PathBuf,
}

/// Runs it.
pub fn run(args: &Man) -> Result<Status> {
    let mut yored = Cli::command();
    // Gives every command its full name and the options of every command.
    yored.build();
    write_all(&yored, &args.folder)?;
    Ok(Status::DONE)
}

/// A command's page, and those of the commands below it.
fn write_all(command: &Command, folder: &Path) -> Result<()> {
    write(command, folder)?;
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
        .try_for_each(|command| write_all(command, folder))
}

fn write(command: &Command, folder: &Path) -> Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let path = folder.join(format!("{name}.{SECTION}"));
    let mut page = Vec::new();
    let source = format!("yore {}", env!("CARGO_PKG_VERSION"));
    Page::new(command.clone())
        .title(name.to_uppercase())
        .section(SECTION)
        .date(DATE)
        .source(source)
        .manual("yore")
        .render(&mut page)?;
    std::fs::write(&path, page).with_context(|| path.display().to_string())
}
