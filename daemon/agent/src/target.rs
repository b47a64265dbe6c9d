//! Where a push goes: a repository here, or one at the other end of a connection.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use yore_store::{History, Repository};

use crate::config::{AgentConfig, Transport};
use crate::link::{KEY_FILE, KNOWN_HOSTS};
use crate::remote::{Address, Login, Remote, RemoteHistory, Server, Way, read_key};

/// Where a push goes.
#[derive(Clone)]
pub enum Target {
    /// A folder that this process can reach.
    Here(Arc<Repository>),
    /// A server's.
    There(Arc<Remote>),
}

/// What keeps a repository from being opened.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The repository, or the way to it.
    #[error(transparent)]
    Store(#[from] yore_store::Error),
    /// The address makes no sense.
    #[error("{0}")]
    Address(String),
    /// This machine was never linked to that server.
    #[error("this machine is not linked to {0}; `yore link ssh://{0}` links it")]
    NotLinked(String),
    /// The server's key was pinned, and is gone.
    #[error("{}: {source}; it has the key that {server} must have, and `yore link --force ssh://{server}` writes it again", path.display())]
    Pinned {
        /// The file of known hosts that the link made.
        path: PathBuf,
        /// The server.
        server: String,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// This machine's key.
    #[error(transparent)]
    Key(#[from] crate::remote::ConnectError),
}

impl Target {
    /// Opens what a user calls a repository: a folder, or `ssh://[USER@]HOST[:PORT]/REPOSITORY`.
    /// The key, the server's pinned key and the way to it are those of the link, which `config` has
    /// and whose files are in `folder`.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn open(place: &OsStr, config: Option<&AgentConfig>, folder: Option<&Path>) -> Result<Self, TargetError> {
        match place.to_str().filter(|text| Address::is_meant(text)) {
            None => Ok(Target::Here(Arc::new(Repository::open(Path::new(place))?))),
            Some(text) => {
                let server = server(text, config, folder)?;
                Ok(Target::There(Remote::new(server)))
            }
        }
    }

    /// The same repository, to be read and looked after.
    pub fn history(&self) -> Arc<dyn History> {
        match self {
            Target::Here(repository) => Arc::new(repository.clone()),
            Target::There(remote) => Arc::new(RemoteHistory(remote.clone())),
        }
    }

    /// Tells a server of a snapshot that failed before it could be pushed, so that its people hear of it.
    /// That the server cannot be told is no other failure.
    pub fn report(&self, failure: &str) {
        if let Target::There(remote) = self {
            let _ = remote.report(failure);
        }
    }

    /// (device, inode) of folders that a walk must not go into: the repository itself.
    pub fn skip(&self) -> Vec<(u64, u64)> {
        match self {
            Target::Here(repository) => std::fs::metadata(repository.path())
                .map(|status| {
                    (
                        std::os::unix::fs::MetadataExt::dev(&status),
                        std::os::unix::fs::MetadataExt::ino(&status),
                    )
                })
                .into_iter()
                .collect(),
            Target::There(_) => Vec::new(),
        }
    }
}

/// How to reach a server's repository.
fn server(text: &str, config: Option<&AgentConfig>, folder: Option<&Path>) -> Result<Server, TargetError> {
    let address: Address = text.parse().map_err(TargetError::Address)?;
    let linked = config.and_then(|config| config.repository.as_deref()?.parse::<Address>().ok());
    let same_server = |other: &&Address| (&other.host, other.port) == (&address.host, address.port);
    let linked = linked.as_ref().filter(same_server);
    let user = address.user.clone().or_else(|| linked?.user.clone());
    let user = user
        .or_else(|| std::env::var("USER").ok())
        .unwrap_or_else(|| "root".into());
    let not_linked = || TargetError::NotLinked(address.host_and_port());
    let key_file = folder.map(|folder| folder.join(KEY_FILE));
    let way = match config.map(|config| config.transport).unwrap_or_default() {
        Transport::Openssh => Way::OpenSsh {
            key: key_file.filter(|file| file.exists()),
            known_hosts: linked
                .and(folder)
                .map(|folder| known_hosts(folder, config, &address))
                .transpose()?
                .flatten(),
        },
        Transport::Ssh => {
            let pinned = linked.and(config).and_then(|config| config.host_key.clone());
            let (host_key, file) = pinned.zip(key_file).ok_or_else(not_linked)?;
            Way::Own {
                login: Login::Key(Arc::new(read_key(&file)?)),
                host_key,
                route: Transport::Ssh,
            }
        }
    };
    Ok(Server {
        address,
        user,
        way,
        limit_rate: config.and_then(|config| config.limit_rate),
        interval: config.and_then(AgentConfig::interval),
    })
}

/// The file of known hosts that the link made. Where it pinned a key there is no way without it; who wrote the
/// configuration by hand and pinned none goes by what OpenSSH knows.
fn known_hosts(folder: &Path, config: Option<&AgentConfig>, address: &Address) -> Result<Option<PathBuf>, TargetError> {
    let path = folder.join(KNOWN_HOSTS);
    let is_pinned = config.is_some_and(|config| config.host_key.is_some());
    match std::fs::File::open(&path) {
        Ok(_) => Ok(Some(path)),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound && !is_pinned => Ok(None),
        Err(source) => Err(TargetError::Pinned {
            path,
            server: address.host_and_port(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_key_that_is_gone_is_not_done_without() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = AgentConfig {
            repository: Some("ssh://ann@nas/laptop".into()),
            transport: Transport::Openssh,
            ..AgentConfig::default()
        };
        let way = |config: &AgentConfig| match server("ssh://nas/laptop", Some(config), Some(folder.path())) {
            Ok(server) => match server.way {
                Way::OpenSsh { known_hosts, .. } => Ok(known_hosts),
                Way::Own { .. } => unreachable!("it was configured"),
            },
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(way(&config), Ok(None), "nothing was pinned");
        config.host_key = Some("SHA256:abc".into());
        let error = way(&config).unwrap_err();
        assert!(
            error.contains("known_hosts") && error.contains("link --force"),
            "{error}"
        );
        let path = folder.path().join(KNOWN_HOSTS);
        std::fs::write(&path, "yored ssh-ed25519 AAAA").unwrap();
        assert_eq!(way(&config), Ok(Some(path)));
    }
}
