//! `yore link`: links this machine to a server.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;
use yore_agent::config::{AgentConfig, Transport};
use yore_agent::link::{LinkRequest, Linked, link};
use yore_agent::remote::{Address, host_key};
use yore_terminal::output::Out;
use yore_terminal::text::{count, one_line};

use super::Context;
use crate::backend::own_host;
use crate::error::{Status, Usage};

/// Link this machine to a server
///
/// A key is made for this machine and enrolled once, with a password or an invitation; from then on
/// the key is enough, and commands without -r work on the server's repository. The server's own key is
/// shown, pinned, and must be the same ever after.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  yore link ssh://nas --user ann
  yore link ssh://nas:2222 --user ann --invitation yi-… --host-key SHA256:…    (what `yored invite` prints)
  yore link ssh://nas --user ann --repository laptop --replace                 (a new laptop for a lost one)
  yore link ssh://nas --user ann --transport openssh         (a server behind a ProxyJump of ~/.ssh/config)

With --replace this machine goes on where the lost one ended: restore what you want back, snapshot the same \
paths, and nothing is sent again. The lost machine's key is revoked.

What is written: agent.toml and key in $YORE_CONFIG_DIR, or /etc/yore for root, or ~/.config/yore.

JSON: one object:
  repository  the URL of the repository
  key         this machine's key, SHA256:…
  host_key    the server's key, SHA256:…
  snapshots   how many snapshots the repository has
  before      the machine whose repository it was, with --replace; else null")]
pub struct Link {
    /// The server: ssh://[USER@]HOST[:PORT][/REPOSITORY]
    #[arg(value_name = "ssh://HOST[:PORT]")]
    server: String,
    /// The account on the server
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// What to call the repository there; this machine's name if nothing is said
    // The same option as every command's, so of the same type; only what it names is less.
    #[arg(long, value_name = "NAME")]
    repository: Option<PathBuf>,
    /// Enrol with this invitation, so that no password is asked for; with `-` it is the first line of standard input
    ///
    /// Other users see a command line while it runs, and could use the invitation first.
    #[arg(long, value_name = "TOKEN|-", conflicts_with = "password_stdin")]
    invitation: Option<String>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
    /// The server's key, if you know it: SHA256:…
    #[arg(long, value_name = "FINGERPRINT")]
    host_key: Option<String>,
    /// What carries everything to the server: the built-in SSH, or the system's ssh with its configuration
    /// (ProxyJump, HostName; the port is that of the URL); agent.toml's if nothing is said
    #[arg(long, value_name = "ssh|openssh")]
    transport: Option<Transport>,
    /// Also if the repository is another machine's, or this machine is linked already
    #[arg(long)]
    force: bool,
    /// Take the repository over from a machine that is gone
    #[arg(long)]
    replace: bool,
    /// Ask nothing: take the server's key as it is
    #[arg(short, long)]
    yes: bool,
}

#[derive(Serialize)]
struct LinkedObject {
    repository: String,
    key: String,
    host_key: String,
    snapshots: usize,
    before: Option<String>,
}

/// Runs it.
pub fn run(context: &Context, args: &Link) -> Result<Status> {
    let machine = own_host();
    let mut address: Address = args.server.parse().map_err(Usage)?;
    let user = args.user.clone().or(address.user.take());
    let user = user
        .or_else(|| std::env::var("USER").ok())
        .ok_or_else(|| Usage("give --user".into()))?;
    let repository = named(args).or(address.repository.take());
    address.repository = Some(repository.unwrap_or_else(|| as_repository(&machine)));
    let transport = match args.transport {
        Some(transport) => transport,
        None => context.config()?.map(|config| config.transport).unwrap_or_default(),
    };
    let host_key = trusted_key(context, args, &address, &user, transport)?;
    let request = LinkRequest {
        secret: secret(args, &user, &address)?,
        address,
        user,
        host_key: host_key.clone(),
        transport,
        machine,
        force: args.force,
        replace: args.replace,
        folder: AgentConfig::folder()?,
    };
    let linked = link(&request)?;
    print(context, args, linked, host_key)?;
    Ok(Status::DONE)
}

