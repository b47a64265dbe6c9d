//! The agent that runs by itself: it sees what changes, and pushes when it is time.
//!
//! ```text
//! watcher    inotify ─▶ marks           hooks        the commands before and after a push
//! scan       folders for the watcher    open_files   what is being written all the time
//! timetable  when the next push is due  retry        when to try again
//! push       one push, as `yore run`    under_way    its thread, its progress, its end
//! daemon     the loop around all of it
//! signals, follow   messages to the loop    notify   systemd
//! ```
//!
//! One thread waits for inotify, one for signals, one pushes; all of them send messages to the
//! loop, which waits for the next message or the next time that something is due.

mod daemon;
mod follow;
mod hooks;
mod notify;
mod open_files;
mod push;
pub(crate) mod retry;
mod scan;
mod signals;
mod timetable;
mod under_way;
mod watcher;

pub use daemon::{WatchError, watch};
pub use hooks::HookError;
pub use push::{Open, PushError, Setting, push_once};
pub use retry::retry;
pub use timetable::{Past, Timetable, Why};
pub use watcher::{News, Scope, Watcher, Work};
