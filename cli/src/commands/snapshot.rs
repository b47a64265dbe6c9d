//! `yore snapshot`: takes a snapshot.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use yore_agent::config::{parse_bytes, parse_time};
use yore_agent::status::{StateFolder, StatusError, Success};
use yore_agent::target::Target;
use yore_terminal::output::{Out, explained};
use yore_terminal::text::{count, one_line, size};

use super::Context;
use super::objects::{Problem, SNAPSHOT_FIELDS, SnapshotObject};
use crate::backend::{self, Outcome};
use crate::error::{Status, Usage, line, warn};
use crate::progress::Meter;

/// Take a snapshot of files and folders
///
/// Without PATH it takes what `yore include` says, with the patterns, tags and other settings of agent.toml
/// beside those given here.
///
/// Only what changed since the last snapshot of the same paths is read and stored. A path that is not
/// there is an error: an unmounted disk must not look like a deletion. Files that cannot be read are
/// listed, and stay as they were in the last snapshot; this one is made all the same, and the exit status is 3.
#[derive(Args)]
#[command(after_long_help = format!("\
Examples:
  yore snapshot
  yore snapshot /home/ann /etc --exclude .cache/ --exclude '*.tmp' --tag daily
  pg_dump shop | yore snapshot --stdin --stdin-name shop.sql

Patterns are those of .gitignore, over absolute paths: /tmp is that folder, *.o any name at any depth, \
cache/ any folder of that name, !keep.o takes back what an earlier pattern said.

JSON: one object: the fields of the snapshot (none of them in a dry run), and
  files_new, files_changed, files_unchanged, removed   how many
  bytes_read  bytes that were read
  bytes_new   bytes that were stored
  deltas      older versions that became differences
  healed      versions that were damaged in the repository and are whole again
  unreadable  array of objects: path (path_hex: if it is not UTF-8), why
  skipped     likewise: what was left out
The fields of a snapshot:
{SNAPSHOT_FIELDS}"))]
#[derive(Clone)]
pub struct SnapshotArgs {
    /// Files and folders; one that is given twice or lies in another is taken once
    #[arg(value_name = "PATH", conflicts_with = "stdin")]
    pub paths: Vec<PathBuf>,
    /// Leave out what fits this pattern; may be given more than once
    #[arg(short, long, value_name = "PATTERN")]
    pub exclude: Vec<OsString>,
    /// Leave out what fits a line of this file; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub exclude_from: Vec<PathBuf>,
    /// Leave out what is in folders with a CACHEDIR.TAG
    #[arg(long)]
    pub exclude_caches: bool,
    /// Leave out what lies on other file systems than the given paths
    #[arg(short = 'x', long)]
    pub one_file_system: bool,
    /// Give the snapshot a tag; may be given more than once
    #[arg(short, long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Say that the files are of this machine
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// Send at most so many bytes a second to a server: 500K, 2M
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub limit_rate: Option<u64>,
    /// Go on for so long if the connection to the server breaks: 30s, 10m, 1h, off
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "10m")]
    pub retry_for: Duration,
    /// Read everything, store nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Take one file from standard input, of any length
    #[arg(long, requires = "stdin_name", conflicts_with_all = ["exclude", "exclude_from", "exclude_caches", "one_file_system", "dry_run"])]
    pub stdin: bool,
    /// What that file is called in the snapshot
    #[arg(long, value_name = "NAME", requires = "stdin")]
    pub stdin_name: Option<OsString>,
}

#[derive(Serialize)]
struct Taken<'a> {
    #[serde(flatten)]
    snapshot: Option<SnapshotObject<'a>>,
    files_new: u64,
    files_changed: u64,
    files_unchanged: u64,
    removed: u64,
    bytes_read: u64,
    bytes_new: u64,
    deltas: u64,
    healed: u64,
    unreadable: Vec<Problem<'a>>,
    skipped: Vec<Problem<'a>>,
}

/// Bytes a second.
pub fn rate(text: &str) -> Result<u64, String> {
    parse_bytes(text)
        .filter(|rate| *rate > 0)
        .ok_or_else(|| "is no rate; write bytes a second: 500K, 2M".into())
}

fn time(text: &str) -> Result<Duration, String> {
    match text {
        "0s" | "off" => Ok(Duration::ZERO),
        _ => parse_time(text).ok_or_else(|| "is no time; write 30s, 10m, 1h, off".into()),
    }
}

/// Runs it.
pub fn run(context: &Context, args: &SnapshotArgs) -> Result<Status> {
    let is_by_file = args.paths.is_empty() && !args.stdin;
    let args = &match is_by_file {
        true => by_file(context, args)?,
        false => args.clone(),
    };
    let started = Timestamp::now();
    let result = take(context, args);
    if is_by_file && context.is_linked() && !args.dry_run {
        // For `yore status`; a snapshot is not worth less because this cannot be written.
        record(&result, started).unwrap_or_else(|error| warn(&error.to_string()));
    }
    tell(context, &result?)
}

