//! The clerk: writes down what became of pushes, and tells people.
//!
//! Sessions are confined to their user's folder: they can neither look up a mail server nor run
//! sendmail, and a push shall not wait for either. So they hand what happened to a thread that can.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use yore_store::Repository;

use crate::accounts::Key;
use crate::failure::Failed;
use crate::mail::{Enrolled, Post};
use crate::server::Server;

/// Something that happened.
pub enum News {
    /// A push became a snapshot.
    Done {
        /// The repository.
        repository: i64,
    },
    /// Pruning was suspended.
    Suspended {
        /// The repository.
        repository: i64,
        /// What is lost.
        text: String,
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
        News::Done { repository } => look_for_losses(server, repository),
        News::Suspended { repository, text } => post.pruning_suspended(repository, &text),
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

/// Looks at what was pushed.
fn look_for_losses(server: &Server, repository: i64) {
    let looked = || -> anyhow::Result<()> {
        let row = server.accounts.repository_by_id(repository)?;
        let path = server.accounts.repository_path(&row.user_name, &row.name);
        let store = Repository::open_with_cache(&path, 1 << 20)?;
        Ok(server.look_for_losses(repository, &store)?)
    };
    if let Err(error) = looked() {
        server.complain(format_args!("looking at what was pushed last: {error}"));
    }
}
