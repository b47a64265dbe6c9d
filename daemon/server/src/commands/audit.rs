//! `yored audit`: who did what.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use yore_terminal::output::{Out, Table};
use yore_terminal::text::{one_line, rfc3339, time};

use super::Context;
use super::values::Moment;
use crate::accounts::AuditRow;
use crate::error::Status;

/// How many lines are shown if nothing is said.
const FEW: usize = 100;

/// Show who did what, from where, and what was before, oldest first
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  yored audit
  yored audit --since 7d --json

JSON: an array of objects:
  id    its number
  time  when
  who   a user, or who ran yored on the server
  what  what was done, and to what
  from  the network address, or this machine
  old   what was before
  new   what is now")]
pub struct Audit {
    /// From when on: 7d (ago), 2026-11-20, 2026-11-20T18:00; without it, the newest 100 lines
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// At most so many, the newest
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Line<'a> {
    id: i64,
    time: String,
    who: &'a str,
    what: &'a str,
    from: &'a str,
    old: &'a str,
    new: &'a str,
}

/// Runs it.
pub fn run(context: &Context, args: &Audit) -> Result<Status> {
    let accounts = context.accounts()?;
    let since = args.since.map_or(0, |since| since.seconds(accounts.now()));
    let limit = args.since.map_or(FEW, |_| usize::MAX);
    let rows = accounts.audit_log(since, args.limit.unwrap_or(limit))?;
    let mut out = Out::new();
    match context.global.json {
        true => out.array(rows.iter().map(line))?,
        false => table(&rows).print(&mut out)?,
    }
    out.finish()?;
    Ok(Status::DONE)
}

fn line(row: &AuditRow) -> Line<'_> {
    Line {
        id: row.id,
        time: rfc3339(row.time),
        who: &row.who,
        what: &row.what,
        from: &row.from,
        old: &row.old,
        new: &row.new,
    }
}

fn table(rows: &[AuditRow]) -> Table {
    let mut table = Table::new(&["TIME", "WHO", "FROM", "WHAT", "OLD -> NEW"]);
    for row in rows {
        let change = match (row.old.is_empty(), row.new.is_empty()) {
            (true, true) => String::new(),
            (true, false) => format!("-> {}", row.new),
            (false, true) => format!("{} ->", row.old),
            (false, false) => format!("{} -> {}", row.old, row.new),
        };
        let [who, from, what, change] = [&row.who, &row.from, &row.what, &change].map(|text| one_line(text));
        table.row([time(row.time), who, from, what, change]);
    }
    table
}
