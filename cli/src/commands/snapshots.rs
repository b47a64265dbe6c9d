//! `yore snapshots`: the list of snapshots.

use anyhow::Result;
use clap::Args;
use yore_store::Snapshot;
use yore_terminal::output::{Array, Out, Table};
use yore_terminal::text::{one_line, size, time};

use super::Context;
use super::objects::{SNAPSHOT_FIELDS, SnapshotObject};
use crate::error::Status;

/// List the snapshots, oldest first
#[derive(Args)]
#[command(after_long_help = format!("\
Examples:
  yore snapshots
  yore snapshots --tag weekly --json

JSON: an array of objects:
{SNAPSHOT_FIELDS}"))]
pub struct Snapshots {
    /// Only snapshots with this tag; may be given more than once for any of them
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
}

/// Runs it.
pub fn run(context: &Context, args: &Snapshots) -> Result<Status> {
    let mut snapshots = context.open()?.snapshots()?;
    snapshots.retain(|snapshot| args.tags.is_empty() || args.tags.iter().any(|tag| snapshot.tags.contains(tag)));
    match context.global.json {
        true => print_json(&snapshots)?,
        false => print_table(&snapshots)?,
    }
    Ok(Status::DONE)
}

fn print_json(snapshots: &[Snapshot]) -> Result<()> {
    let mut array = Array::new();
    for snapshot in snapshots {
        array.push(&SnapshotObject::from(snapshot))?;
    }
    Ok(array.finish()?)
}

fn print_table(snapshots: &[Snapshot]) -> Result<()> {
    let mut table = Table::new(&["NAME", "TIME", "HOST", "TAGS", ">FILES", ">SIZE", ">NEW"]);
    for snapshot in snapshots {
        table.row([
            one_line(&snapshot.name),
            time(snapshot.time),
            one_line(&snapshot.host),
            one_line(&snapshot.tags.join(",")),
            snapshot.files.to_string(),
            size(snapshot.bytes),
            size(snapshot.new_bytes),
        ]);
    }
    let mut out = Out::new();
    table.print(&mut out)?;
    Ok(out.finish()?)
}
