//! `yore man`: the man pages, made from the same definitions as `--help`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as Page;

use crate::args::Cli;
use crate::error::Status;

/// The date on the pages: that of their text, not of the day on which they were made.
const DATE: &str = "2026-11-21";

/// Write the man pages into a folder
#[derive(Args)]
pub struct Man {
    /// The folder; pages that are there are replaced
    folder: PathBuf,
}

/// Runs it.
pub fn run(args: &Man) -> Result<Status> {
    let mut yore = Cli::command();
    // Gives every command its full name and the options of every command.
    yore.build();
    write(&yore, &args.folder)?;
    for command in yore
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
    {
        write(command, &args.folder)?;
    }
    Ok(Status::DONE)
}

fn write(command: &Command, folder: &Path) -> Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let path = folder.join(format!("{name}.1"));
    let mut page = Vec::new();
    let source = format!("yore {}", env!("CARGO_PKG_VERSION"));
    Page::new(command.clone())
        .title(name.to_uppercase())
        .date(DATE)
        .source(source)
        .manual("yore")
        .render(&mut page)?;
    std::fs::write(&path, page).with_context(|| path.display().to_string())
}
