//! Many at once: what one does to a repository never shows in what another reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use yore_agent::snapshot::{SnapshotRequest, snapshot};
use yore_agent::target::Target;
use yore_store::{Entry, Error, FolderId, Kind, Repository, Snapshot, SnapshotId};
use yore_tests::Stage;
use yore_tests::model::random::Random;

/// Files by their paths, and what is in them.
type Tree = BTreeMap<Vec<u8>, Vec<u8>>;

/// What each snapshot has to be.
type Expected = Mutex<BTreeMap<String, Tree>>;

/// Pushes of each line.
const PUSHES: u64 = 40;

/// Changes some files of a line, and gives what it has then.
fn change(folder: &Path, tree: &mut Tree, random: &mut Random) {
    for _ in 0..1 + random.below(6) {
        let path = folder.join(format!("file-{}", random.below(12)));
        let name = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec();
        if random.once_in(5) {
            let _ = std::fs::remove_file(&path);
            tree.remove(&name);
            continue;
        }
        // Medium ones become deltas; small ones share frames.
        let mut bytes = match tree.get(&name) {
            Some(bytes) if random.once_in(2) => bytes.clone(),
            _ => {
                let most = if random.once_in(2) { 3_000 } else { 200_000 };
                let length = 1 + random.below(most);
                random.noise(length)
            }
        };
        let at = random.below(bytes.len());
        let end = bytes.len().min(at + 50);
        let noise = random.noise(end - at);
        bytes[at..end].copy_from_slice(&noise);
        std::fs::write(&path, &bytes).unwrap();
        tree.insert(name, bytes);
    }
}

/// Everything that a snapshot has, read past all caches; `None` if it was forgotten meanwhile.
fn read(repository: &Arc<Repository>, snapshot: &Snapshot) -> Option<Tree> {
    let mut tree = Tree::new();
    let result = read_folder(repository, snapshot.id, None, &mut tree);
    match result {
        Ok(()) => Some(tree),
        Err(error) => {
            let there = repository.snapshots().unwrap();
            assert!(
                !there.iter().any(|one| one.id == snapshot.id),
                "{}: {error}",
                snapshot.name
            );
            None
        }
    }
}

fn read_folder(
    repository: &Arc<Repository>,
    snapshot: SnapshotId,
    folder: Option<(FolderId, Vec<u8>)>,
    tree: &mut Tree,
) -> Result<(), Error> {
    let (folder, path) = match folder {
        Some(folder) => folder,
        None => (repository.root(snapshot)?.child.expect("a folder"), Vec::new()),
    };
    for entry in repository.list(snapshot, folder)?.iter() {
        let path = [&path, &b"/"[..], &entry.name].concat();
        match entry.meta.kind {
            Kind::Folder => read_folder(repository, snapshot, Some((entry.child.expect("a folder"), path)), tree)?,
            _ => drop(tree.insert(path, bytes_of(repository, entry)?)),
        }
    }
    Ok(())
}

fn bytes_of(repository: &Arc<Repository>, entry: &Entry) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; entry.size as usize];
    repository
        .open_content(entry.content.expect("a content"))?
        .read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Pushes a line again and again.
fn pushing(target: &Target, request: impl Fn() -> SnapshotRequest, folder: &Path, expected: &Expected, seed: u64) {
    let (mut random, mut tree) = (Random::new(seed), Tree::new());
    for _ in 0..PUSHES {
        change(folder, &mut tree, &mut random);
        // The newest may be forgotten while it is being told against: then again. What is expected is written down
        // before anybody can read it.
        loop {
            let mut expected = expected.lock().unwrap();
            match snapshot(target, request(), &()) {
                Ok(outcome) => {
                    expected.insert(outcome.snapshot.unwrap().name, tree.clone());
                    break;
                }
                Err(error) if format!("{error:#}").contains("again") => {}
                Err(error) => panic!("{error:#}"),
            }
        }
    }
}

/// Forgets one or two snapshots, now and then the newest, until all is over.
fn forgetting(path: &Path, over: &AtomicBool, seed: u64, forgotten: &AtomicU64) {
    let mut random = Random::new(seed);
    let repository = Arc::new(Repository::open(path).unwrap());
    while !over.load(Ordering::Relaxed) {
        let all = repository.snapshots().unwrap();
        if all.len() < 6 {
            thread::yield_now();
            continue;
        }
        let from = if random.once_in(3) { all.len() - 2 } else { 0 };
        let chosen: Vec<SnapshotId> = (0..1 + random.below(2))
            .map(|_| all[from + random.below(all.len() - from)].id)
            .collect();
        match repository.forget(&chosen) {
            Ok(done) => drop(forgotten.fetch_add(done.snapshots, Ordering::Relaxed)),
            Err(Error::Busy(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn snapshots_are_what_they_were_whoever_pushes_and_forgets_meanwhile() {
    let stage = Stage::new();
    let path = stage.repository.path().to_owned();
    let (expected, over) = (Expected::default(), AtomicBool::new(false));
    let (forgotten, reads) = (AtomicU64::new(0), AtomicU64::new(0));
    let folders: Vec<PathBuf> = (0..2).map(|line| stage.source().join(format!("line-{line}"))).collect();
    folders.iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
    thread::scope(|threads| {
        let pushers: Vec<_> = (0..2)
            .map(|line| {
                let (stage, expected, folder) = (&stage, &expected, &folders[line]);
                let target = Target::Here(Arc::new(Repository::open(&path).unwrap()));
                threads.spawn(move || pushing(&target, || stage.request(&[folder]), folder, expected, line as u64))
            })
            .collect();
        for seed in 10..13 {
            let (path, over, forgotten) = (&path, &over, &forgotten);
            threads.spawn(move || forgetting(path, over, seed, forgotten));
        }
        let reading = || {
            let mut random = Random::new(20);
            while !over.load(Ordering::Relaxed) {
                let repository = Arc::new(Repository::open(&path).unwrap());
                let all = repository.snapshots().unwrap();
                let Some(chosen) = all.get(random.below(all.len().max(1))) else {
                    continue;
                };
                let Some(found) = read(&repository, chosen) else {
                    continue;
                };
                // One that was committed this moment may not be written down yet.
                let Some(wanted) = expected.lock().unwrap().get(&chosen.name).cloned() else {
                    continue;
                };
                assert!(found == wanted, "{} is not what it was", chosen.name);
                reads.fetch_add(1, Ordering::Relaxed);
            }
        };
        let reader = threads.spawn(reading);
        let pushed: Vec<_> = pushers.into_iter().map(|pusher| pusher.join()).collect();
        over.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        pushed.into_iter().for_each(|pushed| pushed.unwrap());
    });
    let repository = Arc::new(Repository::open(&path).unwrap());
    let expected = expected.into_inner().unwrap();
    for snapshot in repository.snapshots().unwrap() {
        let found = read(&repository, &snapshot).expect("nobody forgets now");
        assert!(
            found == expected[&snapshot.name],
            "{} is not what it was",
            snapshot.name
        );
    }
    assert_eq!(repository.verify(true, &mut |_, _| Ok(())).unwrap().damages, vec![]);
    repository.forget(&[]).unwrap();
    repository.sweep_all().unwrap();
    yore_tests::model::check::invariants(&repository);
    let (forgotten, reads) = (forgotten.into_inner(), reads.into_inner());
    eprintln!("{PUSHES} pushes of two lines, {forgotten} snapshots forgotten by three, {reads} read meanwhile");
    assert!(forgotten > 10 && reads > 0);
}
