//! The server's library; see `ARCHITECTURE.md`.
