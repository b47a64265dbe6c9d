//! SSH by russh: a connection, the login, and the subsystem's channel as blocking streams.
//!
//! russh lives in a runtime of its own; nothing else here is asynchronous.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::client::ChannelOpenHandle;
use russh::client::{self, AuthResult};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Channel, Preferred, cipher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;

use super::blocking::{Blocking, ending};
use super::dial::{Through, dial};
use super::stream::Stream;
use super::{Address, ConnectError};
use crate::config::Transport;

/// How long a server may take to answer before it counts as unreachable.
const CONNECT: Duration = Duration::from_secs(20);

/// The same where the system's ssh leads there: somebody may have to type a jump host's password.
const CONNECT_BY_OPENSSH: Duration = Duration::from_secs(120);

/// How one logs in.
#[derive(Clone)]
pub enum Login {
    /// With a machine's key.
    Key(Arc<PrivateKey>),
    /// With a password or the token of an invitation, to enrol a key.
    Password(String),
}

/// AES-GCM first: it is twice as fast as what russh would choose, wherever AES is in hardware.
pub fn preferred() -> Preferred {
    Preferred {
        cipher: [
            cipher::AES_256_GCM,
            cipher::AES_128_GCM,
            cipher::CHACHA20_POLY1305,
            cipher::AES_256_CTR,
        ]
        .to_vec()
        .into(),
        ..Preferred::default()
    }
}

/// Refuses channels that a server opens, which russh would accept: there is nothing here to reach, and each costs
/// memory. A reply that is dropped is a refusal.
macro_rules! refuse {
    ($($open:ident($($detail:ty),*);)*) => {$(
        async fn $open(
            &mut self,
            _: Channel<client::Msg>,
            $(_: $detail,)*
            _: ChannelOpenHandle,
            _: &mut client::Session,
        ) -> Result<(), russh::Error> {
            Ok(())
        }
    )*};
}

/// What happens while a connection is made.
struct Observer {
    /// The key that the server showed.
    shown: Arc<Mutex<Option<PublicKey>>>,
    /// The key that it must have.
    pinned: Option<String>,
}

impl client::Handler for Observer {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Ok(false);
        };
        let is_right = self.pinned.as_ref().is_none_or(|pinned| *pinned == fingerprint(key));
        *self.shown.lock().expect("no panic while held") = Some(key.clone());
        Ok(is_right)
    }

    refuse! {
        server_channel_open_session();
        server_channel_open_agent_forward();
        server_channel_open_forwarded_tcpip(&str, u32, &str, u32);
        server_channel_open_forwarded_streamlocal(&str);
        server_channel_open_direct_tcpip(&str, u32, &str, u32);
        server_channel_open_direct_streamlocal(&str);
        server_channel_open_x11(&str, u32);
    }
}

/// What people compare: `SHA256:…`
fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Finds out which key a server has, without logging in: its fingerprint. It is reached straight, or
/// where the system's ssh would go.
///
/// # Errors
/// [`ConnectError`] if there is nobody.
pub fn host_key(address: &Address, user: &str, route: Transport) -> Result<String, ConnectError> {
    shown_key(address, user, route, None).map(|key| fingerprint(&key))
}

/// The whole key of the server that has the pinned one, as OpenSSH writes it: `ssh-ed25519 AAAA…`.
///
/// # Errors
/// [`ConnectError`], also if the server has another key.
pub(crate) fn whole_host_key(
    address: &Address,
    user: &str,
    route: Transport,
    pinned: &str,
) -> Result<String, ConnectError> {
    let mut key = shown_key(address, user, route, Some(pinned.to_owned()))?;
    key.set_comment("");
    let text = key
        .to_openssh()
        .map_err(|error| ConnectError::Local(std::io::Error::other(error)))?;
    Ok(text.trim().to_owned())
}

fn shown_key(
    address: &Address,
    user: &str,
    route: Transport,
    pinned: Option<String>,
) -> Result<PublicKey, ConnectError> {
    let runtime = runtime()?;
    let begun = runtime.block_on(begin(address, user, route, pinned));
    runtime.shutdown_background();
    let begun = begun?;
    begun
        .shown
        .ok_or_else(|| ConnectError::lost(address, "it showed no host key"))
}

/// Connects, checks the host key against `pinned`, logs in and opens the subsystem.
///
/// # Errors
/// [`ConnectError`], which says whether trying again may help.
pub fn connect(
    address: &Address,
    user: &str,
    login: &Login,
    pinned: &str,
    route: Transport,
) -> Result<Stream, ConnectError> {
    let runtime = runtime()?;
    let opened = runtime.block_on(open(address, user, login, pinned, route));
    let (session, through, reader, writer) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            runtime.shutdown_background();
            return Err(error);
        }
    };
    let handle = runtime.handle().clone();
    let (end, ended) = ending();
    // When the connection ends, `end` is dropped.
    runtime.spawn(async move {
        let _ = session.await;
        drop((end, through));
    });
    let runtime = Mutex::new(Some(runtime));
    Ok(Stream {
        reader: Box::new(Blocking::new(handle.clone(), reader, ended.clone())),
        writer: Box::new(Blocking::new(handle, writer, ended)),
        hang_up: Box::new(move || {
            // The tasks are dropped, the socket with them; whoever waits is told of the end.
            if let Some(runtime) = runtime.lock().expect("no panic while held").take() {
                runtime.shutdown_background();
            }
        }),
        refusal: Box::new(|| None),
    })
}

fn runtime() -> Result<Runtime, ConnectError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("yore-ssh")
        .enable_all()
        .build()
        .map_err(ConnectError::Local)
}

