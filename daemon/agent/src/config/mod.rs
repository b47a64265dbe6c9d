//! The agent's one file: what this machine backs up, where to, and when.
//!
//! `agent.toml` in the configuration folder: `$YORE_CONFIG_DIR`, else `/etc/yore` for root, else
//! `$XDG_CONFIG_HOME/yore` or `~/.config/yore`. A person edits it and so do commands
//! ([`Edit`]), which leave comments and order alone. A key that nobody knows is an error: a
//! misspelt `exclude` must not pass for none.

mod edit;
mod error;
mod read;
mod schedule;
mod units;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

pub use edit::Edit;
pub use error::ConfigError;
pub use schedule::{Schedule, ScheduleError};
pub use units::{parse_bytes, parse_time, time_text};

/// What the file is called in its folder.
pub const FILE: &str = "agent.toml";

/// What carries a push to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Our own SSH.
    #[default]
    Ssh,
    /// The system's `ssh`.
    Openssh,
}

impl Transport {
    /// What the file calls it.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Ssh => "ssh",
            Transport::Openssh => "openssh",
        }
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Transport::Ssh, Transport::Openssh]
            .into_iter()
            .find(|transport| transport.name() == text)
            .ok_or_else(|| format!("`{text}` is neither ssh nor openssh"))
    }
}

/// What the file says; what it does not say is as [`Default`] has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// A folder, or `ssh://[USER@]HOST[:PORT]/REPOSITORY`.
    pub repository: Option<String>,
    /// The pinned key of the server, `SHA256:…`.
    pub host_key: Option<String>,
    /// The name that this machine's snapshots carry; the machine's own if `None`.
    pub host: Option<String>,
    /// What carries a push to a server.
    pub transport: Transport,
    /// Files and folders to back up.
    pub include: Vec<PathBuf>,
    /// Patterns of what to leave out.
    pub exclude: Vec<String>,
    /// Of folders with a CACHEDIR.TAG, keep only the tag.
    pub exclude_caches: bool,
    /// Do not go into other file systems.
    pub one_file_system: bool,
    /// What to call the snapshots.
    pub tags: Vec<String>,
    /// When to push.
    pub schedule: Schedule,
    /// Push this long after the last change, too.
    pub after_change: Option<Duration>,
    /// How often to look at everything.
    pub full_scan: Duration,
    /// Bytes a second at most.
    pub limit_rate: Option<u64>,
    /// A shell command before each push.
    pub before: Option<String>,
    /// A shell command after it.
    pub after: Option<String>,
    /// How long a push that fails is tried again.
    pub retry_for: Duration,
}

impl Default for AgentConfig {
    fn default() -> Self {
        AgentConfig {
            repository: None,
            host_key: None,
            host: None,
            transport: Transport::Ssh,
            include: Vec::new(),
            exclude: Vec::new(),
            exclude_caches: false,
            one_file_system: false,
            tags: Vec::new(),
            schedule: Schedule::Daily,
            after_change: None,
            full_scan: Duration::from_secs(86_400),
            limit_rate: None,
            before: None,
            after: None,
            retry_for: Duration::from_secs(3600),
        }
    }
}

impl AgentConfig {
    /// The folder that the file is in, whether there is one or not.
    ///
    /// # Errors
    /// [`ConfigError::NoHome`].
    pub fn folder() -> Result<PathBuf, ConfigError> {
        own_folder("YORE_CONFIG_DIR", "/etc/yore", "XDG_CONFIG_HOME", ".config").ok_or(ConfigError::NoHome)
    }

    /// Seconds from one push of the schedule to the next.
    pub fn interval(&self) -> Option<u64> {
        let zone = jiff::tz::TimeZone::system();
        self.schedule.interval(jiff::Timestamp::now(), &zone, "")
    }

    /// Reads the file in this folder; `None` if there is none.
    ///
    /// # Errors
    /// [`ConfigError`], which names the file and the line.
    pub fn load(folder: &Path) -> Result<Option<Self>, ConfigError> {
        let path = folder.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => read::read(&text, &path).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error::at(&path)(error)),
        }
    }
}

/// A folder of the agent's: what `own` says, else root's, else below what `xdg` says or `home`
/// in the home folder.
pub(crate) fn own_folder(own: &str, roots: &str, xdg: &str, home: &str) -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(folder) = set(own) {
        return std::path::absolute(folder).ok();
    }
    if rustix::process::geteuid().is_root() {
        return Some(roots.into());
    }
    let absolute = |name: &str| set(name).filter(|path| path.is_absolute());
    let base = absolute(xdg).or_else(|| Some(absolute("HOME")?.join(home)))?;
    Some(base.join("yore"))
}

#[cfg(test)]
mod tests;
