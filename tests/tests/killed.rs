//! Processes that are killed while they change a repository: at every point of the store's source that changes the disk
//! for good, and at random moments.
//!
//! `YORE_KILLED_KILLS=N` kills so many at random moments, `YORE_KILLED_REACHES=N` stops at so many reaches of each point
//! (the quick run: at the first and at a later one), `YORE_KILLED_SEED=N` begins with another seed.
//! `YORE_KILLED_POINT=TEXT` stops only at points whose names have the text.
//!
//! A stop at a point comes again with the same seed. A kill at random comes when it comes; what it left is kept in the
//! folder that the failure names.

use std::sync::atomic::{AtomicUsize, Ordering};

use yore_store::stops::POINTS;
use yore_tests::asked;
use yore_tests::killed::siege::{Moments, Points, Siege, Tally};
use yore_tests::model::random::Random;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

/// The seed of the script with every kind of step.
const EVERYTHING: u64 = 1;

/// Steps of a random script.
const LENGTH: usize = 40;

/// Points that no script reaches, and why.
const NOT_REACHED: [(&str, &str); 4] = [
    ("kept run:", "needs a file that rots between two pushes"),
    ("damage:", "needs a file that rots"),
    ("recovered:", "needs a file that rots, and is sound again"),
    ("healed:", "needs a file that rots, and a sound one of the same content"),
];

/// Which reach of a point to stop at: a step, and a number in it. The first, then others by chance.
fn chosen(reaches: &[(usize, u64)], wanted: u64, random: &mut Random) -> Vec<(usize, u64)> {
    let all = reaches
        .iter()
        .flat_map(|(at, count)| (1..=*count).map(|number| (*at, number)));
    let mut all: Vec<(usize, u64)> = all.collect();
    let mut chosen = vec![all.remove(0)];
    while chosen.len() < wanted as usize && !all.is_empty() {
        chosen.push(all.remove(random.below(all.len())));
    }
    chosen
}

#[test]
fn stopped_at_every_point_a_repository_is_sound_and_goes_on() {
    let seed = asked("YORE_KILLED_SEED").unwrap_or(EVERYTHING);
    let siege = Siege::new(WORKER, seed, None);
    let points = Points::of(&siege);
    let (mut cases, mut random) = (Vec::new(), Random::new(seed));
    let only = std::env::var("YORE_KILLED_POINT").unwrap_or_default();
    for point in POINTS.iter().filter(|point| point.contains(&only)) {
        let reaches = points.reaches(point);
        let excused = NOT_REACHED.iter().any(|(known, _)| point.starts_with(known));
        // Of another seed's script nobody knows what it reaches.
        let is_known = reaches.is_empty() == excused || seed != EVERYTHING;
        assert!(is_known, "{point:?}: whether no step reaches it");
        if !reaches.is_empty() {
            let wanted = asked("YORE_KILLED_REACHES").unwrap_or(2);
            let reaches = chosen(&reaches, wanted, &mut random);
            cases.extend(reaches.into_iter().map(|(at, number)| (*point, at, number)));
        }
    }
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((point, at, number)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            points.kill(point, *at, *number);
        }
    };
    std::thread::scope(|threads| (0..2).for_each(|_| drop(threads.spawn(work))));
    println!("stopped {} times at {} points, seed {seed}", cases.len(), POINTS.len());
}

#[test]
fn killed_at_random_moments_a_repository_is_sound_and_goes_on() {
    let kills = asked("YORE_KILLED_KILLS").unwrap_or(30);
    let mut tally = Tally::default();
    for seed in asked("YORE_KILLED_SEED").unwrap_or(1).. {
        let siege = Siege::new(WORKER, seed, Some(LENGTH));
        Moments::new(&siege, &mut tally).go(kills);
        if tally.kills >= kills {
            break;
        }
    }
    println!("{tally:?}");
    assert!(
        tally.later * 4 >= tally.kills,
        "most died before they had done anything: {tally:?}"
    );
}
