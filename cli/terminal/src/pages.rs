//! Man pages and completions, made from the same definitions as `--help`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Command};
use clap_complete::Shell;

use crate::output::Out;

/// The date on the pages: that of their text, not of the day on which they were made.
const DATE: &str = "2026-11-21";

/// Write the man pages into a folder
#[derive(Args)]
pub struct Man {
    /// The folder; pages that are there are replaced
    folder: PathBuf,
}

impl Man {
    /// Writes the pages of a program and of all its commands, for a section of the manual.
    ///
    /// # Errors
    /// A page that cannot be written.
    pub fn run(&self, mut program: Command, section: &str) -> Result<()> {
        // Gives every command its full name and the options of every command.
        program.build();
        write_all(&program, section, &self.folder)
    }
}

/// A command's page, and those of the commands below it.
fn write_all(command: &Command, section: &str, folder: &Path) -> Result<()> {
    write(command, section, folder)?;
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
        .try_for_each(|command| write_all(command, section, folder))
}

fn write(command: &Command, section: &str, folder: &Path) -> Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let path = folder.join(format!("{name}.{section}"));
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name.to_uppercase())
        .section(section)
        .date(DATE)
        .source(format!("yore {}", env!("CARGO_PKG_VERSION")))
        .manual("yore")
        .render(&mut page)?;
    std::fs::write(&path, page).with_context(|| path.display().to_string())
}

/// Write a shell's completions to standard output
#[derive(Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints what the shell can complete of a program.
    ///
    /// # Errors
    /// [`Stdout`](crate::error::Stdout).
    pub fn run(&self, mut program: Command) -> Result<()> {
        let (mut script, name) = (Vec::new(), program.get_name().to_owned());
        clap_complete::generate(self.shell, &mut program, name, &mut script);
        let mut out = Out::new();
        out.bytes(&script)?;
        Ok(out.finish()?)
    }
}
