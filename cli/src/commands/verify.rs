//! `yore verify`: looks for damage.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use yore_store::{Damage, Verified};
use yore_terminal::output::{Array, Bytes, Out};
use yore_terminal::text::{count, one_line, printable, size};

use super::Context;
use crate::error::Status;
use crate::progress::Meter;

/// Look for damage
///
/// It checks that the catalog holds together and that every stored file is there; with --read-data it
/// reads every byte that is stored and compares it with its name. Nothing is changed.
#[derive(Args)]
#[command(after_long_help = "\
Example:
  yore verify --read-data || echo 'look at this disk'

JSON: an array of objects, one for each damage:
  what   the damaged content, file or row, and what is wrong with it
  paths  array of objects: each path that is damaged by it
           path      absolute (path_hex: if it is not UTF-8)
           snapshot  the name of a snapshot in which it is

Exit status: 0 all is well, 1 damage, 2 it could not run.")]
pub struct Verify {
    /// Read and check every byte that is stored
    #[arg(long)]
    read_data: bool,
}

#[derive(Serialize)]
struct DamageObject<'a> {
    what: &'a str,
    paths: Vec<DamagedPath<'a>>,
}

#[derive(Serialize)]
struct DamagedPath<'a> {
    #[serde(flatten)]
    path: Bytes<'a>,
    snapshot: &'a str,
}

/// Runs it.
pub fn run(context: &Context, args: &Verify) -> Result<Status> {
    let repository = context.open()?;
    let meter = Meter::bytes_only("verify", context.global.quiet);
    let verified = repository.verify(args.read_data, &mut |read, all| {
        meter.reached(read, all);
        Ok(())
    })?;
    drop(meter);
    match context.global.json {
        true => print_json(&verified)?,
        false => print_text(context, &verified)?,
    }
    Ok(if verified.damages.is_empty() {
        Status::DONE
    } else {
        Status::DAMAGE
    })
}

fn print_json(verified: &Verified) -> Result<()> {
    let mut array = Array::new();
    for Damage { what, paths } in &verified.damages {
        let paths = paths
            .iter()
            .map(|(path, snapshot)| DamagedPath {
                path: Bytes("path", path),
                snapshot,
            })
            .collect();
        array.push(&DamageObject { what, paths })?;
    }
    Ok(array.finish()?)
}

fn print_text(context: &Context, verified: &Verified) -> Result<()> {
    let mut out = Out::new();
    for Damage { what, paths } in &verified.damages {
        out.line(format_args!("damaged: {}", one_line(what)))?;
        for (path, snapshot) in paths {
            out.line(format_args!("  {}:{}", one_line(snapshot), printable(path)))?;
        }
    }
    if !context.global.quiet || !verified.damages.is_empty() {
        out.line(sentence(verified))?;
    }
    Ok(out.finish()?)
}

fn sentence(verified: &Verified) -> String {
    let looked = format!(
        "{}, {} versions of paths, {}, {} read",
        count(verified.snapshots, "snapshot"),
        verified.entries,
        count(verified.contents, "content"),
        size(verified.bytes)
    );
    match verified.damages.len() as u64 {
        0 => format!("all is well: {looked}"),
        damages => format!("{} found: {looked}", count(damages, "damage")),
    }
}
