//! What a command line can say. `--help`, the man pages and the completions
//! all come from these definitions.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};
use yore_terminal::pages;

use crate::commands;

/// Your files, as they were.
#[derive(Parser)]
#[command(
    name = "yore",
    version,
    max_term_width = 100,
    styles = Styles::styled().header(AnsiColor::Green.on_default().bold()).literal(AnsiColor::Cyan.on_default().bold()),
    after_long_help = "\
Getting started:
  export YORE_REPOSITORY=/mnt/disk/backups
  yore init                        make the repository
  yore snapshot /home/ann /etc     take a snapshot; run this again and again
  yore mount /mnt/past             every snapshot is a folder: ls, grep, cp
  yore umount /mnt/past

SNAPSHOT is a name (2026-11-20_03-14-59), the beginning of exactly one name (2026-11-20), latest, or \
latest~N, N before the latest. SNAPSHOT:PATH is a path in it, as it was on the machine: latest:/home/ann.

Times are shown in UTC. In names, what cannot be printed is written as in C: \\n, \\033, \\377.

With --json a listing is one array of objects. Where a path or another name is not UTF-8, it has \
U+FFFD for what is not, and a field of the same name with _hex behind it has the exact bytes.

Exit status: 0 done; 1 failed; 2 the command line makes no sense; 3 (snapshot, copy) some files could not \
be read. Of verify: 0 all is well, 1 damage, 2 it could not run."
)]
#[command(long_about = "Your files, as they were.

yore keeps snapshots of folders in a repository: the newest version of every file whole, older ones as \
differences. Every snapshot can be listed, mounted as a folder, restored from and forgotten, in any order.")]
pub struct Cli {
    /// What every command takes, anywhere on the line.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The repository: a folder made by `yore init`; without it, the one of the agent's file
    #[arg(
        short,
        long,
        global = true,
        env = "YORE_REPOSITORY",
        hide_env_values = true,
        value_name = "REPO"
    )]
    pub repository: Option<PathBuf>,
    /// Print JSON instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
    /// Print no progress and nothing that is not asked for
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more, such as everything that is left out
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
}

/// The commands, in the order in which help lists them; each is told by its arguments.
#[derive(Subcommand)]
pub enum Command {
    Init(commands::init::Init),
    Snapshot(commands::snapshot::SnapshotArgs),
    Snapshots(commands::snapshots::Snapshots),
    Ls(commands::ls::Ls),
    Cat(commands::cat::Cat),
    Restore(commands::restore::Restore),
    Diff(commands::diff::Diff),
    Find(commands::find::Find),
    Log(commands::log::Log),
    Mount(commands::mount::Mount),
    Umount(commands::umount::Umount),
    Copy(commands::copy::Copy),
    Link(commands::link::Link),
    Forget(commands::forget::Forget),
    Prune(commands::prune::Prune),
    Verify(commands::verify::Verify),
    Repair(commands::repair::Repair),
    Stats(commands::stats::StatsArgs),
    Include(commands::include::Include),
    Exclude(commands::exclude::Exclude),
    Schedule(commands::schedule::ScheduleArgs),
    Watch(commands::watch::Watch),
    Run(commands::run::Run),
    Status(commands::status::StatusArgs),
    Pause(commands::pause::PauseArgs),
    Resume(commands::resume::Resume),
    #[command(hide = true)]
    Man(pages::Man),
    #[command(hide = true)]
    Completions(pages::Completions),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_may_stand_anywhere() {
        for line in [
            "yore -r R --json ls latest",
            "yore ls -r R latest --json",
            "yore ls latest --json -r R",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!((cli.global.repository, cli.global.json), (Some("R".into()), true));
        }
    }

    #[test]
    fn link_has_a_repository_of_its_own() {
        let line = "yore link ssh://nas --user ann --repository laptop";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        assert!(matches!(cli.command, Command::Link(_)));
    }
}
