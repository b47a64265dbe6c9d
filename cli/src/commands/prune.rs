//! `yore prune`: removes the snapshots that no rule keeps.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use yore_store::{Policy, SnapshotId, Verdict};
use yore_terminal::output::{Array, Out, Table};
use yore_terminal::rules::Rules;
use yore_terminal::text::{one_line, rfc3339, size};

use super::{Context, forget};
use crate::error::{Status, Usage};

/// Remove the snapshots that no rule keeps
///
/// A snapshot stays if any rule wants it. Each host and set of paths is judged by itself. Rules count
/// hours, days, weeks (from Monday), months and years that have a snapshot, in UTC, and keep the newest
/// of each, as restic and borg do.
#[derive(Args)]
#[command(after_long_help = "\
Example:
  yore prune --keep-within 7d --keep-daily 30 --keep-monthly 24 --keep-tag release --dry-run

JSON: an array of objects, one a snapshot, newest first:
  name       the snapshot's name
  time       when it was made, RFC 3339 in UTC
  host       the machine that it is of
  tags       array of strings
  keep       whether it stays
  reasons    array of the rules that keep it
  new_bytes  bytes that making it added to the repository")]
pub struct Prune {
    #[command(flatten)]
    rules: Rules,
    /// Keep all with this tag; may be given more than once
    #[arg(long = "keep-tag", value_name = "TAG")]
    keep_tags: Vec<String>,
    /// Only say what would stay and what would go
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Prune {
    /// # Errors
    /// [`Usage`] without a rule: what is meant by that nobody can know.
    fn policy(&self) -> Result<Policy, Usage> {
        let policy = Policy {
            tags: self.keep_tags.clone(),
            ..self.rules.policy()
        };
        match policy.is_empty() {
            true => Err(Usage(
                "no rule says what to keep; give at least one, such as --keep-daily 30".into(),
            )),
            false => Ok(policy),
        }
    }
}

#[derive(Serialize)]
struct Judged<'a> {
    name: &'a str,
    time: String,
    host: &'a str,
    tags: &'a [String],
    keep: bool,
    reasons: &'a [String],
    new_bytes: u64,
}

/// Runs it.
pub fn run(context: &Context, args: &Prune) -> Result<Status> {
    let policy = args.policy()?;
    // A dry run changes nothing at all.
    let repository = if args.dry_run {
        context.open()?
    } else {
        context.open_to_write()?
    };
    let verdicts = policy.judge(repository.snapshots()?);
    let going: Vec<SnapshotId> = verdicts
        .iter()
        .filter(|verdict| !keeps(verdict))
        .map(|verdict| verdict.snapshot.id)
        .collect();
    match (context.global.json, context.global.quiet) {
        (true, _) => print_json(&verdicts)?,
        (false, false) => print_table(&verdicts)?,
        (false, true) => {}
    }
    if args.dry_run {
        context.note(&format!(
            "dry run: nothing was removed; {} of {} would go",
            going.len(),
            verdicts.len()
        ));
    } else if !going.is_empty() {
        let freed = context.forget(&*repository, &going)?;
        context.note(&forget::sentence(&freed));
    }
    Ok(Status::DONE)
}

fn keeps(verdict: &Verdict) -> bool {
    !verdict.reasons.is_empty()
}

fn print_json(verdicts: &[Verdict]) -> Result<()> {
    let mut array = Array::new();
    for verdict in verdicts {
        let snapshot = &verdict.snapshot;
        array.push(&Judged {
            name: &snapshot.name,
            time: rfc3339(snapshot.time),
            host: &snapshot.host,
            tags: &snapshot.tags,
            keep: keeps(verdict),
            reasons: &verdict.reasons,
            new_bytes: snapshot.new_bytes,
        })?;
    }
    Ok(array.finish()?)
}

fn print_table(verdicts: &[Verdict]) -> Result<()> {
    let mut table = Table::new(&["", "NAME", "HOST", "TAGS", ">NEW", "WHY"]);
    for verdict in verdicts {
        let snapshot = &verdict.snapshot;
        table.row([
            if keeps(verdict) { "keep" } else { "remove" }.to_owned(),
            one_line(&snapshot.name),
            one_line(&snapshot.host),
            one_line(&snapshot.tags.join(",")),
            size(snapshot.new_bytes),
            one_line(&verdict.reasons.join(", ")),
        ]);
    }
    let mut out = Out::new();
    table.print(&mut out)?;
    Ok(out.finish()?)
}
