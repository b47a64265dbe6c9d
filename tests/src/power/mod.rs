//! A disk that loses power: a file system in memory that forgets at a cut what was not fsynced.
//!
//! ```text
//!   a program ──▶ kernel ──▶ filesystem ──▶ disk ─┬▶ folder   names: durable by the folder's fsync
//!   (a child)                (translates)  (counts, cuts)     └▶ file     bytes and length: durable by the file's
//! ```
//!
//! It goes by what POSIX promises and no further: an fsync of a file says nothing about its name. At the cut each change
//! that no fsync covers is lost, survives, or survives in part, by a seed; writes in any order, by sectors or by pages of
//! 4 KiB, names each through their own changes in order. The whole disk then is what a program finds on the next mount.
//!
//! It can also become full at any operation: then only what was freed since can be written.
//!
//! The process that serves it must not use it too: a page fault of its own that waits for one of its threads may wait for
//! ever. Programs run as children, and a child that is killed cannot remember what the disk forgot.

pub mod conductor;
mod disk;
mod file;
mod filesystem;
mod folder;
pub mod history;
mod source;
#[cfg(test)]
mod tests;
pub mod worker;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

use fuser::{BackgroundSession, Config, MountOption, spawn_mount};
use rustix::io::Errno;

use self::disk::{Disk, Moment};
use self::filesystem::PowerFilesystem;
use crate::model::random::Random;
use crate::run;

/// Threads that answer the kernel.
const THREADS: usize = 2;

/// A mounted disk. Dropping it unmounts it, and what was on it is gone.
pub struct PowerDisk {
    mountpoint: PathBuf,
    disk: Arc<Mutex<Disk>>,
    serving: Option<BackgroundSession>,
}

impl PowerDisk {
    /// An empty disk, mounted on a folder.
    ///
    /// # Panics
    /// If it cannot be mounted.
    pub fn new(mountpoint: &Path) -> Self {
        let mut disk = PowerDisk {
            mountpoint: mountpoint.to_owned(),
            disk: Arc::new(Mutex::new(Disk::new())),
            serving: None,
        };
        disk.mount();
        disk
    }

    /// Has the power go at the operation that is `after` from now, and `on_cut` be called then.
    pub fn cut_after(&self, after: u64, on_cut: impl FnOnce() + Send + 'static) {
        let at = Moment::Operation(self.operations() + after);
        self.disk().call_at(at, true, on_cut);
    }

    /// Has `call` called at the operation that is `after` from now; the power stays.
    pub fn call_after(&self, after: u64, call: impl FnOnce() + Send + 'static) {
        let at = Moment::Operation(self.operations() + after);
        self.disk().call_at(at, false, call);
    }

    /// Has `call` called when a folder is fsynced for the `after`th time from now; the power stays.
    pub fn call_at_folder_sync(&self, after: u64, call: impl FnOnce() + Send + 'static) {
        let at = Moment::FolderSync(self.disk().folder_syncs() + after);
        self.disk().call_at(at, false, call);
    }

    /// Has the disk be full at the operation that is `after` from now: whatever wants room then is told `errno`.
    pub fn fill_after(&self, after: u64, errno: Errno) {
        let at = self.operations() + after;
        self.disk().fill_at(at, errno);
    }

    /// Gives it room again; says whether it was full.
    pub fn has_room(&self) -> bool {
        self.disk().has_room()
    }

    /// Forgets whom it was to call, and when the power was to go.
    pub fn be_quiet(&self) {
        self.disk().be_quiet();
    }

    /// Whether the power is gone.
    pub fn is_dead(&self) -> bool {
        self.disk().is_dead()
    }

    /// Operations so far: whatever changed something, or promised that it is durable.
    pub fn operations(&self) -> u64 {
        self.disk().operations()
    }

    /// Cuts the power now.
    pub fn cut(&self) {
        self.disk().cut();
    }

    /// Gives the power back after a cut: what survived is mounted anew. Nobody may use the disk any more.
    ///
    /// # Panics
    /// If it cannot be unmounted and mounted.
    pub fn power_on(&mut self, random: &mut Random) {
        self.cut();
        self.unmount();
        let survivor = self.disk().survivor(random);
        self.disk = Arc::new(Mutex::new(survivor));
        self.mount();
    }

    fn mount(&mut self) {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("power".into()), MountOption::NoAtime];
        config.n_threads = Some(THREADS);
        config.clone_fd = true;
        let serving = spawn_mount(PowerFilesystem(self.disk.clone()), &self.mountpoint, &config);
        let at = self.mountpoint.display();
        self.serving = Some(serving.unwrap_or_else(|error| panic!("mounting a disk on {at}: {error}")));
    }

    /// Lazily, because the kernel lets go of files some time after whoever had them; then waits for the end.
    fn unmount(&mut self) {
        let Some(serving) = self.serving.take() else { return };
        run(Command::new("fusermount3").args(["-uz", "--"]).arg(&self.mountpoint));
        serving.join().expect("the mount ends in peace");
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("no panic while held")
    }
}

impl Drop for PowerDisk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return self.unmount();
        }
        let _ = Command::new("fusermount3")
            .args(["-uz", "--"])
            .arg(&self.mountpoint)
            .status();
    }
}
