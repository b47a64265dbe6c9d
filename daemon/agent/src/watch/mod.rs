//! The agent that runs by itself.
mod scan;
mod watcher;

pub use watcher::{News, Scope, Watcher, Work};
