//! SSH that lets everybody in, and has the one subsystem.

use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use russh::keys::PrivateKey;
use russh::server::{self, Auth, ChannelOpenHandle, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use tokio::runtime::{Builder, Handle};
use yore_agent::remote::{Blocking, End, Ended, ending, preferred};

use super::{Part, session};

/// Listens on the loopback, and serves whoever comes by threads of their own; gives the port.
pub(super) fn listen(key: PrivateKey, part: Arc<Mutex<Part>>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let config = Arc::new(server::Config {
        keys: vec![key],
        window_size: 16 << 20,
        maximum_packet_size: 60 << 10,
        preferred: preferred(),
        nodelay: true,
        ..server::Config::default()
    });
    std::thread::spawn(move || {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            listener.set_nonblocking(true).expect("a listener");
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(config.clone(), stream, part.clone()));
            }
        });
    });
    port
}

async fn serve(config: Arc<server::Config>, stream: tokio::net::TcpStream, part: Arc<Mutex<Part>>) {
    let _ = stream.set_nodelay(true);
    let (end, ended) = ending();
    let guest = Guest {
        part,
        ended,
        channel: None,
    };
    if let Ok(running) = server::run_stream(config, stream, guest).await {
        let _ = running.await;
    }
    drop::<End>(end);
}

struct Guest {
    part: Arc<Mutex<Part>>,
    ended: Ended,
    channel: Option<Channel<Msg>>,
}

impl server::Handler for Guest {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _: &str, _: PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channel = Some(channel);
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(&mut self, id: ChannelId, _: &str, ssh: &mut Session) -> Result<(), russh::Error> {
        let Some(channel) = self.channel.take() else {
            return ssh.channel_failure(id);
        };
        ssh.channel_success(id)?;
        let (read, write) = tokio::io::split(channel.into_stream());
        let reader = Blocking::new(Handle::current(), read, self.ended.clone());
        let mut writer = Blocking::new(Handle::current(), write, self.ended.clone());
        let part = self.part.clone();
        std::thread::spawn(move || {
            // Whoever has heard enough hangs up.
            let _ = session(&part, reader, &mut writer as &mut dyn Write);
        });
        Ok(())
    }
}
