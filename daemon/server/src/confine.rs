//! Keeping a session inside its user's folder.
//!
//! Names are checked before they become paths ([`accounts::names`](crate::accounts)); here are two
//! more walls. The folder is opened beneath the data folder without following any link
//! (openat2). And where the kernel has Landlock, the session's threads give up, for good, to open anything
//! outside that folder: a mistake in what they do with a hostile agent's bytes
//! reaches nobody else's.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
};
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

/// Checks that a folder below the data folder is what it seems: no link on the way.
///
/// # Errors
/// What the system says; nothing on kernels without openat2.
pub fn check_beneath(data: &Path, below: &Path) -> std::io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(data, flags, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(&root, below, flags, Mode::empty(), resolve) {
        Ok(_) | Err(Errno::NOSYS) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Confines the calling thread, and those that it starts, to a folder.
///
/// # Errors
/// If the folder cannot be opened. A kernel without Landlock is no error.
pub fn confine(folder: &Path) -> std::io::Result<()> {
    let abi = ABI::V3;
    let restricted = || -> Result<(), landlock::RulesetError> {
        let rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .create()?;
        let rules = match PathFd::new(folder) {
            Ok(fd) => rules.add_rule(PathBeneath::new(fd, AccessFs::from_all(abi)))?,
            // Nothing may be opened then.
            Err(_) => rules,
        };
        let rules = match PathFd::new("/dev/urandom") {
            Ok(fd) => rules.add_rule(PathBeneath::new(fd, AccessFs::ReadFile))?,
            Err(_) => rules,
        };
        rules.restrict_self().map(drop)
    };
    restricted().map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confined_thread_reaches_its_folder_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (mine, other) = (folder.path().join("mine"), folder.path().join("other"));
        std::fs::create_dir(&mine).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("secret"), "x").unwrap();
        let inside = std::thread::spawn(move || {
            confine(&mine).unwrap();
            std::fs::write(mine.join("file"), "y").unwrap();
            assert!(std::fs::read(other.join("secret")).is_err());
            assert!(std::fs::write(other.join("new"), "z").is_err());
            // What it starts is confined too.
            let read = std::thread::spawn(move || std::fs::read(other.join("secret")).is_err());
            assert!(read.join().unwrap());
        });
        inside.join().unwrap();
        assert!(std::fs::read(folder.path().join("other/secret")).is_ok());
    }

    #[test]
    fn a_link_does_not_lead_out_of_the_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("data/users/ann")).unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("data/users/eve")).unwrap();
        let data = folder.path().join("data");
        check_beneath(&data, Path::new("users/ann")).unwrap();
        assert!(check_beneath(&data, Path::new("users/eve")).is_err());
        assert!(check_beneath(&data, Path::new("../data/users/ann")).is_err());
    }
}
