//! `yored invite`: a command that links a machine.

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use yore_terminal::output::Out;
use yore_terminal::text::rfc3339;

use super::{Context, as_caller, known_user};
use crate::accounts::{Accounts, UserName};
use crate::error::{Status, Usage};
use crate::host_key;
use crate::units::Seconds;

/// Print the command that links a machine to a user
///
/// It is alone on its line, asks nothing, works once, and must be run in time on the machine that is to
/// be backed up. It is a secret: whoever runs it first is in.
#[derive(Args)]
#[command(after_long_help = "\
Example:
  ssh ann@laptop \"$(yored invite ann --expires 10m)\"

JSON: one object:
  command   the command
  url       where the server is, as the machine is told
  user      the user
  token     the invitation, which is in the command too
  host_key  the fingerprint of the server's key
  expires   until when it is good")]
pub struct Invite {
    /// The user
    name: UserName,
    /// How long it is good
    #[arg(long, value_name = "TIME", default_value = "1d")]
    expires: Seconds,
}

#[derive(Serialize)]
struct Invitation<'a> {
    command: String,
    url: String,
    user: &'a UserName,
    token: &'a str,
    host_key: &'a str,
    expires: String,
}

/// Runs it.
pub fn run(context: &Context, args: &Invite) -> Result<Status> {
    let Invite { name, expires } = args;
    if expires.0 == 0 {
        return Err(Usage("an invitation that is over at once helps nobody; try --expires 1h".into()).into());
    }
    let config = context.config()?;
    let accounts = Accounts::open(&config.data)?;
    if known_user(&accounts, name)?.disabled {
        bail!("user {name} is disabled; `yored user set {name} --disabled=false` lets them in again");
    }
    let host_key = host_key::fingerprint(&host_key::load_or_make(&config.data)?);
    let until = accounts.now().saturating_add(expires.0);
    let token = as_caller(|by| accounts.invite(name, until, by))?;
    let url = config.reachable().url();
    let invitation = Invitation {
        command: format!("yore link {url} --user {name} --invitation {token} --host-key {host_key}"),
        url,
        user: name,
        token: &token,
        host_key: &host_key,
        expires: rfc3339(until),
    };
    let mut out = Out::new();
    match context.global.json {
        true => out.object(&invitation)?,
        false => out.line(&invitation.command)?,
    }
    out.finish()?;
    Ok(Status::DONE)
}
