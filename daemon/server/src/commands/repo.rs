//! `yored repo`: repositories, their settings and their end.

use std::sync::Arc;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;
use yore_store::{History, Repository, SnapshotId, as_owner};
use yore_terminal::output::{Out, Table};
use yore_terminal::rules::Rules;
use yore_terminal::text::{one_line, size, time};

use super::confirm::confirm;
use super::objects::{REPOSITORY_FIELDS, RepositoryObject};
use super::values::{FullName, Or};
use super::{Context, as_caller, known_user};
use crate::accounts::{Accounts, Error, RepositoryChange, RepositoryRow, UserName};
use crate::error::{Status, Usage};
use crate::ledger::disk_bytes;
use crate::retention::Keep;
use crate::units::Seconds;
use crate::weekdays::Weekdays;

/// List, change and remove repositories
///
/// A machine makes its repository when it is linked.
#[derive(Subcommand)]
pub enum Repo {
    List(List),
    Set(Box<Set>),
    Forget(Forget),
    Del(Del),
}

/// List the repositories
#[derive(Args)]
#[command(after_long_help = format!("JSON: an array of objects:\n{REPOSITORY_FIELDS}"))]
pub struct List {
    /// Only the repositories of this user
    user: Option<UserName>,
}

/// Change a repository; what is not named stays
///
/// What it does not have of its own is as the configuration says. The rules of keeping go together: those
/// given here replace all that it had. --keep-last counts one snapshot at most in each `interval` of the
/// configuration.
#[derive(Args)]
#[command(after_long_help = format!("\
Examples:
  yored repo set ann/laptop --keep-daily 30 --keep-monthly 24
  yored repo set ann/laptop --max-age 4d --skip-weekdays sat,sun
  yored repo set ann/laptop --resume-pruning

JSON: one object:
{REPOSITORY_FIELDS}"))]
pub struct Set {
    /// The repository
    #[arg(value_name = "USER/NAME")]
    name: FullName,
    #[command(flatten)]
    rules: Rules,
    /// Prune nothing here
    #[arg(long, conflicts_with_all = Rules::OPTIONS)]
    keep_all: bool,
    /// Keep what the configuration says
    #[arg(long, conflicts_with_all = Rules::OPTIONS, conflicts_with = "keep_all")]
    keep_default: bool,
    /// A snapshot younger than this goes only by the administrator's hand; default: as configured
    #[arg(long, value_name = "TIME|default")]
    keep_at_least: Option<Or<Seconds>>,
    /// Without a success for longer than this it is overdue; default: as configured
    #[arg(long, value_name = "TIME|default")]
    max_age: Option<Or<Seconds>>,
    /// Days that do not count for that: sat,sun; none; default: as configured
    #[arg(long, value_name = "DAYS|none|default")]
    skip_weekdays: Option<String>,
    /// Prune again, after it was suspended because most files had vanished or changed
    #[arg(long)]
    resume_pruning: bool,
}

/// Remove snapshots, also those that are younger than the server keeps
///
/// This cannot be undone. The repository's name is asked for again on the terminal.
#[derive(Args)]
#[command(after_long_help = "\
Example:
  yored repo forget ann/laptop 2026-11-20_03-14-59 --yes ann/laptop

JSON: one object:
  user, repository  where they were
  snapshots         array of the names that were removed
  freed             bytes fewer that the repository's files have")]
pub struct Forget {
    /// The repository
    #[arg(value_name = "USER/NAME")]
    name: FullName,
    /// The snapshots: names, the beginnings of names, latest, latest~2
    #[arg(value_name = "SNAPSHOT", required = true)]
    snapshots: Vec<String>,
    /// The repository's name again, instead of being asked for it
    #[arg(long, value_name = "USER/NAME")]
    yes: Option<String>,
}

/// Remove a repository, with everything in it
///
/// This cannot be undone. Its name is asked for again on the terminal.
#[derive(Args)]
#[command(after_long_help = "\
Example:
  yored repo del ann/laptop --yes ann/laptop

JSON: one object:
  user, repository  what was removed")]
pub struct Del {
    /// The repository
    #[arg(value_name = "USER/NAME")]
    name: FullName,
    /// The name again, instead of being asked for it
    #[arg(long, value_name = "USER/NAME")]
    yes: Option<String>,
}

impl Set {
    /// # Errors
    /// [`Usage`] for days that are none, or if nothing is to change.
    fn change(&self) -> Result<RepositoryChange, Usage> {
        let change = RepositoryChange {
            keep: self.keep(),
            keep_at_least: self.keep_at_least.as_ref().map(|Or(age)| *age),
            max_age: self.max_age.as_ref().map(|Or(age)| *age),
            skip_weekdays: self.skip_weekdays.as_deref().map(days).transpose().map_err(Usage)?,
        };
        match change == RepositoryChange::default() && !self.resume_pruning {
            true => Err(Usage(
                "nothing is to change; `yored repo set --help` says what can".into(),
            )),
            false => Ok(change),
        }
    }

    fn keep(&self) -> Option<Option<Keep>> {
        let keep = Keep::from(self.rules.policy());
        match (self.keep_default, self.keep_all || !keep.is_empty()) {
            (true, _) => Some(None),
            (false, true) => Some(Some(keep)),
            (false, false) => None,
        }
    }
}

/// `default` is the configuration's; `none` is no day.
fn days(text: &str) -> Result<Option<Weekdays>, String> {
    match text {
        "default" => Ok(None),
        text => text.parse().map(Some),
    }
}

/// Runs it.
pub fn run(context: &Context, command: &Repo) -> Result<Status> {
    match command {
        Repo::List(args) => list(context, args),
        Repo::Set(args) => set(context, args),
        Repo::Forget(args) => forget(context, args),
        Repo::Del(args) => del(context, args),
    }
}

