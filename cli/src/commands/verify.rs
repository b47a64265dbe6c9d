//! `yore verify`: looks for damage.

use anyhow::Result;
use clap::Args;
use yore_store::Verified;
use yore_terminal::output::{Array, Out};
use yore_terminal::text::{count, size};

use super::Context;
use super::damages::{DamageObject, print_damages};
use crate::error::Status;
use crate::progress::Meter;

/// Look for damage
///
/// It checks that the catalog holds together and that every stored file is there; with --read-data it
/// reads every byte that is stored and compares it with its name. What is damaged and still has its file on a
/// machine is asked of that at its next snapshot.
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
    let mut damages = verified.damages.iter().map(DamageObject::from);
    damages.try_for_each(|damage| array.push(&damage))?;
    Ok(array.finish()?)
}

fn print_text(context: &Context, verified: &Verified) -> Result<()> {
    let mut out = Out::new();
    print_damages(&verified.damages, &mut out)?;
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
