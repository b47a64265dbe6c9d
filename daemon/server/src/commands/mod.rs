//! The commands: one file each, with its arguments, its help and what it does.
//!
//! A new command is a file here, a variant in `args::Command` and a line in [`run`]; then
//! `yored man man` and `yored completions SHELL`, which a test compares.

pub mod audit;
pub mod check;
pub mod invite;
pub mod key;
pub mod mail;
pub mod mount;
pub mod repo;
pub mod serve;
pub mod status;
pub mod user;

mod confirm;
mod objects;
mod values;

use anyhow::Result;
use clap::CommandFactory;
use yore_terminal::output::Out;

use crate::accounts::{Accounts, By, User, UserName};
use crate::args::{Cli, Command, Global};
use crate::config::Config;
use crate::error::Status;
use crate::only::Only;

/// Does what the command line says.
///
/// # Errors
/// What is to be told on stderr.
pub fn run(cli: Cli) -> Result<Status> {
    let context = Context { global: cli.global };
    match cli.command {
        Command::Serve(args) => serve::run(&context, &args),
        Command::User(args) => user::run(&context, &args),
        Command::Invite(args) => invite::run(&context, &args),
        Command::Key(args) => key::run(&context, &args),
        Command::Repo(args) => repo::run(&context, &args),
        Command::Status(args) => status::run(&context, &args),
        Command::Check(args) => check::run(&context, &args),
        Command::Mount(args) => mount::run(&context, &args),
        Command::Audit(args) => audit::run(&context, &args),
        Command::Mail(args) => mail::run(&context, &args),
        Command::Man(args) => args.run(Cli::command(), "8").map(|()| Status::DONE),
        Command::Completions(args) => args.run(Cli::command()).map(|()| Status::DONE),
    }
}

/// What every command is given.
pub struct Context {
    /// Options of every command.
    pub global: Global,
}

impl Context {
    /// The configuration.
    pub fn config(&self) -> Result<Config> {
        Ok(Config::load(self.global.config.as_deref())?)
    }

    /// The accounts of the configured data folder.
    pub fn accounts(&self) -> Result<Accounts> {
        Ok(Accounts::open(&self.config()?.data)?)
    }

    /// The same, to remove something that no session may be at: those that a daemon which died has left
    /// are none.
    pub fn accounts_at_rest(&self) -> Result<Accounts> {
        let accounts = self.accounts()?;
        if !Only::is_taken(accounts.data()) {
            accounts.clear_sessions()?;
        }
        Ok(accounts)
    }

    /// A line that is good to know, unless it is to be quiet or to print JSON.
    pub fn note(&self, message: impl std::fmt::Display) -> Result<()> {
        if !self.global.quiet && !self.global.json {
            let mut out = Out::new();
            out.line(message)?;
            out.finish()?;
        }
        Ok(())
    }

    /// What was done: an object with --json, else a sentence unless it is to be quiet.
    pub fn done(&self, sentence: impl std::fmt::Display, object: &impl serde::Serialize) -> Result<Status> {
        if self.global.json {
            let mut out = Out::new();
            out.object(object)?;
            out.finish()?;
        }
        self.note(sentence)?;
        Ok(Status::DONE)
    }
}

/// A user who must be there.
fn known_user(accounts: &Accounts, name: &UserName) -> Result<User> {
    let user = accounts.user(name)?;
    Ok(user.ok_or_else(|| crate::accounts::Error::NoSuchUser(name.to_string()))?)
}

/// Does something in the name of whoever runs this process, for the audit log.
fn as_caller<T>(work: impl FnOnce(By<'_>) -> T) -> T {
    let who = caller();
    work(By {
        who: &who,
        from: "this machine",
    })
}

/// The Unix user who runs this process; with sudo, who it was before.
fn caller() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    let name = named.unwrap_or_else(|| format!("uid {uid}"));
    match std::env::var("SUDO_USER") {
        Ok(before) => format!("{name} (sudo by {before})"),
        Err(_) => name,
    }
}
