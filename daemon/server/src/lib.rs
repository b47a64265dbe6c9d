//! `yored`: what a server needs beside the repositories themselves.
//!
//! ```text
//! config      the TOML file                 units, weekdays, retention   values in it
//! ```

pub mod config;
pub mod retention;
pub mod units;
pub mod weekdays;
