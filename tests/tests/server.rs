//! A household: users, machines that are linked, pushed to the server and read back from it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use yore_tests::daemon::{Daemon, free_port};
use yore_tests::machine::Machine;
use yore_tests::proxy::Proxy;
use yore_tests::{differences, fill, noise, run, until};

/// Changes some of it: a large file gets a byte in front, names come and go.
fn change(source: &Path) {
    let mut large = noise(2, 9 << 20);
    large.insert(0, 7);
    fs::write(source.join("large"), large).unwrap();
    fs::remove_file(source.join("folder/small")).unwrap();
    fs::write(source.join("new.txt"), "new\n").unwrap();
}

/// How many objects a listing has.
fn count(machine: &Machine, args: &[&str]) -> usize {
    machine.json(args).as_array().expect("an array").len()
}

#[test]
fn a_linked_machine_is_backed_up_and_read_like_a_folder_of_its_own() {
    let daemon = Daemon::start();
    daemon.add("ann", &["--quota", "1G"]);
    let laptop = daemon.linked("ann", "laptop");
    fill(&laptop.source());
    let first = laptop.snapshotted();
    let copy = laptop.home.join("copy");
    run(Command::new("cp").arg("-a").arg(laptop.source()).arg(&copy));
    change(&laptop.source());
    let second = laptop.snapshotted();

    assert_eq!(laptop.snapshots(), [first.clone(), second.clone()]);
    assert_eq!(differences(&copy, &laptop.restored(&first, "out1")), "");
    assert_eq!(differences(&laptop.source(), &laptop.restored("latest", "out2")), "");
    let at = |snapshot: &str, name: &str| format!("{snapshot}:{}", laptop.source().join(name).display());
    assert_eq!(laptop.text(&["cat", &at(&first, "folder/small")]), "small\n");
    assert_eq!(
        laptop.text(&["ls", &at("latest", "")]),
        "dangling\nempty\nfifo\nfolder\nlarge\nlinked\nnew.txt\n"
    );
    assert_eq!(count(&laptop, &["find", "new*"]), 1);
    assert_eq!(count(&laptop, &["log", "source/large"]), 2);
    let changed = laptop.text(&["diff", &first, &second]);
    for (letter, name) in [('+', "new.txt"), ('-', "folder/small"), ('M', "large")] {
        let line = format!("{letter} {}", laptop.source().join(name).display());
        assert!(changed.lines().any(|one| one == line), "no {line} in\n{changed}");
    }
    assert!(laptop.text(&["verify", "--read-data"]).starts_with("all is well"));
    assert_eq!(laptop.json(&["stats"])["snapshots"].as_array().unwrap().len(), 2);
    // The same by its URL, which needs the link only for the key.
    assert_eq!(count(&laptop, &["snapshots", "-r", &laptop.url()]), 2);

    let status = daemon.status_of("ann", "laptop");
    assert_eq!(
        (&status["snapshot"], &status["failure"]),
        (&second.into(), &serde_json::Value::Null)
    );
    assert!(status["bytes"].as_u64().unwrap() > 9 << 20, "{status}");
    daemon.until_idle();
    assert_eq!(daemon.json(&["check"])["status"], "OK");
    daemon.assert_well("ann", "laptop");
}

#[test]
fn a_revoked_key_ends_its_session_and_is_not_let_in_again() {
    let daemon = Daemon::start();
    daemon.add("ann", &[]);
    let proxy = Proxy::to(daemon.port);
    let laptop = daemon.linked_by(proxy.port, "ann", "laptop");
    fs::write(laptop.source().join("file"), noise(1, 8 << 20)).unwrap();
    laptop.snapshotted();
    fs::write(laptop.source().join("file"), noise(2, 8 << 20)).unwrap();
    let so_far = proxy.up();
    let mut push = laptop.start_snapshot();
    until("the push runs", || proxy.up() > so_far + (1 << 20));
    proxy.stall(true);
    let key = daemon.json(&["key", "list"])[0]["id"].to_string();
    daemon.text(&["key", "revoke", &key]);
    daemon.until_idle();
    proxy.stall(false);
    let failed = push.wait().unwrap();
    assert_eq!(failed.code(), Some(1));
    let said = laptop.refused(1, &["snapshots"]);
    assert!(said.contains("was it revoked"), "{said}");
    daemon.assert_well("ann", "laptop");
}

