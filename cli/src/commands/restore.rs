//! `yore restore`: puts files of a snapshot back on a disk.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;
use yore_agent::restore;
use yore_store::{Entry, History, Snapshot};
use yore_terminal::output::{Out, explained};
use yore_terminal::text::{count, one_line, size};

use super::Context;
use super::objects::Problem;
use crate::backend::{self, Report};
use crate::error::{Status, warn};
use crate::progress::Meter;
use crate::snapshot_spec::SnapshotSpec;

/// What to do where something is already.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Overwrite {
    /// Replace it
    Always,
    /// Replace it if the snapshot's is newer
    IfNewer,
    /// Leave it
    Never,
}

/// Put files of a snapshot back on a disk
///
/// Paths are put under DEST: /home/ann of the snapshot becomes DEST/home/ann, unless --strip drops the
/// first names. What is in the way is left alone unless --overwrite says otherwise. Owners, modes,
/// times, links, holes and attributes are put back as far as you may.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  yore restore latest /mnt/new                              everything
  yore restore latest:/home/ann /tmp/ann --strip 2          /home/ann becomes /tmp/ann
  yore restore 2026-11-20:/etc / --overwrite always         back in place
  yore restore latest:/home/ann /tmp/texts --include '*.odt'
  sudo yore restore latest /mnt/new --own                   nothing in it can become root

JSON: one object:
  files, folders, others  how many were put in place
  bytes        bytes that were written
  skipped      things that were in the way and left alone
  deleted      things that --delete removed
  owners_lost  things that could not get their owner
  xattrs_lost  attributes that could not be set
  errors       array of objects: path (path_hex: if it is not UTF-8), why

Exit status 1 if a path could not be restored; all the others are.")]
pub struct Restore {
    /// The snapshot, and what of it
    #[arg(value_name = "SNAPSHOT[:PATH]", value_parser = SnapshotSpec::parser())]
    what: SnapshotSpec,
    /// The folder under which the paths are put; it is made if it is not there
    #[arg(value_name = "DEST")]
    dest: PathBuf,
    /// What to do where something is already
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Overwrite::Never)]
    pub overwrite: Overwrite,
    /// Drop this many names at the beginning of every path
    #[arg(long, value_name = "N", default_value_t)]
    pub strip: usize,
    /// Remove what is in a restored folder and not in the snapshot
    #[arg(long)]
    pub delete: bool,
    /// Only what fits this pattern of .gitignore's syntax; may be given more than once
    #[arg(long = "include", value_name = "PATTERN")]
    pub include: Vec<std::ffi::OsString>,
    /// Make everything your own: no recorded owners, set-id bits, ACLs, capabilities and devices
    ///
    /// For root, who would else give all that a snapshot says; it may come from a server that is not trusted so far.
    #[arg(long)]
    pub own: bool,
}

#[derive(Serialize)]
struct Restored<'a> {
    files: u64,
    folders: u64,
    others: u64,
    bytes: u64,
    skipped: u64,
    deleted: u64,
    owners_lost: u64,
    xattrs_lost: u64,
    errors: Vec<Problem<'a>>,
}

/// Runs it.
pub fn run(context: &Context, args: &Restore) -> Result<Status> {
    let repository = context.open()?;
    let (snapshot, entry) = args.what.find(&*repository)?;
    let meter = Meter::new("restore", context.global.quiet);
    let restore = || backend::restore(&*repository, &snapshot, &args.what.path, &args.dest, args, &meter);
    let report = match meter.is_shown() && args.include.is_empty() {
        true if is_all(&snapshot.roots, &args.what.path) => {
            meter.expect(snapshot.files + snapshot.folders + snapshot.others, snapshot.bytes);
            restore()
        }
        true => counting(&*repository, &snapshot, &entry, &meter, restore),
        false => restore(),
    }?;
    drop(meter);
    print(context, &report)?;
    for line in explained(&report.errors, true) {
        warn(&format!("not restored: {line}"));
    }
    Ok(if report.errors.is_empty() {
        Status::DONE
    } else {
        Status::FAILED
    })
}

