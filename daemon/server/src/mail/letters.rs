//! What the letters say: what happened, since when, what to do. Pure text.

use yore_terminal::text::{one_line, size, span, time};

use crate::accounts::{Key, RepositoryRow, User};
use crate::config::host_name;
use crate::failure::{Cause, Failed};
use crate::health::{Age, percent};
use crate::mail::Enrolled;

/// A letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
}

impl Letter {
    fn new(subject: &str, happened: &str, to_do: &str) -> Self {
        let server = host_name();
        Letter {
            subject: one_line(&format!("[yore] {subject}")),
            body: format!(
                "{happened}\n\nWhat to do\n\n{to_do}\n\n-- \nSent by yored on {server}. All times are UTC.\n"
            ),
        }
    }
}

/// A repository with its machine: `ann/laptop (machine thinkpad)`.
fn named(row: &RepositoryRow) -> String {
    match &row.machine {
        Some(machine) => format!("{} (machine {})", row.full_name(), one_line(machine)),
        None => row.full_name(),
    }
}

fn last_success(row: &RepositoryRow) -> String {
    match &row.last_success {
        Some((when, snapshot)) => format!("The last backup that succeeded is {snapshot}, made {}.", time(*when)),
        None => format!(
            "No backup has succeeded since the repository was made, {}.",
            time(row.created)
        ),
    }
}

pub(super) fn test() -> Letter {
    Letter::new(
        "mail works",
        "This is the letter that you asked for with `yored mail test`. Mail from yored reaches you.",
        "Nothing.",
    )
}

pub(super) fn push_failed(row: &RepositoryRow, when: i64, failure: &Failed) -> Letter {
    let (name, why, user) = (named(row), one_line(&failure.why), &row.user_name);
    let to_do = match failure.cause {
        Cause::Lost => {
            "See that the machine is on and reaches this server: it goes on where it was. On it, `yore status` says when \
             it tries again."
                .to_owned()
        }
        Cause::Quota => format!(
            "Nothing more is backed up until there is room. Remove old snapshots (`yore prune --keep-daily 30 \
             --keep-monthly 12`, for instance) or leave more out (`yore exclude`).\n\nOr give more room on the server: \
             yored user set {user} --quota SIZE"
        ),
        Cause::Disk => "Nothing more is backed up by anybody until there is room on the server's disk. Make room, or \
                        lower keep_free in yored.toml (and reload yored)."
            .to_owned(),
        Cause::Other => "The machine tries again at its next time. If the reason above does not go by itself, run `yore \
                         status` and then `yore snapshot` on the machine and read what they say."
            .to_owned(),
    };
    Letter::new(
        &format!("{}: the backup failed", row.full_name()),
        &format!(
            "A backup into {name} failed at {}:\n\n    {why}\n\n{}\nWhat was committed before is intact.",
            time(when),
            last_success(row)
        ),
        &to_do,
    )
}

pub(super) fn overdue(row: &RepositoryRow, age: &Age) -> Letter {
    let (name, failure) = (named(row), &row.last_failure);
    let failure = failure.as_ref().filter(|_| row.last_push_failed);
    let failure = failure.map_or_else(String::new, |(when, why)| {
        format!("\nThe last try failed at {}: {}", time(*when), one_line(why))
    });
    Letter::new(
        &format!("{}: no backup for {}", row.full_name(), span(age.seconds)),
        &format!(
            "{name} has had no backup for {}; {} are allowed (days that do not count are left out).\n\n{}{failure}",
            span(age.seconds),
            span(age.allowed),
            last_success(row)
        ),
        &format!(
            "See that the machine is on and reaches this server. On it, `yore status` says when the next backup is \
             due and what went wrong; `yore snapshot` makes one now.\n\nIf it is meant to be away for long, allow more \
             on the server: yored repo set {} --max-age 30d",
            row.full_name()
        ),
    )
}

pub(super) fn quota(user: &User, used: u64, limit: u64) -> Letter {
    let (name, percent) = (&user.name, percent(used, limit));
    Letter::new(
        &format!("{name}: {percent} % of the quota is used"),
        &format!(
            "The repositories of {name} take {} of {} ({percent} %). At 100 % the next backup is refused; what \
             there is stays.",
            size(used),
            size(limit)
        ),
        &format!(
            "Remove old snapshots (`yore prune --keep-daily 30 --keep-monthly 12`, for instance) or leave more out \
             (`yore exclude`). `yore stats` shows what takes the room.\n\nOr give more room on the server: yored user \
             set {name} --quota SIZE"
        ),
    )
}

pub(super) fn damage(row: &RepositoryRow, what: &str) -> Letter {
    Letter::new(
        &format!("{}: damage was found", row.full_name()),
        &format!(
            "Stored data of {} is not what it was:\n\n    {}\n\nDamaged files cannot be restored from the snapshots \
             that have them; they are refused, never given wrong. Everything else can.",
            named(row),
            one_line(what)
        ),
        "Look at the server's disk and memory (smartctl, dmesg). `yore verify --read-data` lists the files and \
         snapshots that are damaged; keep the originals that are still on the machine. Copy the repository elsewhere \
         before the disk gets worse. This is told until a whole verification finds no damage.",
    )
}

pub(super) fn key_added(user: &User, key: &Key, from: &str, how: Enrolled) -> Letter {
    let (name, machine) = (&user.name, one_line(&key.comment));
    let how = match how {
        Enrolled::Password => "with the password",
        Enrolled::Invitation => "with an invitation",
    };
    Letter::new(
        &format!("{name}: {machine} was linked"),
        &format!(
            "The machine {machine} was linked to the account {name} at {}, from {}, {how}. It can read and add \
             backups of {name}.\n\n    key {}  {}",
            time(key.added),
            one_line(from),
            key.id,
            key.fingerprint
        ),
        &format!(
            "If it was you: nothing. If not, run this on the server at once, and change the password: yored key revoke {}",
            key.id
        ),
    )
}

/// Text of several paragraphs, each safe to show.
fn paragraphs(text: &str) -> String {
    text.trim_end().lines().map(one_line).collect::<Vec<_>>().join("\n")
}

pub(super) fn pruning_suspended(row: &RepositoryRow, why: &str) -> Letter {
    let name = row.full_name();
    Letter::new(
        &format!("{name}: most files vanished or changed; nothing is pruned"),
        &format!(
            "The latest backup of {} differs much from the one before.\n\n{}",
            named(row),
            paragraphs(why)
        ),
        &format!(
            "Look at the latest snapshot (`yore diff latest~1 latest`) and at the machine. If all is as it should be: \
             yored repo set {name} --resume-pruning"
        ),
    )
}