/// The name that was asked for; where YORE_REPOSITORY says where a repository is, that is no name.
fn named(args: &Link) -> Option<String> {
    let given = args.repository.as_ref()?;
    let is_place = std::env::var_os("YORE_REPOSITORY").is_some_and(|place| place == given.as_os_str());
    let name = given.to_string_lossy().into_owned();
    (!is_place || !name.contains('/')).then_some(name)
}

/// A machine's name as a repository's: letters, digits, dots and dashes.
fn as_repository(machine: &str) -> String {
    let short = machine.split('.').next().unwrap_or(machine).to_ascii_lowercase();
    let name: String = short
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    match name.trim_matches('-') {
        "" => "backup".into(),
        name => name.chars().take(64).collect(),
    }
}

/// The server's key: as given, or as it shows it if the user says yes.
fn trusted_key(context: &Context, args: &Link, address: &Address, user: &str, transport: Transport) -> Result<String> {
    if let Some(given) = &args.host_key {
        return Ok(given.clone());
    }
    let found = host_key(address, user, transport)?;
    if args.yes {
        context.note(&format!("{}: its key is {found}", address.host_and_port()));
        return Ok(found);
    }
    let question = format!(
        "The key of {} is\n  {found}\nThe command that `yored invite` prints on the server names the same if it is the right one. Go on? [y/N] ",
        address.host_and_port()
    );
    match ask(&question)?.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(found),
        _ => bail!("the server's key was not accepted; nothing was changed"),
    }
}

/// The password or the invitation.
fn secret(args: &Link, user: &str, address: &Address) -> Result<String> {
    let token = args.invitation.as_ref().filter(|token| *token != "-");
    if let Some(token) = token {
        return Ok(token.clone());
    }
    let line = match args.password_stdin || args.invitation.is_some() {
        true => {
            let mut line = String::new();
            std::io::stdin()
                .lock()
                .read_line(&mut line)
                .context("reading it from standard input")?;
            line
        }
        false if args.yes => bail!("there is neither --invitation nor --password-stdin, and --yes asks nothing"),
        false => hidden(&format!("Password of {user} on {}: ", address.host_and_port()))?,
    };
    match line.trim_end_matches(['\r', '\n']) {
        "" => bail!("no password was given; `yored invite {user}` on the server prints a command that needs none"),
        secret => Ok(secret.to_owned()),
    }
}

fn ask(question: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask on; give --host-key, or --yes to take the server's key as it is");
    }
    eprint!("{question}");
    std::io::stderr().flush().context("standard error")?;
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("reading the answer")?;
    Ok(line)
}

/// Asks on the terminal without showing what is typed.
fn hidden(question: &str) -> Result<String> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).map_err(|_| {
        anyhow::anyhow!("there is no terminal to ask for the password on; give --password-stdin or --invitation")
    })?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &silent).context("the terminal")?;
    let line = ask(question);
    let restored = tcsetattr(&stdin, OptionalActions::Flush, &before).context("the terminal");
    eprintln!();
    restored?;
    line
}

fn print(context: &Context, args: &Link, linked: Linked, host_key: String) -> Result<()> {
    let Linked {
        address,
        key,
        snapshots,
        before,
    } = linked;
    let mut out = Out::new();
    if context.global.json {
        out.object(&LinkedObject {
            repository: address.to_string(),
            key,
            host_key,
            snapshots,
            before,
        })?;
    } else if !context.global.quiet {
        let has = count(snapshots as u64, "snapshot");
        out.line(format_args!(
            "linked to {}, which has {has}",
            one_line(&address.to_string())
        ))?;
        if let (Some(before), true) = (before, args.replace) {
            out.line(format_args!(
                "taken over from {}, whose key is revoked",
                one_line(&before)
            ))?;
            out.line("now: `yore restore latest DEST`, then `yore snapshot` the same paths")?;
        } else {
            out.line("now: `yore include PATH…`, `yore schedule daily`, or `yore snapshot PATH…`")?;
        }
    }
    Ok(out.finish()?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_machines_name_becomes_a_repositorys() {
        for (machine, repository) in [
            ("Laptop.example.org", "laptop"),
            ("ann_s box", "ann-s-box"),
            ("-", "backup"),
            ("", "backup"),
        ] {
            assert_eq!(super::as_repository(machine), repository);
        }
    }
}
