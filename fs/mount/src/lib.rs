//! Every snapshot of a repository, or of all repositories of a server, as a read-only
//! folder: `ls`, `grep`, `cp` and a file manager are the restore tools.
//!
//! ```text
//! MOUNTPOINT/                        node 1, alive: snapshots come and go
//! ├── 2026-03-01T02:00:00/           the folder "/" of that snapshot
//! │   └── home/ann/report.odt        as it was, cached by the kernel for ever
//! ├── 2026-03-02T02:00:00/
//! └── latest -> 2026-03-02T02:00:00  a new node whenever it points elsewhere
//! ```
//!
//! A mount of many has the same at `MOUNTPOINT/USER/REPOSITORY/` for whatever is on
//! its [`Shelf`]; see `many`.
//!
//! Always true here:
//! - Nothing is ever written: every modifying call is refused with EROFS.
//! - A node id is computed from row ids, of the catalog and of the shelf (`node`); there
//!   is no table of nodes, so memory does not grow with what has been looked at.
//! - Snapshots never change, so the kernel may keep what it was told of them for a year.
//!   Only the folders above them live: `live` and `many` watch them and take back what
//!   changed.
//! - No lock is held while a repository is asked: it may be far away, and others wait.
//! - The arrows run one way: `session` mounts, `filesystem` turns fuser's calls into
//!   questions to the `server`, its `view` finds whom to ask, and a `tree`, or `many` for
//!   what is above the trees, answers from the store and has never heard of a reply.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod attr;
mod cookie;
mod error;
mod fault;
mod filesystem;
mod handle;
mod live;
mod many;
mod mountinfo;
mod node;
mod opened;
mod passthrough;
mod readonly;
mod seek;
mod server;
mod session;
mod shelf;
#[cfg(test)]
mod testing;
mod tree;
mod view;

pub use error::MountError;
pub use session::{Mounted, Options, detach, mount, mount_all, unmount};
pub use shelf::{Shelf, ShelfRepository, ShelfUser, UnixUser};

/// Locks a mutex whatever became of the thread that held it last. A panic in a
/// handler costs one request (it is answered EIO); what our mutexes guard is
/// whole between any two statements, so it must not cost all later ones too.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One line to stderr, which is the journal where the mount is a service.
#[expect(clippy::print_stderr, reason = "a mount has nobody else to tell")]
fn complain(message: std::fmt::Arguments<'_>) {
    eprintln!("yore mount: {}", one_line(&message.to_string()));
}

/// A message without what steers a terminal or begins a line, and not without end: names in it are
/// those of whoever was backed up, and errors perhaps a server's.
fn one_line(message: &str) -> String {
    let mut line = String::new();
    for letter in message.chars().take(LONGEST_LINE) {
        let is_direction =
            matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match letter.is_control() || is_direction {
            true => line.extend(letter.escape_unicode()),
            false => line.push(letter),
        }
    }
    line
}

/// Letters of a message: room for a path, and what is wrong with it.
const LONGEST_LINE: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_one_line() {
        assert_eq!(
            one_line("read a\nyore mount: fine\u{1b}[2J"),
            "read a\\u{a}yore mount: fine\\u{1b}[2J"
        );
        assert_eq!(one_line("é 字"), "é 字");
        assert_eq!(one_line(&"x".repeat(1 << 20)).len(), LONGEST_LINE);
    }
}
