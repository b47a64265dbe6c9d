//! `yore ls`: what is in a folder of a snapshot.

use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use yore_agent::restore::{Entered, held};
use yore_store::{Entry, FolderId, History, Kind, Listing, Snapshot};
use yore_terminal::output::{Array, Out, Table};
use yore_terminal::text::{one_line, permissions, printable, time};

use super::Context;
use super::objects::{ENTRY_FIELDS, EntryObject};
use crate::error::Status;
use crate::snapshot_spec::{SnapshotSpec, join};

/// List what is in a folder of a snapshot
///
/// Without a PATH it lists the snapshot's root, which has the absolute paths that were asked for.
#[derive(Args)]
#[command(after_long_help = format!("\
Examples:
  yore ls latest
  yore ls -l 2026-11-20:/home/ann
  yore ls -R latest~2:/etc --json

JSON: an array of objects:
{ENTRY_FIELDS}"))]
pub struct Ls {
    /// The snapshot, and a path in it
    #[arg(value_name = "SNAPSHOT[:PATH]", value_parser = SnapshotSpec::parser())]
    what: SnapshotSpec,
    /// With kind, permissions, owner, group, bytes and time of each
    #[arg(short, long)]
    long: bool,
    /// Every folder below it as well
    #[arg(short = 'R', long)]
    recursive: bool,
}

/// Runs it.
pub fn run(context: &Context, args: &Ls) -> Result<Status> {
    let repository = context.open()?;
    let (snapshot, entry) = args.what.find(&*repository)?;
    let folders = Folders::new(repository, snapshot, args, &entry);
    match context.global.json {
        true => print_json(args, &entry, folders)?,
        false => print_text(args, &entry, folders)?,
    }
    Ok(Status::DONE)
}

/// Folders with what is in them, depth first. Not by recursion: a tree may be deeper than a stack.
struct Folders {
    repository: Arc<dyn History>,
    snapshot: Snapshot,
    recursive: bool,
    /// The first one.
    first: Option<(Vec<u8>, FolderId)>,
    /// Those that the walk is in.
    levels: Vec<Level>,
    path: Vec<u8>,
    entered: Entered,
}

/// A folder, of whose entries some were looked at.
struct Level {
    listing: Arc<Listing>,
    next: usize,
    /// What the listings of this and of those above take, in bytes.
    held: usize,
    /// Bytes of its path.
    path: usize,
}

impl Folders {
    fn new(repository: Arc<dyn History>, snapshot: Snapshot, args: &Ls, entry: &Entry) -> Self {
        Folders {
            repository,
            snapshot,
            recursive: args.recursive,
            first: entry.child.map(|folder| (args.what.path.clone(), folder)),
            levels: Vec::new(),
            path: Vec::new(),
            entered: Entered::default(),
        }
    }

    /// The next folder, and its path.
    fn next_folder(&mut self) -> Option<(Vec<u8>, FolderId)> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        while let Some(level) = self.levels.last_mut() {
            self.path.truncate(level.path);
            let left = &level.listing[level.next..];
            match left.iter().position(|entry| entry.child.is_some()) {
                Some(at) => {
                    level.next += at + 1;
                    let entry = &left[at];
                    return Some((join(&self.path, &entry.name), entry.child?));
                }
                None => drop(self.levels.pop()),
            }
        }
        None
    }

    fn list(&mut self, path: &[u8], folder: FolderId) -> yore_store::Result<Arc<Listing>> {
        self.entered.enter(folder, path.len())?;
        if !self.recursive {
            return self.repository.list(self.snapshot.id, folder);
        }
        let listing = self.repository.list_below(self.snapshot.id, folder)?;
        self.path = path.to_vec();
        self.levels.push(Level {
            held: held(self.levels.last().map_or(0, |level| level.held), &listing)?,
            listing: listing.clone(),
            next: 0,
            path: path.len(),
        });
        Ok(listing)
    }
}

impl Iterator for Folders {
    type Item = yore_store::Result<(Vec<u8>, Arc<Listing>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let (path, folder) = self.next_folder()?;
        let listing = self.list(&path, folder);
        Some(listing.map(|listing| (path, listing)))
    }
}

fn print_json(args: &Ls, entry: &Entry, folders: Folders) -> Result<()> {
    let mut array = Array::new();
    if entry.child.is_none() {
        array.push(&EntryObject::new(&args.what.path, entry))?;
    }
    for folder in folders {
        let (path, listing) = folder?;
        for entry in listing.iter() {
            array.push(&EntryObject::new(&join(&path, &entry.name), entry))?;
        }
    }
    Ok(array.finish()?)
}

fn print_text(args: &Ls, entry: &Entry, folders: Folders) -> Result<()> {
    let mut out = Out::new();
    if entry.child.is_none() {
        print_entries(args, std::slice::from_ref(entry), &mut out)?;
    }
    for (at, folder) in folders.enumerate() {
        let (path, listing) = folder?;
        if args.recursive {
            let gap = if at > 0 { "\n" } else { "" };
            out.line(format_args!("{gap}{}:", printable(&path)))?;
        }
        print_entries(args, &listing, &mut out)?;
    }
    Ok(out.finish()?)
}

fn print_entries(args: &Ls, entries: &[Entry], out: &mut Out) -> Result<()> {
    if !args.long {
        return entries
            .iter()
            .try_for_each(|entry| Ok(out.line(printable(&entry.name))?));
    }
    let mut table = Table::bare(&[false, false, false, true, false, false]);
    for entry in entries {
        table.row(long(entry));
    }
    Ok(table.print(out)?)
}

/// The columns of `ls -l`.
pub fn long(entry: &Entry) -> [String; 6] {
    let (meta, owner) = (&entry.meta, &entry.meta.owner);
    let name_or = |name: &str, number: u32| {
        if name.is_empty() {
            number.to_string()
        } else {
            one_line(name)
        }
    };
    let size = match meta.kind {
        Kind::CharDevice | Kind::BlockDevice => {
            format!("{},{}", rustix::fs::major(meta.rdev), rustix::fs::minor(meta.rdev))
        }
        _ => entry.size.to_string(),
    };
    let mut name = printable(&entry.name);
    if meta.kind == Kind::Symlink {
        name = format!("{name} -> {}", printable(&meta.target));
    }
    [
        format!("{}{}", meta.kind.letter(), permissions(meta.mode)),
        name_or(&owner.user, owner.uid),
        name_or(&owner.group, owner.gid),
        size,
        time(meta.mtime),
        name,
    ]
}
