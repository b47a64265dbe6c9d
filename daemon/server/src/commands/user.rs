//! `yored user`: accounts.

use std::io::{BufRead, Read};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde::Serialize;
use yore_terminal::output::{Out, Table};
use yore_terminal::text::{one_line, size, time};

use super::confirm::confirm;
use super::objects::{USER_FIELDS, UserObject};
use super::values::{Email, Or};
use super::{Context, as_caller, known_user};
use crate::accounts::{Accounts, PasswordHash, User as Account, UserChange, UserName};
use crate::error::{Status, Usage};
use crate::units::Size;

/// Add, list, change and remove users
///
/// A user has repositories, a quota over all of them, and a key for each machine. Users are not Unix
/// accounts.
#[derive(Subcommand)]
pub enum User {
    Add(Add),
    List(List),
    Set(Set),
    Del(Del),
}

/// Add a user
#[derive(Args)]
#[command(after_long_help = format!("\
Example:
  yored user add ann --email ann@example.org --quota 200G && yored invite ann

JSON: one object:
{USER_FIELDS}"))]
pub struct Add {
    /// The name: letters, digits, `.`, `_` and `-`
    name: UserName,
    #[command(flatten)]
    settings: Settings,
}

/// List the users
#[derive(Args)]
#[command(after_long_help = format!("JSON: an array of objects:\n{USER_FIELDS}"))]
pub struct List {
    /// Only this user
    name: Option<UserName>,
}

/// Change a user; what is not named stays
#[derive(Args)]
#[command(after_long_help = format!("\
Examples:
  yored user set ann --quota 500G --may-prune
  pass show ann | yored user set ann --password-stdin

JSON: one object:
{USER_FIELDS}"))]
pub struct Set {
    /// The user
    name: UserName,
    #[command(flatten)]
    settings: Settings,
    /// Take the password away
    #[arg(long, conflicts_with = "password_stdin")]
    no_password: bool,
}

/// Remove a user, with keys and invitations
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  yored user del ann
  yored user del ann --with-repositories --yes ann

JSON: one object:
  name  the user that was removed")]
pub struct Del {
    /// The user
    name: UserName,
    /// Remove all repositories of the user too; this cannot be undone
    #[arg(long)]
    with_repositories: bool,
    /// With --with-repositories: the name again, instead of being asked for it
    #[arg(long, value_name = "NAME", requires = "with_repositories")]
    yes: Option<String>,
}

#[derive(Args)]
struct Settings {
    /// Where mail about this user's backups goes, or none
    #[arg(long, value_name = "ADDRESS|none")]
    email: Option<Or<Email>>,
    /// How much all repositories may take together, or none
    #[arg(long, value_name = "SIZE|none")]
    quota: Option<Or<Size>>,
    /// Whether this user's machines may forget and prune
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    may_prune: Option<bool>,
    /// Whether this user's machines may copy snapshots to here (`yore copy`), with the times that those have
    ///
    /// Whoever may say when a snapshot was made could push others out of retention.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    may_copy: Option<bool>,
    /// Who on this server may look into the repositories where they are mounted, or none
    #[arg(long, value_name = "NAME|none")]
    unix_user: Option<Or<String>>,
    /// Whether nobody is let in; everything stays
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disabled: Option<bool>,
    /// Read a password, the first line of standard input; one can link machines by it
    #[arg(long)]
    password_stdin: bool,
}

impl Settings {
    fn change(&self) -> Result<UserChange> {
        let password = match self.password_stdin {
            true => Some(Some(PasswordHash::new(&read_password()?)?)),
            false => None,
        };
        let unix_user = self.unix_user.as_ref().and_then(|Or(user)| user.as_ref());
        if let Some(user) = unix_user.filter(|user| uzers::get_user_by_name(user.as_str()).is_none()) {
            return Err(Usage(format!(
                "--unix-user {user}: there is no such Unix user on this machine"
            ))
            .into());
        }
        Ok(UserChange {
            email: self.email.clone().map(|Or(email)| email.map(|email| email.0)),
            quota: self.quota.as_ref().map(|Or(quota)| quota.map(|quota| quota.0)),
            may_prune: self.may_prune,
            may_copy: self.may_copy,
            unix_user: self.unix_user.clone().map(|Or(user)| user),
            disabled: self.disabled,
            password,
        })
    }
}

