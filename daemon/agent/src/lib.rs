//! yore-agent
