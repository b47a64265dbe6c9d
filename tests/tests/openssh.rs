//! The system's `ssh` as what carries everything: `transport = "openssh"`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use yore_tests::daemon::Daemon;
use yore_tests::machine::Machine;
use yore_tests::{differences, noise};

/// A server, and a machine of ann's that is linked by OpenSSH.
fn linked() -> (Daemon, Machine) {
    let daemon = Daemon::start();
    daemon.add("ann", &[]);
    let machine = daemon.machine("laptop");
    machine.link(&daemon.invite("ann"), daemon.port, &["--transport", "openssh"]);
    assert_eq!(machine.configured("transport"), "openssh");
    (daemon, machine)
}

#[test]
fn openssh_carries_the_protocol_and_checks_the_pinned_key() {
    let (daemon, ann) = linked();
    fs::write(ann.source().join("more"), noise(3, 3 << 20)).unwrap();
    ann.snapshotted();
    assert_eq!(differences(&ann.source(), &ann.restored("latest", "out")), "");
    // Another key: what was pinned counts, and nothing that this account's ssh knows.
    let known = ann.config().join("known_hosts");
    let other = Daemon::start();
    let key = yore_tests::run(Command::new("ssh-keygen").arg("-yf").arg(other.data().join("host_key")));
    fs::write(&known, format!("yored {key}")).unwrap();
    let said = ann.refused(1, &["snapshots"]);
    assert!(
        said.contains("Host key verification failed") && said.contains("link --force"),
        "{said}"
    );
    drop(daemon);
}

#[test]
fn what_ssh_is_refused_is_not_tried_again() {
    let (daemon, ann) = linked();
    let key = daemon.json(&["key", "list"])[0]["id"].to_string();
    daemon.text(&["key", "revoke", &key]);
    // By itself a push goes on for ten minutes when a connection is lost.
    let said = ann.refused(1, &["snapshot", "source"]);
    assert!(said.contains("Permission denied (publickey"), "{said}");
    assert!(said.contains("revoked? `yore link --force`"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// An `ssh` of this machine that reads its own configuration, before the system's in PATH.
fn own_ssh(machine: &Machine, config: &str) -> String {
    let script = |name: &str, text: &str| {
        let path = machine.home.join("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    fs::create_dir_all(machine.home.join("bin")).unwrap();
    let home = machine.home.display();
    fs::write(machine.home.join("ssh_config"), config).unwrap();
    script(
        "ssh",
        &format!("#!/bin/sh\nPATH=${{PATH#*:}}; exec ssh -F '{home}/ssh_config' \"$@\"\n"),
    );
    // What a jump host does: a connection from elsewhere.
    script(
        "jump",
        &format!(
            "#!/bin/bash\necho \"$1 $2\" >> '{home}/jumps'\ntrap 'kill $! 2>/dev/null' EXIT HUP\n\
             exec 3<> /dev/tcp/$1/$2\ncat <&3 &\ncat >&3\n"
        ),
    );
    format!("{home}/bin:{}", std::env::var("PATH").unwrap())
}

#[test]
fn a_machine_that_reaches_its_server_only_by_another_can_be_linked() {
    let daemon = Daemon::start();
    daemon.add("ann", &[]);
    let ann = daemon.machine("laptop");
    let config = format!(
        "Host nas.invalid\n  HostName 127.0.0.1\n  ProxyCommand {}/bin/jump %h %p\n",
        ann.home.display()
    );
    let path = own_ssh(&ann, &config);
    let jumps = || {
        fs::read_to_string(ann.home.join("jumps"))
            .unwrap_or_default()
            .lines()
            .count()
    };
    let invitation = daemon.invite("ann");
    let token = invitation.iter().find(|word| word.starts_with("yi-")).unwrap();
    let url = format!("ssh://nas.invalid:{}", daemon.port);
    let link = ["link", &url, "--user", "ann", "--yes", "--invitation", token];
    let straight = ann.command(&link).env("PATH", &path).output().unwrap();
    assert_eq!(straight.status.code(), Some(1), "there is no such host");
    assert_eq!(jumps(), 0);
    yore_tests::run(
        ann.command(&[&link[..], &["--transport", "openssh"]].concat())
            .env("PATH", &path),
    );
    assert!(jumps() > 1, "its key was looked at, and it was tried");
    let before = jumps();
    fs::write(ann.source().join("file"), "by another").unwrap();
    yore_tests::run(ann.command(&["snapshot", "source"]).env("PATH", &path));
    assert!(jumps() > before);
    let cat = format!("latest:{}", ann.source().canonicalize().unwrap().join("file").display());
    let read = yore_tests::run(ann.command(&["cat", &cat]).env("PATH", &path));
    assert_eq!(read, "by another");
    // Linking anew finds how it is reached in its file.
    let again = daemon.invite("ann");
    let token = again.iter().find(|word| word.starts_with("yi-")).unwrap();
    let link = ["link", &url, "--user", "ann", "--yes", "--force", "--invitation", token];
    yore_tests::run(ann.command(&link).env("PATH", &path));
}
