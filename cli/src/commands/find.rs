//! `yore find`: names, in every snapshot at once.

use std::ffi::OsString;
use std::ops::ControlFlow;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use yore_store::{Found, Kind, Wanted, go_on};
use yore_terminal::output::{Array, Out};
use yore_terminal::text::{one_line, printable, time};

use super::Context;
use super::objects::{ENTRY_FIELDS, EntryObject};
use crate::backend;
use crate::error::{Status, Stdout};

/// Find names in every snapshot
///
/// Each version that fits is shown once, with the snapshots that have it.
#[derive(Args)]
#[command(after_long_help = format!("\
Examples:
  yore find report.odt
  yore find '*.tex'
  yore find '/home/ann/**/thesis*'

A pattern is one of .gitignore: without a slash it fits a name, with a slash inside the end of a path, \
with one in front the whole path; one at its end asks for a folder. * and ? fit no slash, ** does.

JSON: an array of objects:
  first, last  the names of the first and the last snapshot that have this version
{ENTRY_FIELDS}"))]
pub struct Find {
    /// What to look for
    pattern: OsString,
}

#[derive(Serialize)]
struct FoundObject<'a> {
    first: &'a str,
    last: &'a str,
    #[serde(flatten)]
    entry: EntryObject<'a>,
}

/// Runs it.
pub fn run(context: &Context, args: &Find) -> Result<Status> {
    let filter = backend::patterns("PATTERN", std::slice::from_ref(&args.pattern))?;
    let repository = context.open()?;
    // The kind is known only of what was found: a pattern that asks for a folder is asked again.
    let may_fit = |_name: &[u8], path: &[u8]| filter.matches(path, true);
    let fits = |found: &Found| filter.matches(&found.path, found.entry.meta.kind == Kind::Folder);
    let pattern = std::os::unix::ffi::OsStrExt::as_bytes(args.pattern.as_os_str());
    let may_fit = &may_fit;
    let wanted = Wanted { pattern, may_fit };
    let each = |print: &mut dyn FnMut(&Found) -> Result<(), Stdout>| {
        let mut printed = Ok(());
        let found = repository.find(&wanted, &mut |found| match fits(&found) {
            true => go_on(&mut printed, print(&found)),
            false => ControlFlow::Continue(()),
        });
        printed.map_err(anyhow::Error::from).and(found.map_err(Into::into))
    };
    if context.global.json {
        let mut array = Array::new();
        each(&mut |found| {
            let entry = EntryObject::new(&found.path, &found.entry);
            array.push(&FoundObject {
                first: &found.first,
                last: &found.last,
                entry,
            })
        })?;
        array.finish()?;
    } else {
        let mut out = Out::new();
        each(&mut |found| out.line(line(found)))?;
        out.finish()?;
    }
    Ok(Status::DONE)
}

/// One version in one line. Not a table: what is found is shown as it is found.
fn line(found: &Found) -> String {
    let Found {
        path,
        entry,
        first,
        last,
    } = found;
    let snapshots = if first == last {
        one_line(first)
    } else {
        one_line(&format!("{first} to {last}"))
    };
    let (kind, changed) = (entry.meta.kind.letter(), time(entry.meta.mtime));
    format!(
        "{snapshots:<42}  {kind}  {:>12}  {changed}  {}",
        entry.size,
        printable(path)
    )
}
