//! `yore copy`: a second repository, that needs nothing of the first.

use std::collections::BTreeMap;
use std::ffi::OsString;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use yore_agent::config::AgentConfig;
use yore_agent::copy::{Copied, LeftOut};
use yore_agent::target::Target;
use yore_terminal::output::{Bytes, Out};
use yore_terminal::text::{count, one_line, printable, size};

use super::Context;
use super::objects::{SNAPSHOT_FIELDS, SnapshotObject};
use super::snapshot::rate;
use crate::backend;
use crate::error::{Status, warn};
use crate::progress::Meter;

/// Copy snapshots to a second repository, on another disk or a server
///
/// Run it again and again: only what is new is read and sent. Each snapshot keeps its name and its time, and needs
/// nothing of the repository that it was copied from. What was forgotten here stays there until it is forgotten there,
/// and the other way round.
///
/// Snapshots come in the order of their times, so the second repository is to get nothing but copies. A server takes
/// them from a user who may copy: `yored user set USER --may-copy`. This machine reaches the server that it is linked to:
/// from one server to another it runs on one of the two, where one of the repositories is a folder. A file that is damaged here is left out of the
/// copy and named, and the exit status is 3.
#[derive(Args)]
#[command(after_long_help = format!("\
Examples:
  yore init -r /mnt/second/backups; yore copy /mnt/second/backups
  yore copy ssh://nas/laptop-copy --limit-rate 2M
  yore -r ssh://nas/laptop copy /mnt/disk/laptop      (what the server has, to a disk here)

JSON: one object:
  snapshots   array of those that were copied (with --dry-run: would be), oldest first
  there       how many were there already
  older       how many are older than those and not there: they were forgotten there, or left out before
  forgotten   how many were forgotten here while they were to be copied
  bytes_read  bytes of contents that were sent, before compression and differences
  bytes_new   bytes that were stored there
  deltas      older versions that became differences there
  left_out    array of objects: snapshot, path (path_hex: if it is not UTF-8), why
The fields of a snapshot:
{SNAPSHOT_FIELDS}"))]
pub struct Copy {
    /// The second repository: a folder made by `yore init`, or ssh://[USER@]HOST[:PORT]/REPOSITORY
    #[arg(value_name = "DEST")]
    dest: OsString,
    /// Copy this snapshot; may be given more than once; all if nothing is said
    #[arg(long = "snapshot", value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,
    /// Copy only snapshots of this machine
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// Send at most so many bytes a second to a server: 500K, 2M
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub limit_rate: Option<u64>,
    /// Only say what would be copied
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

#[derive(Serialize)]
struct CopiedObject<'a> {
    snapshots: Vec<SnapshotObject<'a>>,
    there: u64,
    older: u64,
    forgotten: u64,
    bytes_read: u64,
    bytes_new: u64,
    deltas: u64,
    left_out: Vec<LeftOutObject<'a>>,
}

#[derive(Serialize)]
struct LeftOutObject<'a> {
    snapshot: &'a str,
    #[serde(flatten)]
    path: Bytes<'a>,
    why: &'a str,
}

impl<'a> From<&'a LeftOut> for LeftOutObject<'a> {
    fn from(left_out: &'a LeftOut) -> Self {
        LeftOutObject {
            snapshot: &left_out.snapshot,
            path: Bytes("path", &left_out.path),
            why: &left_out.why,
        }
    }
}

/// Runs it.
pub fn run(context: &Context, args: &Copy) -> Result<Status> {
    let source = context.open()?;
    let folder = AgentConfig::folder().ok();
    let to = Target::open(&args.dest, context.config()?, folder.as_deref())?;
    let meter = Meter::new("copy", context.global.quiet);
    let copied = backend::copy(&*source, &to, args, &meter)?;
    drop(meter);
    for (path, (why, snapshots)) in &by_path(&copied.left_out) {
        let times = count(*snapshots, "snapshot");
        warn(&format!(
            "not copied, of {times}: {}: {}",
            printable(path),
            one_line(why)
        ));
    }
    print(context, args, &copied)?;
    Ok(match copied.left_out.is_empty() {
        true => Status::DONE,
        false => Status::PARTIAL,
    })
}

/// What was left out, by its path: why, and of how many snapshots.
fn by_path(left_out: &[LeftOut]) -> BTreeMap<&[u8], (&str, u64)> {
    let mut paths = BTreeMap::new();
    for one in left_out {
        paths.entry(&*one.path).or_insert((&*one.why, 0)).1 += 1;
    }
    paths
}

fn print(context: &Context, args: &Copy, copied: &Copied) -> Result<()> {
    let mut out = Out::new();
    if context.global.json {
        out.object(&CopiedObject {
            snapshots: copied.snapshots.iter().map(SnapshotObject::from).collect(),
            there: copied.there,
            older: copied.older,
            forgotten: copied.forgotten,
            bytes_read: copied.bytes_read,
            bytes_new: copied.bytes_new,
            deltas: copied.deltas,
            left_out: copied.left_out.iter().map(LeftOutObject::from).collect(),
        })?;
    } else if !context.global.quiet {
        print_text(args, copied, &mut out)?;
    }
    Ok(out.finish()?)
}

fn print_text(args: &Copy, copied: &Copied, out: &mut Out) -> Result<()> {
    if args.dry_run {
        for snapshot in &copied.snapshots {
            out.line(format_args!(
                "{}  {}",
                one_line(&snapshot.name),
                one_line(&snapshot.host)
            ))?;
        }
    }
    let (did, snapshots) = (
        if args.dry_run { "would copy" } else { "copied" },
        copied.snapshots.len() as u64,
    );
    out.line(format_args!(
        "{did} {}; {} there already",
        count(snapshots, "snapshot"),
        copied.there
    ))?;
    if copied.older > 0 {
        let older = count(copied.older, "snapshot");
        out.line(format_args!("{older} older than those left out: not there any more"))?;
    }
    if copied.forgotten > 0 {
        let forgotten = count(copied.forgotten, "snapshot");
        out.line(format_args!("{forgotten} forgotten here meanwhile"))?;
    }
    if !args.dry_run {
        let (read, new) = (size(copied.bytes_read), size(copied.bytes_new));
        out.line(format_args!("read {read}, stored {new}"))?;
    }
    Ok(())
}
