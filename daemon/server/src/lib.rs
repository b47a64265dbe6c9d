//! The server's library; see `ARCHITECTURE.md`.

pub mod upkeep;
