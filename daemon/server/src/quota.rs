//! What a push may write: the user's quota, and the floor of the disk.
//!
//! Both are shared by all pushes that run. The quota is exact: each write is taken from the ledger
//! before it happens. The floor is looked at after some bytes of all pushes together, and at each write
//! when it is near.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use yore_store::{Budget, Error, Result};

use crate::ledger::Ledger;

/// After so many bytes the room on the disk, and what the push may write, are looked at again.
const LOOK: u64 = 16 << 20;

/// The disks that are written to, by device number: bytes until the next look at their room.
#[derive(Default)]
pub struct Disks(Mutex<HashMap<u64, u64>>);

impl Disks {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.0.lock().expect("no panic while held")
    }
}

/// What a push may write.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Bytes that the user may store.
    pub quota: Option<u64>,
    /// Bytes that must stay free on the disk.
    pub floor: u64,
}

/// Where a push writes.
pub struct Place {
    /// The user's number.
    pub user: i64,
    /// The repository's number.
    pub repository: i64,
    /// The repository's folder.
    pub path: PathBuf,
}

/// Says what holds now: an administrator may change it while a push runs.
pub type Ask = Box<dyn FnMut() -> Result<Limits> + Send>;

/// Makes room of what nobody needs; says whether there was any.
pub type MakeRoom = Box<dyn FnMut() -> bool + Send>;

/// The budget of a push.
pub struct Quota {
    ledger: Arc<Ledger>,
    disks: Arc<Disks>,
    place: Place,
    /// The disk that the place is on.
    device: u64,
    ask: Ask,
    make_room: MakeRoom,
    /// What held when it was asked last.
    limits: Limits,
    /// Bytes until it is asked again.
    until_asked: u64,
}

impl Quota {
    /// The budget of a push into this place, which is there and has been measured.
    pub fn new(ledger: Arc<Ledger>, disks: Arc<Disks>, place: Place, ask: Ask, make_room: MakeRoom) -> Result<Self> {
        let status = place.path.metadata().map_err(|source| Error::Io {
            path: place.path.clone(),
            source,
        })?;
        let mut quota = Quota {
            ledger,
            disks,
            device: status.dev(),
            limits: Limits { quota: None, floor: 0 },
            until_asked: 0,
            place,
            ask,
            make_room,
        };
        quota.ask()?;
        Ok(quota)
    }

    fn floor_holds(&self, bytes: u64) -> Result<()> {
        // Held while the disk is looked at: two that look at once would find the same room.
        let mut disks = self.disks.lock();
        let until_look = disks.entry(self.device).or_default();
        if *until_look > bytes {
            *until_look -= bytes;
            return Ok(());
        }
        let disk = rustix::fs::statvfs(&self.place.path).map_err(|errno| Error::Io {
            path: self.place.path.clone(),
            source: errno.into(),
        })?;
        let free = disk.f_bavail * disk.f_frsize;
        let floor = self.limits.floor;
        if free < floor.saturating_add(bytes) {
            *until_look = 0;
            return Err(Error::OverFloor {
                free,
                floor,
                needed: bytes,
            });
        }
        *until_look = LOOK.min((free - floor - bytes) / 8);
        Ok(())
    }

    fn quota_holds(&self, bytes: u64) -> Result<()> {
        let quota = self.limits.quota;
        let taken = self.ledger.take(self.place.user, self.place.repository, bytes, quota);
        taken.map_err(|used| Error::OverBudget {
            used,
            limit: quota.unwrap_or(u64::MAX),
            needed: bytes,
        })
    }

    fn holds(&self, bytes: u64) -> Result<()> {
        self.floor_holds(bytes)?;
        self.quota_holds(bytes)
    }

    fn ask(&mut self) -> Result<()> {
        self.limits = (self.ask)()?;
        self.until_asked = LOOK;
        // The floor may be another one than that which the last look allowed for.
        self.disks.lock().insert(self.device, 0);
        Ok(())
    }
}

