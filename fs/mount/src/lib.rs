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
fn complain(message: std::fmt::Arguments<'_>) {
    eprintln!("yore mount: {message}");
}
