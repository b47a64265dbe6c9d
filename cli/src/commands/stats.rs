//! `yore stats`: how much is stored, and how.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use yore_store::Stats;
use yore_terminal::output::{Out, Table};
use yore_terminal::text::{one_line, size};

use super::Context;
use crate::error::Status;

/// Say how much is stored, and how
///
/// The newest version of a file is whole (a head), an older one the difference to a newer one (a
/// delta); a chain is the deltas between an old version and the whole one that it is read from.
#[derive(Args)]
#[command(after_long_help = "\
Example:
  yore stats

JSON: one object, all sizes in bytes:
  snapshots         array, oldest first: name, files, size, new_bytes
  entries           versions of paths
  logical_bytes     all files of all snapshots, as if each were a copy
  contents, content_bytes    different contents, and their bytes before compression
  stored_bytes      bytes on the disk: file_bytes and catalog_bytes
  file_bytes, catalog_bytes  bytes of stored contents, of the catalog
  dead_bytes        stored bytes that nothing needs any more
  heads, head_bytes          whole contents, and their bytes before compression
  deltas, delta_bytes, delta_stored_bytes
                    contents that are deltas, their bytes as files, as they are stored
  longest_chain, mean_chain  deltas between a version and a whole one, at most and in the mean")]
pub struct StatsArgs {}

#[derive(Serialize)]
struct StatsObject<'a> {
    snapshots: Vec<EachObject<'a>>,
    entries: u64,
    logical_bytes: u64,
    contents: u64,
    content_bytes: u64,
    stored_bytes: u64,
    file_bytes: u64,
    catalog_bytes: u64,
    dead_bytes: u64,
    heads: u64,
    head_bytes: u64,
    deltas: u64,
    delta_bytes: u64,
    delta_stored_bytes: u64,
    longest_chain: u64,
    mean_chain: f64,
}

#[derive(Serialize)]
struct EachObject<'a> {
    name: &'a str,
    files: u64,
    size: u64,
    new_bytes: u64,
}

/// Runs it.
pub fn run(context: &Context, _args: &StatsArgs) -> Result<Status> {
    let stats = context.open()?.stats()?;
    let mut out = Out::new();
    match context.global.json {
        true => out.object(&object(&stats))?,
        false => print(&stats, &mut out)?,
    }
    out.finish()?;
    Ok(Status::DONE)
}

fn object(stats: &Stats) -> StatsObject<'_> {
    StatsObject {
        snapshots: stats
            .each
            .iter()
            .map(|each| EachObject {
                name: &each.name,
                files: each.files,
                size: each.bytes,
                new_bytes: each.new_bytes,
            })
            .collect(),
        entries: stats.entries,
        logical_bytes: stats.logical_bytes,
        contents: stats.contents,
        content_bytes: stats.content_bytes,
        stored_bytes: stats.stored_bytes(),
        file_bytes: stats.file_bytes,
        catalog_bytes: stats.catalog_bytes,
        dead_bytes: stats.dead_bytes,
        heads: stats.heads,
        head_bytes: stats.head_bytes,
        deltas: stats.deltas.count,
        delta_bytes: stats.deltas.content_bytes,
        delta_stored_bytes: stats.deltas.stored_bytes,
        longest_chain: stats.deltas.longest_chain,
        mean_chain: stats.deltas.mean_chain,
    }
}

fn print(stats: &Stats, out: &mut Out) -> Result<()> {
    let deltas = &stats.deltas;
    let mut table = Table::bare(&[false, true, false]);
    let mut row = |what: &str, value: String, note: String| table.row([what.to_owned(), value, note]);
    row(
        "snapshots",
        stats.snapshots.to_string(),
        format!("{} as copies", size(stats.logical_bytes)),
    );
    row("entries", stats.entries.to_string(), "versions of paths".into());
    row("contents", stats.contents.to_string(), size(stats.content_bytes));
    row("heads", stats.heads.to_string(), size(stats.head_bytes));
    let stored = format!(
        "{}, stored in {}",
        size(deltas.content_bytes),
        size(deltas.stored_bytes)
    );
    row("deltas", deltas.count.to_string(), stored);
    row(
        "chains",
        deltas.longest_chain.to_string(),
        format!("the longest; {:.1} in the mean", deltas.mean_chain),
    );
    row(
        "files",
        size(stats.file_bytes),
        format!("{} of them dead", size(stats.dead_bytes)),
    );
    row("catalog", size(stats.catalog_bytes), String::new());
    row("on disk", size(stats.stored_bytes()), ratio(stats));
    table.print(out)?;
    if !stats.each.is_empty() {
        out.line("")?;
        let mut table = Table::new(&["SNAPSHOT", ">FILES", ">SIZE", ">NEW"]);
        for each in &stats.each {
            table.row([
                one_line(&each.name),
                each.files.to_string(),
                size(each.bytes),
                size(each.new_bytes),
            ]);
        }
        table.print(out)?;
    }
    Ok(())
}

fn ratio(stats: &Stats) -> String {
    match stats.stored_bytes() {
        0 => String::new(),
        stored => format!("1 : {:.1}", stats.logical_bytes as f64 / stored as f64),
    }
}
