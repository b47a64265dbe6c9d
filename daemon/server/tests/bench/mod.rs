//! A server that is administered by the real `yored`.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use yore_server::accounts::Accounts;

/// A key of nobody.
pub const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

/// A server's data and configuration in a folder of their own.
pub struct Bench {
    /// Where all of it lies.
    pub folder: tempfile::TempDir,
    daemon: Mutex<Option<std::fs::File>>,
}

impl Bench {
    pub fn new() -> Self {
        Self::configured("")
    }

    pub fn configured(more: &str) -> Self {
        let bench = Bench {
            folder: tempfile::tempdir().unwrap(),
            daemon: Mutex::default(),
        };
        bench.configure(more);
        bench
    }

    pub fn configure(&self, more: &str) {
        // No disk is so full that a check says so.
        let text = format!(
            "data = {:?}\nlisten = \"127.0.0.1:2222\"\nkeep_free = \"0\"\n{more}",
            self.data()
        );
        std::fs::write(self.config(), text).unwrap();
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("yored.toml")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yored"));
        command
            .arg("--config")
            .arg(self.config())
            .args(args)
            .stdin(Stdio::null());
        command
    }

    pub fn yored(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What a command that must succeed prints.
    pub fn text(&self, args: &[&str]) -> String {
        let output = self.yored(args);
        assert_eq!(status(&output), 0, "{args:?}: {}", stderr(&output));
        stdout(&output)
    }

    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.text(&[args, &["--json"]].concat())).unwrap()
    }

    /// From now on it looks as if the daemon ran: it holds this lock.
    pub fn runs(&self) {
        let lock = std::fs::File::create(self.data().join("yored.lock")).unwrap();
        lock.try_lock().unwrap();
        *self.daemon.lock().unwrap() = Some(lock);
    }

    /// The daemon has died.
    pub fn dies(&self) {
        self.daemon.lock().unwrap().take();
    }

    /// The accounts as the daemon has them, beside the command line.
    pub fn accounts(&self) -> Accounts {
        Accounts::open(&self.data()).unwrap()
    }

    /// A user `ann` with a key and a repository `docs` that has a folder; gives its number.
    pub fn ann(&self) -> i64 {
        self.text(&["user", "add", "ann", "--email", "ann@example.org", "--quota", "1000"]);
        let accounts = self.accounts();
        let ann = accounts.user(&"ann".parse().unwrap()).unwrap().unwrap();
        let key = accounts.enrol(ann.id, None, KEY, "laptop", "10.0.0.1").unwrap();
        let docs = "docs".parse().unwrap();
        let row = accounts
            .add_repository(ann.id, &docs, Some(key.id), Some("laptop"), "10.0.0.1")
            .unwrap();
        std::fs::create_dir(accounts.repository_path(&ann.name, &docs)).unwrap();
        self.runs();
        row.id
    }

    pub fn repository_folder(&self) -> PathBuf {
        self.data().join("users/ann/docs")
    }
}

pub fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
