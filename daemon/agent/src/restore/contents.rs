//! Writing a file's bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use yore_store::{Entry, OpenContent, PIECE};

use super::Source;
use super::ahead::Ahead;

/// Writes an entry's content into an empty file: the data extents of a sparse
/// one, else every byte. What was read ahead is taken from there. Returns the bytes written.
///
/// # Errors
/// What reading or writing says; a content shorter than the entry is one too.
pub(super) fn write(
    source: &dyn Source,
    ahead: &mut Ahead,
    entry: &Entry,
    file: &File,
    wrote: &mut dyn FnMut(u64),
) -> Result<u64, Box<dyn std::error::Error>> {
    let Some(content) = entry.content else {
        file.set_len(entry.size)?;
        return Ok(0);
    };
    let (mut opened, mut written, mut length) = (None, 0, 0);
    for (offset, extent) in entry.data_extents() {
        let (mut at, end, mut comes) = (offset, offset + extent, true);
        while at < end {
            // Of an extent that breaks off, nothing more comes from there.
            let piece = comes.then(|| ahead.take(content, at)).flatten();
            comes = piece.is_some();
            let piece = match piece {
                Some(piece) => piece,
                None => read(&mut opened, source, entry, at, end)?,
            };
            if piece.is_empty() || piece.len() as u64 > end - at {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "its content is not as long as it").into());
            }
            file.write_all_at(&piece, at)?;
            let more = piece.len() as u64;
            (at, written) = (at + more, written + more);
            wrote(more);
        }
        length = end;
    }
    // What follows the last extent is a hole.
    if length != entry.size {
        file.set_len(entry.size)?;
    }
    Ok(written)
}

/// Bytes of an entry's content from `at`, as many as come at once.
fn read(
    opened: &mut Option<Box<dyn OpenContent>>,
    source: &dyn Source,
    entry: &Entry,
    at: u64,
    end: u64,
) -> yore_store::Result<Vec<u8>> {
    let content = match opened {
        Some(content) => content,
        None => opened.insert(source.open(entry.content.expect("asked before"), entry.size)?),
    };
    let mut bytes = vec![0; (end - at).min(PIECE) as usize];
    let got = content.read_at(at, &mut bytes)?;
    bytes.truncate(got);
    Ok(bytes)
}
