//! What `yore` and `yored` have in common on a terminal.
//!
//! ```text
//! text     names, sizes and times as text that is safe to show
//! output   tables for people, objects for programs
//! error    exit statuses, and errors as one line on stderr
//! pages    man pages and completions, from the definitions of the command line
//! rules    the rules of keeping as options
//! ```

pub mod error;
pub mod output;
pub mod pages;
pub mod rules;
pub mod text;
