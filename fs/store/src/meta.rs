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

/// The most that the attributes and extents of one path may take, in bytes as the protocol writes
/// them: with everything else about the path they fit into a message, whoever sends it.
pub const LARGEST_META: usize = 3 << 20;

/// The most attributes of one path. Linux lists at most 64 KiB of names, each ended by a zero.
const MOST_XATTRS: usize = 32 << 10;

/// The longest name of an attribute that Linux has.
const LONGEST_XATTR_NAME: usize = 255;

/// The most extents of one path.
const MOST_EXTENTS: usize = 128 << 10;

/// The longest text of a link: a page of Linux.
const LONGEST_TARGET: usize = 4096;

/// The longest name of an owner; those of Linux have 32 bytes.
const LONGEST_OWNER: usize = 256;

/// What a piece of memory takes besides its bytes.
const ALLOCATION: usize = 32;

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

    /// Says what no file has: nothing of that is taken in, so that nobody who reads it has to reckon with it.
    pub fn check(&self) -> Result<(), &'static str> {
        let is_link = self.kind == Kind::Symlink;
        let is_device = matches!(self.kind, Kind::CharDevice | Kind::BlockDevice);
        let rules = [
            (self.mode <= 0o7777, "has a mode with more than permissions"),
            (self.mtime_ns < 1_000_000_000, "has more nanoseconds than a second"),
            (is_device || self.rdev == 0, "has a device's number and is none"),
            (is_link || self.target.is_empty(), "has a link's text and is none"),
            (is_text(&self.target, LONGEST_TARGET), "has a text that no link has"),
            (self.owner.is_possible(), "has an owner's name that is too long"),
            (are_possible(&self.xattrs), "has attributes that no file has"),
            (
                self.kind == Kind::File || self.data.is_none(),
                "has extents and is no file",
            ),
            (
                are_in_order(self.data.as_deref().unwrap_or_default()),
                "has extents that no file has",
            ),
            (self.attributes() <= LARGEST_META, "has attributes of more than 3 MiB"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, what)) => Err(what),
            None => Ok(()),
        }
    }

    /// Bytes that attributes and extents take as the protocol writes them.
    fn attributes(&self) -> usize {
        let part = |bytes: &[u8]| varint(bytes.len() as u64) + bytes.len();
        let xattrs = self.xattrs.iter().map(|(name, value)| part(name) + part(value));
        let extents = self.data.iter().flatten();
        xattrs.sum::<usize>()
            + extents
                .map(|(offset, length)| varint(*offset) + varint(*length))
                .sum::<usize>()
    }

    /// About what it takes in memory besides itself, in bytes.
    pub fn memory(&self) -> usize {
        let part = |bytes: usize| if bytes == 0 { 0 } else { bytes + ALLOCATION };
        let xattr = |(name, value): &(Vec<u8>, Vec<u8>)| part(name.len()) + part(value.len());
        let owner = part(self.owner.user.len()) + part(self.owner.group.len());
        let extents = self
            .data
            .as_ref()
            .map_or(0, |data| part(data.len() * size_of::<(u64, u64)>()));
        let xattrs = part(self.xattrs.len() * size_of::<(Vec<u8>, Vec<u8>)>());
        owner + part(self.target.len()) + xattrs + self.xattrs.iter().map(xattr).sum::<usize>() + extents
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

impl Owner {
    fn is_possible(&self) -> bool {
        self.user.len().max(self.group.len()) <= LONGEST_OWNER
    }
}

/// Whether a text fits and has no zero in it, where it would end.
fn is_text(text: &[u8], longest: usize) -> bool {
    text.len() <= longest && !text.contains(&0)
}

fn are_possible(xattrs: &[(Vec<u8>, Vec<u8>)]) -> bool {
    let is_name = |name: &[u8]| !name.is_empty() && is_text(name, LONGEST_XATTR_NAME);
    xattrs.len() <= MOST_XATTRS
        && xattrs.iter().all(|(name, _)| is_name(name))
        && xattrs.is_sorted_by(|(one, _), (next, _)| one < next)
}

/// Whether extents follow each other, and end where a file can.
fn are_in_order(extents: &[(u64, u64)]) -> bool {
    let mut reached = Some(0);
    extents.len() <= MOST_EXTENTS
        && extents.iter().all(|&(offset, length)| {
            let begins = reached.is_some_and(|reached| reached <= offset) && length > 0;
            reached = offset.checked_add(length).filter(|end| *end <= i64::MAX as u64);
            begins && reached.is_some()
        })
}

/// Bytes of a number as the protocol writes it.
fn varint(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
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
    fn what_no_file_has_is_told() {
        let with = |kind, change: &dyn Fn(&mut Meta)| {
            let mut meta = Meta::plain(kind, 0o7777);
            change(&mut meta);
            meta.check().is_ok()
        };
        let xattrs = |names: &[&[u8]]| {
            let xattrs: Xattrs = names.iter().map(|name| (name.to_vec(), Vec::new())).collect();
            with(Kind::Folder, &|meta| meta.xattrs = xattrs.clone())
        };
        let data = |data: &[(u64, u64)]| with(Kind::File, &|meta| meta.data = Some(data.to_vec()));
        let end = i64::MAX as u64;
        let possible = [
            with(Kind::File, &|meta| {
                (meta.mtime, meta.mtime_ns) = (i64::MIN, 999_999_999)
            }),
            with(Kind::Symlink, &|meta| meta.target = vec![b'x'; 4096]),
            with(Kind::CharDevice, &|meta| meta.rdev = u64::MAX),
            xattrs(&[b"security.selinux", b"user.\xff", &[b'x'; 255]]),
            data(&[]) && data(&[(0, 1), (1, 1), (end - 1, 1)]),
        ];
        assert_eq!(possible, [true; 5]);
        let impossible = [
            with(Kind::File, &|meta| meta.mode = 0o10000),
            with(Kind::File, &|meta| meta.mtime_ns = 1_000_000_000),
            with(Kind::File, &|meta| meta.rdev = 1),
            with(Kind::File, &|meta| meta.target = b"x".to_vec()),
            with(Kind::File, &|meta| meta.owner.group = "x".repeat(257)),
            with(Kind::Symlink, &|meta| meta.target = vec![b'x'; 4097]),
            with(Kind::Symlink, &|meta| meta.target = b"a\0".to_vec()),
            with(Kind::Folder, &|meta| meta.data = Some(vec![])),
            xattrs(&[b""]) || xattrs(&[b"a\0"]) || xattrs(&[&[b'x'; 256]]),
            xattrs(&[b"b", b"a"]) || xattrs(&[b"a", b"a"]),
            data(&[(0, 0)]) || data(&[(0, 2), (1, 1)]) || data(&[(5, 1), (0, 1)]),
            data(&[(end, 1)]) || data(&[(1, u64::MAX)]) || data(&[(u64::MAX, 1), (0, 1)]),
        ];
        assert_eq!(impossible, [false; 12]);
    }

    #[test]
    fn attributes_of_three_mebibytes_fit_and_not_more() {
        let fits = |change: &dyn Fn(&mut Meta)| {
            let mut meta = Meta::plain(Kind::File, 0o644);
            change(&mut meta);
            meta.check().is_ok()
        };
        let long = |length: usize| move |meta: &mut Meta| meta.xattrs = vec![(b"user.a".to_vec(), vec![0; length])];
        assert!(fits(&long(LARGEST_META - 11)) && !fits(&long(LARGEST_META - 10)));
        let many = |count: usize| {
            move |meta: &mut Meta| meta.xattrs = (0..count).map(|n| (format!("{n:05}").into(), vec![])).collect()
        };
        assert!(fits(&many(MOST_XATTRS)) && !fits(&many(MOST_XATTRS + 1)));
        let extents = |count: u64| move |meta: &mut Meta| meta.data = Some((0..count).map(|n| (2 * n, 1)).collect());
        assert!(fits(&extents(MOST_EXTENTS as u64)) && !fits(&extents(MOST_EXTENTS as u64 + 1)));
        assert_eq!([0, 127, 128, u64::MAX].map(varint), [1, 1, 2, 10]);
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
