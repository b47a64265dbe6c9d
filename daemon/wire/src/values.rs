//! The store's values as they travel. Field order is the protocol's; PROTOCOL.md has it too.

use yore_store::delta::BlockSum;
use yore_store::{
    Body, Change, Compression, ContentId, Damage, DeltaStats, Encoding, Entry, EntryId, FolderId, Forgotten, Found,
    Frame, Kind, LargeOp, LineId, Meta, Owner, Slice, Snapshot, SnapshotId, SnapshotStats, Space, Stats, StoredAs,
    Swept, Verified, Version,
};

use crate::Message;
use crate::codec::{Decoded, Input, Malformed, Wire, lists, read_list, record, variants, write_list};

/// Numbers of rows.
macro_rules! ids {
    ($($type:ident),*) => {$(
        impl Wire for $type {
            fn write(&self, out: &mut Vec<u8>) {
                self.0.write(out);
            }
            fn read(input: &mut Input<'_>) -> Decoded<Self> {
                Ok($type(input.get()?))
            }
        }
    )*};
}
ids!(SnapshotId, LineId, FolderId, EntryId, ContentId);

impl Wire for Kind {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        Kind::from_code(input.take(1)?[0].into()).ok_or(Malformed("an unknown kind of entry"))
    }
}

record!(Owner { uid, gid, user, group });

impl Wire for Vec<(Vec<u8>, Vec<u8>)> {
    fn write(&self, out: &mut Vec<u8>) {
        write_list(self, out);
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        read_list(input)
    }
}

record!(Meta {
    kind,
    mode,
    owner,
    mtime,
    mtime_ns,
    rdev,
    target,
    xattrs,
    data,
});

record!(Entry {
    id,
    folder,
    name,
    first,
    last,
    meta,
    size,
    content,
    child,
    link,
});

record!(Snapshot {
    id,
    line,
    name,
    time,
    host,
    tags,
    roots,
    root,
    files,
    folders,
    others,
    bytes,
    new_bytes,
    unread,
    check,
});

impl Wire for Encoding {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        Encoding::from_code(input.take(1)?[0].into()).ok_or(Malformed("an unknown encoding"))
    }
}

record!(Frame {
    encoding,
    length,
    bytes
});

record!(Slice { content, skip, size });

record!(Body { hash, size });

/// 0: not at all; else the level of zstd.
impl Wire for Compression {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Compression::Off => 0,
            Compression::Zstd(level) => *level as u8,
        });
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        match input.take(1)?[0] {
            0 => Ok(Compression::Off),
            level @ 1..=19 => Ok(Compression::Zstd(level.into())),
            _ => Err(Malformed("an unknown compression")),
        }
    }
}

variants!(LargeOp, "piece" {
    1 => Frame(frame),
    2 => Same { groups },
    3 => Copy { from, length },
    4 => Zeros { length },
    5 => Kept { groups },
});

variants!(Message, "message" {
    1 => Enter { name, meta },
    2 => Leave,
    3 => Put { name, meta, body, link },
    4 => Remove { name },
    5 => Contents { contents, frames },
    6 => LargeBegin { base, key },
    7 => Large(piece),
    8 => LargeEnd { hash, size },
});

variants!(StoredAs, "storage" {
    0 => Whole,
    1 => Packed,
    2 => Delta { base_depth },
    3 => Nothing,
});

record!(Version {
    snapshot,
    until,
    entry,
    stored_as,
});
record!(Found {
    path,
    entry,
    first,
    last,
});
variants!(Change, "change" {
    1 => Added(entry),
    2 => Removed(entry),
    3 => Modified(old, new),
    4 => Meta(old, new),
});
record!(SnapshotStats {
    name,
    bytes,
    new_bytes,
    files,
});
record!(DeltaStats {
    count,
    content_bytes,
    stream_bytes,
    stored_bytes,
    longest_chain,
    mean_chain,
});
record!(Stats {
    snapshots,
    entries,
    logical_bytes,
    contents,
    content_bytes,
    file_bytes,
    catalog_bytes,
    heads,
    head_bytes,
    deltas,
    dead_bytes,
    each,
});
impl Wire for Vec<(Vec<u8>, String)> {
    fn write(&self, out: &mut Vec<u8>) {
        write_list(self, out);
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        read_list(input)
    }
}
record!(Damage { what, paths });
record!(Verified {
    snapshots,
    entries,
    contents,
    bytes,
    damages,
});
record!(Forgotten {
    snapshots,
    entries,
    contents,
    bytes,
});
record!(Swept { pushes, files, bytes });
record!(Space {
    block,
    blocks,
    free,
    available,
    files,
    files_free,
});
record!(BlockSum { weak, strong });

lists!(
    SnapshotId,
    ContentId,
    Frame,
    Entry,
    Snapshot,
    SnapshotStats,
    Damage,
    BlockSum,
    Slice
);
