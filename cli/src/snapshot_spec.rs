//! `SNAPSHOT[:PATH]`: what in which snapshot. Paths are bytes and need not be UTF-8.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use clap::builder::{OsStringValueParser, TypedValueParser};
use yore_store::{Entry, History, Snapshot};

/// A snapshot as the user names it, and a path in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotSpec {
    /// A name, the beginning of one, `latest` or `latest~N`.
    pub snapshot: String,
    /// Absolute and clean: `/`, or `/` and names with single slashes between.
    pub path: Vec<u8>,
    /// Whether a path was given at all.
    pub has_path: bool,
}

impl SnapshotSpec {
    /// Splits at the first colon: no snapshot's name has one, and a path may.
    ///
    /// # Errors
    /// What is wrong, for the user.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let (snapshot, path) = match bytes.iter().position(|&byte| byte == b':') {
            Some(colon) => (&bytes[..colon], Some(&bytes[colon + 1..])),
            None => (bytes, None),
        };
        match std::str::from_utf8(snapshot) {
            Ok("") => Err("a snapshot comes before the colon: latest:/etc".into()),
            Err(_) => Err("no snapshot has such a name; `yore snapshots` lists them".into()),
            Ok(snapshot) => {
                let has_path = path.is_some_and(|path| !path.is_empty());
                Ok(SnapshotSpec {
                    snapshot: snapshot.to_owned(),
                    path: clean(path.unwrap_or(b"/")),
                    has_path,
                })
            }
        }
    }

    /// For clap: reads an argument.
    pub fn parser() -> impl TypedValueParser<Value = Self> {
        OsStringValueParser::new().try_map(|text| Self::parse(&text))
    }

    /// Finds the snapshot and what is at the path in it.
    pub fn find(&self, repository: &dyn History) -> yore_store::Result<(Snapshot, Entry)> {
        let snapshot = repository.snapshot(&self.snapshot)?;
        let entry = repository.lookup(&snapshot, &self.path)?;
        Ok((snapshot, entry))
    }
}

/// A path from the root: without empty names and `.`; `..` takes back the name before it.
pub fn clean(path: &[u8]) -> Vec<u8> {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    match names.is_empty() {
        true => b"/".to_vec(),
        false => names.iter().flat_map(|name| [b"/", *name].concat()).collect(),
    }
}

/// A name behind the path of its folder.
pub fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    [folder, b"/", name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &[u8]) -> Result<(String, Vec<u8>), String> {
        SnapshotSpec::parse(OsStr::from_bytes(text)).map(|spec| (spec.snapshot, spec.path))
    }

    #[test]
    fn a_spec_is_split_at_its_first_colon() {
        let cases: [(&[u8], &str, &[u8]); 7] = [
            (b"latest", "latest", b"/"),
            (b"latest~2:", "latest~2", b"/"),
            (b"2026-11-20:/etc/fstab", "2026-11-20", b"/etc/fstab"),
            (b"latest:etc//./x/", "latest", b"/etc/x"),
            (b"latest:/a:b", "latest", b"/a:b"),
            (b"latest:/bad\xff\nname", "latest", b"/bad\xff\nname"),
            (b"latest:/a/../../b", "latest", b"/b"),
        ];
        for (text, snapshot, path) in cases {
            assert_eq!(spec(text), Ok((snapshot.to_owned(), path.to_vec())));
        }
    }

    #[test]
    fn what_names_no_snapshot_is_refused() {
        assert!(spec(b":/etc").is_err());
        assert!(spec(b"").is_err());
        assert!(spec(b"\xff:/etc").is_err());
    }

    #[test]
    fn names_join_with_one_slash() {
        assert_eq!(join(b"/", b"etc"), b"/etc");
        assert_eq!(join(b"/etc", b"fstab"), b"/etc/fstab");
    }
}
