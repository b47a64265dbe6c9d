//! yored.
