//! `yored serve`: everything together, from the start to SIGTERM.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::accounts::Accounts;
use crate::config::Config;
use crate::only::Only;
use crate::server::Server;
use crate::ssh::Ssh;
use crate::{clerk, host_key, keeper, shelf};

/// How long sessions may take to end when the daemon does.
const ENDING: Duration = Duration::from_secs(60);

/// How often the accounts are looked at for what an administrator changed.
const LOOK: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// If the data folder, the host key or an address to listen on cannot be had.
pub fn run(config: Config) -> Result<()> {
    let _only = Only::take(&config.data)?;
    let accounts = Accounts::open(&config.data)?;
    let host_key = host_key::load_or_make(&config.data)?;
    accounts.clear_sessions()?;
    accounts.sweep_deleted()?;
    // Sessions give it back when they end.
    yore_terminal::memory::keep();
    let server = Server::new(config, accounts);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("yored")
        .enable_all()
        .build()
        .context("starting threads")?;
    let ssh = Ssh::new(server.clone(), host_key);
    clerk::start(&server).context("starting threads")?;
    let keeper = keeper::start(&server).context("starting threads")?;
    runtime.block_on(serve(server, ssh))?;
    drop(keeper);
    runtime.shutdown_timeout(Duration::from_secs(5));
    Ok(())
}

async fn serve(server: Arc<Server>, ssh: Arc<Ssh>) -> Result<()> {
    let stop = told_to_stop()?;
    tokio::pin!(stop);
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut accepting = Vec::new();
    for address in &server.config().listen {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("listening on {address}"))?;
        let address = listener.local_addr().unwrap_or(*address);
        eprintln!("yored: listening on {address}");
        accepting.push(tokio::spawn(ssh.clone().accept(listener)));
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    // What cannot be mounted keeps nobody from pushing.
    let mountpoint = server.config().mount.clone();
    let mut mounted = mountpoint.and_then(|path| match shelf::mount(&server.accounts, &path) {
        Ok(mounted) => Some(mounted),
        Err(error) => {
            server.complain(format_args!("no mount: {error}"));
            None
        }
    });
    let mut seen = server.accounts.data_version().unwrap_or(0);
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = &mut stop => break,
            _ = hang_up.recv() => reload(&server),
            _ = look.tick() => look_at_accounts(&server, &mut seen),
        }
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    accepting.iter().for_each(|task| task.abort());
    if let Some(Err(error)) = mounted.as_mut().map(|mounted| mounted.unmount()) {
        server.complain(format_args!(
            "{error}; it is taken away when the last program that uses it is done"
        ));
    }
    server.end_sessions(true);
    if tokio::time::timeout(ENDING, ssh.all_ended()).await.is_err() {
        server.complain(format_args!(
            "some sessions did not end within {} seconds",
            ENDING.as_secs()
        ));
    }
    Ok(())
}

fn reload(server: &Server) {
    match server.config().reload() {
        Ok(config) => {
            let before = server.config();
            server.reconfigure(config);
            eprintln!("yored: configuration read again");
            let now = server.config();
            let wants_restart = [
                ("data", before.data != now.data),
                ("listen", before.listen != now.listen),
                ("mount", before.mount != now.mount),
            ];
            for (key, _) in wants_restart.iter().filter(|(_, has_changed)| *has_changed) {
                server.complain(format_args!("{key} has changed: restart yored for that"));
            }
        }
        Err(error) => server.complain(format_args!("the configuration stays as it was: {error}")),
    }
}

/// Ends sessions that an administrator has ended by a change.
fn look_at_accounts(server: &Arc<Server>, seen: &mut i64) {
    let Ok(version) = server.accounts.data_version() else {
        return;
    };
    if version != *seen {
        *seen = version;
        server.end_sessions(false);
    }
}

/// Mounts every repository on a folder and serves the mount until it is unmounted; SIGTERM and SIGINT
/// unmount it.
///
/// # Errors
/// If the data folder or the mount cannot be had.
pub fn mount(config: Config, mountpoint: &Path) -> Result<()> {
    let accounts = Accounts::open(&config.data)?;
    let mounted = shelf::mount(&accounts, mountpoint)?;
    let path = mounted.mountpoint().to_owned();
    eprintln!("yored: mounted on {}", path.display());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting threads")?;
    let stop = {
        let _inside = runtime.enter();
        told_to_stop().context("waiting for signals")?
    };
    runtime.spawn(async move {
        stop.await;
        if yore_mount::unmount(&path).is_err() {
            // Programs that use it keep it until they are done.
            let _ = yore_mount::detach(&path);
        }
    });
    Ok(mounted.wait()?)
}

/// SIGTERM or SIGINT, from now on: they are heard whenever this is waited for.
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
