//! Linking this machine to a server: its key is made, enrolled once, and tried.
//!
//! | step | what a crash leaves |
//! |---|---|
//! | the key's file is written (or was there) | a key that nobody knows: used the next time |
//! | where that was revoked: another, in `key.new` | the same; a link that there was goes on with its own |
//! | the server takes the key | a key that is enrolled: linking again finds it so |
//! | `known_hosts` gets the server's whole key, for OpenSSH | the same |
//! | the new login is tried, as it will be used | the same |
//! | `key.new`, if there is one, becomes the key | the next link finds it enrolled; the one before does not log in |
//! | `agent.toml` says where to push to | the link |

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::PrivateKey;
use russh::keys::PublicKeyBase64;
use russh::keys::ssh_key::LineEnding;
use yore_store::Error;
use yore_wire::{Answer, Enrolment, Question};

use crate::config::{AgentConfig, ConfigError, Edit, Transport};
use crate::remote::{self, Address, ConnectError, Login, Remote, Server, Way};

/// What the key's file is called, in the folder of `agent.toml`.
pub const KEY_FILE: &str = "key";

/// A key in the place of one that was revoked, until the link is made.
const NEW_KEY: &str = "key.new";

/// The file in the same folder that has the server's whole key, as OpenSSH's known hosts.
pub const KNOWN_HOSTS: &str = "known_hosts";

/// What to link to what.
pub struct LinkRequest {
    /// The server; with the repository's name.
    pub address: Address,
    /// The account.
    pub user: String,
    /// Its password, or the token of an invitation.
    pub secret: String,
    /// The server's key, which the user has seen.
    pub host_key: String,
    /// What carries a push to the server from now on. By OpenSSH, the server is linked where that would
    /// go: by its jump host, for instance.
    pub transport: Transport,
    /// This machine's name.
    pub machine: String,
    /// Also where the repository is another machine's, or this one is linked already.
    pub force: bool,
    /// Take the repository over from a machine that is gone.
    pub replace: bool,
    /// Where `agent.toml` and the key are.
    pub folder: PathBuf,
}

/// A link that was made.
#[derive(Debug)]
pub struct Linked {
    /// The repository.
    pub address: Address,
    /// This machine's key, `SHA256:…`.
    pub key: String,
    /// Snapshots that the repository has.
    pub snapshots: usize,
    /// The machine whose repository it was, if it was taken over.
    pub before: Option<String>,
}

/// What keeps a machine from being linked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It is linked.
    #[error("this machine is linked to {0} already; --force links it anew")]
    Linked(String),
    /// The server cannot be reached, or does not let us in.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refuses, or the connection broke.
    #[error(transparent)]
    Store(#[from] Error),
    /// `agent.toml`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server says what it was not asked, and what would be written into `agent.toml`.
    #[error("the server says that this machine is {0}, which is not what was asked for; nothing was changed here")]
    Answer(String),
    /// The file of this machine's key, or of the server's.
    #[error("{}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
}

/// Links this machine.
///
/// # Errors
/// [`LinkError`]. Linking again goes on where it broke.
pub fn link(request: &LinkRequest) -> Result<Linked, LinkError> {
    let known = AgentConfig::load(&request.folder)?.unwrap_or_default();
    if let Some(repository) = known.repository.filter(|_| !request.force && !request.replace) {
        return Err(LinkError::Linked(repository));
    }
    let was_there = request.folder.join(KEY_FILE).exists();
    let (mut key, mut file) = (load_or_make_key(request, KEY_FILE)?, KEY_FILE);
    let by_secret = || Login::Password(request.secret.clone());
    let enrolled = match enrol(request, &key, by_secret()) {
        // A key that was revoked does not come back; the machine does, with another.
        Err(LinkError::Store(Error::KeyRevoked)) => {
            (key, file) = (load_or_make_key(request, NEW_KEY)?, NEW_KEY);
            enrol(request, &key, by_secret())?
        }
        // An invitation is used up once the server has the key, also where this machine did not hear of that: then the
        // key itself is let in.
        Err(refused @ LinkError::Store(Error::Elsewhere { lost: false, .. })) if was_there && !request.replace => {
            enrol(request, &key, Login::Key(Arc::new(key.clone()))).map_err(|_| refused)?
        }
        enrolled => enrolled?,
    };
    check_answer(request, &enrolled)?;
    let address = Address {
        user: Some(enrolled.user.clone()),
        repository: Some(enrolled.repository),
        ..request.address.clone()
    };
    keep_host_key(request)?;
    let remote = Remote::try_to_push(Server {
        user: enrolled.user,
        way: way(request, &key, file),
        limit_rate: None,
        interval: None,
        address: address.clone(),
    })?;
    let snapshots = yore_store::History::snapshots(&remote::RemoteHistory(remote))?;
    if file == NEW_KEY {
        let (from, path) = (request.folder.join(NEW_KEY), request.folder.join(KEY_FILE));
        std::fs::rename(from, &path).map_err(|source| LinkError::Key { path, source })?;
    }
    let mut edit = Edit::open(&request.folder)?;
    edit.set_repository(&address.to_string());
    edit.set_host_key(Some(&request.host_key));
    if known.transport != request.transport {
        edit.set_transport(request.transport);
    }
    // Lines of snapshots go by host: under the old name they go on.
    if let Some(newest) = snapshots
        .last()
        .filter(|newest| request.replace && is_host(&newest.host))
    {
        edit.set_host(&newest.host);
    }
    edit.save()?;
    Ok(Linked {
        address,
        key: key.public_key().fingerprint(russh::keys::HashAlg::Sha256).to_string(),
        snapshots: snapshots.len(),
        before: enrolled.before,
    })
}

