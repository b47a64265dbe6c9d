//! SSH: connections, logins, and the one subsystem. No shell, no command, no forwarding: these are
//! refused, by russh itself where nothing here does.
//!
//! ```text
//! accept ─▶ limits ─▶ russh ─▶ login ─▶ subsystem "yore" ─▶ session::run, on a thread of its own
//! ```

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKeyBase64};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use yore_agent::remote::{Blocking, End, Ended, end_when_unread, ending, preferred};

use crate::connections::{Connections, Counted, Limits};
use crate::logins::Logins;
use crate::server::Server;
use crate::session::{self, Caller, Connection};

/// How the token of an invitation begins.
const INVITATION: &str = "yi-";

/// Passwords that are hashed at once: each takes memory and a core.
const HASHING: usize = 2;

/// Lines of the log after which one about a failed login may go.
const FAILED_LOGINS: i64 = 100_000;

/// What all connections share.
pub struct Ssh {
    server: Arc<Server>,
    config: Arc<server::Config>,
    logins: Logins,
    hashing: tokio::sync::Semaphore,
    connections: Arc<Connections>,
    /// When a connection that was refused was told of last.
    told_refused: AtomicI64,
    /// One for each session that runs; the daemon waits for all.
    sessions: Arc<tokio::sync::Semaphore>,
}

/// As many sessions as a semaphore can count.
const SESSIONS: u32 = 1 << 20;

impl Ssh {
    /// SSH with this host key.
    pub fn new(server: Arc<Server>, host_key: PrivateKey) -> Arc<Self> {
        let mut methods = MethodSet::empty();
        methods.push(MethodKind::PublicKey);
        methods.push(MethodKind::Password);
        let config = server::Config {
            methods,
            auth_rejection_time: Duration::from_secs(1),
            auth_rejection_time_initial: Some(Duration::ZERO),
            keys: vec![host_key],
            window_size: 16 << 20,
            maximum_packet_size: 60 << 10,
            channel_buffer_size: 32,
            preferred: preferred(),
            max_auth_attempts: 10,
            inactivity_timeout: None,
            keepalive_interval: Some(Duration::from_secs(30)),
            keepalive_max: 6,
            nodelay: true,
            ..server::Config::default()
        };
        Arc::new(Ssh {
            server,
            config: Arc::new(config),
            logins: Logins::default(),
            hashing: tokio::sync::Semaphore::new(HASHING),
            connections: Arc::default(),
            told_refused: AtomicI64::new(0),
            sessions: Arc::new(tokio::sync::Semaphore::new(SESSIONS as usize)),
        })
    }

