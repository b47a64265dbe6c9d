//! `yore`: the command. It parses, calls and prints; what is done is done by
//! the store, the agent's library and the mount.
//!
//! ```text
//! args       what a command line can say        snapshot_spec   SNAPSHOT[:PATH]
//! commands/  one file a command                 progress        a bar, or a line now and then
//! backend    calls of the agent and the mount   estimate        how much a snapshot has to do
//! error      one line and an exit status
//! ```
//!
//! Text, tables and JSON are those of `yore_terminal`, as yored's are.

mod args;
mod backend;
mod commands;
mod error;
mod estimate;
mod progress;
mod snapshot_spec;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    // Of verify, 1 says that it found damage: that it could not look is another thing.
    let failure = match cli.command {
        args::Command::Verify(_) => error::Status::COULD_NOT_RUN,
        _ => error::Status::FAILED,
    };
    match commands::run(cli) {
        Ok(status) => status.into(),
        Err(error) => error::report(&error, failure).into(),
    }
}
