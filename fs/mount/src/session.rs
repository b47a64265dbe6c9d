//! Mounting and unmounting.
//!
//! fuser mounts; it never unmounts for us. Its handle forgets the mount when it
//! finds it busy, and after somebody else's `umount` it unmounts once more,
//! whatever lies at the path by then. So we take only its thread, unmount by
//! ourselves, and look into mountinfo first.

use std::io;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use fuser::{BackgroundSession, Config, INodeNo, MountOption, Session, SessionACL};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use yore_store::History;

use crate::attr::Look;
use crate::complain;
use crate::error::MountError;
use crate::filesystem::SnapshotFilesystem;
use crate::many::Many;
use crate::mountinfo::{Mount, mount_at};
use crate::node::Numbering;
use crate::server::Server;
use crate::shelf::Shelf;
use crate::tree::{FOREVER, Hook, Tree};
use crate::view::View;

/// Read-ahead of a mount in KiB: two requests of the most that one may ask for, so that who reads on
/// has all processors decode for him, and what they have decoded is still in their caches when he takes it. The kernel's own is 128, and fuser cannot ask for more.
const READ_AHEAD_KB: &str = "2048";

/// How often the catalog is asked whether it changed; a pragma, no query.
const PERIOD: Duration = Duration::from_millis(500);

/// How to mount.
#[derive(Clone, Debug)]
pub struct Options {
    /// Let other users in, as far as the files' modes and ACLs do. For others than
    /// root it needs `user_allow_other` in `/etc/fuse.conf`.
    pub allow_other: bool,
    /// Show everything as the mounting user's own, and readable.
    pub own: bool,
    /// Let the kernel read whole files past our verification. Done without asking
    /// where the repository's file system verifies by itself (btrfs, ZFS).
    pub trust_disk: bool,
    /// Threads that answer the kernel; at least one runs.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            allow_other: false,
            own: false,
            trust_disk: false,
            threads: 4,
        }
    }
}

/// A mount served by this process. Dropping it detaches it.
#[derive(Debug)]
pub struct Mounted {
    mountpoint: PathBuf,
    device: String,
    serving: Option<JoinHandle<io::Result<()>>>,
}

impl Mounted {
    /// Where it is mounted, resolved.
    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// Waits until it is unmounted, by whomever.
    pub fn wait(mut self) -> Result<(), MountError> {
        self.join()
    }

    /// Unmounts it and waits for the end. If it is busy, it stays mounted.
    pub fn unmount(&mut self) -> Result<(), MountError> {
        if self.is_served() && self.is_mounted() {
            take_down(&self.mountpoint, UnmountFlags::NOFOLLOW)?;
        }
        self.join()
    }

