//! yore
fn main() {}
