//! Deltas: how an older content is made from a newer one.
//!
//! ```text
//!   push       old ──Signature──▶ Scanner ◀── new          forward delta: new from old
//!                                   │ Copy / Literal
//!                                   ▼
//!   inversion  old  ├──copy──┤▒▒▒▒▒▒▒▒▒├──copy──┤          the copies, sorted by where they lie
//!                    \        \        │       /           in old; what they leave (▒) is literal
//!              new  ├─┴──copy──┴┤──────┴──copy─┤
//!                                   │ invert, extend (bytewise), write
//!                                   ▼
//!   on disk    librsync stream: LITERAL COPY … END         reverse delta: old from new
//!                                   │ parse
//!                                   ▼
//!   reading    Map v1→v2  ∘  Map v2→v3  ∘  Map v3→v4   =   Map v1→v4
//!              └ compose: ranges of v1 that lie in v4, or in the literals of some delta ┘
//! ```
//!
//! Everything here is logic over bytes in memory and readers passed in: no files, no catalog.
//! Offsets and lengths are in bytes. Only the stream of [`StreamWriter`] and the encoding of
//! [`Map`] are formats on disk; signatures live in memory.

mod compare;
mod encoding;
mod extend;
mod format;
#[cfg(test)]
mod histories;
mod invert;
mod layers;
mod map;
mod rolling;
mod scanner;
mod shared;
mod signature;
mod small;
#[cfg(test)]
mod testing;

pub use compare::ReadAt;
pub use extend::extend;
pub use format::{MAX_LITERAL, StreamWriter, parse};
pub use invert::{Match, Piece, invert, write};
pub use layers::{Layers, MOST_COMPOSED};
pub use map::{Extent, Map, Source};
pub use scanner::{MAX_LITERAL_OP, Op, Scanner};
pub use shared::{Literals, Shared};
pub use signature::{BlockSum, LARGEST_BLOCK, SMALLEST_BLOCK, Signature, SignatureBuilder, block_len_for};
pub use small::{apply, delta};
