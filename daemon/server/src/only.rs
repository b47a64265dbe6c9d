//! One daemon on a data folder: a lock that lives as long as the process.

use std::fs::{DirBuilder, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

/// The lock's file in the data folder; it has the number of the process.
const LOCK: &str = "yored.lock";

/// The daemon's hold on its data folder.
pub struct Only(#[allow(dead_code, reason = "held")] File);

impl Only {
    /// Takes the data folder, before anything in it is changed; it is made if it is not there.
    ///
    /// # Errors
    /// If another daemon has it, or it is another user's.
    pub fn take(data: &Path) -> Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
        made.with_context(|| data.display().to_string())?;
        let (owner, us) = (data.metadata().map(|status| status.uid()), rustix::process::geteuid());
        if let Ok(owner) = owner
            && owner != us.as_raw()
            && !us.is_root()
        {
            bail!(
                "{} belongs to user {owner} and yored runs as {}: `chown -R {} {}`, as root",
                data.display(),
                us.as_raw(),
                us.as_raw(),
                data.display()
            );
        }
        let path = data.join(LOCK);
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true).mode(0o600);
        let mut file = options.open(&path).with_context(|| path.display().to_string())?;
        // Whoever asks whether a daemon runs holds the lock for a moment.
        for _ in 0..20 {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    file.set_len(0)?;
                    write!(file, "{}", std::process::id())?;
                    crate::accounts::give(data, &path)?;
                    return Ok(Only(file));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(std::time::Duration::from_millis(10)),
                Err(errno) => return Err(std::io::Error::from(errno)).context(path.display().to_string()),
            }
        }
        let mut pid = String::new();
        file.rewind()?;
        file.read_to_string(&mut pid)?;
        bail!("yored runs already with {}, process {pid}", data.display())
    }

    /// Whether a daemon has this data folder.
    pub fn is_taken(data: &Path) -> bool {
        let Ok(file) = File::open(data.join(LOCK)) else {
            return false;
        };
        flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_and_the_first_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!Only::is_taken(folder.path()));
        let first = Only::take(folder.path()).unwrap();
        assert!(Only::is_taken(folder.path()));
        let error = Only::take(folder.path()).err().unwrap().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        assert!(!Only::is_taken(folder.path()));
        Only::take(folder.path()).unwrap();
    }
}