impl Budget for Quota {
    fn reserve(&mut self, bytes: u64) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        match self.until_asked.checked_sub(bytes) {
            Some(left) => self.until_asked = left,
            None => self.ask()?,
        }
        match self.holds(bytes) {
            Err(error) if error.is_want_of_room() => {
                // The quota may just have been raised, for this very push.
                self.ask()?;
                match self.holds(bytes) {
                    Err(error) if error.is_want_of_room() && (self.make_room)() => self.holds(bytes),
                    result => result,
                }
            }
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn quota(ledger: &Arc<Ledger>, path: &Path, repository: i64, limits: Limits) -> Quota {
        let path = path.to_owned();
        let place = Place {
            user: 1,
            repository,
            path,
        };
        let ask = Box::new(move || Ok(limits));
        Quota::new(ledger.clone(), Arc::default(), place, ask, Box::new(|| false)).unwrap()
    }

    fn limits(quota: Option<u64>, floor: u64) -> Limits {
        Limits { quota, floor }
    }

    #[test]
    fn pushes_of_one_user_share_one_figure() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::default());
        let mut one = quota(&ledger, folder.path(), 1, limits(Some(1000), 0));
        let mut two = quota(&ledger, folder.path(), 2, limits(Some(1000), 0));
        one.reserve(600).unwrap();
        let error = two.reserve(500).unwrap_err();
        assert!(
            matches!(
                error,
                Error::OverBudget {
                    used: 600,
                    limit: 1000,
                    needed: 500
                }
            ),
            "{error}"
        );
        two.reserve(400).unwrap();
        assert_eq!(ledger.used(1), Some(1000));
        // What was really written may be less.
        let mark = ledger.mark(1, 2);
        ledger.measure(1, 2, mark, &folder.path().join("gone")).unwrap();
        assert_eq!(ledger.used(1), Some(600));
    }

    #[test]
    fn room_is_made_once_before_a_push_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::default());
        let mut push = quota(&ledger, folder.path(), 1, limits(Some(1000), 0));
        push.reserve(900).unwrap();
        let freed = ledger.clone();
        push.make_room = Box::new(move || {
            freed.adjust(1, 1, -900);
            true
        });
        push.reserve(500).unwrap();
        assert_eq!(ledger.used(1), Some(500));
    }

    #[test]
    fn a_running_push_follows_a_changed_quota() {
        let folder = tempfile::tempdir().unwrap();
        let said = Arc::new(Mutex::new(Some(1000)));
        let mut push = quota(&Arc::default(), folder.path(), 1, limits(Some(1000), 0));
        let now = said.clone();
        push.ask = Box::new(move || Ok(limits(*now.lock().unwrap(), 0)));
        push.reserve(900).unwrap();
        *said.lock().unwrap() = Some(2000);
        push.reserve(900).expect("it is raised at once");
        *said.lock().unwrap() = None;
        push.reserve(LOOK).unwrap();
        *said.lock().unwrap() = Some(LOOK + 5000);
        push.reserve(LOOK + 1)
            .expect_err("it is lowered after some bytes at the latest");
    }

    #[test]
    fn the_disk_keeps_its_floor() {
        let folder = tempfile::tempdir().unwrap();
        let mut push = quota(&Arc::default(), folder.path(), 1, limits(None, u64::MAX / 2));
        assert!(matches!(push.reserve(1), Err(Error::OverFloor { needed: 1, .. })));
    }

    #[test]
    fn pushes_at_once_share_the_looks_at_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = quota(&Arc::default(), folder.path(), 1, limits(None, 0));
        let mut two = quota(&Arc::default(), folder.path(), 2, limits(None, 0));
        two.disks = one.disks.clone();
        let until_look = |quota: &Quota| quota.disks.lock()[&quota.device];
        one.reserve(1).unwrap();
        let left = until_look(&one);
        assert!(left <= LOOK);
        two.reserve(left / 2).unwrap();
        assert_eq!(until_look(&one), left - left / 2);
        // Neither has written as much as one look allows, but both together have.
        let full = limits(None, u64::MAX / 2);
        (one.limits, one.ask) = (full, Box::new(move || Ok(full)));
        one.reserve(left / 4).expect("not looked at yet");
        one.reserve(left / 4).expect_err("looked at now");
    }
}