/// A connection that is made, to somebody who is not logged in to.
struct Begun {
    session: client::Handle<Observer>,
    through: Through,
    shown: Option<PublicKey>,
}

async fn begin(address: &Address, user: &str, route: Transport, pinned: Option<String>) -> Result<Begun, ConnectError> {
    let config = client::Config {
        preferred: preferred(),
        nodelay: true,
        inactivity_timeout: None,
        keepalive_interval: Some(Duration::from_secs(30)),
        keepalive_max: 6,
        window_size: 16 << 20,
        maximum_packet_size: 60 << 10,
        channel_buffer_size: 256,
        ..client::Config::default()
    };
    let shown: Arc<Mutex<Option<PublicKey>>> = Arc::default();
    let observer = Observer {
        shown: shown.clone(),
        pinned: pinned.clone(),
    };
    let patience = match route {
        Transport::Ssh => CONNECT,
        Transport::Openssh => CONNECT_BY_OPENSSH,
    };
    let connecting = async {
        let (stream, through) = dial(address, user, route).await?;
        let session = client::connect_stream(Arc::new(config), stream, observer).await;
        Ok(session.map(|session| (session, through)))
    };
    let connected = tokio::time::timeout(patience, connecting).await;
    let shown = shown.lock().expect("no panic while held").clone();
    let error = match connected {
        Err(_) => {
            let text = format!("no answer within {} seconds", patience.as_secs());
            return Err(ConnectError::lost(address, text));
        }
        Ok(Err(error)) => return Err(error),
        Ok(Ok(Ok((session, through)))) => {
            return Ok(Begun {
                session,
                through,
                shown,
            });
        }
        Ok(Ok(Err(error))) => error,
    };
    match (pinned, shown.as_ref().map(fingerprint)) {
        (Some(pinned), Some(found)) if pinned != found => Err(ConnectError::HostKey {
            address: address.to_string(),
            found,
            pinned,
        }),
        _ => Err(lost(address, error)),
    }
}

/// The error of a connection that is made, or being made.
fn lost(address: &Address, error: russh::Error) -> ConnectError {
    use russh::Error::{Disconnect, HUP, IO, SendError};
    match error {
        // "early eof", "send error": what happened to the connection, and not to the other end's SSH.
        IO(_) | HUP | Disconnect | SendError => {
            ConnectError::lost(address, format!("the connection was lost: {error}"))
        }
        error => ConnectError::lost(address, error),
    }
}

type Opened = (
    client::Handle<Observer>,
    Through,
    Box<dyn AsyncRead + Send + Unpin>,
    Box<dyn AsyncWrite + Send + Unpin>,
);

async fn open(
    address: &Address,
    user: &str,
    login: &Login,
    pinned: &str,
    route: Transport,
) -> Result<Opened, ConnectError> {
    let lost = |error| lost(address, error);
    let Begun {
        mut session, through, ..
    } = begin(address, user, route, Some(pinned.to_owned())).await?;
    let logging_in = async {
        match login {
            Login::Key(key) => {
                let key = PrivateKeyWithHashAlg::new(key.clone(), None);
                session.authenticate_publickey(user, key).await
            }
            Login::Password(password) => session.authenticate_password(user, password).await,
        }
    };
    let logged_in = tokio::time::timeout(CONNECT, logging_in).await;
    match logged_in {
        Err(_) => return Err(ConnectError::lost(address, "no answer to the login within 20 seconds")),
        Ok(Err(error)) => return Err(lost(error)),
        // A server that refuses names what else it would take; russh says this where the connection has ended.
        Ok(Ok(AuthResult::Failure { remaining_methods, .. })) if remaining_methods.is_empty() => {
            return Err(ConnectError::lost(address, "the connection was lost during the login"));
        }
        Ok(Ok(AuthResult::Failure { .. })) => {
            return Err(ConnectError::Login {
                address: address.to_string(),
                user: user.to_owned(),
                by_key: matches!(login, Login::Key(_)),
            });
        }
        Ok(Ok(AuthResult::Success)) => {}
    }
    let channel = session.channel_open_session().await.map_err(lost)?;
    channel
        .request_subsystem(false, yore_wire::SUBSYSTEM)
        .await
        .map_err(lost)?;
    let (read, write) = tokio::io::split(channel.into_stream());
    Ok((session, through, Box::new(read), Box::new(write)))
}

#[cfg(test)]
mod tests {
    use russh::server;

    use super::*;

    /// A server that lets everybody in.
    struct Open;

    impl server::Handler for Open {
        type Error = russh::Error;

        async fn auth_none(&mut self, _: &str) -> Result<server::Auth, russh::Error> {
            Ok(server::Auth::Accept)
        }
    }

    #[test]
    fn a_server_opens_no_channel_to_us() {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let config = server::Config {
            keys: vec![super::super::new_key("nas").unwrap()],
            ..server::Config::default()
        };
        runtime().unwrap().block_on(async {
            let serving = tokio::spawn(server::run_stream(Arc::new(config), theirs, Open));
            let observer = Observer {
                shown: Arc::default(),
                pinned: None,
            };
            let mut session = client::connect_stream(Arc::default(), ours, observer).await.unwrap();
            let server = serving.await.unwrap().unwrap().handle();
            assert!(session.authenticate_none("ann").await.unwrap().success());
            assert!(server.channel_open_agent().await.is_err());
            assert!(server.channel_open_session().await.is_err());
            assert!(server.channel_open_x11("nas", 1).await.is_err());
            assert!(server.channel_open_forwarded_tcpip("nas", 1, "nas", 2).await.is_err());
            assert!(server.channel_open_direct_tcpip("nas", 1, "nas", 2).await.is_err());
        });
    }
}
