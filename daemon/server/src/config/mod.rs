//! The configuration: one TOML file in which every key has a default.
//!
//! ```text
//! mod       the keys and their defaults; reading the file
//! keys      every key by name: one that we do not know is an error that names the nearest known one
//! address   host and port: where to listen, what agents are told to reach
//! mail      the section [mail]
//! night     the hours in which the server does its own work
//! retention the section [retention]
//! ```
//!
//! A new key is added in four places, and a test fails for each one that is missed: the struct, its
//! `Default`, the table in `keys`, and `contrib/yored.toml`, which shows every key at its default.

mod address;
mod keys;
mod mail;
mod night;
mod retention;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

pub use address::Address;
pub use mail::{Mail, Secret, Tls, Transport};
pub use night::Night;

use crate::retention::Keep;
use crate::units::{Seconds, Size, from_text_if_any};
use crate::weekdays::Weekdays;

/// Where the file is if nobody says otherwise.
pub const DEFAULT_FILE: &str = "/etc/yore/yored.toml";

/// The port of yore.
pub const DEFAULT_PORT: u16 = 2222;

/// What the file says, with the defaults of what it does not say.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The folder of everything that the server keeps.
    pub data: PathBuf,
    /// Where to listen for agents.
    #[serde(deserialize_with = "one_or_many")]
    pub listen: Vec<SocketAddr>,
    /// What agents are told to reach; see [`Config::reachable`].
    #[serde(deserialize_with = "from_text_if_any")]
    pub address: Option<Address>,
    /// Where every repository is mounted while the daemon runs.
    pub mount: Option<PathBuf>,
    /// How much of the disk nobody may fill.
    pub keep_free: Size,
    /// How old a snapshot must be before anybody but the administrator may remove it.
    pub keep_at_least: Seconds,
    /// Without a success for longer than this a repository is overdue.
    pub max_age: Seconds,
    /// Days that do not count for `max_age`.
    pub skip_weekdays: Weekdays,
    /// What the server prunes by itself.
    pub retention: Retention,
    /// Within this all stored data is read back once; never if there is none.
    #[serde(deserialize_with = "unless_off")]
    pub verify_all_in: Option<Seconds>,
    /// When the server does its own work, in local time.
    pub night: Night,
    /// How many connections there may be.
    pub max_connections: usize,
    /// How many connections one address may have.
    pub max_connections_per_address: usize,
    /// How long a connection may take to prove who it is.
    pub login_timeout: Seconds,
    /// A push without a byte for so long may be taken over.
    pub stale_after: Seconds,
    /// Who gets mail, and how.
    pub mail: Mail,
    /// The file that this was read from; none if all are defaults.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

/// The section `[retention]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "retention::Section")]
pub struct Retention {
    /// The rules for repositories that have none of their own.
    pub keep: Keep,
    /// `keep_last` counts at most one snapshot in each of these.
    pub interval: Seconds,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            data: "/var/lib/yore".into(),
            listen: vec![SocketAddr::new([0u16; 8].into(), DEFAULT_PORT)],
            address: None,
            mount: None,
            keep_free: Size(1 << 30),
            keep_at_least: Seconds(7 * 86_400),
            max_age: Seconds(2 * 86_400),
            skip_weekdays: Weekdays::NONE,
            retention: Retention::default(),
            verify_all_in: Some(Seconds(30 * 86_400)),
            night: Night::default(),
            max_connections: 1000,
            max_connections_per_address: 100,
            login_timeout: Seconds(30),
            stale_after: Seconds(60),
            mail: Mail::default(),
            file: None,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            keep: Keep::default(),
            interval: Seconds(3600),
        }
    }
}

/// What is wrong with the configuration, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A key that no version of ours has.
    #[error("{}:{line}: unknown key {key}{}", path.display(), suggestion(nearest))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key, with its section.
        key: String,
        /// The known key that it resembles most.
        nearest: Option<String>,
    },
    /// Not TOML, or a value that makes no sense.
    #[error("{}:{line}: {message}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// Values that do not go together.
    #[error("{}: {message}", path.display())]
    Together {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map_or_else(String::new, |known| format!("; did you mean {known}?"))
}

impl Config {
    /// Reads the configuration: from `file`, which must be there, or from the default file, which
    /// need not.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if file.is_none() && error.kind() == ErrorKind::NotFound => Ok(Config::default()),
            Err(source) => Err(ConfigError::Io {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Reads the same file again, as SIGHUP asks for.
    ///
    /// # Errors
    /// As [`Config::load`]; then the configuration that there is goes on.
    pub fn reload(&self) -> Result<Self, ConfigError> {
        Self::load(self.file.as_deref())
    }

    /// Reads the text of a file; `path` is for messages.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let value = |error: toml::de::Error| ConfigError::Value {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| line(text, span.start)),
            message: error.message().to_owned(),
        };
        keys::check(text, path, &value)?;
        let mut config: Config = toml::from_str(text).map_err(value)?;
        config.file = Some(path.to_owned());
        config.check().map_err(|message| ConfigError::Together {
            path: path.to_owned(),
            message,
        })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.listen.is_empty() {
            return Err("listen: names no address".into());
        }
        if !self.data.is_absolute() {
            return Err(format!("data: {} is not an absolute path", self.data.display()));
        }
        let limits = [
            ("max_connections", self.max_connections as i64),
            ("max_connections_per_address", self.max_connections_per_address as i64),
            ("login_timeout", self.login_timeout.0),
            ("stale_after", self.stale_after.0),
            ("max_age", self.max_age.0),
        ];
        if let Some((key, _)) = limits.iter().find(|(_, value)| *value < 1) {
            return Err(format!("{key}: must be more than nothing"));
        }
        self.mail.check()
    }

    /// What agents are told to reach: `address`, at the port of `listen` if it has none; else the first of `listen`, where this machine's
    /// name stands for "every address".
    pub fn reachable(&self) -> Address {
        let listen = self.listen.first();
        let port = listen.map_or(DEFAULT_PORT, SocketAddr::port);
        match (&self.address, listen) {
            (Some(address), _) => Address::new(address.host.clone(), address.port.unwrap_or(port)),
            (None, Some(listen)) if !listen.ip().is_unspecified() => Address::new(listen.ip().to_string(), port),
            (None, _) => Address::new(host_name(), port),
        }
    }
}

/// The name that this machine has for itself.
pub fn host_name() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}

/// The line of a place in a text, from 1.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "listen wants an address and a port, such as \"[::]:2222\", or an array of them"
)]
enum OneOrMany {
    One(SocketAddr),
    Many(Vec<SocketAddr>),
}

fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SocketAddr>, D::Error> {
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

fn unless_off<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Seconds>, D::Error> {
    let text = String::deserialize(from)?;
    match text.as_str() {
        "off" => Ok(None),
        text => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests;
