//! Which mounts there are, by `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
//!
//! ```text
//! 36 35 0:52 / /mnt/my\040backups ro,nosuid,nodev shared:1 - fuse.yore yore ro,user_id=0
//!       device root mountpoint     options        optional  - type     source ...
//! ```

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What the kernel calls the type of our mounts.
const OURS: &[u8] = b"fuse.yore";

/// A line of mountinfo, as far as it matters to us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// `major:minor`, by which `/sys/class/bdi` names it too.
    pub(crate) device: String,
    /// Where it is mounted.
    pub(crate) mountpoint: PathBuf,
    /// The type, such as `ext4` or `fuse.yore`.
    pub(crate) kind: Vec<u8>,
}

impl Mount {
    /// Whether it is a mount of ours, this process's or another's.
    pub(crate) fn is_ours(&self) -> bool {
        self.kind == OURS
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let end_of_optional = 6 + fields.get(6..)?.iter().position(|field| *field == b"-")?;
        Some(Mount {
            device: String::from_utf8(fields[2].to_vec()).ok()?,
            mountpoint: PathBuf::from(OsString::from_vec(unescape(fields[4]))),
            kind: unescape(fields.get(end_of_optional + 1)?),
        })
    }
}

/// The mount that is on top at a path, which must be absolute and resolved.
pub(crate) fn mount_at(path: &Path) -> std::io::Result<Option<Mount>> {
    Ok(topmost(&std::fs::read("/proc/self/mountinfo")?, path))
}

/// Later lines are mounted over earlier ones.
fn topmost(mountinfo: &[u8], path: &Path) -> Option<Mount> {
    let mounts = mountinfo.split(|byte| *byte == b'\n').filter_map(Mount::parse);
    mounts.rev().find(|mount| mount.mountpoint == path)
}

/// Undoes the kernel's `\ooo` for space, tab, newline, backslash and `#`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match octal(rest) {
            Some(byte) => {
                plain.push(byte);
                rest = &rest[4..];
            }
            None => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
}

/// The byte that a leading `\ooo` stands for.
fn octal(bytes: &[u8]) -> Option<u8> {
    let [b'\\', digits @ ..] = bytes.get(..4)? else {
        return None;
    };
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &[u8] = b"\
22 28 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw\n\
28 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
60 28 8:17 / /mnt/a\\040b rw - ext4 /dev/sdb1 rw\n\
61 60 0:52 / /mnt/a\\040b ro,nosuid,nodev shared:3 master:1 - fuse.yore yore ro,user_id=0,group_id=0\n\
62 28 0:53 / /mnt/back\\134slash\\012 ro - fuse.yore yore ro\n\
broken line\n";

    #[test]
    fn the_mount_on_top_is_found() {
        let top = topmost(MOUNTINFO, Path::new("/mnt/a b")).unwrap();
        assert!(top.is_ours());
        assert_eq!(top.device, "0:52");
    }

    #[test]
    fn names_are_unescaped() {
        assert!(topmost(MOUNTINFO, Path::new("/mnt/back\\slash\n")).is_some_and(|mount| mount.is_ours()));
        assert_eq!(unescape(b"\\04x\\777\\"), b"\\04x\\777\\", "what is no escape stays");
    }

    #[test]
    fn other_mounts_are_not_ours() {
        assert!(!topmost(MOUNTINFO, Path::new("/")).unwrap().is_ours());
        assert_eq!(topmost(MOUNTINFO, Path::new("/mnt")), None);
    }

    #[test]
    fn this_machine_has_a_root() {
        assert!(mount_at(Path::new("/")).unwrap().is_some());
    }
}
