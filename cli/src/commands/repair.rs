//! `yore repair`: makes of a damaged repository what can be made of it.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use yore_agent::remote::Address;
use yore_store::{Rebuilt, Repaired, Repository, as_owner};
use yore_terminal::output::Out;
use yore_terminal::text::count;

use super::Context;
use super::damages::{DamageObject, print_damages};
use crate::error::Status;
use crate::progress::Meter;

/// Mend a damaged repository
///
/// A damaged catalog is made again from what can be read of it and from its copies in catalog.old; the damaged one is
/// kept as catalog.damaged. Contents that cannot be read take the place of sound ones of the same name. What is still
/// damaged then is listed, and stays: it reads as an error, and if a machine has the file it is asked of that at its
/// next snapshot. Nothing is removed.
///
/// Of a server's repository the contents are mended by it. If its catalog is damaged, stop yored and run this on the
/// server, with -r and the folder.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  yore repair --dry-run
  yore -r /backup/ann repair

JSON: one object:
  config   whether yore.toml was written anew
  catalog  null, or an object: unreadable (stretches of rows), from_copies (rows), lost (stretches that no copy had),
           revived (snapshots of which only the entries were left; tagged `recovered`), ended (entries that end with
           what a copy knew)
  healed   contents that are whole again
  damages  what is still damaged, as `yore verify` tells it

Exit status: 0 all is well now, 1 something is still damaged or was lost, 2 it could not run.")]
pub struct Repair {
    /// Change nothing; say what is damaged, and what would be made of the catalog
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct RepairedObject<'a> {
    config: bool,
    catalog: Option<RebuiltObject>,
    healed: u64,
    damages: Vec<DamageObject<'a>>,
}

#[derive(Serialize)]
struct RebuiltObject {
    unreadable: u64,
    from_copies: u64,
    lost: u64,
    revived: u64,
    ended: u64,
}

/// Runs it.
pub fn run(context: &Context, args: &Repair) -> Result<Status> {
    let meter = Meter::bytes_only("repair", context.global.quiet);
    let progress = |read, all| {
        meter.reached(read, all);
        Ok(())
    };
    let place = context.repository_path()?;
    let repaired = match place.to_str().is_some_and(Address::is_meant) {
        true => context.open()?.repair_contents(args.dry_run, &mut &progress)?,
        false => as_owner(place, || Repository::repair(place, args.dry_run, &mut &progress))?,
    };
    drop(meter);
    let mut out = Out::new();
    match context.global.json {
        true => out.object(&RepairedObject::from(&repaired))?,
        false => print_text(args, &repaired, &mut out)?,
    }
    out.finish()?;
    let lost = repaired.catalog.is_some_and(|catalog| catalog.lost + catalog.ended > 0);
    Ok(match repaired.damages.is_empty() && !lost {
        true => Status::DONE,
        false => Status::DAMAGE,
    })
}

impl<'a> From<&'a Repaired> for RepairedObject<'a> {
    fn from(repaired: &'a Repaired) -> Self {
        let catalog = |rebuilt: Rebuilt| RebuiltObject {
            unreadable: rebuilt.unreadable,
            from_copies: rebuilt.from_copies,
            lost: rebuilt.lost,
            revived: rebuilt.revived,
            ended: rebuilt.ended,
        };
        RepairedObject {
            config: repaired.config,
            catalog: repaired.catalog.map(catalog),
            healed: repaired.healed,
            damages: repaired.damages.iter().map(DamageObject::from).collect(),
        }
    }
}

fn print_text(args: &Repair, repaired: &Repaired, out: &mut Out) -> Result<()> {
    let (has, was) = if args.dry_run {
        ("would have", "would be")
    } else {
        ("has", "was")
    };
    if repaired.config {
        out.line(format_args!("yore.toml {was} written anew, with another identity"))?;
    }
    if let Some(rebuilt) = &repaired.catalog {
        out.line(format_args!("the catalog {was} made again: {}", of_catalog(rebuilt)))?;
        out.line(format_args!(
            "every machine {has} to look at all its files at its next snapshot"
        ))?;
    }
    if repaired.healed > 0 {
        out.line(format_args!("{}: whole again", count(repaired.healed, "content")))?;
    }
    print_damages(&repaired.damages, out)?;
    match (repaired.damages.len() as u64, &repaired.catalog) {
        (0, Some(_)) if args.dry_run => {}
        (0, _) => out.line("all that is there can be read")?,
        (damages, _) => out.line(format_args!("{} left", count(damages, "damage")))?,
    }
    Ok(())
}

fn of_catalog(rebuilt: &Rebuilt) -> String {
    let mut text = format!(
        "{} unreadable, {} from its copies",
        count(rebuilt.unreadable, "stretch").replace("stretchs", "stretches"),
        count(rebuilt.from_copies, "row"),
    );
    for (number, what) in [
        (rebuilt.lost, "that no copy had"),
        (rebuilt.revived, "snapshots recovered from their entries"),
        (rebuilt.ended, "entries that end with what a copy knew"),
    ] {
        if number > 0 {
            text += &format!(", {number} {what}");
        }
    }
    text
}