/// How the server will be reached from now on, with the key that is in this file.
fn way(request: &LinkRequest, key: &PrivateKey, file: &str) -> Way {
    match request.transport {
        Transport::Ssh => Way::Own {
            login: Login::Key(Arc::new(key.clone())),
            host_key: request.host_key.clone(),
            route: Transport::Ssh,
        },
        Transport::Openssh => Way::OpenSsh {
            key: Some(request.folder.join(file)),
            known_hosts: Some(request.folder.join(KNOWN_HOSTS)),
        },
    }
}

/// What the server answers becomes the URL that this machine pushes to: with a user `x@elsewhere/y` it would lead to
/// another host.
fn check_answer(request: &LinkRequest, enrolled: &Enrolled) -> Result<(), LinkError> {
    let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let user = &enrolled.user;
    let is_user = (1..=64).contains(&user.len()) && user.bytes().all(may_stand);
    match is_user && Some(&enrolled.repository) == request.address.repository.as_ref() {
        true => Ok(()),
        false => Err(LinkError::Answer(format!("{:?} of {user:?}", enrolled.repository))),
    }
}

/// Whether a name of a machine can be this one's.
fn is_host(host: &str) -> bool {
    (1..=255).contains(&host.len()) && !host.contains(char::is_control)
}

struct Enrolled {
    user: String,
    repository: String,
    before: Option<String>,
}

/// Has the server take a key.
fn enrol(request: &LinkRequest, key: &PrivateKey, login: Login) -> Result<Enrolled, LinkError> {
    let server = Server {
        address: request.address.clone(),
        user: request.user.clone(),
        way: Way::Own {
            login,
            host_key: request.host_key.clone(),
            route: request.transport,
        },
        limit_rate: None,
        interval: None,
    };
    let public = key.public_key();
    let answer = server.connect()?.ask_one(Question::Enrol(Enrolment {
        key: format!("{} {}", public.algorithm(), public.public_key_base64()),
        machine: request.machine.clone(),
        repository: request.address.repository.clone().unwrap_or_default(),
        force: request.force,
        replace: request.replace,
    }))?;
    match answer {
        Some(Answer::Enrolled {
            user,
            repository,
            before,
        }) => Ok(Enrolled {
            user,
            repository,
            before,
        }),
        _ => Err(Error::Refused("the server did not say whether it took the key".into()).into()),
    }
}

/// Keeps the server's whole key: a fingerprint is not enough for OpenSSH.
fn keep_host_key(request: &LinkRequest) -> Result<(), LinkError> {
    let key = remote::whole_host_key(&request.address, &request.user, request.transport, &request.host_key)?;
    let path = request.folder.join(KNOWN_HOSTS);
    let written = crate::atomic::replace(&path, remote::known_host(&key).as_bytes());
    written.map_err(|source| LinkError::Key { path, source })
}

/// The key in this file; made if it is not there, or is none and the link is forced.
fn load_or_make_key(request: &LinkRequest, file: &str) -> Result<PrivateKey, LinkError> {
    let path = request.folder.join(file);
    match path.exists().then(|| remote::read_key(&path)) {
        Some(Ok(key)) => Ok(key),
        Some(Err(error)) if !request.force => Err(error.into()),
        _ => make_key(&request.folder, &path, &request.machine),
    }
}

/// A new key of this machine, in the place of the one that was in the file.
fn make_key(folder: &Path, path: &Path, machine: &str) -> Result<PrivateKey, LinkError> {
    let failed = |source| LinkError::Key {
        path: path.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let key = remote::new_key(machine).map_err(failed)?;
    let text = key
        .to_openssh(LineEnding::LF)
        .map_err(|error| failed(io::Error::other(error)))?;
    crate::atomic::replace(path, text.as_bytes()).map_err(failed)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(folder: &Path) -> LinkRequest {
        LinkRequest {
            address: "ssh://nas/laptop".parse().unwrap(),
            user: "ann".into(),
            secret: String::new(),
            host_key: String::new(),
            transport: Transport::Ssh,
            machine: "laptop".into(),
            force: false,
            replace: false,
            folder: folder.to_owned(),
        }
    }

    #[test]
    fn a_server_says_no_other_repository_and_no_other_host() {
        let request = request(Path::new("/nowhere"));
        let check = |user: &str, repository: &str| {
            let enrolled = Enrolled {
                user: user.into(),
                repository: repository.into(),
                before: None,
            };
            check_answer(&request, &enrolled).is_ok()
        };
        assert!(check("ann", "laptop") && check("ann.b-c_1", "laptop"));
        assert!(!check("x@evil/foo", "laptop") && !check("", "laptop") && !check("ann", "") && !check("ann", "other"));
        assert!(is_host("laptop") && !is_host("") && !is_host("a\nb"));
    }

    #[test]
    fn a_key_that_was_revoked_stays_until_the_other_is_linked() {
        let folder = tempfile::tempdir().unwrap();
        let request = request(folder.path());
        let public = |file| {
            load_or_make_key(&request, file)
                .unwrap()
                .public_key()
                .public_key_base64()
        };
        let (first, other) = (public(KEY_FILE), public(NEW_KEY));
        assert_ne!(first, other);
        assert_eq!((public(KEY_FILE), public(NEW_KEY)), (first, other));
    }
}
