//! `yore init`: a new repository.

use std::os::unix::ffi::OsStrExt;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use yore_store::{Compression, Repository, parse_compression};
use yore_terminal::output::{Bytes, Out};
use yore_terminal::text::printable;

use super::Context;
use crate::error::Status;

/// Make a new, empty repository
///
/// The folder is made; if it is there, it must be empty. Everything of the repository lies in it, in
/// formats that sqlite3, zstd and rdiff can read.
#[derive(Args)]
#[command(after_long_help = "\
Example:
  yore init -r /mnt/disk/backups

JSON: one object:
  path  the repository's folder (path_hex: if it is not UTF-8)
  id    its identity, 32 hexadecimal digits")]
pub struct Init {
    /// How new data is compressed: zstd:1 (fast) to zstd:19 (small), or off
    #[arg(long, value_name = "zstd:N|off", default_value = "zstd:3", value_parser = parse_compression)]
    compression: Compression,
}

#[derive(Serialize)]
struct Made<'a> {
    #[serde(flatten)]
    path: Bytes<'a>,
    id: &'a str,
}

/// Runs it.
pub fn run(context: &Context, args: &Init) -> Result<Status> {
    let repository = Repository::init(context.repository_path()?, args.compression)?;
    let path = repository.path().as_os_str().as_bytes();
    let mut out = Out::new();
    if context.global.json {
        out.object(&Made {
            path: Bytes("path", path),
            id: repository.id(),
        })?;
    } else if !context.global.quiet {
        out.line(format_args!("made a repository in {}", printable(path)))?;
    }
    out.finish()?;
    Ok(Status::DONE)
}
