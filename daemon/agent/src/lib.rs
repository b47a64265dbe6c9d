//! The agent's library: what reads a source tree and what puts one back.
//!
//! ```text
//! roots    what the caller named, made absolute, sorted, none inside another
//! walk     roots -> folders and items, depth first, by descriptors
//! config   the one file that says what, where to and when
//! copy     a second repository with the snapshots of a first one
//! marks    where something changed: what a push looks at instead of everything
//! status   what others can see of the agent: the last results, what runs, a pause
//! filter   gitignore patterns over absolute paths: excludes, includes
//! metadata one walked thing -> the store's Meta
//! private  folders and files that are nobody else's
//! restore  a snapshot's subtree -> files below a folder
//! snapshot a walk, told to a repository as a push
//! watch    the agent that runs by itself: inotify, schedule, retry
//! ```
//!
//! Both directions go from folder to folder by descriptor ([`folder`]): no path
//! is ever handed to the kernel whole, so that depth has no limit and nothing
//! that another process renames or links in between can lead us elsewhere.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod atomic;
mod block;
mod destination;
mod files;
mod folder;
mod large;
mod pipeline;
mod push;
mod sender;
mod state;
mod turn;
mod xattrs;

pub mod config;
pub mod copy;
pub mod filter;
pub mod link;
pub mod marks;
pub mod metadata;
pub mod private;
pub mod remote;
pub mod restore;
pub mod roots;
pub mod snapshot;
pub mod status;
pub mod target;
pub mod walk;
pub mod watch;

pub use folder::{open_file, raise_file_limit};
