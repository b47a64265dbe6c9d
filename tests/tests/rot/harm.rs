//! What happens to files.

use std::fs;
use std::path::{Path, PathBuf};

use yore_tests::model::random::Random;

use crate::world::World;

/// Files of a repository that are of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Pack,
    Head,
    Delta,
    Catalog,
    Copy,
    Config,
    Ballast,
    Lock,
}

impl Kind {
    fn place(self) -> &'static str {
        match self {
            Kind::Pack => "packs",
            Kind::Head => "heads",
            Kind::Delta => "deltas",
            Kind::Catalog => "catalog.sqlite3",
            Kind::Copy => "catalog.old",
            Kind::Config => "yore.toml",
            Kind::Ballast => "ballast",
            Kind::Lock => "locks",
        }
    }

    /// The files of this kind, sorted.
    pub fn files(self, repository: &Path) -> Vec<PathBuf> {
        below(&repository.join(self.place()))
    }
}

fn below(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return path.exists().then(|| path.to_owned()).into_iter().collect();
    }
    let items = fs::read_dir(path)
        .expect("a folder")
        .map(|item| item.expect("an item").path());
    let mut files: Vec<PathBuf> = items.flat_map(|path| below(&path)).collect();
    files.sort();
    files
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    Truncate,
    Delete,
    Flip,
    Zero,
    Swap,
    Older,
}

/// All of it.
pub const HARMS: [Harm; 6] = [
    Harm::Truncate,
    Harm::Delete,
    Harm::Flip,
    Harm::Zero,
    Harm::Swap,
    Harm::Older,
];

/// The block that a disk loses.
const BLOCK: usize = 4096;

impl Harm {
    /// Does it to one file of a kind; says to which.
    pub fn befall(self, world: &World, kind: Kind, random: &mut Random) -> String {
        let files = kind.files(&world.repository());
        let file = random
            .pick(&files)
            .unwrap_or_else(|| panic!("no file of {kind:?}"))
            .clone();
        match self {
            Harm::Delete => fs::remove_file(&file).expect("it can be removed"),
            Harm::Swap if files.len() > 1 => swap(&file, random.pick(&files).expect("another one")),
            Harm::Older => replace(&file, &older(world, kind, &file, &files)),
            harm => change(&file, |bytes| harm.change(bytes, random)),
        }
        format!(
            "{self:?} {}",
            file.strip_prefix(world.repository()).expect("below it").display()
        )
    }

    fn change(self, bytes: &mut Vec<u8>, random: &mut Random) {
        if bytes.is_empty() {
            return bytes.push(0x5a);
        }
        let block = BLOCK.min(bytes.len().div_ceil(4));
        let mut place = || random.below(bytes.len().div_ceil(block)) * block;
        let (at, other) = (place(), place());
        match self {
            Harm::Truncate => bytes.truncate(random.below(bytes.len())),
            Harm::Flip => *random_byte(bytes, random) ^= 1 << random.below(8),
            Harm::Zero => bytes.iter_mut().skip(at).take(block).for_each(|byte| *byte = 0),
            // There is one such file only: two of its blocks.
            _ => (0..block.min(bytes.len() - at.max(other))).for_each(|byte| bytes.swap(at + byte, other + byte)),
        }
    }
}

/// One of all, or of the first hundred, where formats say what they are.
fn random_byte<'a>(bytes: &'a mut [u8], random: &mut Random) -> &'a mut u8 {
    let range = if random.once_in(3) {
        bytes.len().min(100)
    } else {
        bytes.len()
    };
    let at = random.below(range);
    &mut bytes[at]
}

fn change(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).expect("it can be read");
    change(&mut bytes);
    fs::write(file, bytes).expect("it can be written");
}

fn swap(one: &Path, other: &Path) {
    let (first, second) = (
        fs::read(one).expect("it is there"),
        fs::read(other).expect("it is there"),
    );
    fs::write(one, second).expect("it can be written");
    fs::write(other, first).expect("it can be written");
}

/// What a file was before. One that is written once was another one of its kind, as far as a disk is concerned that
/// has mixed them up.
fn older(world: &World, kind: Kind, file: &Path, files: &[PathBuf]) -> PathBuf {
    match kind {
        Kind::Catalog | Kind::Config | Kind::Ballast | Kind::Lock => world.older(file),
        _ => files[0].clone(),
    }
}

fn replace(file: &Path, by: &Path) {
    if file != by {
        let _ = fs::remove_file(file);
        fs::copy(by, file).map(drop).unwrap_or_default();
    }
}
