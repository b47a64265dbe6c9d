//! `yored key`: the machines' keys.

use anyhow::Result;
use clap::{Args, Subcommand};
use yore_terminal::output::{Out, Table};
use yore_terminal::text::{one_line, time};

use super::objects::{KEY_FIELDS, KeyObject, owner};
use super::{Context, as_caller, known_user};
use crate::accounts::{Key as MachineKey, User, UserName};
use crate::error::Status;

/// List and revoke the keys of machines
#[derive(Subcommand)]
pub enum Key {
    List(List),
    Revoke(Revoke),
}

/// List the keys
#[derive(Args)]
#[command(after_long_help = format!("JSON: an array of objects:\n{KEY_FIELDS}"))]
pub struct List {
    /// Only the keys of this user
    user: Option<UserName>,
}

/// Revoke a key: its machine is let in no more
///
/// Sessions of the machine end. What it has pushed stays. A key that was revoked does not come back; the
/// machine can be linked again with a new one.
#[derive(Args)]
#[command(after_long_help = format!("\
Examples:
  yored key revoke 7
  yored key revoke laptop

JSON: an array of objects, one a key:
{KEY_FIELDS}"))]
pub struct Revoke {
    /// Its number, its fingerprint, or its machine's name if only one key has it
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
}

/// Runs it.
pub fn run(context: &Context, command: &Key) -> Result<Status> {
    let accounts = context.accounts()?;
    match command {
        Key::List(args) => {
            let only = args.user.as_ref().map(|name| known_user(&accounts, name)).transpose()?;
            let mut keys = accounts.keys()?;
            keys.retain(|key| only.as_ref().is_none_or(|user| user.id == key.user));
            list(context, &keys, &accounts.users()?)
        }
        Key::Revoke(args) => {
            let mut revoked = Vec::new();
            for key in &args.keys {
                revoked.extend(as_caller(|by| accounts.revoke(key, by))?);
            }
            // As they are now, not as they were found.
            let mut keys = accounts.keys()?;
            keys.retain(|key| revoked.iter().any(|gone| gone.id == key.id));
            tell(context, &keys, &accounts.users()?)
        }
    }
}

fn print_json(keys: &[MachineKey], users: &[User]) -> Result<Status> {
    let mut out = Out::new();
    out.array(keys.iter().map(|key| KeyObject::new(key, users)))?;
    out.finish()?;
    Ok(Status::DONE)
}

fn list(context: &Context, keys: &[MachineKey], users: &[User]) -> Result<Status> {
    if context.global.json {
        return print_json(keys, users);
    }
    let mut table = Table::new(&[
        ">KEY",
        "USER",
        "MACHINE",
        "FINGERPRINT",
        "ADDED",
        "LAST USED",
        "REVOKED",
    ]);
    for key in keys {
        let or_not = |when: Option<i64>| when.map_or_else(|| "-".into(), time);
        table.row([
            key.id.to_string(),
            owner(key, users).to_owned(),
            one_line(&key.comment),
            key.fingerprint.clone(),
            time(key.added),
            or_not(key.last_used),
            or_not(key.revoked),
        ]);
    }
    let mut out = Out::new();
    table.print(&mut out)?;
    out.finish()?;
    Ok(Status::DONE)
}

fn tell(context: &Context, keys: &[MachineKey], users: &[User]) -> Result<Status> {
    if context.global.json {
        return print_json(keys, users);
    }
    for key in keys {
        let (machine, user) = (one_line(&key.comment), owner(key, users));
        context.note(format!(
            "revoked key {} of {user}: {machine}, {}",
            key.id, key.fingerprint
        ))?;
    }
    Ok(Status::DONE)
}