fn read_password() -> Result<String> {
    // More than any password may have, less than would fill memory.
    let mut line = String::new();
    let mut input = std::io::stdin().lock().take(64 << 10);
    input.read_line(&mut line).context("standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Runs it.
pub fn run(context: &Context, command: &User) -> Result<Status> {
    match command {
        User::Add(args) => add(context, args),
        User::List(args) => list(context, args),
        User::Set(args) => set(context, args),
        User::Del(args) => del(context, args),
    }
}

fn add(context: &Context, args: &Add) -> Result<Status> {
    let change = args.settings.change()?;
    let accounts = context.accounts()?;
    let user = as_caller(|by| accounts.add_user(&args.name, &change, by))?;
    let name = &user.name;
    show(
        context,
        &accounts,
        &user,
        &format!("added user {name}; `yored invite {name}` lets a machine in"),
    )
}

fn set(context: &Context, args: &Set) -> Result<Status> {
    let mut change = args.settings.change()?;
    if args.no_password {
        change.password = Some(None);
    }
    if change == UserChange::default() {
        return Err(Usage("nothing is to change; `yored user set --help` says what can".into()).into());
    }
    let accounts = context.accounts()?;
    let user = as_caller(|by| accounts.set_user(&args.name, &change, by))?;
    show(context, &accounts, &user, &format!("changed user {}", user.name))
}

fn show(context: &Context, accounts: &Accounts, user: &Account, sentence: &str) -> Result<Status> {
    let (repositories, keys) = (accounts.repositories()?, accounts.keys()?);
    context.done(sentence, &UserObject::new(user, &repositories, &keys))
}

#[derive(Serialize)]
struct Removed<'a> {
    name: &'a UserName,
}

fn del(context: &Context, args: &Del) -> Result<Status> {
    let accounts = context.accounts_at_rest()?;
    let name = &args.name;
    known_user(&accounts, name)?;
    if args.with_repositories {
        let doing = format!("the removal of user {name} and of every backup of theirs");
        confirm(&doing, name.as_str(), args.yes.as_deref())?;
    }
    as_caller(|by| accounts.del_user(name, args.with_repositories, by))?;
    context.done(format!("removed user {name}"), &Removed { name })
}

fn list(context: &Context, args: &List) -> Result<Status> {
    let accounts = context.accounts()?;
    let users = match &args.name {
        Some(name) => vec![known_user(&accounts, name)?],
        None => accounts.users()?,
    };
    let (repositories, keys) = (accounts.repositories()?, accounts.keys()?);
    let objects: Vec<_> = users
        .iter()
        .map(|user| UserObject::new(user, &repositories, &keys))
        .collect();
    let mut out = Out::new();
    match context.global.json {
        true => out.array(&objects)?,
        false => table(&users, &objects).print(&mut out)?,
    }
    out.finish()?;
    Ok(Status::DONE)
}

fn table(users: &[Account], objects: &[UserObject<'_>]) -> Table {
    let mut table = Table::new(&[
        "NAME", ">USED", ">QUOTA", ">REPOS", ">KEYS", "CREATED", "EMAIL", "NOTES",
    ]);
    for (user, object) in users.iter().zip(objects) {
        let (repositories, keys) = object.counts();
        table.row([
            user.name.to_string(),
            size(object.used()),
            user.quota.map_or_else(|| "-".into(), size),
            repositories.to_string(),
            keys.to_string(),
            time(user.created),
            user.email.clone().unwrap_or_else(|| "-".into()),
            notes(user),
        ]);
    }
    table
}

fn notes(user: &Account) -> String {
    let unix = user
        .unix_user
        .as_ref()
        .map(|name| one_line(&format!("unix user {name}")));
    let notes = [
        user.disabled.then(|| "disabled".into()),
        user.may_prune.then(|| "may prune".into()),
        user.may_copy.then(|| "may copy".into()),
        user.has_password.then(|| "password".into()),
        unix,
    ];
    notes.into_iter().flatten().collect::<Vec<String>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        set: Set,
    }

    fn change(line: &str) -> UserChange {
        let line = Line::parse_from(format!("set ann {line}").split_whitespace());
        line.set.settings.change().unwrap()
    }

    #[test]
    fn a_yes_need_not_be_spelled_out() {
        assert_eq!(change("--may-prune").may_prune, Some(true));
        assert_eq!(change("--may-prune=false").may_prune, Some(false));
        assert_eq!(change("").may_prune, None);
        assert_eq!(change("--may-copy").may_copy, Some(true));
    }

    #[test]
    fn none_takes_away() {
        assert_eq!(change("--quota none").quota, Some(None));
        assert_eq!(change("--quota 20G").quota, Some(Some(20 << 30)));
        assert_eq!(change("--email none").email, Some(None));
        assert!(Line::try_parse_from(["set", "ann", "--email", "nobody"]).is_err());
    }
}
