//! A machine that is backed up: the real `yore`, with a home of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::daemon::program;

/// A machine.
pub struct Machine {
    /// Where its configuration, state, cache and files are.
    pub home: PathBuf,
    /// Its name, and that of its repository.
    pub name: String,
}

impl Machine {
    /// A machine whose home is in `folder`.
    pub fn new(folder: &Path, name: &str) -> Self {
        let home = folder.join(name);
        std::fs::create_dir_all(home.join("source")).expect("a home");
        Machine {
            home,
            name: name.to_owned(),
        }
    }

    /// The folder that it backs up.
    pub fn source(&self) -> PathBuf {
        self.home.join("source")
    }

    /// Where its `agent.toml` and key are.
    pub fn config(&self) -> PathBuf {
        self.home.join("config")
    }

    /// `yore ARGS`, to be run.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("yore"));
        command.args(args).current_dir(&self.home).stdin(Stdio::null());
        command.env_remove("YORE_REPOSITORY").env("HOME", &self.home);
        command.env("YORE_CONFIG_DIR", self.config());
        command.env("YORE_STATE_DIR", self.home.join("state"));
        command.env("XDG_CACHE_HOME", self.home.join("cache"));
        command.env("XDG_STATE_HOME", self.home.join("state"));
        command.env("RUST_BACKTRACE", "1");
        command
    }

    /// `yore ARGS`.
    pub fn yore(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("yore")
    }

    /// What `yore ARGS` prints; it must succeed.
    pub fn text(&self, args: &[&str]) -> String {
        crate::run(&mut self.command(args))
    }

    /// What `yore ARGS --json` prints; it must succeed.
    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[args, &["--json"]].concat())).expect("JSON")
    }

    /// What `yore ARGS` says on stderr; it must fail, with this status.
    pub fn refused(&self, status: i32, args: &[&str]) -> String {
        let output = self.yore(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
        assert!(!said.contains("panicked"), "{args:?}: {said}");
        said
    }

    /// Links it with the words of an invitation, to a server on this port.
    pub fn link(&self, invitation: &[String], port: u16, more: &[&str]) {
        let url = format!("ssh://127.0.0.1:{port}");
        let words: Vec<&str> = invitation
            .iter()
            .map(|word| {
                if word.starts_with("ssh://") {
                    &url
                } else {
                    word.as_str()
                }
            })
            .collect();
        self.text(&[words.as_slice(), more].concat());
    }

    /// `yore snapshot` of its source.
    pub fn snapshot(&self) -> Output {
        self.yore(&["snapshot", "source", "--quiet"])
    }

    /// The same; it must succeed. Gives the snapshot's name.
    pub fn snapshotted(&self) -> String {
        let taken = self.json(&["snapshot", "source"]);
        taken["name"].as_str().expect("a name").to_owned()
    }

    /// `yore snapshot` of its source, running.
    pub fn start_snapshot(&self) -> Child {
        let mut command = self.command(&["snapshot", "source", "--quiet"]);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("yore")
    }

    /// Restores its source as it was in a snapshot; gives where it is now.
    pub fn restored(&self, snapshot: &str, name: &str) -> PathBuf {
        let target = self.home.join(name);
        std::fs::create_dir_all(&target).expect("a target");
        self.text(&["restore", snapshot, name, "--quiet"]);
        let source = self.source().canonicalize().expect("a source");
        target.join(source.strip_prefix("/").expect("it is absolute"))
    }

    /// The names of its repository's snapshots.
    pub fn snapshots(&self) -> Vec<String> {
        let list = self.json(&["snapshots"]);
        let names = list.as_array().expect("an array").iter();
        names
            .map(|one| one["name"].as_str().expect("a name").to_owned())
            .collect()
    }

    /// Its repository's URL, as its configuration has it.
    pub fn url(&self) -> String {
        self.configured("repository")
    }

    /// A value of its configuration.
    pub fn configured(&self, key: &str) -> String {
        let text = std::fs::read_to_string(self.config().join("agent.toml")).expect("it is linked");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='));
        let value = line.unwrap_or_else(|| panic!("no {key} in\n{text}"));
        value.trim().trim_matches('"').to_owned()
    }
}
