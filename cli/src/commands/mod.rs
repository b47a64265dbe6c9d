//! The commands: one file each, with its arguments, its help and what it does.

pub mod cat;
pub mod completions;
pub mod diff;
pub mod find;
pub mod forget;
pub mod init;
pub mod link;
pub mod log;
pub mod ls;
pub mod man;
pub mod mount;
pub mod prune;
pub mod restore;
pub mod snapshot;
pub mod snapshots;
pub mod stats;
pub mod umount;
pub mod verify;

mod background;
mod objects;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use yore_agent::config::AgentConfig;
use yore_agent::target::Target;
use yore_store::History;

use crate::args::{Cli, Command, Global};
use crate::error::{Status, Usage, warn};
use crate::text::{count, size};

/// Does what the command line says.
pub fn run(cli: Cli) -> Result<Status> {
    let context = Context { global: cli.global };
    match cli.command {
        Command::Init(args) => init::run(&context, &args),
        Command::Snapshot(args) => snapshot::run(&context, &args),
        Command::Snapshots(args) => snapshots::run(&context, &args),
        Command::Link(args) => link::run(&context, &args),
        Command::Ls(args) => ls::run(&context, &args),
        Command::Cat(args) => cat::run(&context, &args),
        Command::Restore(args) => restore::run(&context, &args),
        Command::Diff(args) => diff::run(&context, &args),
        Command::Find(args) => find::run(&context, &args),
        Command::Log(args) => log::run(&context, &args),
        Command::Mount(args) => mount::run(&context, &args),
        Command::Umount(args) => umount::run(&context, &args),
        Command::Forget(args) => forget::run(&context, &args),
        Command::Prune(args) => prune::run(&context, &args),
        Command::Verify(args) => verify::run(&context, &args),
        Command::Stats(args) => stats::run(&context, &args),
        Command::Man(args) => man::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

/// What every command is given.
pub struct Context {
    /// Options of every command.
    pub global: Global,
}

impl Context {
    /// The repository as the user names it: by `-r`, YORE_REPOSITORY, or the link of this machine.
    ///
    /// # Errors
    /// [`Usage`] if it was not named, and what is wrong with this machine's configuration.
    pub fn place(&self) -> Result<PathBuf> {
        if let Some(place) = &self.global.repository {
            return Ok(place.clone());
        }
        let linked = self.config()?.and_then(|config| config.repository);
        let unnamed =
            "no repository is named; give -r REPO, set YORE_REPOSITORY, or `yore link` this machine to a server";
        Ok(linked.map(PathBuf::from).ok_or_else(|| Usage(unnamed.into()))?)
    }

    /// What this machine's `agent.toml` says, if there is one.
    pub fn config(&self) -> Result<Option<AgentConfig>> {
        match AgentConfig::folder() {
            Ok(folder) => Ok(AgentConfig::load(&folder)?),
            // Without a home there is no file, and none is needed.
            Err(_) => Ok(None),
        }
    }

    /// Opens the repository for a push.
    pub fn target(&self) -> Result<Target> {
        let (place, config) = (self.place()?, self.config()?);
        let folder = AgentConfig::folder().ok();
        Ok(Target::open(place.as_os_str(), config.as_ref(), folder.as_deref())?)
    }

    /// Opens the repository, wherever it is.
    pub fn open(&self) -> Result<Arc<dyn History>> {
        Ok(self.target()?.history())
    }

    /// Opens the repository to change it, and sweeps what a command that was
    /// cut off left in it.
    pub fn open_to_write(&self) -> Result<Arc<dyn History>> {
        let repository = self.open()?;
        self.sweep(&*repository)?;
        Ok(repository)
    }

    /// Sweeps what commands that were cut off left, and says so.
    pub fn sweep(&self, repository: &dyn History) -> Result<()> {
        let swept = repository.sweep()?;
        if swept != Default::default() {
            let pushes = if swept.pushes == 1 { "push" } else { "pushes" };
            let (files, bytes) = (count(swept.files, "file"), size(swept.bytes));
            self.note(&format!(
                "swept: {} unfinished {pushes}, {files}, {bytes}",
                swept.pushes
            ));
        }
        Ok(())
    }

    /// One line to stderr that is good to know, unless it is to be quiet.
    pub fn note(&self, message: &str) {
        if !self.global.quiet {
            warn(message);
        }
    }
}
