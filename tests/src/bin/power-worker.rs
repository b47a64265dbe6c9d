//! The program that works on a disk that loses power: `power-worker REPOSITORY SOURCES CACHE SECONDS`, orders on its
//! standard input. See `yore_tests::power`.

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    yore_tests::power::worker::serve(&arguments);
}
