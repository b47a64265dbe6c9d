//! What lies on the disk beside the repositories themselves.
//!
//! An administrator may run commands as root where the daemon runs as a user of its own. What is made
//! here belongs to the owner of the data folder, or the daemon could not use it.

use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use super::error::IoContext;
use super::{Result, UserName};

/// The name of the database in the data folder.
pub const DATABASE: &str = "yored.sqlite3";

/// The database.
pub fn database(data: &Path) -> PathBuf {
    data.join(DATABASE)
}

/// The folder of all users.
pub fn users(data: &Path) -> PathBuf {
    data.join("users")
}

/// The folder of a user.
pub fn user(data: &Path, name: &UserName) -> PathBuf {
    users(data).join(name.as_str())
}

/// Makes what must be there before the database is opened.
pub fn prepare(data: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data).at(data)?;
    make(data, &users(data))?;
    let database = database(data);
    // Made by us, so that SQLite's own files, which take its mode, are nobody else's to read.
    match File::options().write(true).create_new(true).mode(0o600).open(&database) {
        Ok(_) => give(data, &database),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).at(&database),
    }
}

/// Makes a folder that only the server can enter, if it is not there.
pub fn make(data: &Path, folder: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => give(data, folder),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).at(folder),
    }
}

/// Gives what root has made to the owner of the data folder.
pub fn give(data: &Path, path: &Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = std::fs::metadata(data).at(data)?;
    chown(path, Some(owner.uid()), Some(owner.gid())).at(path)
}
