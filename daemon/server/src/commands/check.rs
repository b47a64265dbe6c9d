//! `yored check`: for monitoring systems.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use jiff::tz::TimeZone;
use serde::Serialize;
use yore_terminal::output::Out;
use yore_terminal::text::{count, rfc3339, size, span};

use super::Context;
use crate::accounts::{Accounts, DATABASE, RepositoryRow};
use crate::config::Config;
use crate::error::{self, Status};
use crate::health::{self, Age, Finding, Kind, Level};
use crate::only::Only;

/// Say in one line whether all is well, then a line for each repository
///
/// CRITICAL: damage was found, a repository is overdue (longer without a success than its maximum age), or
/// the disk is so full that no push is taken. WARNING: yored does not run, the last push failed, pruning is
/// suspended, or a user has used more than 90 % of the quota. UNKNOWN: it could not be told.
#[derive(Args)]
#[command(after_long_help = "\
Example, for Nagios, Icinga and their like:
  command[yored]=/usr/bin/sudo -u yore /usr/bin/yored check --nagios

JSON: one object:
  status        OK, WARNING, CRITICAL or UNKNOWN
  headline      the first line
  repositories  array of objects:
    user, repository  its names
    status            OK, WARNING or CRITICAL
    findings          array of objects: kind (damaged, overdue, failed, suspended, quota) and text
    last_success      its time; null: never
    age, allowed_age  seconds since then, without days that do not count; how many may be

Exit status: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.")]
pub struct Check {
    /// Print as a plugin of Nagios does, with figures behind the headline
    #[arg(long)]
    nagios: bool,
}

/// What is said of one repository.
struct Each {
    row: RepositoryRow,
    age: Age,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct CheckObject<'a> {
    status: &'static str,
    headline: &'a str,
    repositories: Vec<EachObject<'a>>,
}

#[derive(Serialize)]
struct EachObject<'a> {
    user: &'a str,
    repository: &'a str,
    status: &'static str,
    findings: Vec<FindingObject<'a>>,
    last_success: Option<String>,
    age: i64,
    allowed_age: i64,
}

#[derive(Serialize)]
struct FindingObject<'a> {
    kind: &'static str,
    text: &'a str,
}

const UNKNOWN: (&str, Status) = ("UNKNOWN", Status(3));

fn told(level: Level) -> (&'static str, Status) {
    match level {
        Level::Ok => ("OK", Status(0)),
        Level::Warning => ("WARNING", Status(1)),
        Level::Critical => ("CRITICAL", Status(2)),
    }
}

/// Runs it. What goes wrong is told on standard output too: that is where monitoring systems look.
pub fn run(context: &Context, args: &Check) -> Result<Status> {
    match look(context) {
        Ok((each, server)) => tell(context, args, &each, server),
        Err(error) => {
            print(context, args, UNKNOWN.0, &error::line(&error), &[], "")?;
            Ok(UNKNOWN.1)
        }
    }
}

/// What is wrong with the server itself, and how much that matters.
type OfServer = Option<(Level, String)>;

/// All repositories, and what is wrong with the server.
fn look(context: &Context) -> Result<(Vec<Each>, OfServer)> {
    let config = context.config()?;
    let database = config.data.join(DATABASE);
    // To check makes nothing.
    match std::fs::metadata(&database) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!(
                "{}: no accounts; start yored, or name its configuration",
                config.data.display()
            )
        }
        there => there.with_context(|| database.display().to_string())?,
    };
    let accounts = Accounts::open(&config.data)?;
    let users = accounts.users()?;
    let rows = accounts.repositories()?;
    let mut used: BTreeMap<i64, u64> = BTreeMap::new();
    for row in &rows {
        *used.entry(row.user).or_default() += row.bytes;
    }
    let (now, zone) = (accounts.now(), TimeZone::system());
    let each = rows.into_iter().filter_map(|row| {
        let user = users.iter().find(|user| user.id == row.user)?;
        let age = Age::of(&row, &config, now, &zone);
        let findings = health::findings(&row, user, used[&row.user], &age);
        Some(Each { row, age, findings })
    });
    let full = full_disk(&config, &config.data)?.map(|text| (Level::Critical, text));
    let dead = !Only::is_taken(&config.data);
    let dead = dead.then(|| (Level::Warning, "yored does not run, so no push is taken".to_owned()));
    Ok((each.collect(), full.or(dead)))
}

