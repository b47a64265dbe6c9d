//! The crates depend on each other downwards only.
//!
//! ```text
//! cli  ▶  daemon/server  ▶  daemon/agent  ▶  daemon/wire  ▶  fs/mount  ▶  fs/store     cli/terminal
//! ```

use std::process::Command;

use yore_tests::run;

/// From the top down: each may use those after it.
const ORDER: [&str; 8] = [
    "yore-tests",
    "yore",
    "yore-server",
    "yore-agent",
    "yore-wire",
    "yore-mount",
    "yore-terminal",
    "yore-store",
];

/// What a crate must not know of, whatever its place.
const STRANGERS: [(&str, &[&str]); 4] = [
    (
        "yore-store",
        &["fuser", "clap", "tokio", "russh", "indicatif", "yore-terminal"],
    ),
    ("yore-mount", &["russh", "clap", "rusqlite", "yore-terminal"]),
    (
        "yore-wire",
        &["rusqlite", "fuser", "rustix", "yore-mount", "yore-terminal"],
    ),
    ("yore-agent", &["clap", "yore-terminal"]),
];

#[test]
fn arrows_run_downwards() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let tree = |package: &str| {
        run(Command::new(&cargo).current_dir(root).args([
            "tree",
            "--offline",
            "--depth=1",
            "--prefix=none",
            "--edges=normal",
            "--format={p}",
            "-p",
            package,
        ]))
    };
    for (place, package) in ORDER.iter().enumerate() {
        let tree = tree(package);
        let used: Vec<&str> = tree.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
        for above in &ORDER[..place] {
            assert!(!used.contains(above), "{package} uses {above}");
        }
        for (name, strangers) in STRANGERS {
            let known: Vec<_> = strangers
                .iter()
                .filter(|stranger| name == *package && used.contains(stranger))
                .collect();
            assert!(known.is_empty(), "{package} uses {known:?}");
        }
    }
}

#[test]
fn what_is_shipped_has_neither_fail_points_nor_planted_faults() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    for package in ["yore", "yore-server"] {
        let arguments = [
            "tree",
            "--offline",
            "--prefix=none",
            "--edges=normal",
            "--format={p} {f}",
        ];
        let mut tree = Command::new(&cargo);
        let tree = run(tree.current_dir(root).args(arguments).args(["-p", package]));
        let stores: Vec<&str> = tree.lines().filter(|line| line.starts_with("yore-store ")).collect();
        assert!(!stores.is_empty(), "{package} has no store: {tree}");
        let has = |what: &str| stores.iter().any(|line| line.contains(what));
        assert!(!has("fail-points") && !has("fault-"), "{package}: {stores:?}");
    }
}
