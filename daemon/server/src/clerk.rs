//! The clerk: writes down what became of pushes, and tells people.
//!
//! Sessions are confined to their user's folder: they can neither look up a mail server nor run
//! sendmail, and a push shall not wait for either. So they hand what happened to a thread that can.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use yore_store::{Repository, Snapshot};

use crate::accounts::{Key, RepositoryRow};
use crate::failure::Failed;
use crate::mail::{Enrolled, Post};
use crate::server::Server;
use crate::upkeep;

/// Something that happened.
pub enum News {
    /// A push became a snapshot.
    Done {
        /// The repository.
        repository: i64,
        /// The snapshot.
        snapshot: Box<Snapshot>,
    },
    /// A push failed.
    Failed {
        /// The repository.
        repository: i64,
        /// Why.
        failure: Failed,
    },
    /// Damage was found.
    Damage {
        /// The repository.
        repository: i64,
        /// The first of it.
        what: String,
    },
    /// A key was enrolled.
    Enrolled {
        /// The user.
        user: i64,
        /// The key.
        key: Box<Key>,
        /// From where.
        from: String,
        /// By what.
        how: Enrolled,
    },
    /// A user stores so much now.
    Used {
        /// The user.
        user: i64,
        /// Bytes.
        used: u64,
    },
    /// It is time to look who is overdue.
    LookForOverdue,
}

/// News that may wait while a mail server does not answer.
const WAITING: usize = 1000;

/// Where news go.
pub struct Desk {
    news: Mutex<SyncSender<News>>,
    waiting: Mutex<Option<Receiver<News>>>,
}

impl Default for Desk {
    fn default() -> Self {
        let (news, waiting) = sync_channel(WAITING);
        Desk {
            news: Mutex::new(news),
            waiting: Mutex::new(Some(waiting)),
        }
    }
}

impl Desk {
    /// Hands something in. Without a clerk, or with too much on the desk already, it is dropped.
    pub fn tell(&self, news: News) {
        let _ = self.news.lock().expect("no panic while held").try_send(news);
    }
}

/// Starts the clerk of a server; one only.
pub fn start(server: &Arc<Server>) -> std::io::Result<()> {
    let waiting = server.desk.waiting.lock().expect("no panic while held").take();
    let Some(waiting) = waiting else { return Ok(()) };
    let server = Arc::downgrade(server);
    std::thread::Builder::new().name("yored-clerk".into()).spawn(move || {
        for news in waiting {
            let Some(server) = server.upgrade() else { return };
            // A bug in a letter shall not end all letters.
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| take(&server, news)));
            if done.is_err() {
                server.complain(format_args!("a bug in telling people, see the panic above"));
            }
        }
    })?;
    Ok(())
}

fn take(server: &Server, news: News) {
    let post = Post::new(&server.config(), &server.accounts);
    match news {
        News::Done { repository, snapshot } => look_for_losses(server, &post, repository, &snapshot),
        News::Failed { repository, failure } => post.push_failed(repository, &failure),
        News::Damage { repository, what } => post.damage(repository, &what),
        News::Enrolled { user, key, from, how } => post.key_added(user, &key, &from, how),
        News::Used { user, used } => post.quota(user, used),
        News::LookForOverdue => {
            post.overdue();
            post.lost();
        }
    }
}

/// Suspends pruning where most files vanished or changed at once.
fn look_for_losses(server: &Server, post: &Post, repository: i64, snapshot: &Snapshot) {
    let looked = || -> anyhow::Result<Option<(RepositoryRow, String)>> {
        let row = server.accounts.repository_by_id(repository)?;
        let path = server.accounts.repository_path(&row.user_name, &row.name);
        let turnover = Repository::open_with_cache(&path, 1 << 20)?.turnover(snapshot)?;
        Ok(upkeep::is_mass_change(&turnover).map(|text| (row, text)))
    };
    match looked() {
        Ok(None) => {}
        Ok(Some((row, text))) => {
            let first_line = text.lines().next().unwrap_or_default();
            let why = format!("snapshot {}: {first_line}", snapshot.name);
            server.complain(format_args!("{}: pruning is suspended: {why}", row.full_name()));
            if let Err(error) = server.accounts.suspend_pruning(repository, &why) {
                server.complain(format_args!("{}: {error}", row.full_name()));
            }
            post.pruning_suspended(repository, &text);
        }
        Err(error) => server.complain(format_args!("looking at snapshot {}: {error}", snapshot.name)),
    }
}
