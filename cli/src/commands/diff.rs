//! `yore diff`: what differs between two snapshots.

use std::ops::ControlFlow;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use yore_store::{Change, Entry, go_on};
use yore_terminal::output::{Array, Out};
use yore_terminal::text::{printable, rfc3339_exact};

use super::Context;
use super::objects::{ENTRY_FIELDS, EntryObject};
use crate::error::{Status, Stdout, Usage};
use crate::snapshot_spec::SnapshotSpec;

/// Say what differs between two snapshots
///
/// One line a path, from A to B: + is new, - is gone, M has other bytes, m has the same bytes and
/// other metadata. With a PATH behind A, B or both, only what is at and below it.
#[derive(Args)]
#[command(after_long_help = format!("\
Examples:
  yore diff latest~1 latest
  yore diff 2026-11-20:/etc latest

JSON: an array of objects:
  change   added, removed, modified (other bytes) or metadata
  old_size, old_mtime  of what is modified or has other metadata: as it was in A
and of the path, as it is in B, or was in A if it is removed:
{ENTRY_FIELDS}"))]
pub struct Diff {
    /// The snapshot from which
    #[arg(value_name = "A[:PATH]", value_parser = SnapshotSpec::parser())]
    a: SnapshotSpec,
    /// The snapshot to which
    #[arg(value_name = "B[:PATH]", value_parser = SnapshotSpec::parser())]
    b: SnapshotSpec,
}

#[derive(Serialize)]
struct ChangeObject<'a> {
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_mtime: Option<String>,
    #[serde(flatten)]
    entry: EntryObject<'a>,
}

/// Prints one difference.
type Print<'a> = dyn FnMut(&[u8], &Change) -> Result<(), Stdout> + 'a;

/// Runs it.
pub fn run(context: &Context, args: &Diff) -> Result<Status> {
    let within = common_path(args)?;
    let repository = context.open()?;
    let (a, b) = (
        repository.snapshot(&args.a.snapshot)?,
        repository.snapshot(&args.b.snapshot)?,
    );
    let each = |print: &mut Print| {
        let mut printed = Ok(());
        let compared = repository.diff(&a, &b, &mut |path, change| match is_within(path, within) {
            true => go_on(&mut printed, print(path, &change)),
            false => ControlFlow::Continue(()),
        });
        printed.map_err(anyhow::Error::from).and(compared.map_err(Into::into))
    };
    if context.global.json {
        let mut array = Array::new();
        each(&mut |path, change| array.push(&object(path, change)))?;
        array.finish()?;
    } else {
        let mut out = Out::new();
        each(&mut |path, change| out.line(format_args!("{} {}", mark(change), printable(path))))?;
        out.finish()?;
    }
    Ok(Status::DONE)
}

/// The path that both are compared at. Snapshots are compared path by path, so
/// two different ones have nothing to be compared with.
fn common_path(args: &Diff) -> Result<&[u8], Usage> {
    match (args.a.has_path, args.b.has_path) {
        (true, true) if args.a.path != args.b.path => Err(Usage(
            "two different paths cannot be compared; give the same one, or one only".into(),
        )),
        (true, _) => Ok(&args.a.path),
        (false, _) => Ok(&args.b.path),
    }
}

fn is_within(path: &[u8], folder: &[u8]) -> bool {
    let rest = path.strip_prefix(folder.strip_suffix(b"/").unwrap_or(folder));
    rest.is_some_and(|rest| rest.first().is_none_or(|&byte| byte == b'/'))
}

fn mark(change: &Change) -> char {
    match change {
        Change::Added(_) => '+',
        Change::Removed(_) => '-',
        Change::Modified(..) => 'M',
        Change::Meta(..) => 'm',
    }
}

fn object<'a>(path: &'a [u8], change: &'a Change) -> ChangeObject<'a> {
    let (change, old, entry): (_, Option<&Entry>, _) = match change {
        Change::Added(entry) => ("added", None, entry),
        Change::Removed(entry) => ("removed", None, entry),
        Change::Modified(old, entry) => ("modified", Some(old), entry),
        Change::Meta(old, entry) => ("metadata", Some(old), entry),
    };
    ChangeObject {
        change,
        old_size: old.map(|old| old.size),
        old_mtime: old.map(|old| rfc3339_exact(old.meta.mtime, old.meta.mtime_ns)),
        entry: EntryObject::new(path, entry),
    }
}

#[cfg(test)]
mod tests {
    use super::is_within;

    #[test]
    fn a_path_is_within_itself_and_its_folders_only() {
        let cases: [(&[u8], &[u8], bool); 6] = [
            (b"/etc", b"/etc", true),
            (b"/etc/x", b"/etc", true),
            (b"/etcetera", b"/etc", false),
            (b"/", b"/", true),
            (b"/x", b"/", true),
            (b"/", b"/etc", false),
        ];
        for (path, folder, within) in cases {
            assert_eq!(is_within(path, folder), within);
        }
    }
}
