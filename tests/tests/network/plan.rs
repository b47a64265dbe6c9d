//! Faults of the network, at random bytes of what a push sends and hears.

use std::time::Duration;

use yore_tests::model::random::Random;
use yore_tests::proxy::{Fate, Fault, Way};

/// Bytes, each way, in which SSH agrees on keys and the agent logs in.
const HANDSHAKE: u64 = 3_500;

/// What a push is expected to let pass, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// To the server.
    pub up: u64,
    /// To the agent.
    pub down: u64,
}

/// How long answers take that are lost once a snapshot is made: until that is seen.
const SLOWNESS: Duration = Duration::from_millis(200);

/// One to four faults, for the connections of one push.
pub fn faults(reach: Reach, random: &mut Random) -> Vec<Fault> {
    let count = random.within(1..5);
    (0..count).flat_map(|_| one(reach, random)).collect()
}

/// A fault; where connections are reordered, the one after it too.
fn one(reach: Reach, random: &mut Random) -> Vec<Fault> {
    let way = if random.once_in(3) { Way::Down } else { Way::Up };
    let fate = match random.below(18) {
        0..=4 => Fate::Cut,
        5..=7 => Fate::Held,
        8 | 9 => Fate::ServerLost,
        10 => Fate::ClientLost,
        11 | 12 => return reordered(reach, way, random),
        13 => Fate::Pieces(random.within(1..700)),
        14 | 15 => Fate::Unanswered,
        _ => return vec![before_the_end(reach, random)],
    };
    let after = somewhere(reach, way, random);
    vec![Fault { way, after, fate }]
}

/// What is held of a connection arrives while the next one logs in, or begins to push.
fn reordered(reach: Reach, way: Way, random: &mut Random) -> Vec<Fault> {
    let after = somewhere(reach, way, random);
    let lost = Fault {
        way,
        after,
        fate: Fate::ClientLost,
    };
    let released = Fault {
        way: Way::Up,
        after: random.below(2 * HANDSHAKE as usize) as u64,
        fate: Fate::OthersReleased,
    };
    vec![lost, released]
}

/// Answers are slow from here on, so that the last one can be cut off.
fn before_the_end(reach: Reach, random: &mut Random) -> Fault {
    Fault {
        way: Way::Up,
        after: HANDSHAKE + random.below(reach.up as usize / 2) as u64,
        fate: Fate::SlowlyAnswered(SLOWNESS),
    }
}

/// In the handshake, anywhere in the push, or at its very end, where it is committed.
fn somewhere(reach: Reach, way: Way, random: &mut Random) -> u64 {
    let all = match way {
        Way::Up => reach.up,
        Way::Down => reach.down,
    };
    let all = all.max(HANDSHAKE + 2) as usize;
    let begin = HANDSHAKE as usize;
    let at = match random.below(8) {
        0 => random.below(begin),
        1..=3 => random.within(begin..all),
        4 | 5 => begin + ((all - begin) >> random.below(12)),
        _ => all - random.below((all - begin) / 8 + 1),
    };
    at as u64
}

/// What a fault is called in the tally.
pub fn name(fault: &Fault) -> &'static str {
    match (fault.fate, fault.way, fault.after < HANDSHAKE) {
        (Fate::Cut, _, true) => "cut in the handshake",
        (Fate::Cut, Way::Up, _) => "cut upwards",
        (Fate::Cut, Way::Down, _) => "cut downwards",
        (Fate::Held, ..) => "stalled",
        (Fate::Unanswered, ..) => "not answered",
        (Fate::SlowlyAnswered(_), ..) => "slow, and cut when committed",
        (Fate::ServerLost, ..) => "server lost",
        (Fate::ClientLost, ..) => "machine lost",
        (Fate::Pieces(_), ..) => "in pieces",
        (Fate::OthersReleased, ..) => "reordered",
    }
}
