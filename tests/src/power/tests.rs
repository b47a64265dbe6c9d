//! The disk under real programs.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use super::PowerDisk;
use crate::model::random::Random;

/// Runs a script in the folder of the disk.
fn shell(disk: &PowerDisk, script: &str) -> Output {
    let mut command = Command::new("sh");
    command.args(["-euc", script]).current_dir(&disk.mountpoint);
    command.output().expect("there is a shell")
}

/// What a script prints, which must succeed.
fn said(disk: &PowerDisk, script: &str) -> String {
    let output = shell(disk, script);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {complaint}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Does something on new disks, cuts the power after it, and collects what a second script then says.
fn fates(before: &str, after: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let fate = |seed| {
        let mut disk = PowerDisk::new(folder.path());
        said(&disk, before);
        disk.power_on(&mut Random::new(seed));
        said(&disk, after)
    };
    (0..12).map(fate).collect()
}

#[test]
fn a_disk_behaves_as_long_as_it_has_power() {
    let folder = tempfile::tempdir().unwrap();
    let disk = PowerDisk::new(folder.path());
    let script = "mkdir a; echo 1 > a/one; echo 22 > a/two; ln a/one a/link; stat -c %h a/one
        mv a/two a/one; cat a/one a/link; rmdir a 2>/dev/null || echo not empty
        (set -C; echo > a/one) 2>/dev/null || echo there
        truncate -s 3 a/link; wc -c < a/link; fallocate -l 5000 a/room; wc -c < a/room
        chmod 600 a/one; touch -d yesterday a/one; ls a; rm -r a; ls | wc -l
        df --output=avail -BG . | tail -n 1";
    let wanted = [
        "2",
        "22",
        "1",
        "not empty",
        "there",
        "3",
        "5000",
        "link",
        "one",
        "room",
        "0",
        "64G",
    ];
    assert_eq!(
        said(&disk, script).split_whitespace().collect::<Vec<_>>().join(" "),
        wanted.join(" ")
    );
}

#[test]
fn large_files_and_full_folders_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let disk = PowerDisk::new(folder.path());
    let script = "head -c 9000001 /dev/urandom > large; cp large again; cmp large again
        mkdir many; for name in $(seq 2000); do : > many/$name; done; ls many | wc -l; rm -r many; ls";
    assert_eq!(said(&disk, script), "2000\nagain\nlarge");
}

#[test]
fn what_is_fsynced_survives_and_the_rest_may() {
    let durable = fates("echo kept > file; sync file .", "cat file");
    assert_eq!(durable, BTreeSet::from(["kept".into()]));
    let unnamed = fates("echo kept > file; sync file", "cat file 2>/dev/null || echo gone");
    assert_eq!(unnamed, BTreeSet::from(["gone".into(), "kept".into()]));
    let renamed = fates(
        "echo old > file; sync file .; echo new > aside; sync aside; mv aside file",
        "cat file",
    );
    assert_eq!(renamed, BTreeSet::from(["new".into(), "old".into()]));
}

#[test]
fn locks_are_the_kernels() {
    let folder = tempfile::tempdir().unwrap();
    let disk = PowerDisk::new(folder.path());
    let script = "exec 9> lock; flock -n 9; flock -n lock true || echo held; exec 9>&-; flock -n lock echo free";
    assert_eq!(said(&disk, script), "held\nfree");
}

/// Rows that SQLite said it had committed, and those that are there after a cut.
fn committed_rows(disk: &mut PowerDisk, synchronous: &str, random: &mut Random) -> (usize, usize) {
    let script = format!(
        "for number in $(seq 20); do sqlite3 -batch base '.timeout 5000' 'PRAGMA journal_mode = wal;
           PRAGMA synchronous = {synchronous}; CREATE TABLE IF NOT EXISTS t (a, b);
           INSERT INTO t VALUES ($number, randomblob(9000)); SELECT changes()' || break; done"
    );
    let output = shell(disk, &script);
    let told = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| *line == "1")
        .count();
    disk.power_on(random);
    let check = "sqlite3 base 'PRAGMA integrity_check; SELECT count(*) FROM t' 2>/dev/null || echo broken";
    let found = said(disk, check);
    (
        told,
        found
            .strip_prefix("ok\n")
            .and_then(|rows| rows.parse().ok())
            .unwrap_or(0),
    )
}

#[test]
fn sqlite_keeps_what_it_committed_and_only_if_it_fsyncs() {
    let folder = tempfile::tempdir().unwrap();
    let mut lost = 0;
    for seed in 0..10 {
        for synchronous in ["full", "off"] {
            let mut disk = PowerDisk::new(folder.path());
            let random = &mut Random::new(seed);
            disk.cut_after(random.within(60..300) as u64, || {});
            let (told, found) = committed_rows(&mut disk, synchronous, random);
            if synchronous == "full" {
                assert!(
                    found >= told,
                    "seed {seed}: {told} rows were committed, {found} are there"
                );
            } else {
                lost += usize::from(found < told);
            }
        }
    }
    assert!(
        lost > 0,
        "without an fsync nothing was ever lost: the disk forgets nothing"
    );
}
