//! Looking for losses: at each snapshot once, and before anything is pruned.
//!
//! The clerk looks when it hears of a snapshot. It may not hear of one: the daemon may be killed before
//! it does. So how far was looked is in the accounts, and who prunes looks first. A snapshot counts as
//! looked at after pruning was suspended for it: a crash in between looks again.

use std::sync::PoisonError;

use yore_store::{Repository, Result, Snapshot};

use crate::accounts::RepositoryRow;
use crate::clerk::News;
use crate::server::{Server, refused};
use crate::upkeep;

impl Server {
    /// Suspends pruning where most files vanished or changed at once since somebody looked last.
    ///
    /// # Errors
    /// If that cannot be found out; then nothing should be pruned.
    pub fn look_for_losses(&self, repository: i64, store: &Repository) -> Result<()> {
        // One at a time: who comes second finds that it was done.
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let row = self.repository_row(repository)?;
        let mut snapshots = store.snapshots()?;
        snapshots.sort_unstable_by_key(|snapshot| snapshot.id);
        let Some(newest) = snapshots.last() else { return Ok(()) };
        // Where nobody has looked yet, what is old was left alone by then.
        let looked = row.looked.unwrap_or(newest.id.0 - 1);
        for snapshot in snapshots.iter().filter(|snapshot| snapshot.id.0 > looked) {
            if let Some(text) = upkeep::is_mass_change(&store.turnover(snapshot)?) {
                self.suspend(&row, snapshot, text)?;
            }
            self.accounts.set_looked(row.id, snapshot.id.0).map_err(refused)?;
        }
        Ok(())
    }

    fn suspend(&self, row: &RepositoryRow, snapshot: &Snapshot, text: String) -> Result<()> {
        let first_line = text.lines().next().unwrap_or_default();
        let why = format!("snapshot {}: {first_line}", snapshot.name);
        self.complain(format_args!("{}: pruning is suspended: {why}", row.full_name()));
        self.accounts.suspend_pruning(row.id, &why).map_err(refused)?;
        let repository = row.id;
        self.desk.tell(News::Suspended { repository, text });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use yore_store::{Body, Budget, Compression, Frame, Hash, Ingest, Kind, Meta, PushOptions, Unlimited};

    use super::*;
    use crate::accounts::{Accounts, By, UserChange};
    use crate::config::Config;

    /// Files of the snapshot before.
    const FILES: u32 = 30;

    fn push(store: &std::sync::Arc<Repository>, tell: impl FnOnce(&mut Ingest)) {
        let options = PushOptions {
            host: "laptop".into(),
            roots: vec![b"/".to_vec()],
            tags: Vec::new(),
            made: None,
        };
        let budget: Box<dyn Budget> = Box::new(Unlimited);
        let mut push = Ingest::begin(store, options, budget).unwrap();
        let root = push.base().is_none().then(|| Meta::plain(Kind::Folder, 0o755));
        push.enter(b"", root).unwrap();
        tell(&mut push);
        push.leave().unwrap();
        push.commit(0).unwrap();
    }

    #[test]
    fn what_nobody_was_told_of_is_looked_at_before_pruning_and_only_once() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(folder.path()).unwrap();
        let by = By {
            who: "root",
            from: "here",
        };
        let (ann, docs) = ("ann".parse().unwrap(), "docs".parse().unwrap());
        let user = accounts.add_user(&ann, &UserChange::default(), by).unwrap();
        let id = accounts.add_repository(user.id, &docs, None, None, "here").unwrap().id;
        let path = folder.path().join("r");
        drop(Repository::init(&path, Compression::Zstd(1)).unwrap());
        let store = std::sync::Arc::new(Repository::open(&path).unwrap());
        let server = Server::new(Config::default(), accounts);
        let suspended = || server.repository_row(id).unwrap().pruning_suspended;
        server.look_for_losses(id, &store).expect("nothing is there yet");
        let names = || (0..FILES).map(|number| format!("{number:02}").into_bytes());
        push(&store, |push| {
            for name in names() {
                let body = Body {
                    hash: Hash::of(&name),
                    size: name.len() as u64,
                };
                let frame = Frame::encode(&name, Compression::Off);
                push.contents(&[(body.hash, body.size)], vec![frame]).unwrap();
                push.put(&name, Meta::plain(Kind::File, 0o644), Some(body), None)
                    .unwrap();
            }
        });
        server.look_for_losses(id, &store).unwrap();
        assert_eq!(suspended(), None);
        // Everything goes; and a snapshot after it looks harmless by itself.
        push(&store, |push| names().for_each(|name| push.remove(&name).unwrap()));
        push(&store, |_| {});
        server.look_for_losses(id, &store).unwrap();
        let (_, why) = suspended().expect("it is seen");
        assert!(why.contains("30 (100 %) are gone"), "{why}");
        let newest = store.snapshots().unwrap().last().map(|snapshot| snapshot.id.0);
        assert_eq!(server.repository_row(id).unwrap().looked, newest);
    }
}
