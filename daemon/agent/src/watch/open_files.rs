//! Files that some process has open for writing.
//!
//! inotify tells when a file is closed after writing (to tell of every write would cost every
//! program that writes). A log or a database is not closed for days, so before each push the
//! files that are open for writing now are marked as well: what `/proc` says of every process
//! that this one may look into, which is all of them for root, one's own for others. What is
//! missed (another user's, or one mapped into memory and closed) the next full scan finds.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// The absolute paths of the files that are open for writing, some perhaps twice.
pub(super) fn open_for_writing() -> Vec<Vec<u8>> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_number = |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    processes
        .filter(|process| is_number(&process.file_name()))
        .flat_map(|process| of_process(&process.path()))
        .collect()
}

fn of_process(process: &Path) -> Vec<Vec<u8>> {
    // What ended or is another user's has none.
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let written = descriptors.filter_map(|descriptor| {
        let target = fs::read_link(descriptor.path()).ok()?.into_os_string().into_vec();
        // Others are pipes, sockets, or `/path (deleted)`.
        let is_path = target.starts_with(b"/") && !target.starts_with(b"/dev/") && !target.starts_with(b"/proc/");
        let is_written = || may_write(&process.join("fdinfo").join(descriptor.file_name()));
        (is_path && is_written()).then_some(target)
    });
    written.collect()
}

/// Whether the flags of a descriptor, in octal after `flags:`, have write access in them.
fn may_write(info: &Path) -> bool {
    let Ok(text) = fs::read_to_string(info) else {
        return false;
    };
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    // O_WRONLY or O_RDWR.
    flags.is_some_and(|flags| flags & 3 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_file_that_is_written_is_found_and_one_that_is_read_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().canonicalize().unwrap().join(name);
        let _written = fs::File::create(path("written")).unwrap();
        fs::write(path("read"), "").unwrap();
        let _read = fs::File::open(path("read")).unwrap();
        let found = open_for_writing();
        let has = |name: &str| found.iter().any(|other| other == path(name).as_os_str().as_bytes());
        assert_eq!((has("written"), has("read")), (true, false));
    }
}
