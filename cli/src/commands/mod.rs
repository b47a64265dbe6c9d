//! The commands: one file each, with its arguments, its help and what it does.

pub mod cat;
pub mod copy;
pub mod diff;
pub mod exclude;
pub mod find;
pub mod forget;
pub mod include;
pub mod init;
pub mod link;
pub mod log;
pub mod ls;
pub mod mount;
pub mod pause;
pub mod prune;
pub mod repair;
pub mod restore;
pub mod resume;
pub mod run;
pub mod schedule;
pub mod snapshot;
pub mod snapshots;
pub mod stats;
pub mod status;
pub mod umount;
pub mod verify;
pub mod watch;

mod background;
mod damages;
mod objects;

use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use clap::CommandFactory;
use yore_agent::config::AgentConfig;
use yore_agent::target::Target;
use yore_store::{Forgotten, History, SnapshotId, as_owner};
use yore_terminal::text::{count, size};

use crate::args::{Cli, Command, Global};
use crate::error::{Status, Usage, warn};

/// Does what the command line says.
pub fn run(cli: Cli) -> Result<Status> {
    let context = Context::new(cli.global);
    // What ends soon; `yore watch` and a mount are to be small when they do nothing.
    if let Command::Snapshot(_) | Command::Copy(_) | Command::Restore(_) | Command::Run(_) = cli.command {
        yore_terminal::memory::keep();
    }
    match cli.command {
        Command::Init(args) => init::run(&context, &args),
        Command::Snapshot(args) => snapshot::run(&context, &args),
        Command::Snapshots(args) => snapshots::run(&context, &args),
        Command::Copy(args) => copy::run(&context, &args),
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
        Command::Repair(args) => repair::run(&context, &args),
        Command::Stats(args) => stats::run(&context, &args),
        Command::Include(args) => include::run(&context, &args),
        Command::Exclude(args) => exclude::run(&context, &args),
        Command::Schedule(args) => schedule::run(&context, &args),
        Command::Watch(args) => watch::run(&context, &args),
        Command::Run(args) => run::run(&context, &args),
        Command::Status(args) => status::run(&context, &args),
        Command::Pause(args) => pause::run(&context, &args),
        Command::Resume(args) => resume::run(&context, &args),
        Command::Man(args) => args.run(Cli::command(), "1").map(|()| Status::DONE),
        Command::Completions(args) => args.run(Cli::command()).map(|()| Status::DONE),
    }
}

/// What every command is given.
pub struct Context {
    /// Options of every command.
    pub global: Global,
    config: OnceCell<Option<AgentConfig>>,
}

impl Context {
    fn new(global: Global) -> Self {
        let config = OnceCell::new();
        Context { global, config }
    }

    /// One whose agent's file says this.
    pub fn with_config(global: Global, config: AgentConfig) -> Self {
        let config = OnceCell::from(Some(config));
        Context { global, config }
    }

    /// The agent's file; `None` if there is none. It is read once, and only where it is asked for.
    ///
    /// # Errors
    /// What makes no sense in it.
    pub fn config(&self) -> Result<Option<&AgentConfig>> {
        if self.config.get().is_none() {
            let config = AgentConfig::folder().ok().map(|folder| AgentConfig::load(&folder));
            let _ = self.config.set(config.transpose()?.flatten());
        }
        Ok(self.config.get().and_then(Option::as_ref))
    }

    /// Whether the command is for the repository of the agent's file.
    pub fn is_linked(&self) -> bool {
        self.global.repository.is_none()
    }

    /// What names the repository: `-r`, YORE_REPOSITORY, or the agent's file.
    ///
    /// # Errors
    /// [`Usage`] if nothing does.
    pub fn repository_path(&self) -> Result<&Path> {
        if let Some(path) = &self.global.repository {
            return Ok(path);
        }
        let linked = self.config()?.and_then(|config| config.repository.as_deref());
        let unnamed = || {
            Usage(
                "no repository is named; give -r REPO, set YORE_REPOSITORY, or `yore link` this machine to a server"
                    .into(),
            )
        };
        Ok(Path::new(linked.ok_or_else(unnamed)?))
    }

    /// Opens the repository for a push.
    pub fn target(&self) -> Result<Target> {
        let folder = AgentConfig::folder().ok();
        let place = self.repository_path()?.as_os_str();
        Ok(Target::open(place, self.config()?, folder.as_deref())?)
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

    /// Forgets snapshots; in a folder as its owner.
    pub fn forget(&self, repository: &dyn History, snapshots: &[SnapshotId]) -> Result<Forgotten> {
        Ok(match repository.folder_here() {
            Some(folder) => as_owner(folder, || repository.forget(snapshots))?,
            None => repository.forget(snapshots)?,
        })
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
