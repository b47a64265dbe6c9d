//! Fifty agents at once.

use std::fs;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use yore_tests::daemon::Daemon;
use yore_tests::machine::Machine;
use yore_tests::noise;

/// Agents, and the users whose they are.
const AGENTS: usize = 50;
const USERS: usize = 10;

/// What the server may take for all of them. A session keeps 12 MiB of caches at most, and some
/// messages of 128 KiB that wait.
const MEMORY: u64 = 400 << 20;

/// Small files, and one that is larger.
fn fill(machine: &Machine, seed: u64) {
    for number in 0..100 {
        let folder = machine.source().join(format!("folder{}", number % 5));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(number.to_string()), noise(seed * 1000 + number, 3000)).unwrap();
    }
    fs::write(machine.source().join("larger"), noise(seed, 3 << 20)).unwrap();
}

/// Links machines, a few at a time.
fn linked(daemon: &Daemon) -> Vec<Machine> {
    (0..USERS).for_each(|user| daemon.add(&format!("user{user}"), &[]));
    let link = |number: usize| {
        let machine = daemon.linked(&format!("user{}", number % USERS), &format!("machine{number}"));
        fill(&machine, number as u64 + 1);
        machine
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|first| scope.spawn(move || (first..AGENTS).step_by(4).map(link).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn fifty_agents_push_at_once_and_a_small_push_of_another_user_gets_its_turn() {
    let daemon = Daemon::start();
    let machines = linked(&daemon);
    daemon.add("ann", &[]);
    let laptop = daemon.linked("ann", "laptop");
    fs::write(laptop.source().join("file"), "small\n").unwrap();
    let alone = Instant::now();
    laptop.snapshotted();
    let alone = alone.elapsed();

    let begun = Instant::now();
    let mut pushes: Vec<(&Machine, Child)> = machines
        .iter()
        .map(|machine| (machine, machine.start_snapshot()))
        .collect();
    let all_done = AtomicBool::new(false);
    let (mut done, mut between) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let small = scope.spawn(|| {
            let mut took = Vec::new();
            while !all_done.load(Ordering::Relaxed) {
                fs::write(laptop.source().join("file"), took.len().to_string()).unwrap();
                let begun = Instant::now();
                laptop.snapshotted();
                took.push((begun.elapsed(), Instant::now()));
            }
            took
        });
        for (machine, push) in pushes.drain(..) {
            let output = push.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            done.push((machine, output.status.success(), said, Instant::now()));
        }
        all_done.store(true, Ordering::Relaxed);
        between = small.join().unwrap();
    });
    let took = begun.elapsed();
    let peak = daemon.peak_memory();
    let longest = between.iter().map(|(took, _)| *took).max().unwrap_or_default();
    eprintln!(
        "{AGENTS} agents of {USERS} users: {took:.1?}, {} MiB of memory at most; meanwhile {} small pushes, \
         {longest:.1?} at most, {alone:.1?} alone",
        peak >> 20,
        between.len()
    );
    for (machine, well, said, _) in &done {
        assert!(well, "{}: {said}", machine.name);
    }
    assert!(peak < MEMORY, "{peak} bytes of memory");
    // It is one of eleven users, so it does not wait until all the others are done.
    let last = done.iter().map(|(.., when)| *when).max().unwrap();
    assert!(between[0].1 < last, "the small push was last");
    assert!(
        longest < Duration::max(took, Duration::from_secs(5)),
        "{longest:?} of {took:?}"
    );
    for number in [0, 17, 49] {
        let machine = machines
            .iter()
            .find(|one| one.name == format!("machine{number}"))
            .unwrap();
        daemon.assert_well(&format!("user{}", number % USERS), &machine.name);
        assert_eq!(machine.snapshots().len(), 1);
    }
}
