//! Entries that no file system has.

use yore_store::{Entry, FolderId, Kind};
use yore_tests::liar::world::{entry, folder};
use yore_tests::liar::{Reply, World};
use yore_wire::{Answer, Question};

use super::{Lie, Scene, Script};

/// Has these in `/`.
fn in_root(
    entries: impl Fn(&mut World) -> Vec<Entry> + Send + Sync + 'static,
) -> impl Fn(&World, &Question) -> Option<Reply> + Send + Sync {
    move |world, question| {
        let mut world = world.clone();
        let listing = entries(&mut world);
        world.folders.insert(1, listing);
        Some(Reply::Done(world.answer(question)))
    }
}

/// A file whose entry is not what it was.
fn changed(change: fn(&mut Entry)) -> impl Fn(&World, &Question) -> Option<Reply> + Send + Sync {
    in_root(move |world| {
        let mut file = world.file(1, "file", b"bytes");
        change(&mut file);
        vec![file]
    })
}

#[test]
fn entries_that_no_folder_holds_are_restored_nowhere() {
    let lies: Vec<(&str, Script)> = vec![
        ("a slash", Box::new(changed(|file| file.name = b"../escaped".to_vec()))),
        ("a path", Box::new(changed(|file| file.name = b"/tmp/escaped".to_vec()))),
        ("above", Box::new(in_root(|_| vec![folder(1, "..", 2)]))),
        ("itself", Box::new(in_root(|_| vec![folder(1, ".", 2)]))),
        ("no name", Box::new(changed(|file| file.name.clear()))),
        ("a zero", Box::new(changed(|file| file.name = b"a\0b".to_vec()))),
        ("a long name", Box::new(changed(|file| file.name = vec![b'x'; 256]))),
        (
            "a name twice",
            Box::new(in_root(|world| {
                let mut link = entry(1, b"a", Kind::Symlink);
                link.meta.target = b"..".to_vec();
                vec![link, folder(1, "a", 2), world.file(1, "b", b"x")]
            })),
        ),
        (
            "not in order",
            Box::new(in_root(|world| {
                vec![world.file(1, "b", b"x"), world.file(1, "a", b"x")]
            })),
        ),
        ("of another folder", Box::new(changed(|file| file.folder = FolderId(2)))),
        ("2^63 bytes", Box::new(changed(|file| file.size = 1 << 63))),
        (
            "2^62 bytes of hole",
            Box::new(changed(|file| {
                file.size = 1 << 62;
                file.meta.data = Some(vec![(0, 5)]);
            })),
        ),
        ("no content", Box::new(changed(|file| file.content = None))),
        (
            "a folder without a number",
            Box::new(changed(|file| file.meta.kind = Kind::Folder)),
        ),
        (
            "a file that is a folder",
            Box::new(changed(|file| file.child = Some(FolderId(2)))),
        ),
        (
            "extents that overlap",
            Box::new(changed(|file| file.meta.data = Some(vec![(0, 4), (2, 3)]))),
        ),
        (
            "extents beyond all",
            Box::new(changed(|file| file.meta.data = Some(vec![(u64::MAX - 1, 3)]))),
        ),
        (
            "a link's text with a zero",
            Box::new(in_root(|_| {
                let mut link = entry(1, b"link", Kind::Symlink);
                link.meta.target = b"a\0b".to_vec();
                vec![link]
            })),
        ),
        (
            "a long link",
            Box::new(in_root(|_| {
                let mut link = entry(1, b"link", Kind::Symlink);
                link.meta.target = vec![b'x'; 5000];
                vec![link]
            })),
        ),
        ("more than a mode", Box::new(changed(|file| file.meta.mode = u32::MAX))),
        (
            "more than a second",
            Box::new(changed(|file| file.meta.mtime_ns = u32::MAX)),
        ),
        (
            "attributes without names",
            Box::new(changed(|file| file.meta.xattrs = vec![(vec![], vec![])])),
        ),
        (
            "attributes without end",
            Box::new(changed(|file| {
                file.meta.xattrs = vec![(b"user.a".to_vec(), vec![7; (3 << 20) + (1 << 19)])];
            })),
        ),
    ];
    let commands: [&'static [&'static str]; 2] = [&["restore", "latest", "cell/out"], &["ls", "latest"]];
    let lies = lies.into_iter().map(|(what, script)| {
        let script = std::sync::Arc::new(script);
        commands.map(|args| {
            let script = script.clone();
            Lie::new(what, args, (1, "cannot hold"), move |world, question| {
                script(world, question)
            })
        })
    });
    Scene::new().try_all(lies.flatten().collect());
}

#[test]
fn strange_entries_are_restored_or_said() {
    let restore: &[&str] = &["restore", "latest", "cell/out"];
    Scene::new().try_all(vec![
        Lie::new(
            "before all time",
            restore,
            (0, ""),
            changed(|file| file.meta.mtime = -(1 << 33)),
        ),
        Lie::new(
            "after all time",
            restore,
            (0, ""),
            changed(|file| file.meta.mtime = i64::MAX),
        ),
        Lie::new(
            "a link to nowhere",
            restore,
            (0, ""),
            changed(|file| file.link = Some(-7)),
        ),
        Lie::new(
            "an owner that is none",
            restore,
            (0, ""),
            changed(|file| {
                (file.meta.owner.uid, file.meta.owner.gid) = (u32::MAX, u32::MAX);
            }),
        ),
        Lie::new(
            "an attribute that no file system holds",
            restore,
            (0, ""),
            changed(|file| {
                file.meta.xattrs = vec![(b"user.a".to_vec(), vec![7; 1 << 20])];
            }),
        ),
        Lie::new(
            "an attribute that nobody knows",
            restore,
            (0, ""),
            changed(|file| {
                file.meta.xattrs = vec![(b"nobody.knows".to_vec(), vec![7; 10])];
            }),
        ),
        Lie::new(
            "a folder that lies in two places",
            restore,
            (1, "in several places"),
            in_root(|_| vec![folder(1, "a", 2), folder(1, "b", 2)]),
        ),
        Lie::new(
            "listed at any time",
            &["ls", "-l", "latest"],
            (0, ""),
            changed(|file| file.meta.mtime = i64::MIN),
        ),
        Lie::new(
            "a root that is a file",
            restore,
            (1, "whose root is no folder"),
            |world, question| {
                let mut root = world.folders[&1][1].clone();
                root.name.clear();
                matches!(question, Question::Root { .. }).then(|| Reply::Done(vec![Answer::Entry(root)]))
            },
        ),
        Lie::new("no root", restore, (1, "another question"), |_, question| {
            matches!(question, Question::Root { .. }).then(|| Reply::Done(vec![]))
        }),
    ]);
}
