//! Why a mount could not be made or ended.

use std::io;
use std::path::PathBuf;

/// Why something could not be mounted or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The mountpoint cannot be reached.
    #[error("{}: {source}", path.display())]
    Mountpoint {
        /// The mountpoint.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The mountpoint is not a folder.
    #[error("{}: not a folder; mount on an empty folder", .0.display())]
    NotAFolder(PathBuf),
    /// A repository is mounted there already.
    #[error("{}: a repository is mounted here already; `yore umount` it first", .0.display())]
    AlreadyMounted(PathBuf),
    /// The kernel or fusermount3 refused.
    #[error("mounting on {}: {source}", path.display())]
    Refused {
        /// The mountpoint.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The repository cannot be read.
    #[error(transparent)]
    Store(#[from] yore_store::Error),
    /// There is no mount of ours to unmount.
    #[error("{}: no repository is mounted here", .0.display())]
    NotMounted(PathBuf),
    /// Programs still use the mount.
    #[error(
        "{path}: in use; close the programs that have files or a working folder in it (`fuser -m {path}` lists them), \
         or unmount lazily, which takes it away when the last of them is done",
        path = .0.display()
    )]
    Busy(PathBuf),
    /// Unmounting failed.
    #[error("unmounting {}: {source}", path.display())]
    Unmount {
        /// The mountpoint.
        path: PathBuf,
        /// What was said.
        source: io::Error,
    },
    /// The mount ended by an error, not by being unmounted.
    #[error("the mount on {} ended: {source}", path.display())]
    Ended {
        /// The mountpoint.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}
