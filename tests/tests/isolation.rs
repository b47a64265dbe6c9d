//! Two users of one server: each tries to reach what is the other's, in every way that there is.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};

use yore_store::{ContentId, EntryId, FolderId, GROUP, Hash, SnapshotId};
use yore_tests::daemon::{Daemon, free_port};
use yore_tests::machine::Machine;
use yore_tests::raw::{Raw, start, way};
use yore_tests::{noise, until};
use yore_wire::{Answer, FailureKind, Message, Packet, Question};

/// What only Ann has.
const SECRET: &[u8] = b"what only ann has\n";

/// A server with a machine of Ann's that has pushed, and one of Eve's that has not.
fn two_users() -> (Daemon, Machine, Machine) {
    let daemon = Daemon::start();
    daemon.add("ann", &[]);
    daemon.add("eve", &["--may-prune"]);
    let (ann, eve) = (daemon.linked("ann", "safe"), daemon.linked("eve", "own"));
    fs::write(ann.source().join("secret"), SECRET).unwrap();
    fs::write(ann.source().join("large"), noise(1, 4 << 20)).unwrap();
    ann.snapshotted();
    (daemon, ann, eve)
}

/// Nothing was made outside of the two folders, and Ann's repository is as it was.
fn assert_apart(daemon: &Daemon, ann: &Machine) {
    assert_eq!(yore_tests::names(&daemon.user_folder("")), ["ann", "eve"]);
    assert_eq!(yore_tests::names(&daemon.user_folder("ann")), ["safe"]);
    assert_eq!(ann.snapshots().len(), 1);
    daemon.assert_well("ann", "safe");
}

#[test]
fn a_key_is_its_users_and_a_name_cannot_leave_the_users_folder() {
    let (daemon, ann, eve) = two_users();
    let server = format!("127.0.0.1:{}", daemon.port);
    // As the other user, with one's own key.
    let said = eve.refused(1, &["snapshots", "-r", &format!("ssh://ann@{server}/safe")]);
    assert!(said.contains("ann is not let in"), "{said}");
    // As oneself, by the other's repository.
    for name in ["safe", "ann"] {
        let said = eve.refused(1, &["snapshots", "-r", &format!("ssh://eve@{server}/{name}")]);
        assert!(said.contains("no repository"), "{name}: {said}");
    }
    let long = "x".repeat(65);
    let longer = "x".repeat(100_000);
    let names = [
        "../ann/safe",
        "..",
        ".",
        "",
        "/",
        "../../users/ann/safe",
        "safe/../../ann/safe",
        "ann/safe",
        "own/../../ann/safe",
        "safe\0",
        "\0",
        "own\n",
        ".deleted-1",
        "-x",
        "own.",
        "~ann",
        "$HOME",
        "*",
        "ö",
        &daemon.user_folder("ann/safe").display().to_string(),
        &long,
        &longer,
    ];
    for name in names {
        for to_push in [false, true] {
            let mut raw = Raw::greeted(&eve);
            let question = Question::Open {
                repository: name.to_owned(),
                to_push,
            };
            let failure = raw.ask(question).expect_err("it is no name");
            assert_eq!(failure.kind, FailureKind::Denied, "{name:?}: {failure:?}");
            // It was an answer, and no more: the session goes on, with nothing open.
            let failure = raw.ask(Question::Snapshots).expect_err("nothing is open");
            assert!(failure.text.contains("no repository is open"), "{failure:?}");
        }
    }
    assert_apart(&daemon, &ann);
    assert_eq!(yore_tests::names(&daemon.user_folder("eve")), ["own"]);
}

