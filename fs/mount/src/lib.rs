//! yore-mount