    /// Takes connections until the listener is dropped.
    pub async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => match self.count(peer.ip()) {
                    Some(counted) => drop(tokio::spawn(self.clone().connection(stream, peer, counted))),
                    None => self.tell_refused(peer.ip()),
                },
                // Out of descriptors, for instance: the others shall end first.
                Err(error) => {
                    self.server
                        .complain(format_args!("a connection cannot be taken: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Waits until every session has ended.
    pub async fn all_ended(&self) {
        let _ = self.sessions.acquire_many(SESSIONS).await;
    }

    /// Says that there are too many connections; once a minute, as there may be very many.
    fn tell_refused(&self, address: IpAddr) {
        let now = self.server.now();
        let last = self.told_refused.swap(now, Ordering::Relaxed);
        if now < last + 60 {
            self.told_refused.store(last, Ordering::Relaxed);
            return;
        }
        self.server.complain(format_args!(
            "a connection from {} is refused: max_connections or max_connections_per_address is reached",
            address.to_canonical()
        ));
    }

    /// How long a connection may take to log in and start a session, and then to say what it comes for.
    fn patience(&self) -> Duration {
        Duration::from_secs(self.server.config().login_timeout.0.max(1) as u64)
    }

    /// Counts a connection, unless there are too many.
    fn count(&self, address: IpAddr) -> Option<Counted> {
        let config = self.server.config();
        let limits = Limits {
            all: config.max_connections,
            here: config.max_connections_per_address,
        };
        self.connections.count(address, limits)
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, counted: Counted) {
        let _ = stream.set_nodelay(true);
        end_when_unread(&stream);
        let Ok(stream) = stream.into_std() else { return };
        let Ok(socket) = stream.try_clone() else { return };
        let Ok(stream) = TcpStream::from_std(stream) else {
            return;
        };
        let socket = Arc::new(socket);
        let (waiting, in_time) = (Waiting::default(), Arc::new(AtomicBool::new(false)));
        let (end, ended) = ending();
        let end = Arc::new(Mutex::new(Some(end)));
        let counted = Arc::new(counted);
        let guest = Guest {
            ssh: self.clone(),
            counted: counted.clone(),
            peer,
            caller: None,
            waiting: waiting.clone(),
            had_channel: false,
            in_time: in_time.clone(),
            socket: socket.clone(),
            end: end.clone(),
            ended,
        };
        let patience = self.patience();
        let deadline = {
            let (socket, counted) = (socket.clone(), counted.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = tokio::time::sleep(patience) => {}
                    () = counted.sent_away() => {}
                }
                if !in_time.load(Ordering::Relaxed) {
                    // russh waits for whoever has a channel to take what has arrived, and does not see that
                    // the socket is closed.
                    waiting.lock().expect("no panic while held").take();
                    let _ = socket.shutdown(Shutdown::Both);
                }
            })
        };
        if let Ok(running) = server::run_stream(self.config.clone(), stream, guest).await {
            let _ = running.await;
        }
        end.lock().expect("no panic while held").take();
        deadline.abort();
        let _ = socket.shutdown(Shutdown::Both);
        drop(counted);
    }
}

/// A channel that is open and that nobody has asked anything of.
type Waiting = Arc<Mutex<Option<Channel<Msg>>>>;

/// One connection, before and while it is served.
struct Guest {
    ssh: Arc<Ssh>,
    counted: Arc<Counted>,
    peer: SocketAddr,
    caller: Option<Caller>,
    waiting: Waiting,
    /// One channel a connection.
    had_channel: bool,
    /// The session has begun; until then it has to hurry.
    in_time: Arc<AtomicBool>,
    socket: Arc<std::net::TcpStream>,
    end: Arc<Mutex<Option<End>>>,
    ended: Ended,
}

impl Guest {
    /// The public key as the accounts have it.
    fn public(key: &russh::keys::ssh_key::PublicKey) -> String {
        format!("{} {}", key.algorithm(), key.public_key_base64())
    }

    fn from(&self) -> String {
        self.peer.ip().to_canonical().to_string()
    }

    /// Asks the accounts, off the thread that serves connections.
    async fn asked<T: Send + 'static>(&self, ask: impl FnOnce(&Server) -> T + Send + 'static) -> Option<T> {
        let server = self.ssh.server.clone();
        tokio::task::spawn_blocking(move || ask(&server)).await.ok()
    }

    /// A login by a password or an invitation.
    async fn by_password(&self, user: &str, password: &str) -> Option<Caller> {
        let (user, password, from) = (user.to_owned(), password.to_owned(), self.from());
        if password.starts_with(INVITATION) {
            let login = self
                .asked(move |server| server.accounts.invitation_login(&user, &password))
                .await;
            let (user, invitation) = login?.ok()??;
            return Some(Caller {
                user,
                key: None,
                invitation: Some(invitation),
                from,
            });
        }
        let _permit = self.ssh.hashing.acquire().await.ok()?;
        let login = self
            .asked(move |server| server.accounts.password_login(&user, &password))
            .await;
        let user = login?.ok()??;
        Some(Caller {
            user,
            key: None,
            invitation: None,
            from,
        })
    }
}