    fn join(&mut self) -> Result<(), MountError> {
        let Some(serving) = self.serving.take() else {
            return Ok(());
        };
        let ended = serving
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("its thread panicked")));
        ended.map_err(|source| {
            // Nobody answers any more: programs shall get an error, not wait.
            self.detach();
            MountError::Ended {
                path: self.mountpoint.clone(),
                source,
            }
        })
    }

    /// Takes it away if it is still there.
    fn detach(&self) {
        if self.is_mounted() {
            let _ = take_down(&self.mountpoint, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
    }

    /// Whether the mount lives: a device number may soon belong to another one.
    fn is_served(&self) -> bool {
        self.serving.as_ref().is_some_and(|serving| !serving.is_finished())
    }

    /// Whether what is at the mountpoint is this mount.
    fn is_mounted(&self) -> bool {
        let ours = |mount: Mount| mount.is_ours() && mount.device == self.device;
        mount_at(&self.mountpoint).ok().flatten().is_some_and(ours)
    }
}

impl Drop for Mounted {
    /// Lazily, as nobody can be told that it is busy: who still reads may finish.
    fn drop(&mut self) {
        if self.is_served() {
            self.detach();
        }
    }
}

/// Mounts a repository on a folder and serves it from threads of this process.
pub fn mount(repository: Arc<dyn History>, mountpoint: &Path, options: Options) -> Result<Mounted, MountError> {
    let mountpoint = prepare(mountpoint)?;
    let hook = Hook {
        numbering: Numbering::ONLY,
        above: INodeNo::ROOT,
        path: String::new(),
        look: look(&options),
        names: FOREVER,
        trust_disk: options.trust_disk,
    };
    let tree = Arc::new(Tree::new(repository, hook)?);
    serve(View::One(tree), mountpoint, &options)
}

/// Mounts all repositories of a shelf on a folder, at `USER/REPOSITORY/SNAPSHOT`, and
/// serves them from threads of this process.
///
/// A user's folder is open to the Unix user who owns it and to root; all that is in it
/// is shown as his own and readable. What is in the folder of a user without an owner
/// is shown as it was recorded, or as `options.own` says. As root other users are let
/// in, whatever the options say; the kernel checks which folders they may enter.
pub fn mount_all(shelf: Arc<dyn Shelf>, mountpoint: &Path, mut options: Options) -> Result<Mounted, MountError> {
    let mountpoint = prepare(mountpoint)?;
    options.allow_other |= rustix::process::geteuid().is_root();
    let many = Many::new(shelf, look(&options), options.trust_disk)?;
    serve(View::Many(Arc::new(many)), mountpoint, &options)
}

/// How files look that are nobody's in particular.
fn look(options: &Options) -> Look {
    Look {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        own: options.own,
    }
}

/// Mounts a view on a folder that is prepared, and serves and watches it.
fn serve(view: View, mountpoint: PathBuf, options: &Options) -> Result<Mounted, MountError> {
    let server = Arc::new(Server::new(view));
    let (mounted, until_unmounted) = mpsc::channel();
    let filesystem = SnapshotFilesystem::new(server.clone(), !options.own, mounted);
    let refused = |source| MountError::Refused {
        path: mountpoint.clone(),
        source,
    };
    let session = Session::new(filesystem, &mountpoint, &config(options))
        .map_err(refused)?
        .spawn()
        .map_err(refused)?;
    let kernel = session.notifier();
    let _ = server.kernel.set(kernel.clone());
    let watch = move || {
        while until_unmounted.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
            server.view.tell(&kernel);
        }
    };
    let watching = std::thread::Builder::new().name("yore-watch".into()).spawn(watch);

    let serving = Some(only_the_thread(session));
    let device = mount_at(&mountpoint)
        .ok()
        .flatten()
        .map(|mount| mount.device)
        .unwrap_or_default();
    let mounted = Mounted {
        mountpoint: mountpoint.clone(),
        device,
        serving,
    };
    watching.map_err(refused)?;
    read_far_ahead(&mounted.device);
    Ok(mounted)
}

/// Unmounts the repository mounted on a folder, whichever process serves it.
pub fn unmount(mountpoint: &Path) -> Result<(), MountError> {
    take_down(&ours_at(mountpoint)?, UnmountFlags::NOFOLLOW)
}

/// Like [`unmount`], but lazily: the mountpoint is free at once, and programs
/// that still use the mount keep it until they are done.
pub fn detach(mountpoint: &Path) -> Result<(), MountError> {
    take_down(&ours_at(mountpoint)?, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
}

/// The thread that serves a session. What else is in it would only unmount, in
/// the way told above, and is leaked: the connection, closed already by then.
#[expect(unsafe_code, reason = "fuser has no other way to the thread")]
fn only_the_thread(session: BackgroundSession) -> JoinHandle<io::Result<()>> {
    let session = ManuallyDrop::new(session);
    // SAFETY: the field is read once, and the session is neither dropped nor used again.
    unsafe { std::ptr::read(&session.guard) }
}

fn config(options: &Options) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("yore".into()),
        // fuser passes its own `Subtype` only to fusermount3; written so, it also
        // reaches the kernel when root mounts directly.
        MountOption::CUSTOM("subtype=yore".into()),
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoAtime,
    ];
    // The kernel checks modes, unless all files are shown as the one user's who
    // can get in at all.
    if options.allow_other || !options.own {
        config.mount_options.push(MountOption::DefaultPermissions);
    }
    config.acl = if options.allow_other {
        SessionACL::All
    } else {
        SessionACL::Owner
    };
    config.n_threads = Some(options.threads.max(1));
    config.clone_fd = true;
    config
}

