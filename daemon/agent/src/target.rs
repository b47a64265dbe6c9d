//! Where a push goes: a repository here, or one at the other end of a connection.

use std::ffi::OsStr;
use std::path::Path;
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
                .map(|folder| folder.join(KNOWN_HOSTS))
                .filter(|file| file.exists()),
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
