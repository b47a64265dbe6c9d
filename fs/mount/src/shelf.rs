//! What a mount of many repositories is told to show.

use std::sync::Arc;

use yore_store::{History, Result, Space};

/// The repositories of a server, by user: what a mount of many shows. It is asked
/// again and again, from several threads, as users and repositories come and go.
pub trait Shelf: Send + Sync {
    /// The users with what they have. Cheap: it is asked at each look at the folders
    /// above the repositories, and about twice a second.
    ///
    /// # Errors
    /// Whatever keeps it from knowing; who looks gets an I/O error.
    fn users(&self) -> Result<Vec<ShelfUser>>;

    /// Opens a repository. May take its time: only who looks into this one waits.
    ///
    /// # Errors
    /// Whatever is wrong with it; who looks into it gets an I/O error, and the log
    /// one line until it is something else.
    fn open(&self, number: u32) -> Result<Arc<dyn History>>;

    /// Room on the disk that they lie on, for `df` of the mountpoint. Zeros, which
    /// `df` leaves out, where they have no disk in common.
    ///
    /// # Errors
    /// What the system says.
    fn space(&self) -> Result<Space> {
        Ok(Space::default())
    }
}

/// A user of a shelf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShelfUser {
    /// A number of his own, never given to another user.
    pub number: u32,
    /// His name: that of his folder.
    pub name: String,
    /// The Unix user who may look into his folder, besides root. `None` leaves it to
    /// the user who mounts.
    pub owner: Option<UnixUser>,
    /// What he has, in any order.
    pub repositories: Vec<ShelfRepository>,
}

/// A repository of a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShelfRepository {
    /// Its number: 1 to 8,191, and never given to another repository of any user.
    pub number: u32,
    /// Its name: that of its folder.
    pub name: String,
}

/// A user of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixUser {
    /// His user id.
    pub uid: u32,
    /// The id of his group.
    pub gid: u32,
}
