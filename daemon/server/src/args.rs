//! What a command line can say. `--help`, the man pages and the completions
//! all come from these definitions.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};
use yore_terminal::pages;

use crate::commands;

/// The server of yore: receives backups over SSH
#[derive(Parser)]
#[command(
    name = "yored",
    version,
    max_term_width = 100,
    styles = Styles::styled().header(AnsiColor::Green.on_default().bold()).literal(AnsiColor::Cyan.on_default().bold()),
    after_long_help = "\
Getting started:
  yored user add ann --quota 200G
  yored invite ann                 prints the command to run on Ann's machine
  yored serve                      or systemctl enable --now yored
  yored status

Administration works while the daemon runs. Run it as the user that the daemon runs as, or as root.

Sizes are written like 512M, 20G, 1T (powers of 1024), lengths of time like 30s, 5m, 12h, 7d, 2w. Times \
are shown in UTC.

With --json a listing is one array of objects; times in them are RFC 3339 in UTC, lengths of time are \
seconds, sizes are bytes, and what is not there is null.

Exit status: 0 done; 1 failed; 2 the command line makes no sense. Of check: 0 OK, 1 WARNING, 2 CRITICAL, \
3 UNKNOWN."
)]
#[command(long_about = "The server of yore: receives backups over SSH

Machines push into repositories, each of which belongs to a user. One port, no Unix accounts, no shell; \
a machine's key reaches its user's repositories and nothing else.")]
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
    /// The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing that is not asked for
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// The commands, in the order in which help lists them; each is told by its arguments.
#[derive(Subcommand)]
pub enum Command {
    Serve(commands::serve::Serve),
    #[command(subcommand)]
    User(commands::user::User),
    Invite(commands::invite::Invite),
    #[command(subcommand)]
    Key(commands::key::Key),
    #[command(subcommand)]
    Repo(commands::repo::Repo),
    Status(commands::status::StatusArgs),
    Check(commands::check::Check),
    Mount(commands::mount::Mount),
    Audit(commands::audit::Audit),
    #[command(subcommand)]
    Mail(commands::mail::Mail),
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
            "yored --config C --json user list",
            "yored user --json list --config C",
            "yored user list -c C --json",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!((cli.global.config, cli.global.json), (Some("C".into()), true));
        }
    }
}