#[test]
fn a_link_in_the_data_folder_leads_nowhere() {
    let (daemon, ann, eve) = two_users();
    eve.snapshotted();
    // A repository of Eve's that is a link to Ann's, as if somebody had put it there.
    let own = daemon.user_folder("eve/own");
    let kept = daemon.path("kept");
    fs::rename(&own, &kept).unwrap();
    for target in [daemon.user_folder("ann/safe"), "../ann/safe".into(), kept.clone()] {
        symlink(&target, &own).unwrap();
        for args in [&["snapshots"][..], &["snapshot", "source"], &["cat", "latest:/"]] {
            let said = eve.refused(1, args);
            assert!(!said.contains("secret"), "{said}");
        }
        fs::remove_file(&own).unwrap();
    }
    fs::rename(&kept, &own).unwrap();
    eve.snapshotted();
    // Her whole folder as a link to Ann's.
    let eves = daemon.user_folder("eve");
    fs::rename(&eves, &kept).unwrap();
    symlink("ann", &eves).unwrap();
    eve.refused(1, &["snapshots"]);
    eve.refused(
        1,
        &["snapshots", "-r", &format!("ssh://eve@127.0.0.1:{}/safe", daemon.port)],
    );
    fs::remove_file(&eves).unwrap();
    fs::rename(&kept, &eves).unwrap();
    // A file of her repository as a link to one of Ann's: it is not what her catalog says.
    fs::write(eve.source().join("file"), noise(9, 4 << 20)).unwrap();
    eve.snapshotted();
    let theirs = files_below(&daemon.user_folder("ann/safe/heads"));
    let hers = files_below(&own.join("heads"));
    fs::remove_file(&hers[0]).unwrap();
    symlink(&theirs[0], &hers[0]).unwrap();
    let output = eve.yore(&["cat", &format!("latest:{}", eve.source().join("file").display())]);
    assert!(!output.status.success());
    let secret = noise(1, 4 << 20);
    assert!(!output.stdout.windows(64).any(|bytes| bytes == &secret[..64]));
    assert_apart(&daemon, &ann);
}

/// The files below a folder.
fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let list = |folder: &std::path::Path| -> Vec<_> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let (folders, files): (Vec<_>, Vec<_>) = list(folder).into_iter().partition(|path| path.is_dir());
    files
        .into_iter()
        .chain(folders.iter().flat_map(|folder| files_below(folder)))
        .collect()
}

#[test]
fn numbers_and_hashes_of_the_other_repository_mean_nothing() {
    let (daemon, ann, eve) = two_users();
    let (large, small) = (Hash::of(&noise(1, 4 << 20)), Hash::of(SECRET));
    let mut raw = Raw::opened(&eve);
    for number in 1..20 {
        let (snapshot, folder) = (SnapshotId(number), FolderId(number));
        let questions = [
            Question::Root { snapshot },
            Question::Folder { snapshot, folder },
            Question::Entry { id: EntryId(number) },
            Question::Links { snapshot, link: number },
            Question::List { snapshot, folder },
            Question::Read {
                content: ContentId(number),
                offset: 0,
                length: GROUP,
            },
            Question::ReadSmall {
                contents: vec![ContentId(number)],
            },
            Question::Diff {
                a: snapshot,
                b: snapshot,
            },
        ];
        for question in questions {
            let answer = raw.ask(question.clone());
            assert!(
                answer.as_ref().is_ok_and(Vec::is_empty) || answer.is_err(),
                "{question:?}: {answer:?}"
            );
        }
    }
    for hash in [large, small] {
        assert_eq!(raw.ask(Question::BaseValues { hash }), Ok(vec![]));
        let question = Question::Signature {
            hash,
            block_len: 4096,
            ranges: vec![(0, 4096)],
        };
        raw.ask(question).expect_err("there is no such content");
    }
    assert_eq!(raw.ask(Question::Snapshots), Ok(vec![]));
    assert_eq!(raw.ask(Question::Find { pattern: b"*".to_vec() }), Ok(vec![]));
    let path = ann.source().join("secret").display().to_string().into_bytes();
    assert_eq!(raw.ask(Question::Versions { path }), Ok(vec![]));
    // In a push: a base that only the other has, and contents that are named and not sent.
    let named = |hash, size| {
        vec![
            Message::Enter {
                name: vec![],
                meta: Some(yore_store::Meta::plain(yore_store::Kind::Folder, 0o755)),
            },
            Message::Put {
                name: b"taken".to_vec(),
                meta: Box::new(yore_store::Meta::plain(yore_store::Kind::File, 0o644)),
                body: Some(yore_store::Body { hash, size }),
                link: None,
            },
        ]
    };
    let based = Message::LargeBegin {
        base: Some(large),
        key: [1; 16],
    };
    for messages in [named(small, SECRET.len() as u64), named(large, 4 << 20), vec![based]] {
        let mut raw = Raw::opened(&eve);
        let begun = raw.ask(start("eve")).expect("a push begins");
        assert!(
            !begun
                .iter()
                .any(|answer| matches!(answer, Answer::Kept(_) | Answer::KeptGroups { .. })),
            "{begun:?}"
        );
        messages.into_iter().for_each(|message| raw.say(&Packet::Tell(message)));
        let failure = raw.ask(Question::Commit { unread: 0 }).expect_err("nothing was sent");
        assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
        // Whether somebody else has it is not said.
        assert!(!failure.text.contains("ann"), "{failure:?}");
    }
    assert!(eve.snapshots().is_empty());
    assert_apart(&daemon, &ann);
}

