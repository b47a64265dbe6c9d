//! Threads that serve a session run under Landlock: what they ask of the accounts must not open a file.
//! Here no file can be opened by anybody, which is as strict; so this test has a process of its own.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use yore_server::accounts::{Accounts, NewSession, UserChange};
use yore_server::accounts::{By, RepositoryName, UserName};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

/// More pages than SQLite keeps in its log before it folds it into the database.
const MANY: usize = 600;

#[test]
fn sessions_need_no_more_files_than_are_open() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = Accounts::open(folder.path()).unwrap();
    let name: UserName = "ann".parse().unwrap();
    let by = By {
        who: "root",
        from: "this machine",
    };
    let ann = accounts.add_user(&name, &UserChange::default(), by).unwrap();
    accounts.set_password(&name, Some("secret"), by).unwrap();
    let token = accounts.invite(&name, accounts.now() + 3600, by).unwrap();

    let before = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        ..before
    };
    setrlimit(Resource::Nofile, none).unwrap();
    assert!(std::fs::File::open("/dev/null").is_err());
    work(&accounts, ann.id, &name, &token);
    setrlimit(Resource::Nofile, before).unwrap();
    assert_eq!(
        accounts
            .audit_log(0, usize::MAX)
            .unwrap()
            .iter()
            .filter(|row| row.what == "fill")
            .count(),
        MANY
    );
}

/// Everything that a session may ask.
fn work(accounts: &Accounts, user: i64, name: &UserName, token: &str) {
    accounts.password_login("ann", "secret").unwrap().unwrap();
    accounts.password_login("nobody", "secret").unwrap();
    let (_, invitation) = accounts.invitation_login("ann", token).unwrap().unwrap();
    let key = accounts
        .enrol(user, Some(invitation), KEY, "laptop", "10.0.0.1")
        .unwrap();
    accounts.key_login("ann", KEY).unwrap().unwrap();
    let docs: RepositoryName = "docs".parse().unwrap();
    let made = accounts
        .add_repository(user, &docs, Some(key.id), Some("laptop"), "10.0.0.1")
        .unwrap();
    let session = NewSession {
        user: name,
        repository: Some(&docs),
        from: "10.0.0.1",
        key: Some(key.id),
        what: "push",
    };
    let session = accounts.session_begin(&session).unwrap();
    let long = "x".repeat(4000);
    for number in 0..MANY {
        accounts.audit("ann", "fill", "10.0.0.1", &long, "").unwrap();
        if number % 100 == 0 {
            accounts.session_progress(session, "push", number as u64).unwrap();
        }
    }
    accounts.record_success(made.id, "2026-11-21_03-14-59", 1, 2).unwrap();
    accounts.record_failure(made.id, 3, "no", false).unwrap();
    accounts.suspend_pruning(made.id, "gone").unwrap();
    accounts.record_damage(made.id, "pack 1").unwrap();
    assert!(accounts.mail_due("failed", "ann/docs", 5).unwrap());
    assert!(accounts.key_is_valid(key.id).unwrap());
    assert_eq!(accounts.repositories().unwrap().len(), 1);
    assert_eq!(accounts.users().unwrap().len() + accounts.sessions().unwrap().len(), 2);
    accounts.data_version().unwrap();
    accounts.session_end(session).unwrap();
}
