//! A repository on a server, over SSH.
//!
//! ```text
//! Remote (a History) ─┐
//!                     ├─▶ connection ─▶ stream: by ssh (russh) or openssh (`ssh -s`)
//! push  (a Receiver) ─┘
//! ```
//!
//! What is said is daemon/wire/PROTOCOL.md. What a server sends is taken as that of a stranger:
//! it is parsed with bounds, and a restore trusts no name of it.

mod address;
mod blocking;
mod connection;
mod content;
mod dial;
mod greeting;
mod history;
mod listings;
mod mailbox;
mod most;
mod openssh;
mod outgoing;
mod passages;
mod push;
mod said;
mod small;
mod ssh;
mod stream;
#[cfg(test)]
mod testing;
mod unheard;
mod unpack;
mod unread;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use russh::keys::PrivateKey;
use yore_store::{Error, Result};
use yore_wire::{Answer, Opened, Question};

pub use address::{Address, PORT};
pub use blocking::{Blocking, End, Ended, ending};
pub(crate) use connection::{Alive, Connection};
pub use history::RemoteHistory;
pub(crate) use openssh::known_host;
pub(crate) use push::{Pushes, begin};
pub(crate) use ssh::whole_host_key;
pub use ssh::{Login, host_key, preferred};
pub use stream::Stream;
pub use unread::end_when_unread;

use connection::elsewhere;
use stream::Limited;

use crate::config::Transport;

/// What keeps an agent from reaching its server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers, or the connection broke: the same may succeed later.
    #[error("{address}: {message}")]
    Lost {
        /// The server.
        address: String,
        /// What happened.
        message: String,
    },
    /// The server is another one than it was, or somebody is in between.
    #[error(
        "{address}: its host key is {found}, and {pinned} was pinned; if the server was really set up anew, \
         `yore link --force` it again"
    )]
    HostKey {
        /// The server.
        address: String,
        /// The key that it showed.
        found: String,
        /// The key that it must have.
        pinned: String,
    },
    /// It does not let us in.
    #[error("{address}: {user} is not let in {}", if *.by_key { "with this machine's key; was it revoked, or the account disabled? `yore link --force` enrols it again" } else { "with this password or invitation; an invitation can be used once, until it expires; after some failures an address waits a minute" })]
    Login {
        /// The server.
        address: String,
        /// The account.
        user: String,
        /// With a key, not with a password.
        by_key: bool,
    },
    /// Something here.
    #[error(transparent)]
    Local(io::Error),
}

impl ConnectError {
    fn lost(address: &Address, message: impl ToString) -> Self {
        ConnectError::Lost {
            address: address.to_string(),
            message: message.to_string(),
        }
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Lost { address, message } => elsewhere(&address, message, true),
            ConnectError::HostKey { ref address, .. } | ConnectError::Login { ref address, .. } => {
                let text = error.to_string();
                let message = text.strip_prefix(&format!("{address}: ")).unwrap_or(&text).to_owned();
                elsewhere(address, message, false)
            }
            ConnectError::Local(source) => Error::Io {
                path: PathBuf::from("ssh"),
                source,
            },
        }
    }
}

/// How to reach a repository on a server.
#[derive(Clone)]
pub struct Server {
    /// Where it is; with user and repository.
    pub address: Address,
    /// The account to log in as.
    pub user: String,
    /// How to log in; of OpenSSH the key's file.
    pub way: Way,
    /// Bytes a second that may be sent; no limit if `None`.
    pub limit_rate: Option<u64>,
    /// Seconds from one push to the next, if there is a schedule: the server expects them.
    pub interval: Option<u64>,
}

/// By what means a server is reached.
#[derive(Clone)]
pub enum Way {
    /// By our own SSH.
    Own {
        /// This machine's key, or a password.
        login: Login,
        /// The host key that the server must have, `SHA256:…`.
        host_key: String,
        /// Straight to its port, or where the system's `ssh` would go.
        route: Transport,
    },
    /// By the system's `ssh`.
    OpenSsh {
        /// The file of this machine's key.
        key: Option<PathBuf>,
        /// The file of known hosts that has the server's key; OpenSSH's own if `None`.
        known_hosts: Option<PathBuf>,
    },
}

impl Server {
    /// The same, held to so many bytes a second, if there is a number.
    pub(crate) fn limited(&self, rate: Option<u64>) -> Server {
        Server {
            limit_rate: rate.or(self.limit_rate),
            ..self.clone()
        }
    }

    /// The same, whose pushes follow no schedule.
    pub(crate) fn unscheduled(&self) -> Server {
        Server {
            interval: None,
            ..self.clone()
        }
    }

    /// Connects and greets.
    pub(crate) fn connect(&self) -> Result<Connection> {
        Connection::begin(self.connect_raw()?, &self.address.to_string())
    }

    /// Connects and logs in, and says nothing yet.
    ///
    /// # Errors
    /// [`ConnectError`], as an [`Error`].
    pub fn connect_raw(&self) -> Result<Stream> {
        let stream = match &self.way {
            Way::Own { login, host_key, route } => ssh::connect(&self.address, &self.user, login, host_key, *route)?,
            Way::OpenSsh { key, known_hosts } => {
                openssh::connect(&self.address, &self.user, key.as_deref(), known_hosts.as_deref())?
            }
        };
        Ok(match self.limit_rate {
            None => stream,
            Some(rate) => Stream {
                writer: Box::new(Limited::new(stream.writer, rate)),
                ..stream
            },
        })
    }

