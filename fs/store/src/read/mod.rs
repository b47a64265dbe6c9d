//! Reading contents: any range of any version, verified, touching only what it needs.

mod ahead;
mod cache;
mod content;
mod frames;
mod listings;
mod plan;
mod raw;
mod stored;

pub(crate) use ahead::Ahead;
pub(crate) use cache::{CACHE_BYTES, Caches};
pub use content::ContentReader;
pub(crate) use frames::{FrameError, is_lost, stored_frame};
pub use listings::Listings;
pub(crate) use plan::Stretch;
pub use stored::{Slice, Small};
