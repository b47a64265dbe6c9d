//! The memory of a mount of many repositories. Alone in its process, whose memory it measures.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use yore_mount::{Options, Shelf, ShelfRepository, ShelfUser, mount_all};
use yore_store::{History, Repository, Result};
use yore_tests::{Stage, noise, run};

/// So many repositories, which here are all the same one.
const REPOSITORIES: u32 = 40;
/// Bytes in each: the most that a repository keeps of what was read.
const BYTES: usize = 16 << 20;

struct Same(PathBuf);

impl Shelf for Same {
    fn users(&self) -> Result<Vec<ShelfUser>> {
        let repository = |number: u32| ShelfRepository {
            number,
            name: number.to_string(),
        };
        Ok(vec![ShelfUser {
            number: 1,
            name: "ann".into(),
            owner: None,
            repositories: (1..=REPOSITORIES).map(repository).collect(),
        }])
    }

    fn open(&self, _number: u32) -> Result<Arc<dyn History>> {
        Ok(Arc::new(Arc::new(Repository::open(&self.0)?)))
    }
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

#[test]
fn all_repositories_together_take_no_more_than_a_few() {
    let stage = Stage::new();
    let file = stage.source().join("file");
    fs::write(&file, noise(1, BYTES)).unwrap();
    stage.snapshot();
    let mountpoint = stage.folder.path().join("mnt");
    fs::create_dir(&mountpoint).unwrap();
    let shelf = Arc::new(Same(stage.repository.path().to_owned()));
    let mounted = mount_all(shelf, &mountpoint, Options::default()).expect("a mount; is there /dev/fuse?");
    let read = |number: u32| {
        let latest = mountpoint.join(format!("ann/{number}/latest"));
        let shown = latest.join(file.strip_prefix("/").unwrap());
        assert_eq!(fs::metadata(&shown).unwrap().len(), BYTES as u64);
        run(Command::new("cmp").arg(shown).arg(&file));
    };
    (1..=8).for_each(read);
    let of_eight = resident();
    (9..=REPOSITORIES).for_each(read);
    let of_all = resident();
    // Were all of them kept, these would take 512 MiB more.
    assert!(
        of_all < of_eight + (128 << 20),
        "{of_eight} bytes after 8, {of_all} after all"
    );
    yore_mount::detach(&mountpoint).unwrap();
    mounted.wait().unwrap();
}
