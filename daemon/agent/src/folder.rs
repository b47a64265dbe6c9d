//! Folders by descriptor: opening, listing, and a chain of them of any depth.
//!
//! A [`Chain`] is the way from a base folder down to the current one:
//!
//! ```text
//! base ── a ── b ── … ── x ── y ── z
//! open   closed closed     open open open     at most OPEN of the innermost
//! ```
//!
//! Going up into a closed one reopens it name by name from the nearest open
//! folder above, never through a symlink, and only believes what has the device
//! and inode that were seen on the way down.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Once;

use rustix::fs::{Mode, OFlags, RawDir, fstat, openat};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many of a chain's innermost folders stay open.
const OPEN: usize = 256;
/// How many are kept open when one had to be reopened: the next ones on the
/// way up are then there, and the cost of a climb stays linear in practice.
const REOPENED: usize = OPEN / 2;

/// What an opened folder is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Listing and everything else; wants read permission.
    Read,
    /// Reaching what is in it; wants no permission on the folder itself.
    Search,
}

/// The name to give the kernel: the root folder's empty name is `.` to it.
pub(crate) fn at_name(name: &[u8]) -> &[u8] {
    if name.is_empty() { b"." } else { name }
}

/// Opens the folder `name` in `dir`; a symlink is `ENOTDIR` or `ELOOP`.
pub(crate) fn open_folder(dir: BorrowedFd, name: &[u8], how: How) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match how {
        How::Search => Ok(openat(dir, at_name(name), flags | OFlags::PATH, Mode::empty())?),
        How::Read => without_atime(dir, name, flags | OFlags::RDONLY),
    }
}

/// Opens the file `name` in `dir` for reading, without following a symlink,
/// without waiting for a pipe's other end, and without touching its access
/// time where that is allowed.
///
/// # Errors
/// What `openat` says; `ELOOP` where the name is now a symlink.
pub fn open_file(dir: BorrowedFd, name: &[u8]) -> io::Result<OwnedFd> {
    without_atime(
        dir,
        name,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK,
    )
}

fn without_atime(dir: BorrowedFd, name: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    // The kernel allows O_NOATIME to the owner and to root only.
    match openat(dir, at_name(name), flags | OFlags::NOATIME, Mode::empty()) {
        Err(rustix::io::Errno::PERM) => Ok(openat(dir, at_name(name), flags, Mode::empty())?),
        other => Ok(other?),
    }
}

/// The names in a folder, sorted bytewise, without `.` and `..`.
pub(crate) fn names(folder: BorrowedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
    let mut entries = RawDir::new(folder, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Device and inode: what a folder is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    dev: u64,
    ino: u64,
}

fn identity(folder: BorrowedFd) -> io::Result<Identity> {
    let stat = fstat(folder)?;
    Ok(Identity {
        dev: stat.st_dev as _,
        ino: stat.st_ino as _,
    })
}

struct Link {
    name: Vec<u8>,
    how: How,
    identity: Identity,
    fd: Option<OwnedFd>,
}

/// The folders from a base, which is always open, down to the current one.
pub(crate) struct Chain {
    links: Vec<Link>,
}

impl Chain {
    /// A chain of the base alone.
    pub fn new(base: OwnedFd) -> io::Result<Self> {
        let identity = identity(base.as_fd())?;
        Ok(Chain {
            links: vec![Link {
                name: Vec::new(),
                how: How::Search,
                identity,
                fd: Some(base),
            }],
        })
    }

    /// How many folders it has, the base included: at least one.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// The base.
    pub fn base(&self) -> BorrowedFd<'_> {
        self.links[0].fd.as_ref().expect("the base stays open").as_fd()
    }

    /// The names from the base, exclusive, down to the current folder.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.links[1..].iter().map(|link| link.name.as_slice())
    }

    /// Goes down into `folder`, opened before as `name` in the current one.
    pub fn push(&mut self, name: &[u8], how: How, folder: OwnedFd) -> io::Result<()> {
        let identity = identity(folder.as_fd())?;
        self.links.push(Link {
            name: name.to_vec(),
            how,
            identity,
            fd: Some(folder),
        });
        let last = self.links.len() - 1;
        if last > OPEN {
            self.links[last - OPEN].fd = None;
        }
        Ok(())
    }

    /// Goes up one folder; the base stays.
    pub fn pop(&mut self) {
        if self.links.len() > 1 {
            self.links.pop();
        }
    }

    /// Whether the current folder lies on another device than the one above it.
    pub fn at_mount_point(&self) -> bool {
        matches!(self.links.as_slice(), [.., above, top] if above.identity.dev != top.identity.dev)
    }

    /// The current folder.
    ///
    /// # Errors
    /// When it had been closed and is no longer where it was.
    pub fn top(&mut self) -> io::Result<BorrowedFd<'_>> {
        let last = self.links.len() - 1;
        if self.links[last].fd.is_none() {
            self.reopen()?;
        }
        Ok(self.links[last].fd.as_ref().expect("just opened").as_fd())
    }

    fn reopen(&mut self) -> io::Result<()> {
        let last = self.links.len() - 1;
        let open = self
            .links
            .iter()
            .rposition(|link| link.fd.is_some())
            .expect("the base stays open");
        for at in open + 1..=last {
            let above = self.links[at - 1]
                .fd
                .as_ref()
                .expect("opened in the step before")
                .as_fd();
            let fd = open_folder(above, &self.links[at].name, self.links[at].how)?;
            if identity(fd.as_fd())? != self.links[at].identity {
                return Err(io::Error::other("the folder was replaced by another in the meantime"));
            }
            self.links[at].fd = Some(fd);
            if at - 1 > open && at - 1 + REOPENED < last {
                self.links[at - 1].fd = None;
            }
        }
        Ok(())
    }
}

/// Raises this process's limit of open files to what it may have, once.
/// The walk and the restore need about 300 descriptors at most, whatever the depth.
pub fn raise_file_limit() {
    static RAISED: Once = Once::new();
    RAISED.call_once(|| {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        // What cannot be raised is no error: the default of 1,024 suffices.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        );
    });
}
