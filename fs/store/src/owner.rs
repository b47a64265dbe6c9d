//! What root changes in somebody's repository is done as that somebody: files that only root could
//! read would be lost to their owner.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::{Error, Result};

/// Does `work` as the owner of a folder, if this process is root and the owner is not, and can get there;
/// else as it is.
/// It runs in a thread of its own, and the threads that it starts are the owner's too.
///
/// # Errors
/// What `work` fails of, and what the system says of the folder.
pub fn as_owner<T: Send>(folder: &Path, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let failed = |source: std::io::Error| Error::Io {
        path: folder.to_owned(),
        source,
    };
    let status = folder.metadata().map_err(failed)?;
    if status.uid() == 0 || !rustix::process::geteuid().is_root() {
        return work();
    }
    let (uid, gid) = (Uid::from_raw(status.uid()), Gid::from_raw(status.gid()));
    let become_owner = || {
        set_thread_groups(&[gid])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)
    };
    // One who cannot get there, because of a folder above it, would see nothing.
    let reaches = std::thread::scope(|threads| {
        let looking = threads.spawn(|| become_owner().is_ok() && std::fs::read_dir(folder).is_ok());
        looking.join().unwrap_or(false)
    });
    if !reaches {
        return work();
    }
    std::thread::scope(|threads| {
        let working = threads.spawn(|| {
            become_owner().map_err(|errno| failed(errno.into()))?;
            work()
        });
        working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_root_makes_belongs_to_the_owner() {
        assert!(rustix::process::geteuid().is_root(), "this test wants root");
        let folder = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let path = folder.path().join(name);
            let write = || {
                std::fs::write(&path, name).unwrap();
                Ok(())
            };
            as_owner(folder.path(), write).unwrap();
            path.metadata().unwrap().uid()
        };
        assert_eq!(made("mine"), 0);
        std::os::unix::fs::chown(folder.path(), Some(65534), Some(65534)).unwrap();
        assert_eq!(made("theirs"), 65534);
        assert_eq!(rustix::process::geteuid().as_raw(), 0, "only there");
        let below = folder.path().join("below");
        std::fs::create_dir(&below).unwrap();
        std::os::unix::fs::chown(&below, Some(65534), Some(65534)).unwrap();
        std::os::unix::fs::chown(folder.path(), Some(0), Some(0)).unwrap();
        let seen = as_owner(&below, || Ok(std::fs::read_dir(&below).is_ok())).unwrap();
        assert!(seen, "its owner could not get there");
    }
}
