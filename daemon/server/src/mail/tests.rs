//! Letters that really leave, to a mail server on loopback.

use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use yore_store::StepClock;

use super::smtp::Server;
use super::*;
use crate::accounts::{By, RepositoryRow, UserChange};
use crate::config::Tls;
use crate::failure::{Cause, Failed};

const DAY: i64 = 86_400;
/// Friday, 2026-11-20, 12:00 UTC.
const FRIDAY_NOON: i64 = 1_795_176_000;
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
const ROOT: By<'_> = By {
    who: "root",
    from: "this machine",
};

/// A post with a user who has an address, a quota of 100 bytes and a repository.
struct Bench {
    _folder: tempfile::TempDir,
    clock: Arc<StepClock>,
    accounts: Accounts,
    user: User,
    row: RepositoryRow,
    config: Config,
}

impl Bench {
    fn new(server: &Server, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(StepClock::new(FRIDAY_NOON));
        let accounts = Accounts::open_with_clock(folder.path(), clock.clone()).unwrap();
        let change = UserChange {
            email: Some(Some("ann@example.org".into())),
            quota: Some(Some(100)),
            ..UserChange::default()
        };
        let user = accounts.add_user(&"ann".parse().unwrap(), &change, ROOT).unwrap();
        let docs = "docs".parse().unwrap();
        let row = accounts
            .add_repository(user.id, &docs, None, Some("laptop"), "x")
            .unwrap();
        let text = format!(
            "{more}\n[mail]\ntransport = \"smtp\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nfrom = \
             \"yored@example.org\"\nto = \"root@example.org\"\n",
            server.address.port()
        );
        let config = Config::parse(&text, Path::new("/y.toml")).unwrap();
        Bench {
            _folder: folder,
            clock,
            accounts,
            user,
            row,
            config,
        }
    }

    fn post(&self) -> Post {
        Post::new(&self.config, &self.accounts)
    }
}

#[test]
fn a_test_says_what_the_server_answered() {
    let server = Server::new();
    let bench = Bench::new(&server, "");
    let (to, answer) = bench.post().test(None).unwrap();
    assert_eq!(
        (to.to_string().as_str(), answer.as_str()),
        ("root@example.org", "250 queued as 42")
    );
    let got = server.letter();
    assert!(got.from.contains("yored@example.org") && got.to[0].contains("root@example.org"));
    for part in [
        "Subject: [yore] mail works",
        "Auto-Submitted: auto-generated",
        "Date: ",
        "Message-ID: ",
        "What to do",
    ] {
        assert!(got.text.contains(part), "{part} in {}", got.text);
    }
    assert!(got.login.is_none());
    let to = "bob@example.org".parse().unwrap();
    bench.post().test(Some(&to)).unwrap();
    assert!(server.letter().to[0].contains("bob@example.org"));
}

#[test]
fn a_refusal_is_told_as_it_was_said() {
    let server = Server::answering("550 no such luck");
    let bench = Bench::new(&server, "");
    let error = bench.post().test(None).unwrap_err().to_string();
    assert!(
        error.contains("no such luck") && error.contains(&server.address.to_string()),
        "{error}"
    );
}

#[test]
fn nothing_goes_in_the_clear_where_tls_is_asked_for() {
    let server = Server::new();
    let mut bench = Bench::new(&server, "");
    for tls in [Tls::Starttls, Tls::Tls] {
        bench.config.mail.tls = tls;
        assert!(matches!(bench.post().test(None), Err(MailError::Smtp { .. })));
        assert!(server.is_empty());
    }
}

#[test]
fn one_can_log_in_with_a_password_from_a_file() {
    let server = Server::new();
    let mut bench = Bench::new(&server, "");
    let file = bench._folder.path().join("password");
    std::fs::write(&file, "hunter2\n").unwrap();
    bench.config.mail.user = Some("u".into());
    bench.config.mail.password_file = Some(file.clone());
    bench.post().test(None).unwrap();
    // base64 of \0u\0hunter2
    assert_eq!(server.letter().login.as_deref(), Some("AUTH PLAIN AHUAaHVudGVyMg=="));
    std::fs::remove_file(&file).unwrap();
    let error = bench.post().test(None).unwrap_err();
    assert!(error.to_string().contains("password"), "{error}");
}

#[test]
fn a_failed_push_is_told_to_its_user_once_a_day() {
    let server = Server::new();
    let bench = Bench::new(&server, "");
    bench
        .post()
        .push_failed(bench.row.id, &Failed::reported("quota: 19.8 GiB used of 20 GiB"));
    let got = server.letter();
    assert!(got.to.len() == 1 && got.to[0].contains("ann@example.org"));
    assert!(
        got.text.contains("ann/docs") && got.text.contains("19.8 GiB used of 20 GiB"),
        "{}",
        got.text
    );
    bench.post().push_failed(bench.row.id, &Failed::reported("again"));
    assert!(server.is_empty());
    // Another cause is another matter; that of the disk is the administrator's too.
    let of = |cause, why: &str| Failed {
        cause,
        why: why.to_owned(),
    };
    bench.post().push_failed(bench.row.id, &of(Cause::Quota, "quota: full"));
    assert!(server.letter().text.contains("--quota SIZE"));
    bench.post().push_failed(bench.row.id, &of(Cause::Disk, "disk: full"));
    let both = [server.letter().to[0].clone(), server.letter().to[0].clone()];
    assert!(both.iter().any(|to| to.contains("root@example.org")), "{both:?}");
    bench.clock.advance(DAY);
    bench
        .post()
        .push_failed(bench.row.id, &Failed::reported("the next day"));
    server.letter();

    let nowhere = UserChange {
        email: Some(None),
        ..UserChange::default()
    };
    bench.accounts.set_user(&bench.user.name, &nowhere, ROOT).unwrap();
    bench.clock.advance(DAY);
    bench.post().push_failed(bench.row.id, &Failed::reported("no address"));
    assert!(server.letter().to[0].contains("root@example.org"));
}

