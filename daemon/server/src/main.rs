//! `yored`: receives pushes over SSH into per-user repositories.

fn main() {}
