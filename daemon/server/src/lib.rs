//! `yored`: what a server needs beside the repositories themselves.
//!
//! ```text
//! config      the TOML file                 units, weekdays, retention   values in it
//! accounts    users, keys, invitations, repositories, sessions, audit: one database
//! text        sizes and times as text
//! ```

pub mod accounts;
pub mod config;
mod confine;
pub mod host_key;
pub mod ledger;
mod logins;
mod outbox;
pub mod retention;
mod running;
pub mod serve;
mod server;
mod session;
mod ssh;
pub mod text;
mod turns;
pub mod units;
pub mod upkeep;
pub mod weekdays;