impl server::Handler for Guest {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        let (user, public) = (user.to_owned(), Self::public(offer.public_key));
        let known = self.asked(move |server| server.accounts.key_of(&user, &public)).await;
        Ok(match known {
            Some(Ok(Some(_))) => Auth::Accept,
            _ => Auth::reject(),
        })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let (user, public) = (user.to_owned(), Self::public(key.public_key));
        let login = self
            .asked(move |server| server.accounts.key_login(&user, &public))
            .await;
        Ok(match login {
            Some(Ok(Some((user, key)))) => {
                self.caller = Some(Caller {
                    user,
                    key: Some(key),
                    invitation: None,
                    from: self.from(),
                });
                Auth::Accept
            }
            _ => Auth::reject(),
        })
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let (address, now) = (self.peer.ip(), self.ssh.server.now());
        let shown: String = user.chars().take(64).collect();
        if !self.ssh.logins.try_now(address, now) {
            self.ssh.server.complain(format_args!(
                "login of {shown} from {} refused: too many failures from this address",
                self.from()
            ));
            return Ok(Auth::reject());
        }
        self.caller = self.by_password(user, password).await;
        if self.caller.is_some() {
            self.ssh.logins.succeeded(address);
            return Ok(Auth::Accept);
        }
        let (user, from) = (shown, self.from());
        self.ssh
            .server
            .complain(format_args!("login of {user} from {from} failed"));
        self.asked(move |server| server.accounts.login_failed(&user, &from, FAILED_LOGINS))
            .await;
        Ok(Auth::reject())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        // One channel a connection; what is not accepted is refused.
        if !std::mem::replace(&mut self.had_channel, true) {
            *self.waiting.lock().expect("no panic while held") = Some(channel);
            reply.accept().await;
        }
        Ok(())
    }

    // A client that asks for these waits for an answer.
    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(russh::Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let (Some(caller), true) = (self.caller.clone(), name == yore_wire::SUBSYSTEM) else {
            return session.channel_failure(channel);
        };
        let Some(stream) = self.waiting.lock().expect("no panic while held").take() else {
            return session.channel_failure(channel);
        };
        self.in_time.store(true, Ordering::Relaxed);
        self.counted.begins();
        session.channel_success(channel)?;
        let (read, write) = tokio::io::split(stream.into_stream());
        let handle = Handle::current();
        let reader = Box::new(Blocking::new(handle.clone(), read, self.ended.clone()));
        let writer = Box::new(Blocking::new(handle, write, self.ended.clone()));
        let end = self.end.clone();
        let is_gone = move || end.lock().expect("no panic while held").is_none();
        let (socket, end) = (self.socket.clone(), self.end.clone());
        let hang_up = Arc::new(move || {
            // russh does not see that the socket is closed while nobody takes what has arrived.
            end.lock().expect("no panic while held").take();
            let _ = socket.shutdown(Shutdown::Both);
        });
        let has_begun: Arc<AtomicBool> = Arc::default();
        let (late, is_in_time, patience) = (hang_up.clone(), has_begun.clone(), self.ssh.patience());
        tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            if !is_in_time.load(Ordering::Relaxed) {
                late();
            }
        });
        let (soon, runtime) = (hang_up.clone(), Handle::current());
        let linger = move |time| {
            let soon = soon.clone();
            runtime.spawn(async move {
                tokio::time::sleep(time).await;
                soon();
            });
        };
        let running = (self.ssh.sessions.clone().try_acquire_owned(), self.counted.clone());
        let server = self.ssh.server.clone();
        let begun = std::thread::Builder::new().name("yore-session".into()).spawn(move || {
            let connection = Connection {
                hang_up: Box::new(move || hang_up()),
                linger: Box::new(linger),
                is_gone: Box::new(is_gone),
                has_begun,
            };
            session::run(&server, caller, reader, writer, connection);
            drop(running);
        });
        if let Err(error) = begun {
            self.ssh
                .server
                .complain(format_args!("a session cannot begin: {error}"));
            let _ = self.socket.shutdown(Shutdown::Both);
        }
        Ok(())
    }
}
