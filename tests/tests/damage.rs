//! Rot: whatever byte of a stored file changes, a read gives the right bytes or an error.

use std::fs;
use std::path::{Path, PathBuf};

use yore_store::Repository;
use yore_tests::Stage;
use yore_tests::model::random::Random;

/// The files below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|item| item.unwrap().path())
        .flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] })
        .collect();
    files.sort();
    files
}

/// Reads every file of the newest snapshot past all caches; gives how many could not be read.
fn unreadable(stage: &Stage, wanted: &[(PathBuf, Vec<u8>)]) -> usize {
    let repository = std::sync::Arc::new(Repository::open(stage.repository.path()).unwrap());
    let snapshot = repository.snapshot("latest").unwrap();
    let read = |path: &Path, bytes: &[u8]| {
        let path = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
        let entry = repository.lookup(&snapshot, path).unwrap();
        let mut found = vec![0; bytes.len()];
        let result = repository
            .open_content(entry.content.unwrap())
            .and_then(|reader| reader.read_at(0, &mut found));
        assert!(
            result.is_err() || found == bytes,
            "{}: other bytes, and no error",
            String::from_utf8_lossy(path)
        );
        result.is_err()
    };
    wanted.iter().filter(|(path, bytes)| read(path, bytes)).count()
}

#[test]
fn a_changed_byte_of_a_frame_is_an_error_and_never_other_bytes() {
    let (stage, mut random) = (Stage::new(), Random::new(1));
    // Noise lies raw in its frame, or wrapped where a neighbour compresses: zstd decodes it whatever it is.
    let mixed = [random.noise(200_000), vec![0; 200_000], random.noise(100_000)].concat();
    let contents = [
        random.noise(3_000),
        random.noise(100_000),
        random.noise(500_000),
        mixed,
        random.noise(2_000_000),
    ];
    let wanted: Vec<(PathBuf, Vec<u8>)> = contents
        .into_iter()
        .enumerate()
        .map(|(number, bytes)| (stage.source().join(number.to_string()), bytes))
        .collect();
    wanted.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    stage.snapshot();
    assert_eq!(unreadable(&stage, &wanted), 0);
    for kind in ["packs", "heads"] {
        for file in files_below(&stage.repository.path().join(kind)) {
            let good = fs::read(&file).unwrap();
            let places: Vec<usize> = (0..12).map(|_| random.below(good.len())).collect();
            for at in places {
                let mut bad = good.clone();
                bad[at] ^= 1 << random.below(8);
                fs::write(&file, bad).unwrap();
                assert!(
                    unreadable(&stage, &wanted) > 0,
                    "byte {at} of {} was not missed",
                    file.display()
                );
            }
            fs::write(&file, good).unwrap();
        }
    }
    assert_eq!(unreadable(&stage, &wanted), 0);
}
