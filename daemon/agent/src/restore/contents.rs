//! Writing a file's bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use yore_store::Entry;

use super::{Progress, Source};

/// How much is read and written at once.
const BLOCK: usize = 1 << 20;

/// Writes an entry's content into an empty file: the data extents of a sparse
/// one, else every byte. Returns the bytes written.
///
/// # Errors
/// What reading or writing says; a content shorter than the entry is one too.
pub(super) fn write(
    source: &dyn Source,
    entry: &Entry,
    file: &File,
    progress: &dyn Progress,
) -> Result<u64, Box<dyn std::error::Error>> {
    let Some(content) = entry.content else {
        file.set_len(entry.size)?;
        return Ok(0);
    };
    let content = source.open(content, entry.size)?;
    let whole = [(0, entry.size)];
    let extents = entry.meta.data.as_deref().unwrap_or(&whole);
    let mut buffer = vec![0; BLOCK.min(usize::try_from(entry.size).unwrap_or(BLOCK))];
    let mut written = 0;
    for (offset, length) in extents {
        let end = offset.saturating_add(*length).min(entry.size);
        let mut at = *offset;
        while at < end {
            let want = buffer.len().min(usize::try_from(end - at).unwrap_or(BLOCK));
            let got = content.read_at(at, &mut buffer[..want])?;
            if got == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "its content is shorter than it").into());
            }
            file.write_all_at(&buffer[..got], at)?;
            (at, written) = (at + got as u64, written + got as u64);
            progress.bytes(got as u64);
        }
    }
    // What follows the last extent is a hole.
    file.set_len(entry.size)?;
    Ok(written)
}
