//! Plays a script, says what it has done, and is there to be killed:
//! `worker FOLDER SEED LENGTH|everything FROM TO`.

use std::path::PathBuf;

use yore_store::stops;
use yore_tests::killed::play::play;
use yore_tests::killed::script::Script;

fn main() {
    stops::watch();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, seed, length, from, to] = &arguments[..] else {
        panic!("worker FOLDER SEED LENGTH|everything FROM TO");
    };
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let script = Script::new(number(seed) as u64, length.parse().ok());
    println!("ready");
    for at in number(from)..number(to) {
        if let Some(snapshot) = play(&script, &PathBuf::from(folder), at) {
            println!("snapshot {at} {} {}", snapshot.name, snapshot.check);
        }
        println!("done {at}");
    }
    for (point, count) in stops::reached() {
        println!("reached {count} {point}");
    }
}
