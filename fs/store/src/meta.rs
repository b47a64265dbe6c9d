//! What is known of a path besides its bytes.
//!
//! A [`Meta`] is what an agent reads from a file system, what the catalog keeps
//! in an entry, and what the mount and `restore` give back. Names and link
//! targets are bytes: nothing here is ever a `String` but the owners' names.

/// What kind of thing a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A regular file.
    File = 0,
    /// A folder.
    Folder = 1,
    /// A symbolic link; its text is [`Meta::target`].
    Symlink = 2,
    /// A named pipe.
    Fifo = 3,
    /// A Unix socket.
    Socket = 4,
    /// A character device, numbered by [`Meta::rdev`].
    CharDevice = 5,
    /// A block device, numbered by [`Meta::rdev`].
    BlockDevice = 6,
}

impl Kind {
    /// The kind with this number in the catalog, if there is one.
    pub fn from_code(code: i64) -> Option<Self> {
        use Kind::*;
        [File, Folder, Symlink, Fifo, Socket, CharDevice, BlockDevice]
            .into_iter()
            .find(|kind| *kind as i64 == code)
    }

    /// The kind that a `st_mode` tells, if it is one that exists on Linux.
    pub fn from_st_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170000 {
            0o100000 => Kind::File,
            0o040000 => Kind::Folder,
            0o120000 => Kind::Symlink,
            0o010000 => Kind::Fifo,
            0o140000 => Kind::Socket,
            0o020000 => Kind::CharDevice,
            0o060000 => Kind::BlockDevice,
            _ => return None,
        })
    }

    /// The letter that `ls -l` shows.
    pub fn letter(self) -> char {
        match self {
            Kind::File => '-',
            Kind::Folder => 'd',
            Kind::Symlink => 'l',
            Kind::Fifo => 'p',
            Kind::Socket => 's',
            Kind::CharDevice => 'c',
            Kind::BlockDevice => 'b',
        }
    }
}

/// Numeric owner and group, with their names where the source knew them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
    /// The user's name, empty if unknown.
    pub user: String,
    /// The group's name, empty if unknown.
    pub group: String,
}

/// Extended attributes (ACLs and capabilities are attributes too), sorted by name.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Where a sparse file has data: (offset, length) in bytes, ascending, apart.
pub type DataExtents = Vec<(u64, u64)>;

/// The metadata of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky: `st_mode & 0o7777`.
    pub mode: u32,
    /// Who owns it.
    pub owner: Owner,
    /// Seconds of the modification time since 1970, negative before.
    pub mtime: i64,
    /// Nanoseconds of the modification time, 0..1_000_000_000, always added.
    pub mtime_ns: u32,
    /// `st_rdev` of a device, else 0.
    pub rdev: u64,
    /// Text of a symbolic link, else empty.
    pub target: Vec<u8>,
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// Data extents of a sparse file; `None` where the file has no hole.
    pub data: Option<DataExtents>,
}

impl Meta {
    /// Metadata with nothing special about it, for what has no source
    /// (a stream, a parent that could not be read) and for tests.
    pub fn plain(kind: Kind, mode: u32) -> Self {
        Meta {
            kind,
            mode,
            owner: Owner::default(),
            mtime: 0,
            mtime_ns: 0,
            rdev: 0,
            target: Vec::new(),
            xattrs: Vec::new(),
            data: None,
        }
    }

    /// A digest that differs whenever anything here does; agents compare by it.
    pub fn digest(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        let mut put = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        put(&[self.kind as u8]);
        for number in [
            self.mode as u64,
            self.owner.uid as u64,
            self.owner.gid as u64,
            self.mtime as u64,
            self.mtime_ns as u64,
            self.rdev,
        ] {
            put(&number.to_le_bytes());
        }
        put(self.owner.user.as_bytes());
        put(self.owner.group.as_bytes());
        put(&self.target);
        put(&encode_xattrs(&self.xattrs));
        put(&self.data.as_deref().map(encode_extents).unwrap_or_default());
        put(&[self.data.is_some() as u8]);
        hasher.finalize().as_bytes()[..16].try_into().expect("16 of 32 bytes")
    }
}

/// Writes xattrs as the catalog keeps them: for each, u32 length and name,
/// u32 length and value, little-endian.
pub fn encode_xattrs(xattrs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in xattrs.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(&(part.len() as u32).to_le_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// Reads what [`encode_xattrs`] wrote; `None` if it is not that.
pub fn decode_xattrs(mut bytes: &[u8]) -> Option<Xattrs> {
    let mut part = || -> Option<Vec<u8>> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let value = rest.get(..length)?.to_vec();
        bytes = &rest[length..];
        Some(value)
    };
    let mut xattrs = Vec::new();
    while let Some(name) = part() {
        xattrs.push((name, part()?));
    }
    bytes.is_empty().then_some(xattrs)
}

/// Writes data extents as the catalog keeps them: u64 offset, u64 length, little-endian.
pub fn encode_extents(extents: &[(u64, u64)]) -> Vec<u8> {
    extents
        .iter()
        .flat_map(|(offset, length)| [offset.to_le_bytes(), length.to_le_bytes()].concat())
        .collect()
}

/// Reads what [`encode_extents`] wrote; `None` if it is not that.
pub fn decode_extents(bytes: &[u8]) -> Option<DataExtents> {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    (bytes.len().is_multiple_of(16)).then(|| {
        (0..bytes.len())
            .step_by(16)
            .map(|at| (number(at), number(at + 8)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xattrs_and_extents_come_back_as_written() {
        let xattrs = vec![
            (b"user.a".to_vec(), b"".to_vec()),
            (b"user.b\xff".to_vec(), vec![0; 300]),
        ];
        assert_eq!(decode_xattrs(&encode_xattrs(&xattrs)), Some(xattrs.clone()));
        assert_eq!(decode_xattrs(&encode_xattrs(&xattrs)[..9]), None);
        let extents = vec![(0, 1), (1 << 62, 7)];
        assert_eq!(decode_extents(&encode_extents(&extents)), Some(extents));
        assert_eq!(decode_extents(&[0; 15]), None);
    }

    #[test]
    fn the_digest_sees_every_field() {
        let plain = Meta::plain(Kind::File, 0o644);
        let mut others = vec![plain.clone(); 9];
        others[0].kind = Kind::Fifo;
        others[1].mode = 0o600;
        others[2].owner.user = "ann".into();
        others[3].owner.group = "ann".into();
        others[4].mtime = -1;
        others[5].rdev = 1;
        others[6].target = b"x".to_vec();
        others[7].xattrs = vec![(b"user.a".to_vec(), vec![])];
        others[8].data = Some(vec![]);
        for other in others {
            assert_ne!(plain.digest(), other.digest(), "{other:?}");
        }
    }
}