fn take(context: &Context, args: &SnapshotArgs) -> Result<Outcome> {
    let target = context.target()?;
    // A dry run changes nothing at all; a server sweeps by itself.
    if let (Target::Here(repository), false) = (&target, args.dry_run) {
        context.sweep(repository)?;
    }
    let meter = Meter::new("snapshot", context.global.quiet);
    match &args.stdin_name {
        Some(name) => backend::snapshot_stdin(context, &target, args, stdin_name(name)?, &meter),
        None => backend::snapshot(context, &target, args, &meter),
    }
}

/// What is not said on the command line is taken from the agent's file.
fn by_file(context: &Context, args: &SnapshotArgs) -> Result<SnapshotArgs> {
    let config = context.config()?.filter(|config| !config.include.is_empty());
    let nothing = || Usage("nothing to back up: name at least one PATH, or include some with `yore include`".into());
    let config = config.ok_or_else(nothing)?;
    let mut args = args.clone();
    args.paths = config.include.clone();
    // The last that fits decides, so those of the command line come last.
    let patterns = config.exclude.iter().map(OsString::from);
    args.exclude = patterns.chain(args.exclude).collect();
    args.tags = config.tags.iter().cloned().chain(args.tags).collect();
    args.exclude_caches |= config.exclude_caches;
    args.one_file_system |= config.one_file_system;
    Ok(args)
}

fn record(result: &Result<Outcome>, started: Timestamp) -> Result<(), StatusError> {
    let (state, now) = (StateFolder::of_environment()?, Timestamp::now());
    let seconds = (now.as_second() - started.as_second()).max(0) as u64;
    match result {
        Err(error) => state.failed(now, &line(error)),
        Ok(outcome) => Success::new(outcome, now, seconds).map_or(Ok(()), |success| state.succeeded(success)),
    }
}

/// Says what came of it.
pub fn tell(context: &Context, outcome: &Outcome) -> Result<Status> {
    if !context.global.quiet {
        let all = context.global.verbose;
        explained(&outcome.skipped, all)
            .iter()
            .for_each(|line| warn(&format!("left out: {line}")));
    }
    explained(&outcome.unreadable, true)
        .iter()
        .for_each(|line| warn(&format!("not read: {line}")));
    print(context, outcome)?;
    Ok(if outcome.unreadable.is_empty() {
        Status::DONE
    } else {
        Status::PARTIAL
    })
}

/// The name of the file: one name, as it lies in the snapshot's root.
fn stdin_name(name: &OsStr) -> Result<&[u8], Usage> {
    match name.as_bytes() {
        b"" | b"." | b".." => Err(Usage("--stdin-name wants a name, such as db.sql".into())),
        name if name.contains(&b'/') => Err(Usage(
            "--stdin-name wants a name without slashes, such as db.sql".into(),
        )),
        name => Ok(name),
    }
}

fn print(context: &Context, outcome: &Outcome) -> Result<()> {
    let mut out = Out::new();
    if context.global.json {
        out.object(&Taken {
            snapshot: outcome.snapshot.as_ref().map(SnapshotObject::from),
            files_new: outcome.files_new,
            files_changed: outcome.files_changed,
            files_unchanged: outcome.files_unchanged,
            removed: outcome.removed,
            bytes_read: outcome.bytes_read,
            bytes_new: outcome.bytes_new,
            deltas: outcome.deltas,
            healed: outcome.healed,
            unreadable: Problem::all(&outcome.unreadable),
            skipped: Problem::all(&outcome.skipped),
        })?;
    } else if !context.global.quiet {
        print_text(outcome, &mut out)?;
    }
    Ok(out.finish()?)
}

fn print_text(outcome: &Outcome, out: &mut Out) -> Result<()> {
    match &outcome.snapshot {
        Some(snapshot) => out.line(format_args!("snapshot {}", one_line(&snapshot.name)))?,
        None => out.line("dry run: nothing was stored")?,
    }
    out.line(format_args!(
        "files: {} new, {} changed, {} unchanged, {} removed",
        outcome.files_new, outcome.files_changed, outcome.files_unchanged, outcome.removed
    ))?;
    out.line(format_args!(
        "read {}, stored {}",
        size(outcome.bytes_read),
        size(outcome.bytes_new)
    ))?;
    if outcome.healed > 0 {
        let versions = count(outcome.healed, "damaged version");
        out.line(format_args!("{versions} in the repository: whole again"))?;
    }
    if !outcome.unreadable.is_empty() {
        out.line(format_args!(
            "{} could not be read",
            count(outcome.unreadable.len() as u64, "path")
        ))?;
    }
    Ok(())
}
