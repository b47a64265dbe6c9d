//! Whatever is excluded: a list of patterns is understood or refused, and asked about any path.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use yore_agent::filter::Filter;

fuzz_target!(|bytes: &[u8]| {
    let lines: Vec<&OsStr> = bytes.split(|byte| *byte == b'\n').map(OsStr::from_bytes).collect();
    let (path, patterns) = lines.split_first().expect("one line at least");
    if let Ok(filter) = Filter::new("--exclude", patterns, &[] as &[PathBuf]) {
        let path = [b"/", path.as_bytes()].concat();
        assert!(!(filter.is_empty() && filter.matches(&path, false)));
        let _ = filter.verdict(&path, true);
    }
});
