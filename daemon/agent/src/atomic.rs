//! Small files that are replaced whole.
//!
//! 1. The new bytes go to `.NAME.PID` beside it, mode 0600. A crash here leaves that file, which
//!    nobody reads; the next one of the same process id truncates it.
//! 2. It is synced, then renamed. A crash leaves the old file or the new one, never a part.
//! 3. The folder is synced: from here on a power cut does not bring the old one back.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Replaces or makes a file that has to be there after a power cut.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = write_beside(path, bytes, true)?;
    std::fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// The same for a file that is worth nothing after a power cut: nothing is synced.
pub(crate) fn replace_for_now(path: &Path, bytes: &[u8]) -> io::Result<()> {
    std::fs::rename(write_beside(path, bytes, false)?, path)
}

fn write_beside(path: &Path, bytes: &[u8], sync: bool) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(bytes)?;
    if sync {
        file.sync_all()?;
    }
    Ok(beside)
}
