//! What `yore` and `yored` have in common as programs, on a terminal mostly.
//!
//! ```text
//! text     names, sizes and times as text that is safe to show
//! output   tables for people, objects for programs
//! error    exit statuses, and errors as one line on stderr
//! pages    man pages and completions, from the definitions of the command line
//! rules    the rules of keeping as options
//! memory   what the allocator does with what is freed
//! ```

pub mod error;
pub mod memory;
pub mod output;
pub mod pages;
pub mod rules;
pub mod text;
