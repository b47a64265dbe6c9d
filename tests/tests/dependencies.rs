//! What the tree is made of: licences that may be, and no crate from elsewhere. Crates of several versions are listed.
//!
//! The same as `cargo deny check licenses sources` by deny.toml, without that tool.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use yore_tests::run;

/// Licences under which a dependency may be.
const ALLOWED: [&str; 8] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// Crates that bundle what is under another licence than they say: librsync's own is LGPL-2.1 or later.
const BUNDLES: [(&str, &str); 1] = [("librsync-sys", "LGPL-2.1-or-later")];

fn packages() -> Vec<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let text = run(Command::new(cargo)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["metadata", "--format-version=1", "--locked", "--offline"]));
    let mut metadata: Value = serde_json::from_str(&text).expect("JSON");
    let packages = metadata["packages"].take();
    packages.as_array().expect("an array").clone()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().expect("a name")
}

/// Whether an expression allows a use under the licences that may be: `OR` (once `/`) binds less than `AND`.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let (inner, rest) = match parentheses(&expression) {
        // What is in parentheses is as good as a licence that may be, or as one that may not.
        Some((before, inner, after)) => (is_allowed(inner), Some((before, after))),
        None => (true, None),
    };
    match rest {
        Some((before, after)) => is_allowed(&format!("{before}{}{after}", if inner { "MIT" } else { "none" })),
        None => expression
            .split(" OR ")
            .any(|all| all.split(" AND ").all(|one| ALLOWED.contains(&one.trim()))),
    }
}

/// What is before, in and after the innermost parentheses that end first.
fn parentheses(expression: &str) -> Option<(&str, &str, &str)> {
    let end = expression.find(')')?;
    let begin = expression[..end].rfind('(')?;
    Some((
        &expression[..begin],
        &expression[begin + 1..end],
        &expression[end + 1..],
    ))
}

#[test]
fn expressions_are_understood() {
    for good in [
        "MIT",
        "MIT/GPL-3.0",
        "GPL-3.0 OR (MIT AND ISC)",
        "ISC AND (GPL-3.0 OR (MIT OR ISC)) AND MIT",
    ] {
        assert!(is_allowed(good), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR ISC) AND GPL-3.0",
        "MIT AND (GPL-3.0 OR none)",
    ] {
        assert!(!is_allowed(bad), "{bad}");
    }
}

#[test]
fn every_licence_is_one_that_may_be() {
    let packages = packages();
    let licence = |package: &Value| package["license"].as_str().unwrap_or_default().to_owned();
    let others: Vec<String> = packages
        .iter()
        .filter(|package| !is_allowed(&licence(package)))
        .map(|package| format!("{}: {}", name(package), licence(package)))
        .collect();
    assert_eq!(others, Vec::<String>::new());
    for (bundle, licence) in BUNDLES {
        let is_used = packages.iter().any(|package| name(package) == bundle);
        assert!(is_used, "{bundle} with {licence} is gone: so may its exception be");
    }
}

#[test]
fn every_crate_is_of_the_tree_or_of_crates_io() {
    for package in packages() {
        let source = package["source"].as_str().unwrap_or_default();
        let is_known = source.is_empty() || source == "registry+https://github.com/rust-lang/crates.io-index";
        assert!(is_known, "{}: {source}", name(&package));
    }
}

#[test]
fn what_comes_in_several_versions_is_listed() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let version = package["version"].as_str().expect("a version").to_owned();
        versions.entry(name(&package).to_owned()).or_default().insert(version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    versions
        .iter()
        .for_each(|(name, versions)| println!("{name}: {versions:?}"));
    assert!(versions.len() <= 8, "more and more crates come twice: {versions:?}");
}
