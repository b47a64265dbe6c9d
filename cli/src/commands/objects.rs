//! Snapshots and entries as JSON objects; help documents the fields.

use serde::Serialize;
use yore_store::{Entry, Kind, Snapshot};

use yore_terminal::output::{Bytes, ManyBytes};
use yore_terminal::text::{rfc3339, rfc3339_exact};

/// The fields of a [`SnapshotObject`], for help. (A line that follows `\` would lose its indent.)
pub const SNAPSHOT_FIELDS: &str = "  name       the snapshot's name
  time       when it was made, RFC 3339 in UTC
  host       the machine that it is of
  tags       array of strings
  roots      array of the paths that were asked for, absolute (roots_hex: if one is not UTF-8)
  files      regular files in it
  folders    folders in it
  others     links, devices, pipes and sockets in it
  size       bytes of all its files together
  new_bytes  bytes that making it added to the repository, less those that older versions gave up
  unread     paths that could not be read when it was made";

/// A snapshot.
#[derive(Serialize)]
pub struct SnapshotObject<'a> {
    name: &'a str,
    time: String,
    host: &'a str,
    tags: &'a [String],
    #[serde(flatten)]
    roots: ManyBytes<'a>,
    files: u64,
    folders: u64,
    others: u64,
    size: u64,
    new_bytes: u64,
    unread: u64,
}

impl<'a> From<&'a Snapshot> for SnapshotObject<'a> {
    fn from(snapshot: &'a Snapshot) -> Self {
        SnapshotObject {
            name: &snapshot.name,
            time: rfc3339(snapshot.time),
            host: &snapshot.host,
            tags: &snapshot.tags,
            roots: ManyBytes("roots", &snapshot.roots),
            files: snapshot.files,
            folders: snapshot.folders,
            others: snapshot.others,
            size: snapshot.bytes,
            new_bytes: snapshot.new_bytes,
            unread: snapshot.unread,
        }
    }
}

/// The fields of an [`EntryObject`], for help.
pub const ENTRY_FIELDS: &str = "  path       its absolute path (path_hex: if it is not UTF-8)
  kind       file, folder, symlink, fifo, socket, char_device or block_device
  mode       permissions with setuid, setgid and sticky, four octal digits
  uid, gid   numbers of its owner and group
  user, group  their names where the snapshot was made, may be empty
  size       bytes of a file, else 0
  mtime      when it was changed, RFC 3339 in UTC (@SECONDS.NANOSECONDS after the year 9999)
  target     text of a symlink (target_hex: if it is not UTF-8)
  rdev       number of a device, elsewhere absent";

/// An entry at a path.
#[derive(Serialize)]
pub struct EntryObject<'a> {
    #[serde(flatten)]
    path: Bytes<'a>,
    kind: &'static str,
    mode: String,
    uid: u32,
    gid: u32,
    user: &'a str,
    group: &'a str,
    size: u64,
    mtime: String,
    #[serde(flatten)]
    target: Bytes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rdev: Option<u64>,
}

impl<'a> EntryObject<'a> {
    /// The entry at this absolute path.
    pub fn new(path: &'a [u8], entry: &'a Entry) -> Self {
        let meta = &entry.meta;
        EntryObject {
            path: Bytes("path", path),
            kind: kind(meta.kind),
            mode: format!("{:04o}", meta.mode),
            uid: meta.owner.uid,
            gid: meta.owner.gid,
            user: &meta.owner.user,
            group: &meta.owner.group,
            size: entry.size,
            mtime: rfc3339_exact(meta.mtime, meta.mtime_ns),
            target: Bytes("target", &meta.target),
            rdev: matches!(meta.kind, Kind::CharDevice | Kind::BlockDevice).then_some(meta.rdev),
        }
    }
}

/// A path and why, for what could not be done.
#[derive(Serialize)]
pub struct Problem<'a> {
    #[serde(flatten)]
    path: Bytes<'a>,
    why: &'a str,
}

impl<'a> Problem<'a> {
    /// All of a list.
    pub fn all(list: &'a [(Vec<u8>, String)]) -> Vec<Self> {
        list.iter()
            .map(|(path, why)| Problem {
                path: Bytes("path", path),
                why,
            })
            .collect()
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Folder => "folder",
        Kind::Symlink => "symlink",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
        Kind::CharDevice => "char_device",
        Kind::BlockDevice => "block_device",
    }
}
