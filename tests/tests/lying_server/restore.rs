//! Nothing is written outside of the destination, and a user who is not root gets no more than he may have.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use yore_store::{ContentId, Entry, Kind, Meta};
use yore_tests::liar::world::{entry, folder};
use yore_tests::liar::{Reply, World};
use yore_tests::{names, noise, run};
use yore_wire::Question;

use super::{Scene, as_nobody, ended};

/// `/` with folders, each with files and a folder in it, in whose midst somebody may do something.
fn forest() -> World {
    let mut world = World::new();
    let mut trees = Vec::new();
    for number in 0..4i64 {
        let (outer, inner) = (10 + number, 20 + number);
        let mut linked = world.file(outer, "linked", &noise(7, 300_000));
        (linked.link, linked.content) = (Some(1), Some(ContentId(1000)));
        let files = vec![
            world.file(outer, "a", &noise(1, 3 << 20)),
            folder(outer, "inner", inner),
            linked,
        ];
        world.folders.insert(outer, files);
        let files = vec![
            world.file(inner, "b", &noise(2, 3 << 20)),
            world.file(inner, "c", b"small\n"),
        ];
        world.folders.insert(inner, files);
        trees.push(folder(1, &format!("tree{number}"), outer));
    }
    world.contents.insert(1000, noise(7, 300_000));
    world.folders.insert(1, trees);
    world
}

/// Puts links to `outside` in the place of all folders in `folder`, and in those.
fn swap(folder: &Path, outside: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !name.to_string_lossy().starts_with("moved") {
            swap(&path, outside);
            let moved = folder.join(format!("moved-{}", name.to_string_lossy()));
            let _ = fs::rename(&path, moved).and_then(|()| symlink(outside, &path));
        }
    }
}

#[test]
fn folders_that_become_links_meanwhile_lead_nowhere() {
    for (what, before, args) in [
        ("read ahead", false, &["restore", "latest", "cell/out"][..]),
        (
            "over what is there",
            true,
            &["restore", "latest", "cell/out", "--overwrite", "if-newer"],
        ),
        (
            "removing what is not in it",
            true,
            &["restore", "latest", "cell/out", "--delete"],
        ),
    ] {
        let scene = Scene::new();
        let (out, outside) = (scene.path("cell/out"), scene.path("outside"));
        fs::create_dir_all(&out).unwrap();
        for name in ["inner", "deeper/inner"] {
            fs::create_dir_all(outside.join(name)).unwrap();
            fs::write(outside.join(name).join("precious"), "precious\n").unwrap();
        }
        if before {
            fs::create_dir_all(out.join("tree0/inner")).unwrap();
            fs::create_dir_all(out.join("tree3/inner/deep")).unwrap();
        }
        let untouched = || {
            (
                names(&outside),
                names(&outside.join("inner")),
                names(&outside.join("deeper/inner")),
            )
        };
        let (was, world) = (untouched(), forest());
        let (to, swapped) = (outside.clone(), out.clone());
        scene.liar.says(move |_, question| {
            if let Question::Read { .. } | Question::ReadSmall { .. } = question {
                swap(&swapped, &to);
            }
            Reply::Done(world.answer(question))
        });
        let ended = scene.run(args);
        eprintln!("{what}: {} {}", ended.status, ended.err);
        assert!(
            !ended.err.contains("panicked") && ended.status <= 1,
            "{what}: {}",
            ended.err
        );
        assert_eq!(untouched(), was, "{what}");
        let kept = fs::read(outside.join("inner/precious")).unwrap();
        assert_eq!(kept, b"precious\n", "{what}");
        assert_eq!(names(&scene.path("cell")), ["out"], "{what}");
    }
}

#[test]
fn a_destination_that_becomes_a_link_is_left_alone() {
    let scene = Scene::new();
    let (out, outside) = (scene.path("cell/out"), scene.path("outside"));
    fs::create_dir_all(&outside).unwrap();
    let (world, to, from) = (forest(), outside.clone(), out.clone());
    scene.liar.says(move |_, question| {
        if let Question::Read { .. } = question
            && from.is_dir()
            && !from.is_symlink()
        {
            fs::rename(&from, from.with_file_name("moved")).unwrap();
            symlink(&to, &from).unwrap();
        }
        Reply::Done(world.answer(question))
    });
    let ended = scene.run(&["restore", "latest", "cell/out"]);
    ended.assert("it goes on where it began", 0, "");
    assert_eq!(names(&outside), Vec::<String>::new());
    assert_eq!(names(&scene.path("cell/moved")).len(), 4);
}

