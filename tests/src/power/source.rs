//! What is pushed: a folder of files that change, and what a snapshot of it must say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use yore_store::Hash;

use crate::model::random::Random;

/// Paths below the folder, each with a file's hash or the word `folder`.
pub type Manifest = BTreeMap<String, String>;

/// Files beyond which none is added.
const MOST: usize = 14;

/// Bytes of earlier versions that may come back.
const REMEMBERED: usize = 6;

/// A folder with files of all sizes.
pub struct Source {
    folder: PathBuf,
    files: BTreeMap<String, Arc<Vec<u8>>>,
    remembered: Vec<Arc<Vec<u8>>>,
}

impl Source {
    /// A folder with some files.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn plant(folder: &Path, random: &mut Random) -> Self {
        std::fs::create_dir_all(folder).expect("a folder of files");
        let mut source = Source {
            folder: folder.to_owned(),
            files: BTreeMap::new(),
            remembered: Vec::new(),
        };
        source.set("/large", large(random));
        for _ in 0..MOST / 2 {
            source.add(random);
        }
        source
    }

    /// What a snapshot of it must say.
    pub fn manifest(&self) -> Manifest {
        let mut manifest = Manifest::new();
        for (path, bytes) in &self.files {
            if let Some((folder, _)) = path.rsplit_once('/').filter(|(folder, _)| !folder.is_empty()) {
                manifest.insert(folder.to_owned(), "folder".into());
            }
            manifest.insert(path.clone(), Hash::of(bytes).to_string());
        }
        manifest
    }

    /// Changes some files.
    pub fn work(&mut self, random: &mut Random) {
        for _ in 0..random.within(1..5) {
            self.change(random);
        }
    }

    /// Has a large file that is all new, and more than a push keeps to itself before it writes rows.
    pub fn grow(&mut self, random: &mut Random) {
        let length = random.within(10 << 20..14 << 20);
        self.set("/large", Arc::new(random.noise(length)));
    }

    fn change(&mut self, random: &mut Random) {
        let names: Vec<&String> = self.files.keys().collect();
        let name = (*random.pick(&names).expect("there is a large one")).clone();
        let old = self.files[&name].clone();
        match random.below(10) {
            0 | 1 if self.files.len() < MOST => self.add(random),
            2 if name != "/large" => self.remove(&name),
            3 if name != "/large" => self.rename(&name, random),
            4 | 5 => {
                if let Some(earlier) = random.pick(&self.remembered).cloned() {
                    self.set(&name, earlier);
                }
            }
            6 => self.set("/large", edited(&self.files["/large"].clone(), random)),
            _ => self.set(&name, edited(&old, random)),
        }
    }

    fn add(&mut self, random: &mut Random) {
        let folder = ["", "/a", "/b", "/c"][random.below(4)];
        let length = match random.below(4) {
            0 => random.within(100_000..2 << 20),
            _ => random.below(40_000),
        };
        let bytes = Arc::new(random.bytes(length));
        self.set(&format!("{folder}/{}", random.below(100)), bytes);
    }

    fn set(&mut self, name: &str, bytes: Arc<Vec<u8>>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of files");
        std::fs::write(path, &*bytes).expect("a file");
        if let Some(old) = self.files.insert(name.to_owned(), bytes) {
            self.remember(old);
        }
    }

    fn remember(&mut self, bytes: Arc<Vec<u8>>) {
        if self.remembered.len() == REMEMBERED {
            self.remembered.remove(0);
        }
        self.remembered.push(bytes);
    }

    fn remove(&mut self, name: &str) {
        std::fs::remove_file(self.path(name)).expect("it is there");
        // The last of a folder takes it along; the manifest knows no empty ones.
        if name.rfind('/') > Some(0) {
            let _ = std::fs::remove_dir(self.path(name).parent().expect("a folder"));
        }
        let old = self.files.remove(name).expect("it is there");
        self.remember(old);
    }

    fn rename(&mut self, name: &str, random: &mut Random) {
        let bytes = self.files[name].clone();
        self.remove(name);
        self.set(&format!("/c/{}", random.below(100)), bytes);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(&name[1..])
    }
}

/// More than two segments, so that some of them stay when others change.
fn large(random: &mut Random) -> Arc<Vec<u8>> {
    let length = random.within((8 << 20) + 1..10 << 20);
    Arc::new(random.bytes(length))
}

/// Bytes with something written over, put in front, added or cut off.
fn edited(old: &[u8], random: &mut Random) -> Arc<Vec<u8>> {
    let mut bytes = old.to_vec();
    let length = random.within(1..20_000);
    let piece = random.noise(length);
    let at = random.below(bytes.len());
    match random.below(5) {
        0 => drop(bytes.splice(0..0, piece)),
        1 => bytes.extend(piece),
        2 => bytes.truncate(old.len() - old.len() / 10),
        _ => {
            let end = bytes.len().min(at + length);
            bytes[at..end].copy_from_slice(&piece[..end - at]);
        }
    }
    Arc::new(bytes)
}
