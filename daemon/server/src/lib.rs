//! `yored`: what a server needs beside the repositories themselves.
//!
//! ```text
//! config      the TOML file                 units, weekdays, retention   values in it
//! accounts    users, keys, invitations, repositories, sessions, audit: one database
//! text        sizes and times as text
//! ```

pub mod accounts;
pub mod config;
pub mod retention;
pub mod text;
pub mod units;
pub mod weekdays;
