//! Killing: a process that is at work on a repository is ended without notice, and what it leaves must be sound.
//!
//! ```text
//! script   what is done, step by step, and what must be there after each: a seed gives it, to both sides
//! worker   a process that plays the script, says what it has done, and is killed
//! siege    kills workers at points of the store's source, or at any moment, and looks at what they left
//! ```
//!
//! Whoever kills knows the script too. So whatever the worker was at, the repository must be as before that step or as
//! after it, and never as neither.

pub mod check;
pub mod play;
pub mod script;
pub mod siege;