#[test]
fn a_push_whose_key_is_revoked_hears_why() {
    let daemon = Daemon::start();
    daemon.add("ann", &[]);
    let laptop = daemon.linked("ann", "laptop");
    fs::write(laptop.source().join("file"), noise(1, 8 << 20)).unwrap();
    let mut push = laptop.command(&["snapshot", "source", "--quiet", "--limit-rate", "1M"]);
    let push = push.stderr(Stdio::piped()).spawn().unwrap();
    until("the push runs", || {
        daemon.json(&["status"])["sessions"][0]["what"] == "push"
    });
    let key = daemon.json(&["key", "list"])[0]["id"].to_string();
    daemon.text(&["key", "revoke", &key]);
    let output = push.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // By itself a push goes on for ten minutes when its connection is lost.
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("not allowed: this machine's key was revoked"), "{said}");
    until("it is written down", || {
        let failure = daemon.status_of("ann", "laptop")["failure"].to_string();
        failure.contains("revoked")
    });
}

#[test]
fn what_fails_before_there_is_anything_to_push_is_told_to_the_server() {
    let daemon = Daemon::start();
    daemon.add("ann", &[]);
    let laptop = daemon.linked("ann", "laptop");
    let failure = || daemon.status_of("ann", "laptop")["failure"].to_string();
    laptop.text(&["include", "source"]);
    let config = laptop.config().join("agent.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("before = \"exit 7\"\n{text}")).unwrap();
    laptop.refused(1, &["run", "--quiet"]);
    assert!(failure().contains("exit 7"), "{}", failure());
    fs::write(&config, text).unwrap();
    fs::rename(laptop.source(), laptop.home.join("elsewhere")).unwrap();
    laptop.refused(1, &["snapshot", "--quiet"]);
    assert!(failure().contains("source"), "{}", failure());
}

