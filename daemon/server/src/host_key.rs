//! The server's key: DATA/host_key, an OpenSSH private key for Ed25519 (0600).
//!
//! Agents pin it, so it is made once. The daemon and `yored invite` may both be first: each writes a
//! file of its own whole, then links it to the one name, which only one can do; the other reads what
//! won. A crash leaves a file `.host_key-N` that nobody reads.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{HashAlg, PrivateKey};

/// What can go wrong with the server's key.
#[derive(Debug, thiserror::Error)]
pub enum HostKeyError {
    /// A system call failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is there and is not a key.
    #[error("{}: not an OpenSSH private key without a passphrase ({source}); agents have pinned what it was, so restore it", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: russh::keys::ssh_key::Error,
    },
}

/// The server's key; made if it is not there.
///
/// # Errors
/// [`HostKeyError`]. A key that cannot be read is not replaced.
pub fn load_or_make(data: &Path) -> Result<PrivateKey, HostKeyError> {
    let path = data.join("host_key");
    if let Some(key) = load(&path)? {
        return Ok(key);
    }
    make(data, &path)?;
    load(&path)?.ok_or_else(|| io(&path)(ErrorKind::NotFound.into()))
}

/// What people compare: `SHA256:…`
pub fn fingerprint(key: &PrivateKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> HostKeyError + '_ {
    |source| HostKeyError::Io {
        path: path.to_owned(),
        source,
    }
}

fn load(path: &Path) -> Result<Option<PrivateKey>, HostKeyError> {
    let bad = |source| HostKeyError::Bad {
        path: path.to_owned(),
        source,
    };
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.map_err(io(path))?,
    };
    let key = PrivateKey::from_openssh(&text).map_err(bad)?;
    match key.is_encrypted() {
        true => Err(bad(russh::keys::ssh_key::Error::Encrypted)),
        false => Ok(Some(key)),
    }
}

/// Makes a key under the one name, unless somebody is faster.
fn make(data: &Path, path: &Path) -> Result<(), HostKeyError> {
    let draft = data.join(format!(
        ".host_key-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let _ = std::fs::remove_file(&draft);
    let linked = write(data, &draft).and_then(|()| match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => File::open(data).and_then(|folder| folder.sync_all()),
    });
    let _ = std::fs::remove_file(&draft);
    linked.map_err(io(path))
}

fn write(data: &Path, draft: &Path) -> std::io::Result<()> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let pair = KeypairData::from(Ed25519Keypair::from_seed(&seed));
    let key = PrivateKey::new(pair, "yored").map_err(std::io::Error::other)?;
    let text = key.to_openssh(LineEnding::LF).map_err(std::io::Error::other)?;
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(text.as_bytes())?;
    if rustix::process::geteuid().is_root() {
        // The daemon that runs as the owner of the folder must be able to read it.
        let owner = std::fs::metadata(data)?;
        chown(draft, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn all_who_are_first_at_once_get_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let made: Vec<String> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| fingerprint(&load_or_make(folder.path()).unwrap())))
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(
            made.iter().all(|one| *one == made[0] && one.starts_with("SHA256:")),
            "{made:?}"
        );
        let files: Vec<_> = folder.path().read_dir().unwrap().flatten().collect();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_spoiled_key_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("host_key"), "garbage").unwrap();
        assert!(matches!(load_or_make(folder.path()), Err(HostKeyError::Bad { .. })));
        assert_eq!(std::fs::read(folder.path().join("host_key")).unwrap(), b"garbage");
    }
}
