//! `yored`: receives pushes over SSH into per-user repositories. All of it is in the library.

fn main() -> std::process::ExitCode {
    yore_server::main()
}
