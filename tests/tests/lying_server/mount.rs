//! A mount of a server that lies: what is a lie is an error of that file or folder, and the rest can be read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;

use yore_store::{ContentId, Entry, EntryId, FolderId, Kind};
use yore_tests::daemon::peak_memory;
use yore_tests::liar::world::{entry, folder};
use yore_tests::liar::{Reply, World};
use yore_tests::{names, until};
use yore_wire::{Answer, Question};

use super::Scene;

/// What the mount may take: a listing that is given up, and what it keeps.
const MEMORY: u64 = (1 << 30) + (384 << 20);

/// A mount by `yore mount --foreground`; unmounted when dropped.
struct View {
    child: Child,
    at: PathBuf,
}

impl View {
    fn of(scene: &Scene) -> Self {
        let at = scene.path("mnt");
        fs::create_dir_all(&at).unwrap();
        let log = File::create(scene.path("mount.log")).unwrap();
        let mut command = scene.machine.command(&["mount", "mnt", "--foreground", "--quiet"]);
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let latest = at.join("latest");
        until("it is mounted", || latest.is_symlink());
        View { child, at }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.at.join("latest").join(below)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let _ = yore_mount::detach(&self.at);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number of the error, if there is one.
fn errno<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

fn list(path: &Path) -> std::io::Result<Vec<String>> {
    let names = fs::read_dir(path)?;
    names
        .map(|name| Ok(name?.file_name().to_string_lossy().into_owned()))
        .collect()
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(1 << 20).read_to_end(&mut bytes)?;
    Ok(bytes)
}

const EIO: Option<i32> = Some(5);

#[test]
fn folders_that_lie_are_errors_and_others_are_read() {
    type Entries = fn(i64) -> Vec<Entry>;
    type Listing = Arc<dyn Fn(u64) -> Vec<Answer> + Send + Sync>;
    let of = |entries: Entries, number: i64| -> Listing {
        Arc::new(move |_| entries(number).into_iter().map(Answer::Entry).collect())
    };
    let lies: [(&str, Entries); 10] = [
        ("above", |number| vec![folder(number, "..", 1)]),
        ("slash", |number| vec![entry(number, b"a/../../b", Kind::Fifo)]),
        ("zero", |number| vec![entry(number, b"a\0b", Kind::Fifo)]),
        ("twice", |number| {
            vec![entry(number, b"a", Kind::Fifo), entry(number, b"a", Kind::Fifo)]
        }),
        ("empty", |number| vec![entry(number, b"", Kind::Fifo)]),
        ("long", |number| vec![entry(number, &[b'x'; 300], Kind::Fifo)]),
        ("another", |number| vec![entry(number + 1, b"a", Kind::Fifo)]),
        ("huge", |number| {
            vec![Entry {
                size: 1 << 63,
                content: Some(ContentId(1)),
                ..entry(number, b"a", Kind::File)
            }]
        }),
        ("bare", |number| {
            vec![Entry {
                child: None,
                ..folder(number, "a", 1)
            }]
        }),
        ("target", |number| {
            let mut link = entry(number, b"a", Kind::Symlink);
            link.meta.target = vec![b'x'; 100_000];
            vec![link]
        }),
    ];
    let scene = Scene::new();
    let mut world = World::new();
    let mut listings: BTreeMap<i64, Listing> = BTreeMap::new();
    let mut root = vec![folder(1, "docs", 2)];
    for (number, (name, entries)) in (100..).zip(lies) {
        listings.insert(number, of(entries, number));
        root.push(folder(1, name, number));
    }
    // Without end: the same name, and names in order.
    listings.insert(
        200,
        Arc::new(|_| vec![Answer::Entry(entry(200, b"a", Kind::Fifo)); 1000]),
    );
    let mut laden = entry(201, b"a", Kind::Fifo);
    laden.meta.xattrs = (0..30_000)
        .map(|number| (format!("user.{number:05}").into_bytes(), vec![]))
        .collect();
    listings.insert(
        201,
        Arc::new(move |piece| {
            let name = format!("{piece:020}").into_bytes();
            vec![Answer::Entry(Entry { name, ..laden.clone() })]
        }),
    );
    listings.insert(202, Arc::new(|_| vec![Answer::Number(7)]));
    root.extend([
        folder(1, "forever", 200),
        folder(1, "ordered", 201),
        folder(1, "wrong", 202),
    ]);
    // Numbers that no node has, which a listing of the folder shows as such.
    let mut strange = entry(300, b"negative", Kind::Fifo);
    strange.id = EntryId(-1);
    world.folders.insert(300, vec![strange]);
    root.push(folder(1, "strange", 300));
    // A folder that is in itself can be entered for ever, by whoever wants to.
    world.folders.insert(301, vec![folder(301, "again", 301)]);
    root.push(folder(1, "self", 301));
    root.sort_by(|a, b| a.name.cmp(&b.name));
    world.folders.insert(1, root);
    scene.lie(world, move |_, question| {
        let (Question::List {
            folder: FolderId(number),
            ..
        }
        | Question::ListBelow {
            folder: FolderId(number),
            ..
        }) = question
        else {
            return None;
        };
        let listing = listings.get(number)?.clone();
        Some(match number {
            200 | 201 => Reply::Forever(Box::new(move |piece| listing(piece))),
            _ => Reply::Done(listing(0)),
        })
    });
    let view = View::of(&scene);
    let good = || {
        assert_eq!(list(&view.path("docs")).unwrap(), ["a.txt", "b.txt"]);
        assert_eq!(read(&view.path("docs/a.txt")).unwrap(), b"bytes of a\n");
    };
    for (name, _) in lies {
        assert_eq!(errno(list(&view.path(name))), EIO, "{name}");
        assert_eq!(errno(fs::symlink_metadata(view.path(name).join("a"))), EIO, "{name}");
    }
    good();
    for name in ["forever", "ordered", "wrong"] {
        assert_eq!(errno(list(&view.path(name))), EIO, "{name}");
        good();
    }
    assert!(list(&view.path("strange")).is_err());
    let deep = (0..100).fold(view.path("self"), |path, _| path.join("again"));
    assert!(list(&deep).is_err() || deep.is_dir());
    good();
    assert!(names(&view.at).contains(&"latest".to_owned()));
    let peak = peak_memory(view.child.id());
    eprintln!("the mount had {} MiB", peak >> 20);
    assert!(peak < MEMORY, "{peak} bytes of memory");
    let log = fs::read_to_string(scene.path("mount.log")).unwrap();
    assert!(
        !log.contains("panicked") && !log.contains(|letter: char| letter.is_control() && letter != '\n'),
        "{log}"
    );
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts
        .lines()
        .find(|line| line.contains(view.at.to_str().unwrap()))
        .unwrap();
    assert!(mount.contains("nosuid") && mount.contains("nodev"), "{mount}");
}

#[test]
fn files_that_lie_are_errors_and_others_are_read() {
    let scene = Scene::new();
    let mut world = World::new();
    let mut files = Vec::new();
    let lies = ["few", "frame", "many", "nothing", "other", "wrong"];
    for name in lies {
        for (size, kind) in [(100, "small"), (1 << 20, "large")] {
            let mut file = world.file(2, &format!("{name}-{kind}"), &[]);
            (file.size, file.content) = (size, Some(ContentId(1000 + files.len() as i64)));
            files.push(file);
        }
    }
    let numbers: BTreeMap<i64, String> = files
        .iter()
        .map(|file| {
            (
                file.content.unwrap().0,
                String::from_utf8_lossy(&file.name).into_owned(),
            )
        })
        .collect();
    files.push(world.file(2, "good", b"good bytes\n"));
    files.sort_by(|a, b| a.name.cmp(&b.name));
    world.folders.insert(2, files);
    scene.lie(world, move |_, question| {
        let (content, length) = match question {
            Question::Read { content, length, .. } => (*content, *length),
            Question::ReadSmall { contents } => (*contents.first()?, 100),
            _ => return None,
        };
        let is_small = matches!(question, Question::ReadSmall { .. });
        let said = |content, length: u64| {
            let bytes = vec![7; length as usize];
            vec![if is_small {
                Answer::Small { content, bytes }
            } else {
                Answer::Bytes(bytes)
            }]
        };
        let name = numbers.get(&content.0)?.split('-').next()?;
        Some(match name {
            "few" => Reply::Done(said(content, length / 2)),
            "many" => Reply::Done(said(content, length + 1)),
            "nothing" => Reply::Done(vec![]),
            "other" => Reply::Done(if is_small {
                said(ContentId(9999), length)
            } else {
                vec![Answer::Number(7)]
            }),
            "frame" => Reply::Done(vec![Answer::Frame(yore_store::Frame {
                encoding: yore_store::Encoding::Zstd,
                length: length as u32,
                bytes: vec![7; 20],
            })]),
            _ => Reply::Forever(Box::new(move |_| vec![Answer::Number(7)])),
        })
    });
    let view = View::of(&scene);
    for name in lies {
        for kind in ["small", "large"] {
            assert_eq!(
                errno(read(&view.path(&format!("docs/{name}-{kind}")))),
                EIO,
                "{name}-{kind}"
            );
        }
        assert_eq!(read(&view.path("docs/good")).unwrap(), b"good bytes\n", "after {name}");
    }
    assert!(peak_memory(view.child.id()) < super::MEMORY);
    let log = fs::read_to_string(scene.path("mount.log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}
