//! The accounts as the daemon and the command line use them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use yore_store::StepClock;

use super::*;
use crate::units::Seconds;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
const OTHER_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G2sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";
const START: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

const ROOT: By<'_> = By {
    who: "root",
    from: "this machine",
};

/// Accounts with a user `ann`, and a clock.
struct Bench {
    folder: tempfile::TempDir,
    clock: Arc<StepClock>,
    accounts: Accounts,
    ann: User,
}

fn user_name(name: &str) -> UserName {
    name.parse().unwrap()
}

fn repository_name(name: &str) -> RepositoryName {
    name.parse().unwrap()
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(StepClock::new(START));
        let accounts = Accounts::open_with_clock(&folder.path().join("data"), clock.clone()).unwrap();
        let ann = accounts
            .add_user(&user_name("ann"), &UserChange::default(), ROOT)
            .unwrap();
        Bench {
            folder,
            clock,
            accounts,
            ann,
        }
    }

    fn repository(&self, name: &str) -> RepositoryRow {
        let name = repository_name(name);
        self.accounts
            .add_repository(self.ann.id, &name, None, Some("laptop"), "10.0.0.1")
            .unwrap()
    }

    fn last_audit(&self) -> AuditRow {
        self.accounts.audit_log(0, 1).unwrap().pop().unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn nobody_else_can_look_into_the_data() {
    let bench = Bench::new();
    let data = bench.accounts.data();
    for folder in [
        data.to_owned(),
        data.join("users"),
        bench.accounts.user_path(&bench.ann.name),
    ] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
    for file in [DATABASE.to_owned(), format!("{DATABASE}-wal")] {
        assert_eq!(mode(&data.join(&file)), 0o600, "{file}");
    }
}

#[test]
fn a_change_is_in_the_log_with_what_was_and_what_is() {
    let bench = Bench::new();
    let change = UserChange {
        quota: Some(Some(20 << 30)),
        email: Some(Some("ann@example.org".into())),
        ..UserChange::default()
    };
    let ann = bench.accounts.set_user(&bench.ann.name, &change, ROOT).unwrap();
    assert_eq!(
        (ann.quota, ann.email.as_deref(), ann.may_prune),
        (Some(20 << 30), Some("ann@example.org"), false)
    );
    let row = bench.last_audit();
    assert_eq!(
        (&*row.who, &*row.what, &*row.from),
        ("root", "user set ann", "this machine")
    );
    assert_eq!(
        (&*row.old, &*row.new),
        ("email=none quota=none", "email=ann@example.org quota=20G")
    );
    // What changes nothing says nothing.
    bench.accounts.set_user(&bench.ann.name, &change, ROOT).unwrap();
    assert_eq!(bench.last_audit().id, row.id);
    let nobody = bench.accounts.set_user(&user_name("bob"), &change, ROOT);
    assert!(matches!(nobody, Err(Error::NoSuchUser(_))));
    let again = bench.accounts.add_user(&bench.ann.name, &change, ROOT);
    assert!(matches!(again, Err(Error::UserExists(_))));
}

#[test]
fn a_key_opens_its_user_only_until_it_is_revoked() {
    let bench = Bench::new();
    let accounts = &bench.accounts;
    accounts
        .add_user(&user_name("bob"), &UserChange::default(), ROOT)
        .unwrap();
    let key = accounts
        .enrol(bench.ann.id, None, &format!("{KEY} ann@laptop"), "laptop", "10.0.0.1")
        .unwrap();
    assert_eq!((&*key.public, &*key.comment), (KEY, "laptop"));
    assert!(key.fingerprint.starts_with("SHA256:"));
    let (user, used) = accounts.key_login("ann", &format!("{KEY} whatever")).unwrap().unwrap();
    assert_eq!((user.id, used.id), (bench.ann.id, key.id));
    assert!(accounts.keys().unwrap()[0].last_used.is_some());
    for (name, public) in [
        ("bob", KEY),
        ("ann", OTHER_KEY),
        ("../ann", KEY),
        ("ann", "nonsense"),
        ("", ""),
    ] {
        assert!(accounts.key_login(name, public).unwrap().is_none(), "{name} {public}");
    }
    // The same key again is the same key.
    assert_eq!(
        accounts.enrol(bench.ann.id, None, KEY, "laptop", "x").unwrap().id,
        key.id
    );
    assert!(accounts.key_is_valid(key.id).unwrap());
    assert_eq!(accounts.revoke("laptop", ROOT).unwrap()[0].id, key.id);
    assert!(!accounts.key_is_valid(key.id).unwrap());
    assert!(accounts.key_login("ann", KEY).unwrap().is_none());
    assert!(matches!(
        accounts.enrol(bench.ann.id, None, KEY, "laptop", "x"),
        Err(Error::KeyRevoked)
    ));
    assert!(matches!(accounts.revoke("laptop", ROOT), Err(Error::NoSuchKey(_))));
}

#[test]
fn a_key_is_revoked_by_number_fingerprint_or_an_unambiguous_name() {
    let bench = Bench::new();
    let accounts = &bench.accounts;
    let one = accounts.enrol(bench.ann.id, None, KEY, "pc", "x").unwrap();
    let two = accounts.enrol(bench.ann.id, None, OTHER_KEY, "pc", "x").unwrap();
    assert!(matches!(accounts.revoke("pc", ROOT), Err(Error::AmbiguousKey { ids, .. }) if ids.len() == 2));
    accounts.revoke(&one.fingerprint, ROOT).unwrap();
    accounts.revoke(&two.id.to_string(), ROOT).unwrap();
    assert!(accounts.keys().unwrap().iter().all(|key| key.revoked.is_some()));
}

#[test]
fn a_disabled_account_lets_nobody_in() {
    let bench = Bench::new();
    let accounts = &bench.accounts;
    let key = accounts.enrol(bench.ann.id, None, KEY, "pc", "x").unwrap();
    accounts.set_password(&bench.ann.name, Some("secret"), ROOT).unwrap();
    let token = accounts.invite(&bench.ann.name, START + DAY, ROOT).unwrap();
    let disable = UserChange {
        disabled: Some(true),
        ..UserChange::default()
    };
    accounts.set_user(&bench.ann.name, &disable, ROOT).unwrap();
    assert!(accounts.key_login("ann", KEY).unwrap().is_none());
    assert!(!accounts.key_is_valid(key.id).unwrap());
    assert!(accounts.password_login("ann", "secret").unwrap().is_none());
    assert!(accounts.invitation_login("ann", &token).unwrap().is_none());
    assert!(accounts.enrol(bench.ann.id, None, OTHER_KEY, "pc", "x").is_err());
}

#[test]
fn passwords() {
    let bench = Bench::new();
    let accounts = &bench.accounts;
    assert!(accounts.password_login("ann", "").unwrap().is_none());
    accounts
        .set_password(&bench.ann.name, Some("correct horse"), ROOT)
        .unwrap();
    assert!(accounts.user(&bench.ann.name).unwrap().unwrap().has_password);
    assert!(accounts.password_login("ann", "correct horse").unwrap().is_some());
    for (user, password) in [
        ("ann", "wrong"),
        ("ann", ""),
        ("bob", "correct horse"),
        ("a/b", "x"),
        ("Ann", "correct horse"),
    ] {
        assert!(accounts.password_login(user, password).unwrap().is_none(), "{user}");
    }
    accounts.set_password(&bench.ann.name, None, ROOT).unwrap();
    assert!(accounts.password_login("ann", "correct horse").unwrap().is_none());
    assert!(matches!(
        accounts.set_password(&bench.ann.name, Some(""), ROOT),
        Err(Error::BadPassword(_))
    ));
    // Neither the password nor its hash is in the log.
    let log = format!("{:?}", accounts.audit_log(0, 100).unwrap());
    assert!(log.contains("password=set") && !log.contains("correct") && !log.contains("argon2"));
}

#[test]
fn an_invitation_is_used_once_by_its_user_in_time() {
    let bench = Bench::new();
    let accounts = &bench.accounts;
    accounts
        .add_user(&user_name("bob"), &UserChange::default(), ROOT)
        .unwrap();
    let token = accounts.invite(&bench.ann.name, START + DAY, ROOT).unwrap();
    assert!(accounts.invitation_login("bob", &token).unwrap().is_none());
    assert!(accounts.invitation_login("ann", "yi-aaaa").unwrap().is_none());
    let (user, id) = accounts.invitation_login("ann", &token).unwrap().unwrap();
    // To come in does not use it up; to enrol does, once.
    assert!(accounts.invitation_login("ann", &token).unwrap().is_some());
    accounts.enrol(user.id, Some(id), KEY, "pc", "10.0.0.1").unwrap();
    assert!(accounts.invitation_login("ann", &token).unwrap().is_none());
    let second = accounts.enrol(user.id, Some(id), OTHER_KEY, "pc", "10.0.0.1");
    assert!(matches!(second, Err(Error::InvitationUsed)));
    assert_eq!(accounts.keys().unwrap().len(), 1);

    let late = accounts.invite(&bench.ann.name, accounts.now() + DAY, ROOT).unwrap();
    let (_, id) = accounts.invitation_login("ann", &late).unwrap().unwrap();
    bench.clock.advance(DAY);
    assert!(accounts.invitation_login("ann", &late).unwrap().is_none());
    let expired = accounts.enrol(user.id, Some(id), OTHER_KEY, "pc", "x");
    assert!(matches!(expired, Err(Error::InvitationUsed)));
    let log = format!("{:?}", accounts.audit_log(0, 100).unwrap());
    assert!(!log.contains(&token) && log.contains("invitation used ann"));
}

#[test]
fn an_enrolment_that_fails_leaves_its_invitation() {
    let bench = Bench::new();
    let token = bench.accounts.invite(&bench.ann.name, START + DAY, ROOT).unwrap();
    let (user, id) = bench.accounts.invitation_login("ann", &token).unwrap().unwrap();
    let bad = bench
        .accounts
        .enrol(user.id, Some(id), "ssh-ed25519 nonsense", "pc", "x");
    assert!(matches!(bad, Err(Error::BadKey(_))));
    assert!(bench.accounts.invitation_login("ann", &token).unwrap().is_some());
}

#[test]
fn failed_logins_of_strangers_do_not_push_anything_else_out_of_the_log() {
    let bench = Bench::new();
    let accounts = &bench.accounts;
    let before = accounts.audit_log(0, 1000).unwrap();
    (0..50).for_each(|_| accounts.login_failed("eve", "elsewhere", 10).unwrap());
    let log = accounts.audit_log(0, 1000).unwrap();
    assert_eq!(log[..before.len()], before);
    assert_eq!(log.len(), before.len() + 10);
}

#[test]
fn a_repository_is_remembered() {
    let bench = Bench::new();
    let accounts = &bench.accounts;
    let made = bench.repository("docs");
    assert_eq!(
        (made.full_name(), made.machine.as_deref()),
        ("ann/docs".into(), Some("laptop"))
    );
    let again = accounts.add_repository(bench.ann.id, &made.name, None, None, "x");
    assert!(matches!(again, Err(Error::RepositoryExists(_))));
    accounts.record_failure(made.id, 100, "quota", false).unwrap();
    assert!(accounts.repository_by_id(made.id).unwrap().last_push_failed);
    accounts.record_success(made.id, "2026-11-21_03-14-59", 200, 7).unwrap();
    accounts
        .record_failure(made.id, 200, "in the same second", false)
        .unwrap();
    assert!(accounts.repository_by_id(made.id).unwrap().last_push_failed);
    accounts.record_success(made.id, "2026-11-21_03-14-59", 200, 7).unwrap();
    accounts.set_interval_seen(made.id, Some(Seconds(3600))).unwrap();
    accounts.record_damage(made.id, "pack 3").unwrap();
    accounts.suspend_pruning(made.id, "all gone").unwrap();
    accounts.suspend_pruning(made.id, "gone again").unwrap();
    accounts.set_bytes(made.id, 4096).unwrap();
    let row = accounts.repository(bench.ann.id, &made.name).unwrap().unwrap();
    assert!(!row.last_push_failed);
    assert_eq!(row.last_success, Some((200, "2026-11-21_03-14-59".into())));
    assert_eq!((row.bytes, row.interval_seen), (4096, Some(Seconds(3600))));
    assert_eq!(row.pruning_suspended.unwrap().1, "all gone");
    assert_eq!(row.damage.unwrap().1, "pack 3");
    let row = accounts.resume_pruning(made.id, ROOT).unwrap();
    assert!(row.pruning_suspended.is_none());
    assert!(matches!(accounts.set_bytes(99, 1), Err(Error::NoSuchRepository(_))));
}

#[test]
fn a_repository_has_rules_of_its_own_or_those_of_the_configuration() {
    let bench = Bench::new();
    let made = bench.repository("docs");
    let change = RepositoryChange {
        keep: Some(Some(crate::retention::Keep {
            keep_daily: 7,
            ..Default::default()
        })),
        max_age: Some(Some(Seconds(DAY))),
        skip_weekdays: Some(Some("sat,sun".parse().unwrap())),
        ..RepositoryChange::default()
    };
    let row = bench.accounts.set_repository(made.id, &change, ROOT).unwrap();
    assert_eq!((row.keep.unwrap().keep_daily, row.max_age), (7, Some(Seconds(DAY))));
    assert_eq!(bench.last_audit().new, "keep=daily 7 max_age=1d skip_weekdays=sat,sun");
    let back = RepositoryChange {
        keep: Some(None),
        ..RepositoryChange::default()
    };
    let row = bench.accounts.set_repository(made.id, &back, ROOT).unwrap();
    assert_eq!((row.keep, row.max_age), (None, Some(Seconds(DAY))));
}

#[test]
fn a_takeover_is_in_the_log() {
    let bench = Bench::new();
    let made = bench.repository("docs");
    let key = bench.accounts.enrol(bench.ann.id, None, KEY, "new", "x").unwrap();
    bench.accounts.set_claim(made.id, key.id, "new", "10.0.0.2").unwrap();
    let row = bench.last_audit();
    assert_eq!(
        (&*row.what, &*row.old, &*row.from),
        ("repo takeover ann/docs", "laptop", "10.0.0.2")
    );
    bench.accounts.set_claim(made.id, key.id, "new", "10.0.0.3").unwrap();
    assert_eq!(bench.last_audit().id, row.id);
    assert_eq!(
        bench.accounts.repository_by_id(made.id).unwrap().claimed_by,
        Some(key.id)
    );
}

#[test]
fn a_deleted_repository_is_gone_from_the_disk_unless_it_is_in_use() {
    let bench = Bench::new();
    let accounts = &bench.accounts;
    let made = bench.repository("docs");
    let folder = accounts.repository_path(&bench.ann.name, &made.name);
    std::fs::create_dir_all(folder.join("packs")).unwrap();
    let session = NewSession {
        user: &bench.ann.name,
        repository: Some(&made.name),
        from: "10.0.0.1",
        key: None,
        what: "push",
    };
    let id = accounts.session_begin(&session).unwrap();
    let refused = accounts.del_repository(&bench.ann.name, &made.name, ROOT);
    assert!(matches!(refused, Err(Error::InUse { .. })) && folder.exists());
    accounts.session_end(id).unwrap();
    let refused = accounts.del_user(&bench.ann.name, false, ROOT);
    assert!(matches!(refused, Err(Error::HasRepositories { count: 1, .. })) && folder.exists());
    accounts.del_repository(&bench.ann.name, &made.name, ROOT).unwrap();
    assert_eq!(std::fs::read_dir(folder.parent().unwrap()).unwrap().count(), 0);
    let gone = accounts.del_repository(&bench.ann.name, &made.name, ROOT);
    assert!(matches!(gone, Err(Error::NoSuchRepository(_))));

    bench.repository("docs");
    std::fs::create_dir_all(&folder).unwrap();
    accounts.del_user(&bench.ann.name, true, ROOT).unwrap();
    assert!(!accounts.user_path(&bench.ann.name).exists() && accounts.users().unwrap().is_empty());
}

#[test]
fn a_deletion_that_was_cut_off_is_ended_or_undone() {
    let bench = Bench::new();
    let accounts = &bench.accounts;
    let made = bench.repository("docs");
    let folder = accounts.user_path(&bench.ann.name);
    let (alive, gone) = (folder.join(format!(".deleted-{}", made.id)), folder.join(".deleted-77"));
    for aside in [&alive, &gone, &accounts.data().join("users/.deleted-78")] {
        std::fs::create_dir_all(aside.join("packs")).unwrap();
    }
    accounts.sweep_deleted().unwrap();
    // Its row is there, so it was not deleted.
    assert!(folder.join("docs/packs").exists() && !alive.exists());
    assert!(!gone.exists() && !accounts.data().join("users/.deleted-78").exists());
}

#[test]
fn a_deletion_that_fails_leaves_everything() {
    let bench = Bench::new();
    let made = bench.repository("docs");
    let folder = bench.accounts.repository_path(&bench.ann.name, &made.name);
    std::fs::create_dir_all(folder.join("packs")).unwrap();
    // Something stands where the folder would be put aside.
    let aside = folder.with_file_name(format!(".deleted-{}", made.id));
    std::fs::create_dir_all(aside.join("in the way")).unwrap();
    let failed = bench.accounts.del_repository(&bench.ann.name, &made.name, ROOT);
    assert!(matches!(failed, Err(Error::Io { .. })) && folder.join("packs").exists());
    assert!(bench.accounts.repository(bench.ann.id, &made.name).unwrap().is_some());

    // The commit itself fails: something refers to the row.
    std::fs::remove_dir_all(&aside).unwrap();
    let refer = "CREATE TABLE refer (id INTEGER REFERENCES repositories DEFERRABLE INITIALLY DEFERRED);
                 INSERT INTO refer SELECT id FROM repositories;";
    bench.accounts.connection().execute_batch(refer).unwrap();
    let failed = bench.accounts.del_repository(&bench.ann.name, &made.name, ROOT);
    assert!(matches!(failed, Err(Error::Database(_))), "{failed:?}");
    assert!(folder.join("packs").exists() && !aside.exists());
    assert!(bench.accounts.repository(bench.ann.id, &made.name).unwrap().is_some());
}

#[test]
fn sessions_come_and_go() {
    let bench = Bench::new();
    let accounts = &bench.accounts;
    let session = NewSession {
        user: &bench.ann.name,
        repository: None,
        from: "10.0.0.1",
        key: None,
        what: "login",
    };
    let id = accounts.session_begin(&session).unwrap();
    accounts.session_opens(id, &repository_name("docs")).unwrap();
    accounts.session_progress(id, "push", 5).unwrap();
    let rows = accounts.sessions().unwrap();
    assert_eq!((rows.len(), rows[0].bytes, &*rows[0].what), (1, 5, "push"));
    assert!(rows[0].progress > rows[0].since);
    accounts.session_end(id).unwrap();
    accounts.session_begin(&session).unwrap();
    accounts.clear_sessions().unwrap();
    assert!(accounts.sessions().unwrap().is_empty());
}

#[test]
fn the_same_mail_is_due_once_a_day() {
    let bench = Bench::new();
    let accounts = &bench.accounts;
    let due = |kind, now| accounts.mail_due(kind, "ann/docs", now).unwrap();
    assert_eq!(
        [0, 60, DAY - 1, DAY, DAY + 1].map(|at| due("failed", START + at)),
        [true, false, false, true, false]
    );
    assert!(due("overdue", START) && accounts.mail_due("failed", "ann/pictures", START).unwrap());
    accounts.mail_failed("overdue", "ann/docs", START).unwrap();
    assert_eq!([60, 3600].map(|at| due("overdue", START + at)), [false, true]);

    let once = |now| accounts.mail_once("quota-90", "ann", now).unwrap();
    assert_eq!([0, DAY, 9 * DAY].map(|at| once(START + at)), [true, false, false]);
    accounts.mail_over("quota-90", "ann").unwrap();
    assert_eq!([10 * DAY, 10 * DAY + 1].map(|at| once(START + at)), [true, false]);
    accounts.mail_over("quota-90", "ann").unwrap();
    assert!(!once(START + 10 * DAY + 60));
}

#[test]
fn two_processes_see_each_other() {
    let bench = Bench::new();
    let other = Accounts::open(bench.accounts.data()).unwrap();
    let before = bench.accounts.data_version().unwrap();
    assert_eq!(bench.accounts.data_version().unwrap(), before);
    other.add_user(&user_name("bob"), &UserChange::default(), ROOT).unwrap();
    assert_ne!(bench.accounts.data_version().unwrap(), before);
    assert!(bench.accounts.user(&user_name("bob")).unwrap().is_some());
}

#[test]
fn the_log_is_cut_to_the_newest() {
    let bench = Bench::new();
    for number in 0..5 {
        bench
            .accounts
            .audit("ann", &format!("thing {number}"), "x", "", "")
            .unwrap();
    }
    let log = bench.accounts.audit_log(0, 2).unwrap();
    assert_eq!(
        log.iter().map(|row| &*row.what).collect::<Vec<_>>(),
        ["thing 3", "thing 4"]
    );
    assert_eq!(bench.accounts.audit_log(log[1].time, 100).unwrap().len(), 1);
    assert!(bench.folder.path().exists());
}
