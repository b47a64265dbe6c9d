//! What can be wrong with the agent's file.

use std::io;
use std::path::{Path, PathBuf};

/// Why the agent's file cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nobody says where the file is.
    #[error("there is no home folder to keep a configuration in; set YORE_CONFIG_DIR or HOME")]
    NoHome,
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no TOML.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// It has a key that nobody knows.
    #[error("{}:{line}: there is no key `{key}`{}", path.display(), did_you_mean(*nearest))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// The key that looks most like it, if one does.
        nearest: Option<&'static str>,
    },
    /// A value makes no sense.
    #[error("{}:{line}: {key}: {message}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// A path that a TOML file cannot hold.
    #[error("{}: is not UTF-8, and the file can only hold such paths; take the folder that it is in", .0.display())]
    NotText(PathBuf),
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |nearest| format!("; did you mean `{nearest}`?"))
}

/// Gives an I/O error its path.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> ConfigError {
    move |source| ConfigError::Io {
        path: path.to_owned(),
        source,
    }
}
