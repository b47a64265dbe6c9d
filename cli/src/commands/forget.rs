//! `yore forget`: removes snapshots by name.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use yore_store::{Forgotten, Snapshot, SnapshotId};
use yore_terminal::output::Out;
use yore_terminal::text::{count, size};

use super::Context;
use crate::error::Status;

/// Remove snapshots
///
/// Any snapshot may go, from the middle too: all the others stay exactly as they are, and what no
/// other snapshot needs is freed.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  yore forget 2026-11-20_03-14-59
  yore forget latest~3 latest~4

JSON: one object:
  forgotten  array of the names that were removed
  entries    versions of paths that were removed
  contents   contents that were removed
  bytes      bytes that were freed; negative if keeping the others took more")]
pub struct Forget {
    /// The snapshots: names, beginnings of names, latest, latest~N
    #[arg(value_name = "SNAPSHOT", required = true)]
    snapshots: Vec<String>,
}

#[derive(Serialize)]
struct ForgottenObject<'a> {
    forgotten: Vec<&'a str>,
    entries: u64,
    contents: u64,
    bytes: i64,
}

/// Runs it.
pub fn run(context: &Context, args: &Forget) -> Result<Status> {
    let repository = context.open_to_write()?;
    // All are found before one goes: `latest~1` and a prefix mean what they meant before.
    let found = args
        .snapshots
        .iter()
        .map(|spec| repository.snapshot(spec))
        .collect::<yore_store::Result<Vec<_>>>()?;
    let ids = distinct(&found);
    let freed = context.forget(&*repository, &ids)?;
    print(context, &found, &ids, &freed)?;
    Ok(Status::DONE)
}

/// Each snapshot once, in the order of the repository.
fn distinct(snapshots: &[Snapshot]) -> Vec<SnapshotId> {
    let mut ids: Vec<SnapshotId> = snapshots.iter().map(|snapshot| snapshot.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn print(context: &Context, found: &[Snapshot], ids: &[SnapshotId], freed: &Forgotten) -> Result<()> {
    let name = |id: &SnapshotId| {
        found
            .iter()
            .find(|snapshot| snapshot.id == *id)
            .map(|snapshot| snapshot.name.as_str())
    };
    let mut out = Out::new();
    if context.global.json {
        let Forgotten {
            entries,
            contents,
            bytes,
            ..
        } = *freed;
        out.object(&ForgottenObject {
            forgotten: ids.iter().filter_map(name).collect(),
            entries,
            contents,
            bytes,
        })?;
    } else if !context.global.quiet {
        out.line(sentence(freed))?;
    }
    Ok(out.finish()?)
}

/// What forgetting freed, in one line.
pub fn sentence(freed: &Forgotten) -> String {
    let bytes = match u64::try_from(freed.bytes) {
        Ok(bytes) => format!("freed {}", size(bytes)),
        Err(_) => format!("took {} to keep the others whole", size(freed.bytes.unsigned_abs())),
    };
    format!(
        "forgot {}: {bytes}, {}",
        count(freed.snapshots, "snapshot"),
        count(freed.contents, "content")
    )
}