#[test]
fn a_second_daemon_on_the_same_data_is_refused_and_hurts_nobody() {
    let daemon = Daemon::start();
    daemon.add("ann", &[]);
    let laptop = daemon.linked("ann", "laptop");
    fs::write(laptop.source().join("file"), noise(1, 4 << 20)).unwrap();
    let mut push = laptop.command(&["snapshot", "source", "--quiet", "--limit-rate", "2M"]);
    let mut push = push.spawn().unwrap();
    until("the push runs", || {
        daemon.json(&["status"])["sessions"][0]["what"] == "push"
    });
    let second = daemon.yored(&["serve"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("runs already"), "{said}");
    let removal = daemon.yored(&["repo", "del", "ann/laptop", "--yes", "ann/laptop"]);
    assert!(!removal.status.success(), "it is in use");
    assert!(push.wait().unwrap().success());
}

#[test]
fn damage_is_told_until_a_whole_verification_finds_none() {
    let daemon = Daemon::start();
    daemon.add("ann", &[]);
    let laptop = daemon.linked("ann", "laptop");
    fs::write(laptop.source().join("file"), noise(1, 4 << 20)).unwrap();
    laptop.snapshotted();
    let head = run(Command::new("find")
        .arg(daemon.user_folder("ann/laptop/heads"))
        .args(["-type", "f"]));
    let head = Path::new(head.lines().next().unwrap());
    let whole = fs::read(head).unwrap();
    fs::write(
        head,
        [&whole[..1 << 20], &[!whole[1 << 20]], &whole[(1 << 20) + 1..]].concat(),
    )
    .unwrap();
    laptop.refused(1, &["verify", "--read-data", "--quiet"]);
    let damage = || daemon.status_of("ann", "laptop")["damage"].clone();
    assert!(damage().is_string(), "{}", damage());
    fs::write(head, whole).unwrap();
    laptop.text(&["verify", "--quiet"]);
    assert!(damage().is_string(), "not everything was read");
    // Seconds are what damage is remembered by.
    until("it is no more", || {
        laptop.text(&["verify", "--read-data", "--quiet"]);
        damage().is_null()
    });
}

#[test]
fn a_repository_that_cannot_be_opened_is_told_of() {
    let daemon = Daemon::start();
    daemon.add("ann", &[]);
    let laptop = daemon.linked("ann", "laptop");
    laptop.snapshotted();
    daemon.end(Signal::TERM);
    let catalog = daemon.user_folder("ann/laptop/catalog.sqlite3");
    let mut bytes = fs::read(&catalog).unwrap();
    bytes[100..3100].copy_from_slice(&noise(7, 3000));
    fs::write(&catalog, bytes).unwrap();
    daemon.run();
    laptop.refused(1, &["snapshot", "source", "--quiet"]);
    let status = daemon.status_of("ann", "laptop");
    assert!(status["failure"].to_string().contains("malformed"), "{status}");
    assert!(status["damage"].to_string().contains("malformed"), "{status}");
    assert_eq!(daemon.yored(&["check"]).status.code(), Some(2));
}

#[test]
fn an_invitation_is_not_used_up_by_a_link_that_is_refused_for_want_of_room() {
    let daemon = Daemon::start();
    daemon.add("ann", &["--quota", "1M"]);
    let laptop = daemon.machine("laptop");
    let invitation = daemon.invite("ann");
    let words: Vec<&str> = invitation.iter().map(String::as_str).collect();
    let said = laptop.refused(1, &words);
    assert!(said.contains("quota"), "{said}");
    assert_eq!(daemon.json(&["key", "list"]), serde_json::json!([]));
    daemon.text(&["user", "set", "ann", "--quota", "1G"]);
    laptop.link(&invitation, daemon.port, &[]);
    // The key that was made is for nobody else to read, or it is not used.
    let key = laptop.config().join("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let said = laptop.refused(1, &["snapshots"]);
    assert!(said.contains("chmod 600"), "{said}");
}

#[test]
fn the_administrator_removes_what_nobody_else_may() {
    let daemon = Daemon::start();
    daemon.add("ann", &["--may-prune"]);
    let laptop = daemon.linked("ann", "laptop");
    let first = laptop.snapshotted();
    fs::write(laptop.source().join("file"), "2").unwrap();
    laptop.snapshotted();
    let said = laptop.refused(1, &["forget", &first]);
    assert!(said.contains("yored repo forget"), "{said}");
    let unsure = daemon.yored(&["repo", "forget", "ann/laptop", &first]);
    assert_eq!(unsure.status.code(), Some(2));
    daemon.text(&["repo", "forget", "ann/laptop", &first, "--yes", "ann/laptop"]);
    assert_eq!(laptop.snapshots().len(), 1);
    daemon.assert_well("ann", "laptop");
    assert!(daemon.text(&["audit"]).contains(&first));
}

#[test]
fn only_the_right_password_or_invitation_links_and_an_invitation_only_once() {
    let daemon = Daemon::start();
    daemon.add("ann", &[]);
    let give = |program: &mut Command, password: &str| {
        let mut child = program
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Who reads no password does not need one.
        let _ = stdin.write_all(format!("{password}\n").as_bytes());
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let set = give(
        &mut daemon.command(&["user", "set", "ann", "--password-stdin"]),
        "correct horse",
    );
    assert_eq!(set.0, Some(0), "{}", set.1);
    let url = format!("ssh://127.0.0.1:{}", daemon.port);
    let by_password = |machine: &Machine, user: &str, password: &str| {
        let args = [
            "link",
            &url,
            "--user",
            user,
            "--repository",
            &machine.name,
            "--password-stdin",
            "--yes",
        ];
        give(&mut machine.command(&args), password)
    };
    let (laptop, desktop, other) = (
        daemon.machine("laptop"),
        daemon.machine("desktop"),
        daemon.machine("other"),
    );
    let (status, said) = by_password(&laptop, "ann", "battery staple");
    assert!(status == Some(1) && said.contains("ann is not let in"), "{said}");
    let (status, said) = by_password(&laptop, "bob", "correct horse");
    assert!(status == Some(1) && said.contains("bob is not let in"), "{said}");
    assert!(!laptop.config().join("agent.toml").exists());
    let (status, said) = by_password(&laptop, "ann", "correct horse");
    assert_eq!(status, Some(0), "{said}");
    laptop.snapshotted();

    let used = daemon.invite("ann");
    desktop.link(&used, daemon.port, &["--repository", "desktop"]);
    let words: Vec<&str> = used.iter().map(String::as_str).collect();
    let said = other.refused(1, &[&words[..], &["--repository", "other"]].concat());
    assert!(said.contains("an invitation can be used once"), "{said}");
    let expired = daemon.text(&["invite", "ann", "--expires", "1s"]);
    let words: Vec<&str> = expired.trim().split(' ').skip(1).collect();
    until("the invitation expires", || {
        let output = other.yore(&[&words[..], &["--repository", "gone"]].concat());
        !output.status.success() || {
            // It was still good. That machine is linked then; the next one comes too late.
            fs::remove_dir_all(other.config()).unwrap();
            false
        }
    });
    // A name in use is not taken without being told to.
    let words = daemon.invite("ann");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = daemon
        .machine("third")
        .refused(1, &[&words[..], &["--repository", "laptop"]].concat());
    assert!(said.contains("in use, by"), "{said}");
}

#[test]
fn a_new_machine_takes_over_from_a_lost_one_and_sends_nothing_again() {
    let daemon = Daemon::start();
    daemon.add("ann", &[]);
    let old = daemon.linked("ann", "laptop");
    fill(&old.source());
    for number in 0..500 {
        fs::write(old.source().join(format!("folder/{number}")), noise(number + 10, 4000)).unwrap();
    }
    old.snapshotted();
    // The new one has the same paths: only what it knows of the server is gone with the old one.
    for gone in ["config", "cache"] {
        fs::rename(old.home.join(gone), old.home.join(format!("lost-{gone}"))).unwrap();
    }
    let proxy = Proxy::to(daemon.port);
    let new = daemon.machine("laptop");
    new.link(
        &daemon.invite("ann"),
        proxy.port,
        &["--repository", "laptop", "--replace"],
    );
    let restored = new.restored("latest", "out");
    assert_eq!(differences(&new.source(), &restored), "");
    fs::remove_dir_all(new.source()).unwrap();
    fs::rename(&restored, new.source()).unwrap();
    let before = proxy.up();
    new.snapshotted();
    let sent = proxy.up() - before;
    assert!(sent < 200_000, "{sent} bytes were sent of what the server has");
    assert_eq!(new.snapshots().len(), 2);
    fs::rename(old.home.join("lost-config"), old.home.join("config2")).unwrap();
    let mut late = new.command(&["snapshots"]);
    let late = late.env("YORE_CONFIG_DIR", old.home.join("config2")).output().unwrap();
    let said = String::from_utf8_lossy(&late.stderr);
    assert!(!late.status.success() && said.contains("not let in"), "{said}");
}

#[test]
fn another_server_in_the_same_place_is_refused() {
    let (daemon, other) = (Daemon::start(), Daemon::start());
    daemon.add("ann", &[]);
    let proxy = Proxy::to(daemon.port);
    let laptop = daemon.linked_by(proxy.port, "ann", "laptop");
    laptop.snapshotted();
    proxy.lead_to(other.port);
    let key_of = |daemon: &Daemon| {
        let path = daemon.data().join("host_key");
        let line = run(Command::new("ssh-keygen").arg("-lf").arg(path));
        line.split(' ').nth(1).expect("a fingerprint").to_owned()
    };
    let said = laptop.refused(1, &["snapshots"]);
    assert!(
        said.contains(&key_of(&daemon)) && said.contains(&key_of(&other)),
        "{said}"
    );
    let said = laptop.refused(1, &["snapshot", "source"]);
    assert!(said.contains("host key"), "{said}");
    // Nothing was said to it.
    assert_eq!(other.json(&["status"])["sessions"], serde_json::json!([]));
    proxy.lead_to(free_port());
    let said = laptop.refused(1, &["snapshots"]);
    assert!(!said.contains("host key"), "{said}");
}

#[test]
fn a_configuration_is_read_again_at_a_signal_unless_it_is_wrong() {
    let daemon = Daemon::start();
    daemon.add("ann", &[]);
    let laptop = daemon.linked("ann", "laptop");
    daemon.configure("keep_fre = \"1M\"\n");
    daemon.signal(Signal::HUP);
    daemon.said("stays as it was");
    laptop.snapshotted();
    // A floor that no disk can hold: the new configuration counts.
    daemon.configure("keep_free = \"4096T\"\n");
    daemon.signal(Signal::HUP);
    daemon.said("read again");
    fs::write(laptop.source().join("file"), noise(1, 100_000)).unwrap();
    let said = laptop.refused(1, &["snapshot", "source"]);
    assert!(said.contains("must stay free"), "{said}");
    assert_eq!(laptop.snapshots().len(), 1);
    daemon.configure("mount = \"/nowhere\"\n");
    daemon.signal(Signal::HUP);
    daemon.said("mount has changed: restart yored");
    daemon.configure("");
    daemon.signal(Signal::HUP);
    until("the floor is small again", || laptop.snapshot().status.success());
}

#[test]
fn a_server_that_is_ended_keeps_what_was_pushed() {
    let daemon = Daemon::start();
    daemon.add("ann", &[]);
    let proxy = Proxy::to(daemon.port);
    let laptop = daemon.linked_by(proxy.port, "ann", "laptop");
    let size = 48 << 20;
    fs::write(laptop.source().join("file"), noise(1, size)).unwrap();
    let so_far = proxy.up();
    let push = laptop.start_snapshot();
    until("much of it is there", || proxy.up() > so_far + (24 << 20));
    let (said, is_well) = daemon.end(Signal::TERM);
    assert!(is_well && !said.contains("panicked"), "{said}");
    let failed = push.wait_with_output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let sent = proxy.up() - so_far;
    daemon.assert_well("ann", "laptop");

    daemon.run();
    assert_eq!(daemon.json(&["status"])["sessions"], serde_json::json!([]));
    laptop.snapshotted();
    let all = proxy.up() - so_far;
    // What the server had not taken from the network is sent again, and no more.
    assert!(
        all < size as u64 + (6 << 20),
        "{all} bytes in all, {sent} before the end"
    );
    assert_eq!(differences(&laptop.source(), &laptop.restored("latest", "out")), "");
}