/// Says so if less is free than nobody may fill.
fn full_disk(config: &Config, data: &Path) -> Result<Option<String>> {
    let disk = rustix::fs::statvfs(data)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let floor = config.keep_free.0;
    Ok((free < floor).then(|| {
        format!(
            "disk full: {} free, {} are kept free, so no push is taken",
            size(free),
            size(floor)
        )
    }))
}

fn tell(context: &Context, args: &Check, each: &[Each], server: OfServer) -> Result<Status> {
    let worst = each
        .iter()
        .map(|each| health::level(&each.findings))
        .max()
        .unwrap_or_default();
    let of_server = server.as_ref().map_or(Level::Ok, |(level, _)| *level);
    let (word, status) = told(worst.max(of_server));
    let counts = counts(each);
    let mut headline = headline(each, &counts);
    if let Some((_, text)) = server {
        headline = format!("{text}; {headline}");
    }
    print(context, args, word, &headline, each, &figures(each, &counts))?;
    Ok(status)
}

const KINDS: [Kind; 5] = [Kind::Damage, Kind::Overdue, Kind::Failed, Kind::Suspended, Kind::Quota];

/// How many repositories have a finding of each kind.
fn counts(each: &[Each]) -> Vec<(Kind, usize)> {
    let has = |each: &&Each, kind| each.findings.iter().any(|finding| finding.kind == kind);
    let count = |kind| each.iter().filter(|each| has(each, kind)).count();
    KINDS.map(|kind| (kind, count(kind))).to_vec()
}

fn headline(each: &[Each], counts: &[(Kind, usize)]) -> String {
    let wrong = counts.iter().filter(|(_, count)| *count > 0);
    let wrong: Vec<String> = wrong.map(|(kind, count)| format!("{count} {}", kind.word())).collect();
    let all = count(each.len() as u64, "repository");
    match wrong.is_empty() {
        true => format!("{all}, all is well"),
        false => format!("{} of {all}", wrong.join(", ")),
    }
}

/// Figures as Nagios reads them.
fn figures(each: &[Each], counts: &[(Kind, usize)]) -> String {
    let counted = counts.iter().map(|(kind, count)| format!("{}={count}", kind.word()));
    let bytes: u64 = each.iter().map(|each| each.row.bytes).sum();
    let all = [format!("repositories={}", each.len()), format!("bytes={bytes}B")];
    all.into_iter().chain(counted).collect::<Vec<_>>().join(" ")
}

fn print(
    context: &Context,
    args: &Check,
    word: &'static str,
    headline: &str,
    each: &[Each],
    figures: &str,
) -> Result<()> {
    let mut out = Out::new();
    if context.global.json {
        out.object(&CheckObject {
            status: word,
            headline,
            repositories: each.iter().map(object).collect(),
        })?;
    } else if args.nagios {
        // A bar begins the figures.
        let plain = |text: &str| text.replace('|', "/");
        let figures = if figures.is_empty() {
            String::new()
        } else {
            format!(" | {figures}")
        };
        out.line(format!("YORED {word} - {}{figures}", plain(headline)))?;
        each.iter().try_for_each(|each| out.line(plain(&line(each))))?;
    } else {
        out.line(format!("{word}: {headline}"))?;
        each.iter().try_for_each(|each| out.line(line(each)))?;
    }
    Ok(out.finish()?)
}

fn line(each: &Each) -> String {
    let (word, _) = told(health::level(&each.findings));
    let texts: Vec<&str> = each.findings.iter().map(|finding| finding.text.as_str()).collect();
    let name = each.row.full_name();
    match (texts.is_empty(), &each.row.last_success) {
        (false, _) => format!("{word}: {name}: {}", texts.join("; ")),
        (true, Some(_)) => format!("{word}: {name}: last success {} ago", span(each.age.seconds)),
        (true, None) => format!("{word}: {name}: new, no success yet"),
    }
}

fn object(each: &Each) -> EachObject<'_> {
    let findings = each.findings.iter().map(|finding| FindingObject {
        kind: finding.kind.word(),
        text: &finding.text,
    });
    EachObject {
        user: each.row.user_name.as_str(),
        repository: each.row.name.as_str(),
        status: told(health::level(&each.findings)).0,
        findings: findings.collect(),
        last_success: each.row.last_success.as_ref().map(|(time, _)| rfc3339(*time)),
        age: each.age.seconds,
        allowed_age: each.age.allowed,
    }
}
