//! `yored`: receives pushes over SSH into per-user repositories.
//!
//! ```text
//! args, commands/   the command line: parses, calls, prints          error, output, text
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
pub mod config;
pub mod health;
pub mod host_key;
pub mod mail;
pub mod retention;
pub mod serve;
pub mod text;
pub mod units;
pub mod weekdays;

mod args;
mod commands;
mod error;
mod output;

use std::process::ExitCode;

use clap::Parser;

/// Does what the command line of this process says.
pub fn main() -> ExitCode {
    match commands::run(args::Cli::parse()) {
        Ok(status) => status.into(),
        Err(error) => error::report(&error).into(),
    }
}
