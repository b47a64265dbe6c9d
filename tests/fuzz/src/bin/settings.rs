//! yored.toml and agent.toml, whatever is in them: read or refused.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = yore_server::config::Config::parse(text, Path::new("yored.toml"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("agent.toml"), text).expect("it can be written");
    let _ = yore_agent::config::AgentConfig::load(folder.path());
});
