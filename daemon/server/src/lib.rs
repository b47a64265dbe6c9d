//! `yored`: receives pushes over SSH into per-user repositories.
//!
//! ```text
//! args, commands/   the command line: parses, calls, prints (yore_terminal)          error
//!      │
//!      ├─▶ serve    the daemon
//!      ├─▶ health   what is wrong with a repository: overdue, failed, damaged …
//!      ├─▶ mail     tells people about it
//!      ▼
//! accounts          users, keys, invitations, repositories, sessions, audit: one database
//! host_key          the server's key
//! config            the TOML file; units, weekdays, retention are values in it
//! ```
//!
//! The command line and the daemon are two processes on one data folder. They talk through the
//! database only.

pub mod accounts;
mod clerk;
pub mod config;
mod confine;
mod connections;
mod failure;
pub mod health;
pub mod host_key;
mod keeper;
mod ledger;
mod logins;
mod losses;
pub mod mail;
mod only;
mod outbox;
mod quota;
pub mod retention;
mod running;
pub mod serve;
mod server;
mod session;
mod shelf;
mod ssh;
mod turns;
pub mod units;
pub mod upkeep;
pub mod weekdays;

mod args;
mod commands;
mod error;

use std::process::ExitCode;

use clap::Parser;

/// Does what the command line of this process says.
pub fn main() -> ExitCode {
    match commands::run(args::Cli::parse()) {
        Ok(status) => status.into(),
        Err(error) => error::report(&error).into(),
    }
}
