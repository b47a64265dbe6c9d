//! Administration as a script sees it: exit statuses, stdout, stderr.

mod bench;

use std::io::Write;
use std::process::{Command, Stdio};

use yore_server::accounts::NewSession;

use bench::{Bench, KEY, status, stderr, stdout};

#[test]
fn errors_are_one_line_and_have_their_status() {
    let bench = Bench::new();
    let cases: [(&[&str], i32, &str); 12] = [
        (&["user", "set", "bob", "--may-prune"], 1, "no user bob"),
        (&["user", "set", "bob"], 2, "nothing is to change"),
        (&["user", "add", "../bob"], 2, "cannot be the name"),
        (&["user", "add", "bob", "--quota", "lots"], 2, "not a size"),
        (&["user", "del", "bob"], 1, "no user bob"),
        (&["invite", "bob"], 1, "no user bob"),
        (&["invite", "bob", "--expires", "0s"], 2, "over at once"),
        (&["key", "revoke", "7"], 1, "no key 7"),
        (&["key", "list", "bob"], 1, "no user bob"),
        (&["repo", "del", "bob/docs", "--yes", "bob/docs"], 1, "no user bob"),
        (&["repo", "set", "docs", "--max-age", "1d"], 2, "USER/NAME"),
        (&["mail", "test"], 1, "mail.to"),
    ];
    for (args, expected, part) in cases {
        let output = bench.yored(args);
        let said = stderr(&output);
        assert_eq!(status(&output), expected, "{args:?}: {said}");
        assert!(said.contains(part), "{args:?}: {said}");
        assert!(said.lines().count() == 1 || expected == 2, "{args:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_wrong_configuration_is_said_to_be_so() {
    let bench = Bench::configured("keep_fre = \"1G\"\n");
    let output = bench.yored(&["user", "list"]);
    assert_eq!(status(&output), 1);
    let expected = format!(
        "yored: {}:4: unknown key keep_fre; did you mean keep_free?\n",
        bench.config().display()
    );
    assert_eq!(stderr(&output), expected);
    assert!(!bench.data().exists());
    std::fs::remove_file(bench.config()).unwrap();
    assert_eq!(status(&bench.yored(&["user", "list"])), 1);
}

#[test]
fn users_are_added_changed_listed_and_removed() {
    let bench = Bench::new();
    let added = bench.text(&["user", "add", "ann", "--quota", "20G"]);
    assert!(added.contains("yored invite ann"), "{added}");
    assert_eq!(status(&bench.yored(&["user", "add", "ann"])), 1);
    bench.text(&["user", "add", "bob", "-q"]);
    let ann = bench.json(&[
        "user",
        "set",
        "ann",
        "--may-prune",
        "--email",
        "ann@example.org",
        "--unix-user",
        "nobody",
    ]);
    assert_eq!(
        (&ann["may_prune"], &ann["quota"], &ann["unix_user"]),
        (&true.into(), &(20u64 << 30).into(), &"nobody".into())
    );
    let ann = bench.json(&["user", "set", "ann", "--may-prune=false", "--quota", "none"]);
    assert_eq!(
        (&ann["may_prune"], ann["quota"].is_null(), &ann["email"]),
        (&false.into(), true, &"ann@example.org".into())
    );
    assert_eq!(bench.json(&["user", "list", "bob"])[0]["name"], "bob");
    let refused =
        bench.text(&["user", "set", "bob", "--disabled"]).len() + bench.yored(&["invite", "bob"]).stdout.len();
    assert_eq!(refused, "changed user bob\n".len());
    let listed = bench.text(&["user", "list"]);
    assert_eq!(listed.lines().count(), 3, "{listed}");
    bench.text(&["user", "del", "bob"]);
    assert_eq!(bench.json(&["user", "list"]).as_array().unwrap().len(), 1);
    assert!(!bench.data().join("users/bob").exists());
}

#[test]
fn a_password_comes_from_standard_input_and_nothing_prompts() {
    let bench = Bench::new();
    bench.text(&["user", "add", "bob"]);
    assert_eq!(bench.json(&["user", "list"])[0]["has_password"], false);
    let give = |input: &str| {
        let mut command = bench.command(&["user", "set", "bob", "--password-stdin"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert_eq!(status(&give("correct horse\nbattery\n")), 0);
    assert!(
        bench
            .accounts()
            .password_login("bob", "correct horse")
            .unwrap()
            .is_some()
    );
    let empty = give("");
    assert!(
        status(&empty) == 1 && stderr(&empty).contains("password is empty"),
        "{}",
        stderr(&empty)
    );
    bench.text(&["user", "set", "bob", "--no-password"]);
    assert!(
        bench
            .accounts()
            .password_login("bob", "correct horse")
            .unwrap()
            .is_none()
    );
}

#[test]
fn an_invitation_is_one_line_that_links() {
    let bench = Bench::new();
    bench.text(&["user", "add", "ann"]);
    let line = bench.text(&["invite", "ann"]);
    let words: Vec<&str> = line.strip_suffix('\n').unwrap().split(' ').collect();
    let [yore, link, url, user, name, invitation, token, host_key, fingerprint] = words[..] else {
        panic!("{line}");
    };
    assert_eq!(
        [yore, link, url, user, name],
        ["yore", "link", "ssh://127.0.0.1", "--user", "ann"]
    );
    assert_eq!([invitation, host_key], ["--invitation", "--host-key"]);
    assert!(bench.accounts().invitation_login("ann", token).unwrap().is_some());
    let keygen = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(bench.data().join("host_key"))
        .output();
    let keygen = keygen.expect("ssh-keygen, of openssh-client");
    assert!(stdout(&keygen).contains(fingerprint), "{fingerprint} {keygen:?}");
    bench.configure("address = \"backup.example.org:22\"\n");
    let again = bench.json(&["invite", "ann", "--expires", "2h"]);
    assert_eq!(
        (&again["url"], &again["host_key"]),
        (&"ssh://backup.example.org:22".into(), &fingerprint.into())
    );
    assert!(
        again["command"]
            .as_str()
            .unwrap()
            .contains(again["token"].as_str().unwrap())
    );
}

#[test]
fn keys_are_listed_and_revoked() {
    let bench = Bench::new();
    bench.ann();
    let keys = bench.json(&["key", "list", "ann"]);
    assert_eq!(
        (&keys[0]["machine"], &keys[0]["user"], keys[0]["revoked"].is_null()),
        (&"laptop".into(), &"ann".into(), true)
    );
    let said = bench.text(&["key", "revoke", "laptop"]);
    assert!(said.starts_with("revoked key 1 of ann: laptop, SHA256:"), "{said}");
    assert!(bench.accounts().key_login("ann", KEY).unwrap().is_none());
    assert!(!bench.json(&["key", "list"])[0]["revoked"].is_null());
}

#[test]
fn a_repository_goes_only_if_its_name_is_given_twice() {
    let bench = Bench::new();
    bench.ann();
    let refused: [&[&str]; 4] = [
        &["repo", "del", "ann/docs"],
        &["repo", "del", "ann/docs", "--yes", "ann/doc"],
        &["user", "del", "ann", "--with-repositories"],
        &["user", "del", "ann", "--with-repositories", "--yes", "bob"],
    ];
    for args in refused {
        let output = bench.yored(args);
        assert_eq!(status(&output), 2, "{args:?}: {}", stderr(&output));
        assert!(bench.repository_folder().exists());
    }
    let kept = bench.yored(&["user", "del", "ann"]);
    assert!(status(&kept) == 1 && stderr(&kept).contains("--with-repositories"));
    bench.text(&["repo", "del", "ann/docs", "--yes", "ann/docs"]);
    assert!(!bench.repository_folder().exists());
    assert_eq!(bench.json(&["repo", "list"]), serde_json::json!([]));
    bench.text(&["user", "del", "ann", "--with-repositories", "--yes", "ann"]);
    assert!(!bench.data().join("users/ann").exists());
}

#[test]
fn a_repository_in_use_stays() {
    let bench = Bench::new();
    bench.ann();
    let (ann, docs) = ("ann".parse().unwrap(), "docs".parse().unwrap());
    let session = NewSession {
        user: &ann,
        repository: Some(&docs),
        from: "10.0.0.1",
        key: None,
        what: "push",
    };
    bench.accounts().session_begin(&session).unwrap();
    let output = bench.yored(&["repo", "del", "ann/docs", "--yes", "ann/docs"]);
    assert!(
        status(&output) == 1 && stderr(&output).contains("from 10.0.0.1"),
        "{}",
        stderr(&output)
    );
    assert!(bench.repository_folder().exists());
    let shown = bench.text(&["status"]);
    assert!(shown.lines().nth(1).unwrap().starts_with("ann   docs"), "{shown}");
    assert_eq!(bench.json(&["status"])["sessions"][0]["from"], "10.0.0.1");
    // What a daemon that died has left keeps nobody from anything.
    bench.dies();
    let dead = bench.yored(&["check"]);
    assert!(
        status(&dead) == 1 && stdout(&dead).contains("yored does not run"),
        "{}",
        stdout(&dead)
    );
    let status = bench.json(&["status"]);
    assert_eq!(
        (&status["running"], &status["sessions"]),
        (&false.into(), &serde_json::json!([]))
    );
    bench.text(&["repo", "del", "ann/docs", "--yes", "ann/docs"]);
}

#[test]
fn a_repository_has_settings_of_its_own() {
    let bench = Bench::new();
    let id = bench.ann();
    let set = bench.json(&[
        "repo",
        "set",
        "ann/docs",
        "--keep-daily",
        "7",
        "--max-age",
        "4d",
        "--skip-weekdays",
        "sat,sun",
    ]);
    assert_eq!(
        (&set["keep"], &set["max_age"]),
        (&"daily 7".into(), &(4 * 86_400).into())
    );
    assert_eq!(set["skip_weekdays"], serde_json::json!(["sat", "sun"]));
    let set = bench.json(&["repo", "set", "ann/docs", "--keep-default", "--max-age", "default"]);
    assert!(set["keep"].is_null() && set["max_age"].is_null() && !set["skip_weekdays"].is_null());
    bench.accounts().suspend_pruning(id, "all gone").unwrap();
    assert_eq!(bench.json(&["repo", "list", "ann"])[0]["suspended_because"], "all gone");
    assert!(bench.json(&["repo", "set", "ann/docs", "--resume-pruning"])["pruning_suspended"].is_null());
}

#[test]
fn a_check_says_what_is_wrong() {
    let bench = Bench::new();
    let unknown = bench.yored(&["check"]);
    assert_eq!(status(&unknown), 3);
    assert!(stdout(&unknown).starts_with("UNKNOWN: ") && !bench.data().exists());

    let id = bench.ann();
    let accounts = bench.accounts();
    let check = |args: &[&str]| {
        let output = bench.yored(&[&["check"], args].concat());
        (status(&output), stdout(&output))
    };
    let (code, said) = check(&[]);
    assert_eq!(
        (code, said.as_str()),
        (0, "OK: 1 repository, all is well\nOK: ann/docs: new, no success yet\n")
    );

    accounts
        .record_success(id, "2026-11-21_03-14-59", accounts.now() - 60, 950)
        .unwrap();
    let (code, said) = check(&["--nagios"]);
    assert_eq!(code, 1);
    let headline = said.lines().next().unwrap();
    assert!(
        headline.starts_with("YORED WARNING - 1 quota of 1 repository | repositories=1 bytes=950B "),
        "{said}"
    );
    assert!(
        said.contains("WARNING: ann/docs: ann uses 950 B of 1000 B (95 %)"),
        "{said}"
    );

    accounts
        .record_success(id, "2026-11-21_03-14-59", accounts.now() - 3 * 86_400, 1)
        .unwrap();
    accounts.record_failure(id, accounts.now(), "no | room", false).unwrap();
    let (code, said) = check(&["--nagios"]);
    assert_eq!((code, said.matches('|').count()), (2, 1), "{said}");
    assert!(
        said.starts_with("YORED CRITICAL - 1 overdue, 1 failed of 1 repository"),
        "{said}"
    );
    let output = bench.yored(&["check", "--json"]);
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&object["status"], &object["repositories"][0]["findings"][1]["kind"]),
        (&"CRITICAL".into(), &"failed".into())
    );
    assert_eq!(bench.json(&["status"])["repositories"][0]["overdue"], true);

    // What is allowed is the repository's to have.
    bench.text(&["repo", "set", "ann/docs", "--max-age", "9d"]);
    assert_eq!(check(&[]).0, 1);
}

#[test]
fn a_full_disk_is_critical() {
    let bench = Bench::new();
    bench.text(&["user", "add", "ann"]);
    let text = std::fs::read_to_string(bench.config()).unwrap();
    std::fs::write(
        bench.config(),
        text.replace("keep_free = \"0\"", "keep_free = \"1000000T\""),
    )
    .unwrap();
    let output = bench.yored(&["check"]);
    assert_eq!(status(&output), 2);
    assert!(
        stdout(&output).starts_with("CRITICAL: disk full: "),
        "{}",
        stdout(&output)
    );
}

#[test]
fn status_knows_what_is_expected_next() {
    let bench = Bench::new();
    assert!(bench.text(&["status"]).contains("no repositories"));
    let id = bench.ann();
    let accounts = bench.accounts();
    accounts
        .record_success(id, "2026-11-20_12-00-00", 1_795_176_000, 4096)
        .unwrap();
    accounts.set_interval_seen(id, Some("1h".parse().unwrap())).unwrap();
    let repository = &bench.json(&["status"])["repositories"][0];
    assert_eq!(repository["next_expected"], "2026-11-20T13:00:00Z");
    assert_eq!(
        (&repository["snapshot"], &repository["bytes"]),
        (&"2026-11-20_12-00-00".into(), &4096.into())
    );
    assert!(bench.text(&["status"]).contains("2026-11-20 13:00:00"));
}

#[test]
fn everything_done_is_in_the_audit_log() {
    let bench = Bench::new();
    bench.ann();
    bench.text(&["user", "set", "ann", "--quota", "2G"]);
    bench.text(&["key", "revoke", "1"]);
    bench.text(&["repo", "del", "ann/docs", "--yes", "ann/docs"]);
    let log = bench.json(&["audit", "--since", "1h"]);
    let done: Vec<&str> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["what"].as_str().unwrap())
        .collect();
    let expected = [
        "user add ann",
        "user set ann",
        "key add ann 1",
        "repo add ann/docs",
        "user set ann",
        "key revoke ann 1",
        "repo del ann/docs",
    ];
    assert_eq!(done, expected);
    assert_eq!(
        (&log[4]["old"], &log[4]["new"]),
        (&"quota=1000".into(), &"quota=2G".into())
    );
    assert_eq!((&log[3]["who"], &log[3]["from"]), (&"ann".into(), &"10.0.0.1".into()));
    let newest = bench.text(&["audit", "--limit", "1"]);
    assert!(
        newest.lines().count() == 2 && newest.contains("repo del ann/docs"),
        "{newest}"
    );
    assert_eq!(bench.json(&["audit", "--since", "2100-01-01"]), serde_json::json!([]));
}

#[test]
fn many_administrators_at_once() {
    let bench = Bench::new();
    let children: Vec<_> = (0..6)
        .map(|number| {
            let name = format!("user{number}");
            bench
                .command(&["user", "add", &name])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(bench.json(&["user", "list"]).as_array().unwrap().len(), 6);
}
