use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};

use rustix::fs::{XattrFlags, fsetxattr, lsetxattr};

use super::*;

fn meta(folder: &File, name: &str) -> Meta {
    let stat = Stat::at(folder.as_fd(), name.as_bytes()).unwrap();
    read_meta(folder.as_fd(), name.as_bytes(), &stat, None, &mut OwnerNames::default())
        .unwrap()
        .meta
}

#[test]
fn links_owners_and_modes() {
    let tree = tempfile::tempdir().unwrap();
    let folder = File::open(tree.path()).unwrap();
    let target = "t/".repeat(2000);
    symlink(&target, tree.path().join("link")).unwrap();
    let link = meta(&folder, "link");
    assert_eq!((link.kind, link.target.as_slice()), (Kind::Symlink, target.as_bytes()));
    assert!(
        matches!(OwnerNames::default().owner(0, 0), Owner { user, group, .. } if user == "root" && group == "root")
    );
    assert_eq!(OwnerNames::default().owner(4_000_000_000, 4_000_000_000).user, "");
    assert_eq!(meta(&folder, "").kind, Kind::Folder);
}

#[test]
fn attributes_are_sorted_and_as_large_as_they_come() {
    let tree = tempfile::tempdir().unwrap();
    let folder = File::open(tree.path()).unwrap();
    let file = File::create(tree.path().join("file")).unwrap();
    let large = vec![7; 3000];
    for (name, value) in [("user.z", &b""[..]), ("user.a", &large)] {
        fsetxattr(&file, name, value, XattrFlags::empty()).unwrap();
    }
    let expected = vec![(b"user.a".to_vec(), large), (b"user.z".to_vec(), vec![])];
    assert_eq!(meta(&folder, "file").xattrs, expected);
    assert_eq!(xattrs::read(&Thing::Open(file.as_fd())).unwrap(), Some(expected));

    // Symlinks take attributes of other name spaces than `user.` only.
    symlink("file", tree.path().join("link")).unwrap();
    if rustix::process::geteuid().is_root() {
        lsetxattr(tree.path().join("link"), "trusted.t", b"1", XattrFlags::empty()).unwrap();
        assert_eq!(meta(&folder, "link").xattrs, [(b"trusted.t".to_vec(), b"1".to_vec())]);
    } else {
        assert_eq!(meta(&folder, "link").xattrs, []);
    }
}

#[test]
fn holes_are_found_and_only_where_there_are_some() {
    const MIB: u64 = 1 << 20;
    let tree = tempfile::tempdir().unwrap();
    let folder = File::open(tree.path()).unwrap();
    fs::write(tree.path().join("dense"), [0; 100_000]).unwrap();
    fs::write(tree.path().join("empty"), "").unwrap();
    assert_eq!((meta(&folder, "dense").data, meta(&folder, "empty").data), (None, None));

    let file = File::create(tree.path().join("sparse")).unwrap();
    file.write_all_at(&[1; 4096], 2 * MIB).unwrap();
    file.set_len(8 * MIB).unwrap();
    file.sync_all().unwrap();
    assert_eq!(meta(&folder, "sparse").data, Some(vec![(2 * MIB, 4096)]));
    let file = File::create(tree.path().join("hole")).unwrap();
    file.set_len(MIB).unwrap();
    assert_eq!(meta(&folder, "hole").data, Some(vec![]));
}
