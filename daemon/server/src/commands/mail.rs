//! `yored mail`: whether mail works.

use anyhow::Result;
use clap::{Args, Subcommand};
use lettre::message::Mailbox;
use serde::Serialize;

use super::Context;
use super::values::Email;
use crate::accounts::Accounts;
use crate::error::{Status, Usage};
use crate::mail::Post;

/// Try out mail
#[derive(Subcommand)]
pub enum Mail {
    Test(Test),
}

/// Send a letter and say what the mail server answered
#[derive(Args)]
#[command(after_long_help = "\
Example:
  yored mail test ann@example.org

JSON: one object:
  to      the address
  answer  what the mail server answered")]
pub struct Test {
    /// To whom; to the administrator (mail.to) if nobody is named
    #[arg(value_name = "ADDRESS")]
    to: Option<Email>,
}

#[derive(Serialize)]
struct Sent<'a> {
    to: &'a str,
    answer: &'a str,
}

/// Runs it.
pub fn run(context: &Context, command: &Mail) -> Result<Status> {
    let Mail::Test(args) = command;
    let config = context.config()?;
    let accounts = Accounts::open(&config.data)?;
    let to: Option<Mailbox> = match &args.to {
        Some(Email(to)) => Some(to.parse().map_err(|_| Usage(format!("{to} is not a mail address")))?),
        None => None,
    };
    let (to, answer) = Post::new(&config, &accounts).test(to.as_ref())?;
    let answer = yore_terminal::text::one_line(&answer);
    let sent = Sent {
        to: to.email.as_ref(),
        answer: &answer,
    };
    context.done(format!("sent to {to}; the mail server answered: {answer}"), &sent)
}