#[test]
fn a_push_that_lost_its_connection_is_told_if_it_does_not_come_again() {
    let server = Server::new();
    let bench = Bench::new(&server, "");
    let fails = || {
        let now = bench.accounts.now();
        bench.accounts.record_failure(bench.row.id, now, "lost", true).unwrap();
        bench.post().push_failed(bench.row.id, &Failed::lost("lost"));
    };
    fails();
    bench.post().lost();
    assert!(server.is_empty());
    let now = bench.accounts.now();
    bench.accounts.record_success(bench.row.id, "s", now, 7).unwrap();
    bench.clock.advance(2 * 3600);
    bench.post().lost();
    assert!(server.is_empty(), "it has come again");
    fails();
    bench.clock.advance(2 * 3600);
    bench.post().lost();
    assert!(server.letter().text.contains("goes on where it was"));
}

#[test]
fn what_is_overdue_is_told_to_both_but_not_on_days_off() {
    let server = Server::new();
    let bench = Bench::new(&server, "skip_weekdays = [\"sat\", \"sun\"]");
    let look = || bench.post().tell_overdue(&TimeZone::UTC).unwrap();
    // Monday: one day that counts has gone by.
    bench.clock.advance(3 * DAY);
    look();
    assert!(server.is_empty());
    // Tuesday noon and a little.
    bench.clock.advance(DAY);
    look();
    let (one, two) = (server.letter(), server.letter());
    assert!(one.to[0].contains("ann@") && two.to[0].contains("root@"));
    assert!(one.text.contains("no backup for 2d"), "{}", one.text);
    look();
    assert!(server.is_empty());
    // Saturday.
    bench.clock.advance(4 * DAY);
    look();
    assert!(server.is_empty());
    // Monday again.
    bench.clock.advance(2 * DAY);
    look();
    server.letter();
    server.letter();
}

#[test]
fn a_mark_of_the_quota_is_told_once_until_it_was_left() {
    let server = Server::new();
    let bench = Bench::new(&server, "");
    let used = |bytes| bench.post().quota(bench.user.id, bytes);
    let told = || {
        let (one, _two) = (server.letter(), server.letter());
        let subject = one.text.lines().find(|line| line.starts_with("Subject")).unwrap();
        subject.to_owned()
    };
    used(74);
    assert!(server.is_empty());
    // Two marks at once are one letter.
    used(91);
    assert!(told().contains("91 %"));
    used(92);
    used(80);
    used(92);
    assert!(server.is_empty(), "the same day");
    used(99);
    assert!(told().contains("99 %"));
    bench.clock.advance(5 * DAY);
    used(99);
    assert!(server.is_empty(), "still the same");
    used(10);
    used(96);
    assert!(told().contains("96 %"));
}

#[test]
fn damage_keys_and_suspended_pruning_are_told_to_both() {
    let server = Server::new();
    let bench = Bench::new(&server, "");
    let post = bench.post();
    post.damage(bench.row.id, "pack 3");
    post.pruning_suspended(bench.row.id, "900 of 1000 files vanished\n\nNothing is lost.\n");
    let key = bench.accounts.enrol(bench.user.id, None, KEY, "laptop", "x").unwrap();
    post.key_added(bench.user.id, &key, "10.0.0.1:55", Enrolled::Invitation);
    for part in ["pack 3", "900 of 1000 files vanished", "with an invitation"] {
        for to in ["ann@example.org", "root@example.org"] {
            let got = server.letter();
            assert!(
                got.to[0].contains(to) && got.text.contains(part) && !got.text.contains("\\n"),
                "{part} {to} {}",
                got.text
            );
        }
    }
    post.key_added(bench.user.id, &key, "10.0.0.1:55", Enrolled::Invitation);
    assert!(server.is_empty());
}

#[test]
fn mail_that_fails_is_in_the_log_and_is_tried_again() {
    let refusing = Server::answering("451 later");
    let mut bench = Bench::new(&refusing, "");
    bench.post().damage(bench.row.id, "pack 3");
    let log = bench.accounts.audit_log(0, 1).unwrap();
    assert!(
        log[0].what.starts_with("mail failed to") && log[0].new.contains("later"),
        "{log:?}"
    );
    let server = Server::new();
    bench.config.mail.port = Some(server.address.port());
    bench.post().damage(bench.row.id, "pack 3");
    assert!(server.is_empty());
    bench.clock.advance(3600);
    bench.post().damage(bench.row.id, "pack 3");
    server.letter();
}

#[test]
fn without_a_transport_nothing_counts_as_told() {
    let server = Server::new();
    let mut bench = Bench::new(&server, "");
    bench.config.mail.transport = Transport::None;
    bench.post().damage(bench.row.id, "pack 3");
    assert!(matches!(bench.post().test(None), Err(MailError::Off)));
    bench.config.mail.transport = Transport::Smtp;
    bench.post().damage(bench.row.id, "pack 3");
    server.letter();
}
