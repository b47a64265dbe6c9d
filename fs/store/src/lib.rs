//! The repository: catalog, contents, deltas, ingest, prune, verify.
//!
//! Knows no network, no terminal and no kernel mount. What lies on the disk is described in
//! `FORMAT.md` beside this crate, byte by byte and with reasons.
//!
//! ```text
//!   Ingest ──▶ write ──▶ packs, heads, deltas          (files are written once)
//!     │                      ▲
//!     └──▶ catalog ◀─────────┤ which paths had which contents, and where those lie
//!              ▲             │
//!   tree ──────┴──── read ───┘   listings; any range of any version, verified
//! ```

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod ballast;
mod catalog;
pub mod delta;
mod error;
mod frame;
mod half_made;
mod history;
mod holes;
mod ids;
mod ingest;
mod layout;
mod lock;
mod maintenance;
mod meta;
mod migrate;
mod owner;
mod parallel;
mod paths;
mod read;
mod repair;
mod repository;
mod retention;
mod stats;
#[cfg(feature = "fail-points")]
pub mod stops;
#[cfg(not(feature = "fail-points"))]
mod stops;
mod sweep;
#[cfg(test)]
mod testing;
mod time;
mod tree;
mod tree_hash;
mod turnover;
mod verify;
mod write;

pub use catalog::{Entry, Snapshot};
pub use error::{Error, IoContext, Result, lacks_room, size as size_text};
pub use frame::{Compression, Encoding, Frame};
pub use history::{
    Change, Found, History, NextPassage, OpenContent, PIECE, Passage, Space, StoredAs, TellChange, TellFound,
    TellPassage, TellProgress, Version, Wanted, go_on, read_passages, space_of,
};
pub use holes::HeldFile;
pub use ids::*;
pub use ingest::{BaseValues, Body, Committed, Ingest, LargeOp, Made, PushOptions};
pub use layout::{FRAME, GROUP, LARGEST, MEDIUM, SEGMENT, SMALL, TINY};
pub use maintenance::Forgotten;
pub use meta::*;
pub use migrate::{MigrateError, migrate};
pub use owner::as_owner;
pub use parallel::by_shares;
pub use read::{ContentReader, Listings, Slice, Small};
pub use repair::{Rebuilt, Repaired};
pub use repository::{Repository, parse_compression};
pub use retention::{Policy, Verdict, Within};
pub use stats::{DeltaStats, SnapshotStats, Stats};
pub use sweep::Swept;
pub use time::{Clock, StepClock, SystemClock};
pub use tree::{LONGEST_PATH, Listed, Listing, find_name};
pub use tree_hash::{Value, from_groups, from_groups_and_segments, group_value, root as root_value, segment_value};
pub use turnover::Turnover;
pub use verify::{Damage, Verified, VerifiedShare};
pub use write::{Budget, Limit, Unlimited};
