//! One push at a time: the turn of a push among those of this machine.
//!
//! Taken before the push begins. A server lets one push into a repository at a time, and takes over
//! one that it has not heard of for a while: two of this machine must not do that to each other.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use yore_store::{Error, Hash, PushOptions};

use crate::private;
use crate::restore::Progress;
use crate::snapshot::AgentError;
use crate::target::Target;

/// How long a push waits for the one before it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it looks whether that is done.
const LOOK: Duration = Duration::from_millis(100);

/// A lock file in the cache folder; it is free again when this is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct Turn(#[allow(dead_code, reason = "held")] File);

impl Turn {
    /// Waits until no other push of this machine is on its way there: into a server's repository, or
    /// into the same line of a repository here.
    ///
    /// # Errors
    /// [`Error::Busy`] after a minute; [`AgentError::State`]; [`AgentError::Stopped`].
    pub fn wait(
        cache_dir: &Path,
        target: &Target,
        options: &PushOptions,
        progress: &dyn Progress,
    ) -> Result<Self, AgentError> {
        Self::wait_for(&cache_dir.join(name(target, options)), PATIENCE, progress)
    }

    fn wait_for(path: &Path, patience: Duration, progress: &dyn Progress) -> Result<Self, AgentError> {
        let failed = |source| AgentError::State {
            path: path.to_owned(),
            source,
        };
        path.parent().map_or(Ok(()), private::folder).map_err(failed)?;
        let file = private::file(path).map_err(failed)?;
        let until = Instant::now() + patience;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Turn(file)),
                Err(rustix::io::Errno::WOULDBLOCK) if progress.is_stopped() => return Err(AgentError::Stopped),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(LOOK),
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let text = "this machine is making another snapshot there; wait for it and try again";
                    return Err(Error::Busy(text.into()).into());
                }
                Err(errno) => return Err(failed(errno.into())),
            }
        }
    }
}

/// The name of the lock file: what it stands for, hashed.
fn name(target: &Target, options: &PushOptions) -> String {
    let mut all = Vec::new();
    let mut part = |bytes: &[u8]| {
        all.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        all.extend_from_slice(bytes);
    };
    match target {
        Target::Here(repository) => {
            part(repository.id().as_bytes());
            part(options.host.as_bytes());
            options.roots.iter().for_each(|root| part(root));
        }
        Target::There(remote) => {
            part(remote.server().user.as_bytes());
            part(remote.server().address.to_string().as_bytes());
        }
    }
    format!("{}.lock", Hash::of(&all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_have_their_turns_one_after_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache/x.lock");
        let first = Turn::wait_for(&path, Duration::ZERO, &()).unwrap();
        let error = Turn::wait_for(&path, Duration::ZERO, &()).unwrap_err();
        assert!(
            matches!(&error, AgentError::Store(Error::Busy(text)) if text.contains("another snapshot")),
            "{error}"
        );
        let second = std::thread::spawn(move || Turn::wait_for(&path, PATIENCE, &()).map(drop));
        drop(first);
        second.join().unwrap().unwrap();
    }

    #[test]
    fn whoever_waits_can_be_stopped() {
        struct Stopped;
        impl Progress for Stopped {
            fn is_stopped(&self) -> bool {
                true
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let _first = Turn::wait_for(&path, Duration::ZERO, &()).unwrap();
        let error = Turn::wait_for(&path, PATIENCE, &Stopped).unwrap_err();
        assert!(matches!(error, AgentError::Stopped), "{error}");
    }
}
