//! Every repository of the server as folders: what `yored mount` shows.

use std::path::Path;
use std::sync::Arc;

use uzers::get_user_by_name;
use yore_mount::{Mounted, Options, Shelf, ShelfRepository, ShelfUser, UnixUser, mount_all};
use yore_store::{Error, History, Repository, Result, Space};

use crate::accounts::{self, Accounts, User};

/// Bytes that the caches of one repository keep; eight are open at most.
const CACHE: usize = 16 << 20;

/// Mounts all repositories; who may look into whose, `unix_user` of the accounts says.
///
/// # Errors
/// Whatever keeps the folder from being mounted on.
pub fn mount(accounts: &Accounts, mountpoint: &Path) -> std::result::Result<Mounted, yore_mount::MountError> {
    // If it cannot be made, mounting says why it is not there.
    let _ = std::fs::create_dir_all(mountpoint);
    let shelf = Arc::new(Repositories(accounts.clone()));
    // Others than who runs this may look in, as far as the folders' owners go; without it not even root.
    let for_all = Options {
        allow_other: true,
        ..Options::default()
    };
    match mount_all(shelf.clone(), mountpoint, for_all) {
        Err(error) if !rustix::process::geteuid().is_root() => {
            crate::error::warn(&format!(
                "{error}; if it lacks user_allow_other in /etc/fuse.conf, nobody else can look into the mount"
            ));
            mount_all(shelf, mountpoint, Options::default())
        }
        mounted => mounted,
    }
}

struct Repositories(Accounts);

fn refused(error: accounts::Error) -> Error {
    Error::Refused(error.to_string())
}

/// A number of a row, as the mount takes it; those that are too large are not shown.
fn number(id: i64) -> Option<u32> {
    u32::try_from(id).ok()
}

impl Shelf for Repositories {
    fn users(&self) -> Result<Vec<ShelfUser>> {
        let rows = self.0.repositories().map_err(refused)?;
        let users = self.0.users().map_err(refused)?;
        let of = |user: &User| {
            let mine = rows.iter().filter(|row| row.user == user.id);
            let mine = mine.filter_map(|row| {
                Some(ShelfRepository {
                    number: number(row.id)?,
                    name: row.name.to_string(),
                })
            });
            Some(ShelfUser {
                number: number(user.id)?,
                name: user.name.to_string(),
                owner: user.unix_user.as_deref().and_then(unix_user),
                repositories: mine.collect(),
            })
        };
        Ok(users.iter().filter_map(of).collect())
    }

    fn open(&self, number: u32) -> Result<Arc<dyn History>> {
        let row = self.0.repository_by_id(number.into()).map_err(refused)?;
        let path = self.0.repository_path(&row.user_name, &row.name);
        Ok(Arc::new(Arc::new(Repository::open_with_cache(&path, CACHE)?)))
    }

    fn space(&self) -> Result<Space> {
        yore_store::space_of(self.0.data())
    }
}

/// A user of this machine, who may be known only to its directory service.
fn unix_user(name: &str) -> Option<UnixUser> {
    let user = get_user_by_name(name)?;
    Some(UnixUser {
        uid: user.uid(),
        gid: user.primary_group_id(),
    })
}
