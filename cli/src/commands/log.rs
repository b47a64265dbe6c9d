//! `yore log`: the versions of a path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;
use yore_store::{Kind, StoredAs, Version};
use yore_terminal::output::{Array, Out, Table};
use yore_terminal::text::{one_line, printable, size, time};

use super::Context;
use super::objects::{ENTRY_FIELDS, EntryObject};
use crate::error::Status;
use crate::snapshot_spec::clean;

/// List the versions of a path, oldest first
///
/// A version is shown once, with the snapshots that have it. A relative path starts from the working
/// folder.
#[derive(Args)]
#[command(after_long_help = format!("\
Example:
  yore log ~/thesis.tex

JSON: an array of objects:
  first        the name of the first snapshot that has this version
  until        the name of the last one; null if that is the newest of its host and paths
  host         the machine that it is of
  stored_as    whole, packed, delta or nothing (no file, or an empty one)
  base_depth   of a delta: the deltas that lie between it and a whole version
{ENTRY_FIELDS}"))]
pub struct Log {
    /// The path, as it is or was on the machine
    path: PathBuf,
}

#[derive(Serialize)]
struct VersionObject<'a> {
    first: &'a str,
    until: Option<&'a str>,
    host: &'a str,
    stored_as: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_depth: Option<u64>,
    #[serde(flatten)]
    entry: EntryObject<'a>,
}

/// Runs it.
pub fn run(context: &Context, args: &Log) -> Result<Status> {
    let path = absolute(&args.path)?;
    let versions = context.open()?.versions(&path)?;
    match context.global.json {
        true => print_json(&path, &versions)?,
        false if versions.is_empty() => bail!("{}: is in no snapshot; `yore find` looks for names", printable(&path)),
        false => print_table(&versions)?,
    }
    Ok(Status::DONE)
}

/// The path as snapshots have it: symlinks on the way are resolved, as far as
/// the way is still there, and a last one is not.
fn absolute(path: &Path) -> Result<Vec<u8>> {
    let absolute = std::path::absolute(path).with_context(|| path.display().to_string())?;
    let resolved = match (absolute.parent().map(Path::canonicalize), absolute.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => absolute,
    };
    Ok(clean(OsStr::as_bytes(resolved.as_os_str())))
}

fn print_json(path: &[u8], versions: &[Version]) -> Result<()> {
    let mut array = Array::new();
    for version in versions {
        let (stored_as, base_depth) = match version.stored_as {
            StoredAs::Whole => ("whole", None),
            StoredAs::Packed => ("packed", None),
            StoredAs::Delta { base_depth } => ("delta", Some(base_depth)),
            StoredAs::Nothing => ("nothing", None),
        };
        array.push(&VersionObject {
            first: &version.snapshot.name,
            until: version.until.as_deref(),
            host: &version.snapshot.host,
            stored_as,
            base_depth,
            entry: EntryObject::new(path, &version.entry),
        })?;
    }
    Ok(array.finish()?)
}

fn print_table(versions: &[Version]) -> Result<()> {
    let mut table = Table::new(&["FIRST", "UNTIL", "HOST", "", ">SIZE", "CHANGED", "STORED AS"]);
    for version in versions {
        let entry = &version.entry;
        let is_file = entry.meta.kind == Kind::File;
        table.row([
            one_line(&version.snapshot.name),
            version.until.as_deref().map_or_else(|| "now".into(), one_line),
            one_line(&version.snapshot.host),
            entry.meta.kind.letter().to_string(),
            if is_file { size(entry.size) } else { String::new() },
            time(entry.meta.mtime),
            stored_as(version.stored_as),
        ]);
    }
    let mut out = Out::new();
    table.print(&mut out)?;
    Ok(out.finish()?)
}

fn stored_as(stored_as: StoredAs) -> String {
    match stored_as {
        StoredAs::Whole => "whole".into(),
        StoredAs::Packed => "whole, in a pack".into(),
        StoredAs::Delta { base_depth: 0 } => "delta".into(),
        StoredAs::Delta { base_depth } => format!("delta, {base_depth} below it"),
        StoredAs::Nothing => String::new(),
    }
}
