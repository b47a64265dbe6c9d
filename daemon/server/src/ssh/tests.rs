//! Connections of clients that do not do what ours does.

use std::time::Instant;

use russh::client;
use russh::keys::PrivateKeyWithHashAlg;
use russh::keys::ssh_key::private::Ed25519Keypair;
use tokio::runtime::Runtime;

use super::*;
use crate::accounts::{Accounts, By, UserChange};
use crate::config::Config;
use crate::host_key;
use crate::units::Seconds;

/// What may take a while on a machine that has much else to do.
const SOON: Duration = Duration::from_secs(60);

/// Takes any server for the right one.
struct Anybody;

impl client::Handler for Anybody {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _key: &russh::keys::PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

/// A server that waits for nobody longer than a second, and a user's key.
struct Scene {
    _folder: tempfile::TempDir,
    runtime: Runtime,
    ssh: Arc<Ssh>,
    address: SocketAddr,
    key: Arc<PrivateKey>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(folder.path()).unwrap();
        let host_key = host_key::load_or_make(folder.path()).unwrap();
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]));
        let by = By {
            who: "root",
            from: "here",
        };
        let change = UserChange::default();
        let user = accounts.add_user(&"ann".parse().unwrap(), &change, by).unwrap();
        let public = Guest::public(key.public_key());
        accounts.enrol(user.id, None, &public, "laptop", "here").unwrap();
        let config = Config {
            login_timeout: Seconds(1),
            ..Config::default()
        };
        let ssh = Ssh::new(Server::new(config, accounts), host_key);
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(ssh.clone().accept(listener));
        Scene {
            _folder: folder,
            runtime,
            ssh,
            address,
            key: Arc::new(key),
        }
    }

    /// A connection that has logged in, and its channel.
    async fn channel(&self) -> (client::Handle<Anybody>, Channel<client::Msg>) {
        let mut client = client::connect(Arc::default(), self.address, Anybody).await.unwrap();
        let key = PrivateKeyWithHashAlg::new(self.key.clone(), None);
        assert!(client.authenticate_publickey("ann", key).await.unwrap().success());
        let channel = client.channel_open_session().await.unwrap();
        (client, channel)
    }

    /// Waits until no connection counts.
    fn until_empty(&self) {
        let begun = Instant::now();
        while self.ssh.connections.len() > 0 {
            assert!(begun.elapsed() < SOON, "a connection is there still");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_channel_that_nobody_asks_anything_of_gives_its_place_back() {
    let scene = Scene::new();
    let (client, channel) = scene.runtime.block_on(async {
        let (client, channel) = scene.channel().await;
        // More than the server holds for somebody who reads.
        for _ in 0..100 {
            let _ = channel.data(&b"x"[..]).await;
        }
        (client, channel)
    });
    assert_eq!(scene.ssh.connections.len(), 1);
    scene.until_empty();
    drop((client, channel));
}

#[test]
fn a_session_that_says_nothing_gives_its_place_back() {
    let scene = Scene::new();
    let (client, channel) = scene.runtime.block_on(async {
        let (client, channel) = scene.channel().await;
        channel.request_subsystem(true, yore_wire::SUBSYSTEM).await.unwrap();
        (client, channel)
    });
    scene.until_empty();
    drop((client, channel));
}
