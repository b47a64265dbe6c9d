//! A large file in little memory, at either end. Needs a memory controller (root), and fails without.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

use yore_tests::cgroup::Cgroup;
use yore_tests::daemon::Daemon;
use yore_tests::machine::Machine;
use yore_tests::proxy::Proxy;
use yore_tests::{noise, run};

/// What either end may have, with what the kernel keeps of its files.
const MEMORY: u64 = 256 << 20;

/// A piece of the file: noise, text that shrinks to little, or a hole.
const PIECE: u64 = 8 << 20;

/// What is in a piece.
fn piece(number: u64) -> Vec<u8> {
    match number % 8 {
        0..=4 => noise(number + 1, PIECE as usize),
        5 | 6 => format!("line {number} of a long log\n")
            .into_bytes()
            .into_iter()
            .cycle()
            .take(PIECE as usize)
            .collect(),
        _ => Vec::new(),
    }
}

/// A large file; holes stay holes.
fn write_large(path: &Path, size: u64) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for number in 0..size / PIECE {
        file.write_all_at(&piece(number), number * PIECE).unwrap();
    }
}

/// The same file with a byte more in front.
fn insert_in_front(path: &Path) {
    let other = path.with_extension("new");
    let (mut from, mut to) = (File::open(path).unwrap(), File::create(&other).unwrap());
    to.write_all(b"x").unwrap();
    let mut buffer = vec![0; PIECE as usize];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        to.write_all(&buffer[..count]).unwrap();
    }
    drop(to);
    fs::rename(other, path).unwrap();
}

/// A command of the machine, in a control group.
fn held(machine: &Machine, group: Option<&Cgroup>, args: &[&str]) -> Output {
    let mut command = machine.command(args);
    if let Some(group) = group {
        group.hold(&mut command);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Pushes a file of this size, then with a byte in front; reads a little of the first version
/// through a mount. One end, or both, has little memory.
fn large_file_in_little_memory(size: u64, server: Option<Cgroup>, agent: Option<Cgroup>) {
    let has = (server.is_some(), agent.is_some());
    let daemon = Daemon::confined("", server);
    daemon.add("ann", &[]);
    let proxy = Proxy::to(daemon.port);
    let laptop = daemon.linked_by(proxy.port, "ann", "laptop");
    let path = laptop.source().join("image");
    write_large(&path, size);
    let (agent, begun) = (agent.as_ref(), std::time::Instant::now());
    held(&laptop, agent, &["snapshot", "source", "--quiet"]);
    let (first, first_sent) = (begun.elapsed(), proxy.up());
    insert_in_front(&path);
    let begun = std::time::Instant::now();
    held(&laptop, agent, &["snapshot", "source", "--quiet"]);
    let (second, second_sent) = (begun.elapsed(), proxy.up() - first_sent);

    let mountpoint = laptop.home.join("mnt");
    fs::create_dir(&mountpoint).unwrap();
    held(&laptop, agent, &["mount", "mnt", "--quiet"]);
    let name = laptop.snapshots().remove(0);
    let source = laptop.source().canonicalize().unwrap();
    let oldest = mountpoint
        .join(name)
        .join(source.strip_prefix("/").unwrap())
        .join("image");
    let before = proxy.down();
    let mut block = [0; 4096];
    let at = size / 2 / (8 * PIECE) * (8 * PIECE) + PIECE + 12_288;
    let read = File::open(&oldest).and_then(|file| file.read_exact_at(&mut block, at));
    let moved = proxy.down() - before;
    yore_mount::detach(&mountpoint).unwrap();
    read.unwrap();
    let number = at / PIECE;
    let expected = &piece(number)[(at % PIECE) as usize..][..4096];
    assert_eq!(block, expected);
    eprintln!(
        "{} MiB, server and agent in {} MiB {has:?}: pushed in {first:.1?} ({} MiB sent), a byte in front in {second:.1?} \
         ({} KiB sent); 4 KiB of the first version: {moved} bytes moved; the server had {} MiB at most",
        size >> 20,
        MEMORY >> 20,
        first_sent >> 20,
        second_sent >> 10,
        daemon.peak_memory() >> 20
    );
    assert!(moved < 1 << 20, "{moved} bytes were moved for 4096");
    assert!(second_sent < size / 16, "{second_sent} bytes were sent for one more");
    daemon.assert_well("ann", "laptop");
    // What is there now is what is restored, read in pieces.
    let target = laptop.home.join("out");
    held(&laptop, agent, &["restore", "latest", "out", "--quiet"]);
    let restored = target.join(source.strip_prefix("/").unwrap()).join("image");
    run(Command::new("cmp").arg(&path).arg(restored));
    assert_eq!(agent.map_or(0, Cgroup::kills), 0);
}

#[test]
fn a_large_file_at_a_server_with_little_memory() {
    large_file_in_little_memory(512 << 20, Some(Cgroup::new("server", MEMORY)), None);
}

#[test]
fn a_large_file_of_an_agent_with_little_memory() {
    large_file_in_little_memory(512 << 20, None, Some(Cgroup::new("agent", MEMORY)));
}

#[test]
#[ignore = "8 GiB; run it with --ignored"]
fn a_file_of_8_gib_with_little_memory_at_both_ends() {
    let (server, agent) = (Cgroup::new("server8", MEMORY), Cgroup::new("agent8", MEMORY));
    large_file_in_little_memory(8 << 30, Some(server), Some(agent));
}
