//! yore-wire