    /// Connects and opens the repository.
    pub(crate) fn open(&self, to_push: bool) -> Result<(Connection, Opened)> {
        let connection = self.connect()?;
        let place = connection.place().to_owned();
        let repository = self
            .address
            .repository
            .clone()
            .ok_or_else(|| elsewhere(&place, "names no repository: ssh://HOST/REPOSITORY", false))?;
        match connection.ask_one(Question::Open { repository, to_push })? {
            // Its identity names files here.
            Some(Answer::Opened(opened)) if opened.id.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Ok((connection, opened))
            }
            _ => Err(unexpected(&place)),
        }
    }
}

/// A repository on a server, read and looked after; see [`History`](yore_store::History).
///
/// It connects when it is asked first, and again where a connection was lost between two questions.
pub struct Remote {
    server: Server,
    place: String,
    link: Mutex<Link>,
    contents: Arc<content::Cache>,
    listings: Mutex<listings::Listings>,
}

/// A connection, and what it must lead to.
#[derive(Default)]
struct Link {
    connection: Option<Arc<Connection>>,
    /// The identity of the repository, once it is known.
    id: Option<String>,
}

impl Remote {
    /// A repository; nobody is asked yet.
    pub fn new(server: Server) -> Arc<Self> {
        Arc::new(Remote {
            place: server.address.to_string(),
            server,
            link: Mutex::default(),
            contents: Arc::default(),
            listings: Mutex::default(),
        })
    }

    /// Opens the repository as a push would: it is made if it is not there.
    ///
    /// # Errors
    /// What the server says, or [`Error::Elsewhere`].
    pub(crate) fn try_to_push(server: Server) -> Result<Arc<Self>> {
        let (connection, opened) = server.open(true)?;
        let remote = Self::new(server);
        *remote.link() = Link {
            connection: Some(Arc::new(connection)),
            id: Some(opened.id),
        };
        Ok(remote)
    }

    /// How it is reached.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Tells the server of a snapshot that failed before it could be pushed.
    ///
    /// # Errors
    /// If it cannot be told.
    pub fn report(&self, failure: &str) -> Result<()> {
        let failure = failure.to_owned();
        self.asked(|connection| {
            let failure = failure.clone();
            connection.ask_one(Question::Report { failure }).map(drop)
        })
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().expect("no panic while held")
    }

    /// Asks by the connection; once more by a new one if it was lost meanwhile.
    fn asked<T>(&self, ask: impl Fn(&Connection) -> Result<T>) -> Result<T> {
        let connection = self.connection()?;
        match ask(&connection) {
            Err(Error::Elsewhere { lost: true, .. }) => {}
            result => return result,
        }
        self.forget(&connection);
        ask(&*self.connection()?)
    }

    fn connection(&self) -> Result<Arc<Connection>> {
        let mut link = self.link();
        if let Some(connection) = &link.connection {
            return Ok(connection.clone());
        }
        let (connection, opened) = self.server.open(false)?;
        if link.id.as_ref().is_some_and(|id| *id != opened.id) {
            return Err(elsewhere(&self.place, "is another repository than it was", false));
        }
        let connection = Arc::new(connection);
        *link = Link {
            connection: Some(connection.clone()),
            id: Some(opened.id),
        };
        Ok(connection)
    }

    /// Drops a connection that was lost, unless another one has taken its place.
    fn forget(&self, lost: &Arc<Connection>) {
        let mut link = self.link();
        if link.connection.as_ref().is_some_and(|now| Arc::ptr_eq(now, lost)) {
            link.connection = None;
        }
    }
}

/// The error for an answer that is none to the question.
fn unexpected(place: &str) -> Error {
    elsewhere(
        place,
        "the server answered another question than was asked; update the older of both",
        false,
    )
}

/// Makes a key for this machine.
///
/// # Errors
/// What the system says.
pub fn new_key(machine: &str) -> io::Result<PrivateKey> {
    let mut seed = [0; 32];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut seed)?;
    let pair = russh::keys::ssh_key::private::Ed25519Keypair::from_seed(&seed);
    let mut key = PrivateKey::from(pair);
    key.set_comment(machine);
    Ok(key)
}

/// Reads the key of this machine.
///
/// # Errors
/// [`ConnectError::Local`], which names the file.
pub fn read_key(path: &Path) -> std::result::Result<PrivateKey, ConnectError> {
    let named = |error: String| ConnectError::Local(io::Error::other(format!("{}: {error}", path.display())));
    let text = std::fs::read(path).map_err(|error| named(error.to_string()))?;
    let mode = path.metadata().map_or(0, |status| status.permissions().mode());
    if mode & 0o077 != 0 {
        return Err(named("others may read this key; `chmod 600` it".into()));
    }
    let broken = |error: String| named(format!("is no key ({error}); `yore link --force` makes a new one"));
    let text = String::from_utf8(text).map_err(|error| broken(error.to_string()))?;
    PrivateKey::from_openssh(&text).map_err(|error| broken(error.to_string()))
}