/// A repository that must be there.
fn known(accounts: &Accounts, name: &FullName) -> Result<RepositoryRow> {
    let user = known_user(accounts, &name.user)?;
    let row = accounts.repository(user.id, &name.repository)?;
    Ok(row.ok_or_else(|| Error::NoSuchRepository(name.to_string()))?)
}

fn set(context: &Context, args: &Set) -> Result<Status> {
    let change = args.change()?;
    let accounts = context.accounts()?;
    let row = known(&accounts, &args.name)?;
    let mut row = as_caller(|by| accounts.set_repository(row.id, &change, by))?;
    if args.resume_pruning {
        row = as_caller(|by| accounts.resume_pruning(row.id, by))?;
    }
    context.done(
        format!("changed repository {}", args.name),
        &RepositoryObject::from(&row),
    )
}

#[derive(Serialize)]
struct Removed<'a> {
    user: &'a str,
    repository: &'a str,
}

fn del(context: &Context, args: &Del) -> Result<Status> {
    let accounts = context.accounts_at_rest()?;
    let FullName { user, repository } = &args.name;
    let name = known(&accounts, &args.name)?.full_name();
    let doing = format!("the removal of repository {name} and of every backup in it");
    confirm(&doing, &name, args.yes.as_deref())?;
    as_caller(|by| accounts.del_repository(user, repository, by))?;
    let removed = Removed {
        user: user.as_str(),
        repository: repository.as_str(),
    };
    context.done(format!("removed repository {name}"), &removed)
}

#[derive(Serialize)]
struct ForgottenObject<'a> {
    user: &'a str,
    repository: &'a str,
    snapshots: &'a [String],
    freed: i64,
}

fn forget(context: &Context, args: &Forget) -> Result<Status> {
    let accounts = context.accounts()?;
    let row = known(&accounts, &args.name)?;
    let path = accounts.repository_path(&row.user_name, &row.name);
    let name = row.full_name();
    let chosen = as_owner(&path, || {
        let repository = Arc::new(Repository::open(&path)?);
        let found = |spec: &String| History::snapshot(&repository, spec);
        args.snapshots.iter().map(found).collect::<yore_store::Result<Vec<_>>>()
    })?;
    let names: Vec<String> = chosen.iter().map(|snapshot| snapshot.name.clone()).collect();
    let doing = format!("the removal of {} from {name}", names.join(", "));
    confirm(&doing, &name, args.yes.as_deref())?;
    let freed = as_owner(&path, || {
        let ids: Vec<SnapshotId> = chosen.iter().map(|snapshot| snapshot.id).collect();
        Repository::forget(&Arc::new(Repository::open(&path)?), &ids)
    })?;
    // For a daemon that runs to see that there is room now.
    accounts.set_bytes(row.id, disk_bytes(&path)?)?;
    as_caller(|by| accounts.audit(by.who, &format!("forget {name}"), by.from, &names.join(" "), ""))?;
    let removed = ForgottenObject {
        user: row.user_name.as_str(),
        repository: row.name.as_str(),
        snapshots: &names,
        freed: freed.bytes,
    };
    context.done(format!("removed {} from {name}", names.join(", ")), &removed)
}

fn list(context: &Context, args: &List) -> Result<Status> {
    let accounts = context.accounts()?;
    let only = args.user.as_ref().map(|name| known_user(&accounts, name)).transpose()?;
    let mut rows = accounts.repositories()?;
    rows.retain(|row| only.as_ref().is_none_or(|user| user.id == row.user));
    let mut out = Out::new();
    match context.global.json {
        true => out.array(rows.iter().map(RepositoryObject::from))?,
        false => table(&rows).print(&mut out)?,
    }
    out.finish()?;
    Ok(Status::DONE)
}

fn table(rows: &[RepositoryRow]) -> Table {
    fn own(setting: Option<impl ToString>) -> String {
        setting.map_or_else(|| "-".into(), |setting| setting.to_string())
    }
    let mut table = Table::new(&[
        "REPOSITORY",
        "MACHINE",
        ">SIZE",
        "CREATED",
        "KEEP",
        "KEEP AT LEAST",
        "MAX AGE",
        "SKIP",
    ]);
    for row in rows {
        table.row([
            row.full_name(),
            one_line(row.machine.as_deref().unwrap_or("-")),
            size(row.bytes),
            time(row.created),
            own(row.keep.as_ref()),
            own(row.keep_at_least),
            own(row.max_age),
            own(row.skip_weekdays),
        ]);
    }
    table
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

    fn parse(line: &str) -> Result<Set, clap::Error> {
        Line::try_parse_from(format!("set ann/docs {line}").split_whitespace()).map(|line| line.set)
    }

    #[test]
    fn rules_are_replaced_together_dropped_or_left() {
        let keep = |line: &str| parse(line).unwrap().keep();
        assert_eq!(keep("--max-age 1d"), None);
        assert_eq!(keep("--keep-default"), Some(None));
        assert_eq!(keep("--keep-all"), Some(Some(Keep::default())));
        assert_eq!(keep("--keep-daily 7").unwrap().unwrap().to_string(), "daily 7");
        assert!(parse("--keep-all --keep-daily 7").is_err());
        assert!(parse("").unwrap().change().is_err());
        assert!(parse("--resume-pruning").unwrap().change().is_ok());
    }

    #[test]
    fn no_day_is_not_the_default() {
        let days = |line: &str| parse(line).unwrap().change().unwrap().skip_weekdays;
        assert_eq!(days("--skip-weekdays none"), Some(Some(Weekdays::NONE)));
        assert_eq!(days("--skip-weekdays default"), Some(None));
        assert!(parse("--skip-weekdays someday").unwrap().change().is_err());
    }
}
