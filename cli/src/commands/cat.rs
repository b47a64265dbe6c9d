//! `yore cat`: the bytes of one file.

use anyhow::{Result, bail};
use clap::Args;
use yore_store::Kind;
use yore_terminal::output::Out;
use yore_terminal::text::printable;

use super::Context;
use crate::error::Status;
use crate::snapshot_spec::SnapshotSpec;

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// Write a file of a snapshot to standard output
///
/// Every byte is verified before it is written; damage ends it with an error.
#[derive(Args)]
#[command(after_long_help = "\
Example:
  yore cat latest~1:/etc/fstab | diff - /etc/fstab")]
pub struct Cat {
    /// The snapshot and the file in it
    #[arg(value_name = "SNAPSHOT:PATH", value_parser = SnapshotSpec::parser())]
    what: SnapshotSpec,
}

/// Runs it.
pub fn run(context: &Context, args: &Cat) -> Result<Status> {
    let repository = context.open()?;
    let (_, entry) = args.what.find(&*repository)?;
    let path = printable(&args.what.path);
    match entry.meta.kind {
        Kind::File => {}
        Kind::Folder => bail!("{path}: is a folder; `yore ls` lists it"),
        Kind::Symlink => bail!(
            "{path}: is a symlink; name what it points to: {}",
            printable(&entry.meta.target)
        ),
        _ => bail!("{path}: is not a regular file; it has no bytes to write"),
    }
    let mut out = Out::new();
    if let Some(content) = entry.content {
        let reader = repository.open(content, entry.size)?;
        let mut buffer = vec![0; CHUNK];
        let mut offset = 0;
        while offset < reader.size() {
            let length = reader.read_at(offset, &mut buffer)?;
            if length == 0 {
                bail!("{path}: ends early; `yore verify --read-data` lists all damage");
            }
            out.bytes(&buffer[..length])?;
            offset += length as u64;
        }
    }
    out.finish()?;
    Ok(Status::DONE)
}