/// Folders that may wait to be counted; what is beyond that is not.
const MOST_FOLDERS: usize = 1 << 24;

/// Whether all that a snapshot of these roots has is at or below a path.
fn is_all(roots: &[Vec<u8>], path: &[u8]) -> bool {
    let below = |root: &Vec<u8>| {
        let rest = root.strip_prefix(path.strip_suffix(b"/").unwrap_or(path));
        rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    };
    roots.iter().all(below)
}

/// Does `work`, and meanwhile counts for `meter` what is at and below an entry.
fn counting<T>(
    repository: &dyn History,
    snapshot: &Snapshot,
    entry: &Entry,
    meter: &Meter,
    work: impl FnOnce() -> T,
) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            // What cannot be listed the restore will name.
            if let Ok(Some((items, bytes))) = below(repository, snapshot, entry, &done) {
                meter.expect(items, bytes);
            }
        });
        let worked = work();
        done.store(true, Relaxed);
        worked
    })
}

/// How many things are at and below an entry, and their bytes; nothing if the work is `done` before.
fn below(
    repository: &dyn History,
    snapshot: &Snapshot,
    entry: &Entry,
    done: &AtomicBool,
) -> Result<Option<(u64, u64)>> {
    let (mut items, mut bytes) = (1, entry.size);
    let mut folders: Vec<_> = entry.child.into_iter().map(|folder| (folder, 0)).collect();
    let mut entered = restore::Entered::default();
    while let Some((folder, path)) = folders.pop() {
        if done.load(Relaxed) {
            return Ok(None);
        }
        // What lies in several places is counted once; the restore says so.
        if entered.enter(folder, path).is_err() {
            continue;
        }
        let listing = repository.list_below(snapshot.id, folder)?;
        items += listing.len() as u64;
        bytes = listing
            .iter()
            .fold(bytes, |bytes: u64, entry| bytes.saturating_add(entry.size));
        // In the order in which they come from a server.
        let below = listing.iter().rev();
        let below = below.filter_map(|entry| Some((entry.child?, path + entry.name.len() + 1)));
        folders.extend(below.take(MOST_FOLDERS.saturating_sub(folders.len())));
    }
    Ok(Some((items, bytes)))
}

fn print(context: &Context, report: &Report) -> Result<()> {
    let mut out = Out::new();
    if context.global.json {
        let Report {
            files,
            folders,
            others,
            bytes,
            skipped,
            deleted,
            owners_lost,
            xattrs_lost,
            ..
        } = *report;
        let errors = Problem::all(&report.errors);
        out.object(&Restored {
            files,
            folders,
            others,
            bytes,
            skipped,
            deleted,
            owners_lost,
            xattrs_lost,
            errors,
        })?;
    } else if !context.global.quiet {
        out.line(one_line(&sentence(report)))?;
    }
    Ok(out.finish()?)
}

fn sentence(report: &Report) -> String {
    let mut text = format!(
        "restored {}, {} and {}, {}",
        count(report.files, "file"),
        count(report.folders, "folder"),
        count(report.others, "other"),
        size(report.bytes)
    );
    let more = [
        (report.skipped, "left as they were (--overwrite always replaces them)"),
        (report.deleted, "deleted"),
        (report.owners_lost, "without their owner (only root may set it)"),
        (report.xattrs_lost, "attributes lost"),
    ];
    for (number, what) in more.into_iter().filter(|(number, _)| *number > 0) {
        text.push_str(&format!("; {number} {what}"));
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_of_a_snapshot_is_below_what_its_roots_have_in_common() {
        let is_all = |roots: &[&str], path: &str| {
            let roots: Vec<Vec<u8>> = roots.iter().map(|root| root.as_bytes().to_vec()).collect();
            super::is_all(&roots, path.as_bytes())
        };
        let two = ["/home/ann", "/home/bob"];
        for (path, all) in [
            ("/", true),
            ("/home", true),
            ("/home/ann", false),
            ("/ho", false),
            ("/etc", false),
        ] {
            assert_eq!(is_all(&two, path), all, "{path}");
        }
        assert!(is_all(&["/"], "/") && !is_all(&["/"], "/home"));
    }
}