/// Checks a mountpoint and clears a dead mount of ours from it, left by a process
/// that was killed. Returns its resolved path.
fn prepare(mountpoint: &Path) -> Result<PathBuf, MountError> {
    let path = resolve(mountpoint)?;
    let failed = |source| MountError::Mountpoint {
        path: path.clone(),
        source,
    };
    if mount_at(&path).map_err(failed)?.is_some_and(|mount| mount.is_ours()) {
        // Attributes may still be answered from the kernel's cache; this is not.
        match rustix::fs::statfs(&path) {
            Err(Errno::NOTCONN) => take_down(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?,
            _ => return Err(MountError::AlreadyMounted(path)),
        }
    }
    if !path.metadata().map_err(failed)?.is_dir() {
        return Err(MountError::NotAFolder(path));
    }
    if path.read_dir().map_err(failed)?.next().is_some() {
        complain(format_args!(
            "{}: is not empty; its files are hidden while the mount lasts",
            path.display()
        ));
    }
    Ok(path)
}

/// The mountpoint as the kernel names it, if a mount of ours is on it.
fn ours_at(mountpoint: &Path) -> Result<PathBuf, MountError> {
    let path = resolve(mountpoint)?;
    let mount = mount_at(&path).map_err(|source| MountError::Mountpoint {
        path: path.clone(),
        source,
    })?;
    if mount.is_some_and(|mount| mount.is_ours()) {
        Ok(path)
    } else {
        Err(MountError::NotMounted(path))
    }
}

/// An absolute path without symlinks. Of a dead mount, which may not be looked
/// into, only the way to it is resolved.
fn resolve(path: &Path) -> Result<PathBuf, MountError> {
    let parents = || {
        Some(
            std::path::absolute(path)
                .ok()?
                .parent()?
                .canonicalize()
                .ok()?
                .join(path.file_name()?),
        )
    };
    path.canonicalize()
        .or_else(|error| match error.raw_os_error() {
            Some(code) if code == Errno::NOTCONN.raw_os_error() => parents().ok_or(error),
            _ => Err(error),
        })
        .map_err(|source| MountError::Mountpoint {
            path: path.to_owned(),
            source,
        })
}

/// Unmounts by system call as root, by fusermount3 as anybody else.
fn take_down(path: &Path, flags: UnmountFlags) -> Result<(), MountError> {
    let failed = |source| MountError::Unmount {
        path: path.to_owned(),
        source,
    };
    match rustix::mount::unmount(path, flags) {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) => Err(MountError::Busy(path.to_owned())),
        Err(Errno::PERM) => fusermount(path, flags.contains(UnmountFlags::DETACH)),
        Err(errno) => Err(failed(errno.into())),
    }
}

fn fusermount(path: &Path, lazy: bool) -> Result<(), MountError> {
    let failed = |source| MountError::Unmount {
        path: path.to_owned(),
        source,
    };
    // Its message is read for the reason, so it must not be translated.
    let mut command = Command::new("fusermount3");
    command
        .env("LC_ALL", "C")
        .arg(if lazy { "-uz" } else { "-u" })
        .arg("--")
        .arg(path);
    let output = command
        .output()
        .map_err(|error| failed(io::Error::new(error.kind(), format!("fusermount3: {error}"))))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match said.contains("resource busy") {
        _ if output.status.success() => Ok(()),
        true => Err(MountError::Busy(path.to_owned())),
        false => Err(failed(io::Error::other(said.trim().to_owned()))),
    }
}

/// Best effort: it is root's to set, and only speed depends on it.
fn read_far_ahead(device: &str) {
    let _ = std::fs::write(format!("/sys/class/bdi/{device}/read_ahead_kb"), READ_AHEAD_KB);
}