#[test]
fn links_that_were_restored_are_not_gone_through() {
    let scene = Scene::new();
    let (out, outside) = (scene.path("cell/out"), scene.path("outside"));
    fs::create_dir_all(outside.join("inner")).unwrap();
    let mut world = World::new();
    let links = ["a", "b", "c"].map(|name| {
        let mut link = entry(1, name.as_bytes(), Kind::Symlink);
        link.meta.target = outside.as_os_str().as_encoded_bytes().to_vec();
        link
    });
    world.folders.insert(1, links.to_vec());
    scene.serve(world);
    scene.run(&["restore", "latest", "cell/out"]).assert("links", 0, "");
    assert!(out.join("a").is_symlink());
    // What had been links are folders and a file now.
    let mut world = World::new();
    let below = vec![folder(2, "inner", 3), world.file(2, "x", b"escaped")];
    let inner = vec![world.file(3, "x", b"escaped")];
    let file = world.file(1, "b", b"escaped");
    world
        .folders
        .extend([(1, vec![folder(1, "a", 2), file]), (2, below), (3, inner)]);
    scene.serve(world);
    scene
        .run(&["restore", "latest", "cell/out", "--delete", "--overwrite", "always"])
        .assert("through links", 0, "");
    assert_eq!(names(&outside), ["inner"]);
    assert_eq!(names(&outside.join("inner")), Vec::<String>::new());
    assert_eq!(fs::read(out.join("a/inner/x")).unwrap(), b"escaped");
    assert!(out.join("b").is_file() && !out.join("b").is_symlink());
    assert_eq!(names(&out), ["a", "b"]);
}

/// Things that give rights.
fn rights(world: &mut World, user: u32) -> Vec<Entry> {
    let mut theirs = world.file(1, "setuid-root", b"#!/bin/sh\n");
    theirs.meta.mode = 0o6755;
    theirs.meta.xattrs = vec![
        // cap_setuid, effective and permitted.
        (
            b"security.capability".to_vec(),
            [&[1, 0, 0, 2, 0x80][..], &[0; 15]].concat(),
        ),
        (b"trusted.x".to_vec(), b"x".to_vec()),
    ];
    let mut of_group = world.file(1, "setgid", b"#!/bin/sh\n");
    of_group.meta.mode = 0o2755;
    (of_group.meta.owner.uid, of_group.meta.owner.gid) = (user, 0);
    let mut own = world.file(1, "own", b"#!/bin/sh\n");
    own.meta.mode = 0o4755;
    (own.meta.owner.uid, own.meta.owner.gid) = (user, user);
    let mut shared = folder(1, "setgid-folder", 2);
    shared.meta.mode = 0o6777;
    let mut device = entry(1, b"device", Kind::BlockDevice);
    device.meta = Meta {
        rdev: rustix::fs::makedev(8, 0),
        mode: 0o666,
        ..device.meta
    };
    vec![device, own, of_group, shared, theirs]
}

/// Modes and owners below a folder, and what is a device.
fn found(out: &Path) -> Vec<(String, u32, u32, bool)> {
    let about = |name: &String| {
        let about = fs::symlink_metadata(out.join(name)).unwrap();
        let is_device = about.file_type().is_block_device();
        (
            name.clone(),
            about.permissions().mode() & 0o7777,
            about.uid(),
            is_device,
        )
    };
    names(out).iter().map(about).collect()
}

#[test]
fn whoever_is_not_root_gets_no_rights_that_he_has_not() {
    const NOBODY: u32 = 65534;
    assert!(
        rustix::process::geteuid().is_root(),
        "this test becomes another user; run it as root"
    );
    let scene = Scene::new();
    let mut world = World::new();
    let entries = rights(&mut world, NOBODY);
    world.folders.insert(1, entries);
    scene.serve(world);
    let home = &scene.machine.home;
    fs::set_permissions(home.parent().unwrap(), PermissionsExt::from_mode(0o755)).unwrap();
    run(std::process::Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(home));
    let args = ["restore", "latest", "out"];
    let ended = ended(&mut as_nobody(&scene.machine.command(&args)), &args);
    ended.assert("as nobody", 1, "not restored: /device");
    assert!(
        ended.out.contains("without their owner") && ended.out.contains("attributes lost"),
        "{}",
        ended.out
    );
    for (name, mode, owner, is_device) in found(&home.join("out")) {
        // A program of his own may run as him: so it does in his home, too.
        let set_id = if name == "own" { 0o4000 } else { 0 };
        assert!(
            mode & 0o6000 == set_id && owner == NOBODY && !is_device,
            "{name}: {mode:o}"
        );
    }
    let told = run(std::process::Command::new("getfattr")
        .args(["-d", "-m", "-"])
        .arg(home.join("out/setuid-root")));
    assert_eq!(told, "");
    // Root gives what it is told, unless it restores as its own.
    chown(home, Some(0), Some(0)).unwrap();
    run(std::process::Command::new("chown").args(["-R", "0:0"]).arg(home));
    scene
        .run(&["restore", "latest", "own", "--own"])
        .assert("as one's own", 1, "--own leaves out");
    assert!(
        found(&home.join("own"))
            .iter()
            .all(|(_, mode, _, is_device)| mode & 0o6000 == 0 && !is_device)
    );
    scene.run(&["restore", "latest", "root"]).assert("as root", 0, "");
    assert!(
        found(&home.join("root"))
            .iter()
            .any(|(_, mode, ..)| mode & 0o6000 == 0o6000)
    );
}
