//! The keeper: does what a server does by itself, in the night, one repository after another.
//!
//! Each gets its turn once a night: what dead pushes left is swept, snapshots that no rule keeps are
//! forgotten, a share of the data is read back. A push into the repository comes first: between any two
//! steps the keeper looks whether one is running.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use jiff::tz::TimeZone;
use yore_store::{ContentId, Repository};

use crate::accounts::RepositoryRow;
use crate::clerk::News;
use crate::server::Server;
use crate::upkeep::{self, Planner, Round, Rules};

/// How often the keeper looks whether there is something to do.
const LOOK: Duration = Duration::from_secs(60);

/// Seconds between two turns of one repository: once a night, whenever the night was entered.
const EVERY: i64 = 20 * 60 * 60;

/// Seconds for which a repository that was busy or failed is put off.
const LATER: i64 = 30 * 60;

/// Seconds between two looks for overdue repositories.
const OVERDUE: i64 = 60 * 60;

/// The keeper at work; it ends when this is dropped.
pub struct Keeper {
    _stop: Sender<()>,
}

/// Starts it.
///
/// # Errors
/// If there is no thread for it.
pub fn start(server: &Arc<Server>) -> std::io::Result<Keeper> {
    let (stop, stopped) = channel();
    let server = server.clone();
    std::thread::Builder::new()
        .name("yored-keeper".into())
        .spawn(move || keep(&server, &stopped))?;
    Ok(Keeper { _stop: stop })
}

fn keep(server: &Server, stopped: &Receiver<()>) {
    let mut planner = Planner::default();
    let mut looked = 0;
    while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        let now = server.now();
        if now - looked >= OVERDUE {
            looked = now;
            server.desk.tell(News::LookForOverdue);
        }
        // Asked between steps too: what is not done tonight is done tomorrow.
        let is_over = || stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected) || !is_night(server);
        while !is_over() {
            let Some(row) = next(server, &mut planner) else { break };
            let repository = row.id;
            let busy = || is_over() || server.running.has(repository);
            match turn(server, &row, &busy) {
                Ok(true) => planner.done(&repository, server.now()),
                Ok(false) => planner.put_off(&repository, server.now() + LATER),
                Err(error) => {
                    server.complain(format_args!("{}: {error}", row.full_name()));
                    planner.put_off(&repository, server.now() + LATER);
                }
            }
        }
    }
}

fn is_night(server: &Server) -> bool {
    let now = jiff::Timestamp::from_second(server.now()).unwrap_or_default();
    server.config().night.has(TimeZone::system().to_datetime(now).time())
}

/// The repository whose work is longest ago and into which nobody pushes.
fn next(server: &Server, planner: &mut Planner<i64>) -> Option<RepositoryRow> {
    let rows = server.accounts.repositories().ok()?;
    planner.set(rows.iter().map(|row| (row.id, None)));
    let id = planner.next(server.now(), EVERY, |id| server.running.has(*id))?;
    rows.into_iter().find(|row| row.id == id)
}

/// All that is to be done with one repository; false if something is left for later.
fn turn(server: &Server, row: &RepositoryRow, busy: &dyn Fn() -> bool) -> anyhow::Result<bool> {
    let path = server.accounts.repository_path(&row.user_name, &row.name);
    if !path.join("yore.toml").exists() {
        // Its first push has not come.
        return Ok(true);
    }
    let repository = Arc::new(Repository::open(&path)?);
    upkeep::sweep(&repository, busy)?;
    copy_catalog(server, row, &repository);
    server.look_for_losses(row.id, &repository)?;
    // It may have been suspended just now.
    let now = server.repository_row(row.id)?;
    let report = upkeep::retention(&repository, &rules(server, &now), server.now(), busy)?;
    if !report.names.is_empty() {
        let what = format!("prune {}", row.full_name());
        server
            .accounts
            .audit("yored", &what, "this machine", &report.names.join(" "), "")?;
    }
    let is_verified = verify(server, row, &repository, busy)?;
    server.measured_at_rest(row);
    match report.stopped {
        Some(upkeep::Stopped::Failed(error)) => Err(error.into()),
        Some(upkeep::Stopped::Busy) => Ok(false),
        Some(upkeep::Stopped::Suspended) | None => Ok(is_verified),
    }
}

/// Copies the catalog, once a day, before anything is forgotten; where the user's quota has no room for that, not.
fn copy_catalog(server: &Server, row: &RepositoryRow, repository: &Repository) {
    let Ok(Some(user)) = server.accounts.user_by_id(row.user) else {
        return;
    };
    let Ok(_making) = server.room_for(&user, repository.catalog_bytes()) else {
        return;
    };
    if let Err(error) = repository.copy_catalog() {
        server.complain(format_args!(
            "{}: its catalog could not be copied: {error}",
            row.full_name()
        ));
    }
}

/// What holds for a repository: its own rules, or the configuration's.
pub fn rules(server: &Server, row: &RepositoryRow) -> Rules {
    let config = server.config();
    let keep = row.keep.clone().unwrap_or_else(|| config.retention.keep.clone());
    Rules {
        policy: (!keep.is_empty()).then(|| keep.policy(config.retention.interval)),
        keep_at_least: row.keep_at_least.unwrap_or(config.keep_at_least).0,
        suspended: row.pruning_suspended.is_some(),
        verify_all_in: config.verify_all_in.map(|all_in| all_in.0),
    }
}

/// Reads tonight's share back.
fn verify(
    server: &Server,
    row: &RepositoryRow,
    repository: &Arc<Repository>,
    busy: &dyn Fn() -> bool,
) -> anyhow::Result<bool> {
    let Some(all_in) = server.config().verify_all_in else {
        return Ok(true);
    };
    let round = row.verify_round.map(|(began, next)| Round {
        began,
        next: next.map(ContentId),
    });
    let done = upkeep::verify_round(repository, round, all_in.0, server.now(), busy)?;
    if let Some((share, round)) = done {
        if let Some(first) = share.verified.damages.first() {
            server.damage_found(row.id, share.verified.damages.len(), &first.what);
        }
        if round.next.is_none() {
            server.no_damage(row.id, round.began);
        }
        let next = round.next.map(|content| content.0);
        server.accounts.set_verify_round(row.id, round.began, next)?;
    }
    Ok(!busy())
}
