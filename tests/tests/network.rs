//! The network: whatever it does to a push, and when, there are no snapshots but those of the tree as it was.
//!
//! A machine pushes a tree that changes, by a proxy in which connections are cut, stall, are half open, lose their
//! answers, and in which an old one's bytes arrive after a new one has begun. The quick run meets some faults from a
//! seed of its own; `YORE_NETWORK_FAULTS=N` meets N, and `YORE_NETWORK_SEED=N` begins with another seed. Where processes
//! race, a seed gives the same faults at the same bytes and not the same moment.

#[path = "network/linking.rs"]
mod linking;
#[path = "network/plan.rs"]
mod plan;
#[path = "network/source.rs"]
mod source;
#[path = "network/vanished.rs"]
mod vanished;
#[path = "network/world.rs"]
mod world;

use world::World;
use yore_tests::asked;
use yore_tests::model::random::Random;

/// Faults that the quick run meets.
const QUICK: usize = 12;

/// Pushes after which all snapshots are compared again.
const OFTEN: usize = 25;

/// Says how to repeat it, if it ends in a panic.
struct Again(String);

impl Drop for Again {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "Again: {} cargo test -p yore-tests --test network -- --nocapture",
                self.0
            );
        }
    }
}

#[test]
fn a_bad_network_costs_attempts_and_nothing_else() {
    let faults = asked("YORE_NETWORK_FAULTS").map_or(QUICK, |number| number as usize);
    let seed = asked("YORE_NETWORK_SEED").map_or(1, |number| number as usize);
    let _again = Again(format!("YORE_NETWORK_FAULTS={faults} YORE_NETWORK_SEED={seed}"));
    let mut random = Random::new(seed as u64);
    let mut world = World::new(&mut random);
    while world.tally.faults.values().sum::<usize>() < faults {
        world.push(&mut random);
        if world.tally.pushes.is_multiple_of(OFTEN) {
            world.compare_all();
        }
    }
    world.finish();
    println!("Tally of seed {seed}: {:?}", world.tally);
}
