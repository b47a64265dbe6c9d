//! The rot matrix: whatever happens to whichever file, what is shown is right or an error, and is told.
//!
//! Each case damages a copy of one repository: a kind of file, and what befalls it, from a seed. The quick run has some of
//! them; `YORE_ROT_CASES=N` has N, and `YORE_ROT_SEED=N` begins with another seed.

#[path = "rot/harm.rs"]
mod harm;
#[path = "rot/survey.rs"]
mod survey;
#[path = "rot/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use harm::{HARMS, Harm, Kind};
use survey::{Difference, Place, Shown, Survey, describe, difference, named, survey};
use world::World;
use yore_store::{Hash, Repaired, Repository, Verified};
use yore_tests::asked;
use yore_tests::model::random::Random;

/// Cases of all tests together in the quick run.
const QUICK: usize = 150;

/// What came of the cases of one kind of file and harm.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    cases: usize,
    /// Cases in which something could not be read.
    unreadable: usize,
    /// In which the damage was told.
    told: usize,
    /// In which all could be read at the end.
    whole: usize,
}

/// What a case saw.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    unreadable: bool,
    told: bool,
    whole: bool,
}

/// Runs this test's share of the cases.
fn run(share: usize, kinds: &[Kind], case: fn(&mut World, &mut Random) -> Seen) {
    let cases = asked("YORE_ROT_CASES").map_or(QUICK, |number| number as usize) * share / 100;
    let begin = asked("YORE_ROT_SEED").map_or(1, |number| number as usize);
    let (mut world, mut failures) = (World::new(), Vec::new());
    let mut figures: BTreeMap<(Kind, Harm), Figures> = BTreeMap::new();
    for seed in begin..begin + cases {
        let (kind, harm) = (kinds[seed % kinds.len()], HARMS[seed / kinds.len() % HARMS.len()]);
        let mut random = Random::new(seed as u64);
        world.reset();
        let mut said = harm.befall(&world, kind, &mut random);
        if random.once_in(4) {
            said += &another(&world, kinds, &mut random);
        }
        match catch_unwind(AssertUnwindSafe(|| case(&mut world, &mut random))) {
            Ok(seen) => figures.entry((kind, harm)).or_default().count(seen),
            Err(panic) => {
                failures.push(format!("seed {seed}: {said}: {}", text(&*panic)));
                eprintln!("{}", failures[failures.len() - 1]);
            }
        }
    }
    figures
        .iter()
        .for_each(|(what, figures)| println!("{what:?}: {figures:?}"));
    assert!(
        failures.is_empty(),
        "{} of {cases}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// A second damage.
fn another(world: &World, kinds: &[Kind], random: &mut Random) -> String {
    let left: Vec<Kind> = kinds
        .iter()
        .filter(|kind| !kind.files(&world.repository()).is_empty())
        .copied()
        .collect();
    let (kind, harm) = (
        *random.pick(&left).expect("files"),
        *random.pick(&HARMS).expect("harms"),
    );
    format!(", {}", harm.befall(world, kind, random))
}

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_default()
}

impl Figures {
    fn count(&mut self, seen: Seen) {
        self.cases += 1;
        self.unreadable += usize::from(seen.unreadable);
        self.told += usize::from(seen.told);
        self.whole += usize::from(seen.whole);
    }
}

fn open(world: &World) -> Arc<Repository> {
    Arc::new(
        world
            .open()
            .unwrap_or_else(|error| panic!("it cannot be opened: {error}")),
    )
}

fn verify(repository: &Arc<Repository>) -> yore_store::Result<Verified> {
    repository.verify(true, &mut |_, _| Ok(()))
}

fn repair(world: &World) -> yore_store::Result<Repaired> {
    Repository::repair(&world.repository(), false, &mut |_, _| Ok(()))
}

/// Reads everything past all caches; what can be read must be right.
fn look(world: &World, when: &str) -> (Survey, BTreeSet<Place>) {
    let shown = survey(&open(world));
    let difference = difference(&world.truth, &shown);
    assert!(difference.is_none(), "{when}: {difference:?}");
    let unreadable = shown.unreadable();
    (shown, unreadable)
}

fn lines(places: &BTreeSet<Place>) -> String {
    places.iter().map(describe).collect::<Vec<_>>().join(", ")
}

fn assert_named(named: &BTreeSet<Place>, unreadable: &BTreeSet<Place>, when: &str) {
    let more: BTreeSet<Place> = named.difference(unreadable).cloned().collect();
    let fewer: BTreeSet<Place> = unreadable.difference(named).cloned().collect();
    assert!(more.is_empty(), "{when}: named, and can be read: {}", lines(&more));
    assert!(
        fewer.is_empty(),
        "{when}: cannot be read, and is not named: {}",
        lines(&fewer)
    );
}

/// Damage of stored files: pushes go on, what is lost is named, and what the machine still has comes back.
fn stored(world: &mut World, random: &mut Random) -> Seen {
    let mut seen = Seen::default();
    if random.once_in(3) {
        world
            .push(random)
            .unwrap_or_else(|error| panic!("a push before anybody looked: {error}"));
    }
    let (_, unreadable) = look(world, "at first");
    let damages = verify(&open(world)).expect("a verification").damages;
    assert_named(&named(&damages), &unreadable, "verified");
    (seen.unreadable, seen.told) = (!unreadable.is_empty(), !damages.is_empty());
    let made = world.push(random).unwrap_or_else(|error| panic!("a push: {error}"));
    let (shown, left) = look(world, "after the push");
    assert!(left.is_subset(&unreadable), "lost by a push: {}", lines(&left));
    let newest = shown.unreadable_in(&made.snapshot.expect("no dry run").name);
    assert_eq!(newest, [], "the machine has it still");
    let repaired = repair(world).unwrap_or_else(|error| panic!("a repair: {error}"));
    let (_, last) = look(world, "repaired");
    assert!(last.is_subset(&left), "lost by a repair: {}", lines(&last));
    assert_named(&named(&repaired.damages), &last, "repaired");
    assert_eq!(repaired.catalog, None, "the catalog was sound");
    seen.whole = last.is_empty();
    seen
}

/// What is shown while the catalog may be damaged; whether it is told that it is.
fn look_doubtfully(world: &World) -> (Survey, bool) {
    let Ok(repository) = world.open().map(Arc::new) else {
        return (Survey::default(), true);
    };
    let shown = survey(&repository);
    let told = verify(&repository).map_or(true, |verified| !verified.damages.is_empty());
    (shown, told)
}

fn assert_told(difference: &Difference, told: bool, when: &str) {
    assert!(
        difference.other.is_empty(),
        "{when}: shown wrong: {:?}",
        difference.other
    );
    assert!(difference.is_none() || told, "{when}: nobody says that {difference:?}");
}

/// A folder may show what it was at another time, without which nothing in it would be found, only in a snapshot that is
/// said not to add up.
fn assert_folders(difference: &Difference, named: &BTreeSet<Place>) {
    let does_add_up = |place: &&Place| !named.contains(&(place.0.clone(), b"/".to_vec()));
    let wrong: Vec<String> = difference
        .other_folders
        .iter()
        .filter(does_add_up)
        .map(describe)
        .collect();
    assert!(wrong.is_empty(), "folders shown wrong: {wrong:?}");
}

/// Damage of the catalog, or of its copies: it is told before anybody is shown what is wrong, and a repair helps.
fn catalog(world: &mut World, random: &mut Random) -> Seen {
    let (shown, told) = look_doubtfully(world);
    let differs = difference(&world.truth, &shown);
    assert_told(&differs, told, "at first");
    assert_folders(&differs, &BTreeSet::new());
    let unreadable = !shown.unreadable().is_empty() || shown.0.is_empty();
    assert!(
        told || !unreadable,
        "an error that no verification tells: {:?}",
        shown.unreadable()
    );
    if random.once_in(2) {
        // It may be refused.
        let _ = world.push(random);
        let (shown, told) = look_doubtfully(world);
        let differs = difference(&world.truth, &shown);
        assert_told(&differs, told, "pushed");
        assert_folders(&differs, &BTreeSet::new());
    }
    let whole = mend_catalog(world, random);
    Seen {
        unreadable,
        told,
        whole,
    }
}

/// Repairs; what is lost is said, and pushes go on. Whether nothing was lost.
fn mend_catalog(world: &mut World, random: &mut Random) -> bool {
    let repaired = match repair(world) {
        Ok(repaired) => repaired,
        // Neither the catalog nor a copy of it can be read.
        Err(error) if error.is_damage() => return false,
        Err(error) => panic!("a repair: {error}"),
    };
    let is_less = repaired
        .catalog
        .is_some_and(|catalog| catalog.lost + catalog.revived + catalog.ended > 0);
    let shown = survey(&open(world));
    let before = difference(&world.truth, &shown);
    assert_told(&before, is_less || !repaired.damages.is_empty(), "repaired");
    assert_folders(&before, &named(&repaired.damages));
    let (named, unreadable) = (unmarked(named(&repaired.damages)), unmarked(shown.unreadable()));
    // Of a snapshot that does not add up its root is named, whatever is missing.
    let named = named
        .into_iter()
        .filter(|place| place.1 != b"/" || unreadable.contains(place));
    assert_named(&named.collect(), &unreadable, "repaired");
    let made = world
        .push(random)
        .unwrap_or_else(|error| panic!("a push after a repair: {error}"));
    let name = made.snapshot.expect("no dry run").name;
    let shown = survey(&open(world));
    assert_eq!(shown.unreadable_in(&name), [], "pushed after a repair");
    let after = difference(&world.truth, &shown);
    assert!(after.other.is_empty(), "pushed after a repair: {:?}", after.other);
    let incomplete: Vec<&Place> = after.missing.iter().filter(|(snapshot, _)| *snapshot == name).collect();
    assert!(
        incomplete.is_empty(),
        "pushed after a repair, and not there: {incomplete:?}"
    );
    before.is_none() && shown.unreadable().is_empty()
}

/// Without the mark of snapshots that got their rows again.
fn unmarked(places: BTreeSet<Place>) -> BTreeSet<Place> {
    let name = |name: String| name.strip_prefix("recovered ").map(str::to_owned).unwrap_or(name);
    places
        .into_iter()
        .map(|(snapshot, path)| (name(snapshot), path))
        .collect()
}

/// Damage of what is not history: nothing is lost, whatever it takes to open it again.
fn beside(world: &mut World, random: &mut Random) -> Seen {
    let mut seen = Seen {
        whole: true,
        ..Seen::default()
    };
    if let Err(error) = world.open() {
        seen.told = true;
        let repaired = repair(world).unwrap_or_else(|error| panic!("a repair: {error}"));
        assert!(
            repaired.config,
            "{error}, and a repair that finds nothing: {repaired:?}"
        );
    }
    let (_, unreadable) = look(world, "at first");
    assert_eq!(unreadable, BTreeSet::new());
    world.push(random).unwrap_or_else(|error| panic!("a push: {error}"));
    let damages = verify(&open(world)).expect("a verification").damages;
    assert_eq!(damages, vec![]);
    let repaired = repair(world).unwrap_or_else(|error| panic!("a repair: {error}"));
    assert_eq!((repaired.catalog, repaired.damages), (None, vec![]));
    assert_eq!(look(world, "repaired").1, BTreeSet::new());
    seen
}

#[test]
fn stored_files_rot() {
    run(50, &[Kind::Pack, Kind::Head, Kind::Delta], stored);
}

#[test]
fn catalogs_rot() {
    run(35, &[Kind::Catalog, Kind::Copy, Kind::Catalog], catalog);
}

#[test]
fn what_lies_beside_them_rots() {
    run(15, &[Kind::Config, Kind::Ballast, Kind::Lock, Kind::Copy], beside);
}

/// Reads every file of every snapshot through a mount: what cannot be read is an I/O error, the rest is right.
fn mounted(world: &World, unreadable: &BTreeSet<Place>) {
    let mountpoint = tempfile::tempdir().expect("a temporary folder");
    let shared = Arc::new(open(world));
    let view = yore_mount::mount(shared, mountpoint.path(), yore_mount::Options::default());
    let view = view.expect("a mount; is there /dev/fuse?");
    for (place, shown) in &world.truth.0 {
        let Shown::Entry {
            content: Some(hash), ..
        } = shown
        else {
            continue;
        };
        let below = OsStr::from_bytes(place.1.strip_prefix(b"/").expect("it is absolute"));
        match std::fs::read(mountpoint.path().join(&place.0).join(below)) {
            Ok(bytes) => assert_eq!((Hash::of(&bytes), unreadable.contains(place)), (*hash, false)),
            Err(error) => {
                assert_eq!(
                    error.raw_os_error(),
                    Some(rustix::io::Errno::IO.raw_os_error()),
                    "{}",
                    describe(place)
                );
                assert!(unreadable.contains(place), "{}: {error}", describe(place));
            }
        }
    }
    drop(view);
    let _ = yore_mount::detach(mountpoint.path());
}

#[test]
fn a_mount_of_what_has_rotted_gives_an_error_and_never_other_bytes() {
    let (mut world, mut random) = (World::new(), Random::new(5));
    for (kind, harm) in [
        (Kind::Head, Harm::Flip),
        (Kind::Delta, Harm::Zero),
        (Kind::Pack, Harm::Truncate),
    ] {
        world.reset();
        let said = harm.befall(&world, kind, &mut random);
        let (_, unreadable) = look(&world, &said);
        assert!(!unreadable.is_empty(), "{said}");
        mounted(&world, &unreadable);
    }
}