/// The system's `ssh`, as a machine's key gets in, with these options and words.
fn ssh(machine: &Machine, options: &[&str], words: &[&str]) -> Command {
    let server = way(machine);
    let known = format!(
        "-oUserKnownHostsFile={}",
        machine.config().join("known_hosts").display()
    );
    let mut command = Command::new("ssh");
    command.args([
        "-F",
        "none",
        "-oBatchMode=yes",
        "-oHostKeyAlias=yored",
        "-oIdentitiesOnly=yes",
        &known,
    ]);
    command
        .arg("-oStrictHostKeyChecking=yes")
        .arg("-i")
        .arg(machine.config().join("key"));
    command
        .args(["-p", &server.address.port.to_string(), "-l", &server.user])
        .args(options);
    command.arg("127.0.0.1").args(words).stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn openssh_gets_no_shell_no_command_no_forwarding_and_no_files() {
    let (daemon, ann, eve) = two_users();
    let home = eve.home.join("ssh-out");
    fs::write(&home, "").unwrap();
    let port = free_port().to_string();
    let forward = format!("{port}:127.0.0.1:{}", daemon.port);
    let cases: [(&[&str], &[&str]); 7] = [
        (&[], &[]),
        (&["-tt"], &[]),
        (&[], &["cat", "/etc/passwd"]),
        (&[], &["yore"]),
        (&["-s"], &["sftp"]),
        (&["-s"], &["shell"]),
        (&["-oExitOnForwardFailure=yes", "-N", "-R", &forward], &[]),
    ];
    for (options, words) in cases {
        let output = ssh(&eve, options, words).output().expect("ssh, of openssh-client");
        assert!(!output.status.success(), "{options:?} {words:?}: {}", said(&output));
        assert!(!said(&output).contains("root:"), "{}", said(&output));
    }
    // It listens by itself for -L and -D, and finds out when somebody comes.
    for option in [["-L", &forward], ["-D", &port]] {
        let mut tunnel = ssh(&eve, &[&option[..], &["-N"]].concat(), &[]).spawn().unwrap();
        let port: u16 = port.parse().unwrap();
        let mut stream = None;
        until("ssh listens", || {
            stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok();
            stream.is_some()
        });
        let mut stream = stream.unwrap();
        stream.set_read_timeout(Some(yore_tests::SOON)).unwrap();
        if option[0] == "-D" {
            // SOCKS 5: no login, then a connection to the server itself.
            let port = daemon.port.to_be_bytes();
            let request = [&[5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1][..], &port].concat();
            std::io::Write::write_all(&mut stream, &request).unwrap();
        }
        let mut got = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut got);
        assert!(
            !String::from_utf8_lossy(&got).contains("SSH-2.0"),
            "{option:?} leads on"
        );
        let _ = tunnel.kill();
        let _ = tunnel.wait();
    }
    let server = way(&eve);
    for program in ["scp", "sftp"] {
        let known = format!("-oUserKnownHostsFile={}", eve.config().join("known_hosts").display());
        let mut copy = Command::new(program);
        copy.args(["-F", "none", "-oBatchMode=yes", "-oHostKeyAlias=yored", &known, "-P"]);
        copy.arg(server.address.port.to_string())
            .arg("-i")
            .arg(eve.config().join("key"));
        copy.arg("eve@127.0.0.1:/etc/passwd").arg(&home).stdin(Stdio::null());
        let output = copy.output().unwrap();
        assert!(!output.status.success(), "{program}: {}", said(&output));
    }
    assert_eq!(fs::read(&home).unwrap(), b"");
    assert_apart(&daemon, &ann);
}
