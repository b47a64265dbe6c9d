//! Snapshots as only a stranger has them.

use super::*;

#[test]
fn a_folder_that_lies_in_itself_or_in_many_places_is_restored_once() {
    let mut snapshot = ann();
    let mut above = 0;
    // Each lies in the one above twice: a thousand times as many places every ten levels.
    for _ in 0..40 {
        let below = snapshot.folder(above, "m", 0o755);
        snapshot.put(above, entry(b"n", Meta::plain(Kind::Folder, 0o755), Some(below)));
        above = below;
    }
    snapshot.put(above, entry(b"z", Meta::plain(Kind::Folder, 0o755), Some(above)));
    snapshot.file(above, b"file", b"there");
    let dest = tempfile::tempdir().unwrap();
    let report = snapshot.restore("/", dest.path(), &RestoreOptions::default());
    assert_eq!((report.files, report.errors.len()), (4, 41));
    assert!(report.errors.iter().all(|(_, why)| why.contains("several places")));
    let file = [&*dest.path().to_string_lossy(), &"/m".repeat(40), "/file"].concat();
    assert_eq!(fs::read(file).unwrap(), b"there");
}

#[test]
fn a_root_that_is_no_folder_has_no_names_to_drop() {
    let mut snapshot = Memory::new("/");
    snapshot.root = Some(Kind::File);
    let dest = tempfile::tempdir().unwrap();
    let strip = |strip| RestoreOptions {
        strip,
        ..RestoreOptions::default()
    };
    let refused = restore_from(&snapshot, b"/", dest.path(), &strip(1), &());
    assert!(matches!(refused, Err(RestoreError::Strip { most: 0, .. })));
    assert_eq!(snapshot.restore("/", dest.path(), &strip(0)).files, 0);
}

#[test]
fn who_nobody_is_owns_no_set_id_program() {
    let tree = tempfile::tempdir().unwrap();
    let dir = File::open(tree.path()).unwrap();
    File::create(tree.path().join("file")).unwrap();
    let own = fs::metadata(tree.path().join("file")).unwrap().gid();
    for (uid, gid) in [(u32::MAX, u32::MAX), (u32::MAX, own)] {
        let mut meta = Meta::plain(Kind::File, 0o6755);
        (meta.owner.uid, meta.owner.gid) = (uid, gid);
        assert!(apply_meta(dir.as_fd(), b"file", &meta).unwrap().owner_lost);
        let mode = fs::metadata(tree.path().join("file")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
    }
}

#[test]
fn what_is_restored_as_ones_own_has_no_rights_of_others() {
    let mut snapshot = Memory::new("/");
    snapshot.file(0, b"program", b"#!");
    let program = &mut snapshot.folders[0][0].meta;
    (program.mode, program.owner.uid, program.owner.gid) = (0o6755, 4_000_000_001, 4_000_000_002);
    program.xattrs = vec![
        (b"security.capability".to_vec(), vec![1, 0, 0, 2]),
        (b"trusted.t".to_vec(), vec![1]),
        (b"user.u".to_vec(), b"kept".to_vec()),
    ];
    let mut device = Meta::plain(Kind::BlockDevice, 0o666);
    device.rdev = 8 << 8;
    snapshot.put(0, entry(b"sda", device, None));
    let dest = tempfile::tempdir().unwrap();
    let options = RestoreOptions {
        own: true,
        ..RestoreOptions::default()
    };
    let report = snapshot.restore("/", dest.path(), &options);
    assert!(report.errors.iter().all(|(path, _)| path == b"/sda") && report.errors.len() == 1);
    assert_eq!((report.files, report.owners_lost, report.xattrs_lost), (1, 0, 0));
    assert!(!dest.path().join("sda").exists());
    let file = File::open(dest.path().join("program")).unwrap();
    let made = file.metadata().unwrap();
    assert_eq!(
        (made.mode() & 0o7777, made.uid()),
        (0o755, rustix::process::geteuid().as_raw())
    );
    let xattrs = crate::xattrs::read(&crate::xattrs::Thing::Open(file.as_fd()));
    assert_eq!(xattrs.unwrap().unwrap(), [(b"user.u".to_vec(), b"kept".to_vec())]);
}
