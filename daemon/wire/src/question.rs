//! What an agent asks, and what a server answers.
//!
//! Each question is answered by any number of [`Answer`]s and an end, in the order of their
//! making; questions overlap, and are told apart by their numbers.

use yore_store::delta::BlockSum;
use yore_store::{
    Change, Compression, ContentId, Entry, EntryId, FolderId, Forgotten, Found, Frame, Hash, Slice, Snapshot,
    SnapshotId, Space, Stats, Swept, Value, Verified, Version,
};

use crate::codec::{record, variants};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Opens a repository of the user; everything after this is about it. [`Answer::Opened`].
    Open {
        /// Its name.
        repository: String,
        /// To push into it: it is made if it is not there.
        to_push: bool,
    },
    /// Enrols a machine's key. After a login by password or invitation; or by the very key, to hear once more that it
    /// was taken. [`Answer::Enrolled`].
    Enrol(Enrolment),
    /// A number that changes with each commit. [`Answer::Number`].
    Version,
    /// All snapshots, oldest first. [`Answer::Snapshot`]s.
    Snapshots,
    /// The entry of `/`. [`Answer::Entry`].
    Root {
        /// In this snapshot.
        snapshot: SnapshotId,
    },
    /// The entry of a folder. [`Answer::Entry`], or nothing.
    Folder {
        /// In this snapshot.
        snapshot: SnapshotId,
        /// The folder.
        folder: FolderId,
    },
    /// One entry. [`Answer::Entry`], or nothing.
    Entry {
        /// Its number.
        id: EntryId,
    },
    /// A hard-link group. [`Answer::Entry`]s.
    Links {
        /// In this snapshot.
        snapshot: SnapshotId,
        /// The group.
        link: i64,
    },
    /// What is in a folder, sorted. [`Answer::Entry`]s.
    List {
        /// In this snapshot.
        snapshot: SnapshotId,
        /// The folder.
        folder: FolderId,
    },
    /// The same of a folder, and of folders below it, depth first, until some thousand entries were told: for reading
    /// ahead. Before the [`Answer::Entry`]s of each an [`Answer::Listing`].
    ListBelow {
        /// The snapshot.
        snapshot: SnapshotId,
        /// The folder.
        folder: FolderId,
    },
    /// Verified bytes of a content. [`Answer::Bytes`]s and [`Answer::Frame`]s, one after the other, up to its end.
    Read {
        /// The content.
        content: ContentId,
        /// Where they begin.
        offset: u64,
        /// How many, at most [`MOST_READ`].
        length: u64,
    },
    /// Contents of one group or less, whole: for reading ahead. [`Answer::Small`]s and [`Answer::Shared`]s, in any
    /// order, those that are there.
    ReadSmall {
        /// The contents, at most [`MOST_SMALL`].
        contents: Vec<ContentId>,
    },
    /// Room on its disk. [`Answer::Space`].
    Space,
    /// The versions of a path. [`Answer::Version`]s.
    Versions {
        /// The path.
        path: Vec<u8>,
    },
    /// Names that fit a pattern of gitignore's syntax. [`Answer::Found`]s.
    Find {
        /// The pattern.
        pattern: Vec<u8>,
    },
    /// What differs between two snapshots. [`Answer::Changed`]s.
    Diff {
        /// From.
        a: SnapshotId,
        /// To.
        b: SnapshotId,
    },
    /// Which rows are others in one snapshot than in another of its line. [`Answer::Changed`]s.
    Rows {
        /// From.
        a: SnapshotId,
        /// To.
        b: SnapshotId,
    },
    /// The names of contents. [`Answer::Hashes`].
    Hashes {
        /// The contents, at most [`MOST_NAMED`].
        contents: Vec<ContentId>,
    },
    /// Numbers about the repository. [`Answer::Stats`].
    Stats,
    /// Looks for damage. [`Answer::Progress`]es, then one [`Answer::Verified`] or more.
    Verify {
        /// Every stored byte too.
        read_data: bool,
    },
    /// Looks for damage in all stored bytes, and mends contents of which there is another one. Answers as to
    /// [`Verify`](Self::Verify), and [`Answer::Healed`] if anything was.
    Repair {
        /// Nothing is mended.
        dry_run: bool,
    },
    /// Forgets snapshots, if the user may. [`Answer::Forgotten`].
    Forget {
        /// The snapshots.
        snapshots: Vec<SnapshotId>,
    },
    /// Sweeps what dead pushes left. [`Answer::Swept`].
    Sweep,
    /// Begins a push. [`Answer::Kept`], [`Answer::KeptGroups`] and [`Answer::Wanted`], then [`Answer::Begun`].
    Push(PushStart),
    /// The next push is a copy of a snapshot that was made then, if the user may.
    Made {
        /// Seconds since 1970.
        time: i64,
        /// The snapshot's name.
        name: String,
    },
    /// Which contents are here whole, so that they need not be sent. [`Answer::Kept`]: those that are.
    Has {
        /// Their names, at most [`MOST_NAMED`].
        names: Vec<Hash>,
    },
    /// Everything that the push's base has, folders before what is in them. [`Answer::Listed`]s.
    Listing,
    /// Chaining values of a content's groups. [`Answer::Values`]s, or nothing if it is not there.
    BaseValues {
        /// The content.
        hash: Hash,
    },
    /// Sums of the whole blocks in ranges of a content, in order. [`Answer::Sums`].
    Signature {
        /// The content.
        hash: Hash,
        /// Bytes of a block.
        block_len: u32,
        /// (offset, length) in bytes.
        ranges: Vec<(u64, u64)>,
    },
    /// Makes the push a snapshot. [`Answer::Healed`], if anything was, then [`Answer::Committed`].
    Commit {
        /// Paths that could not be read.
        unread: u64,
    },
    /// Ends the push without a snapshot; what was sent waits for the next one.
    Abort {
        /// What went wrong at the agent; empty if it was told to stop.
        failure: String,
    },
    /// Tells of a snapshot that failed before it could be pushed.
    Report {
        /// Why.
        failure: String,
    },
}

/// Most bytes of one [`Question::Read`].
pub const MOST_READ: u64 = 4 << 20;

/// Most contents of one [`Question::ReadSmall`].
pub const MOST_SMALL: usize = 2048;

/// Most contents of one [`Question::Hashes`] and one [`Question::Has`].
pub const MOST_NAMED: usize = 4096;

/// A machine that wants its key taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// `ssh-ed25519 AAAA…`, without a comment.
    pub key: String,
    /// The machine's name.
    pub machine: String,
    /// The repository that it will push into.
    pub repository: String,
    /// Also if the repository has snapshots of another machine.
    pub force: bool,
    /// It takes the repository over from a machine that is gone.
    pub replace: bool,
}

/// A push that wants to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushStart {
    /// The machine's name.
    pub host: String,
    /// Absolute paths, sorted.
    pub roots: Vec<Vec<u8>>,
    /// What the user calls the snapshot.
    pub tags: Vec<String>,
    /// Seconds from one push to the next, if there is a schedule.
    pub interval: Option<u64>,
    /// It will not be committed: find out what would be sent.
    pub dry_run: bool,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The repository is open.
    Opened(Opened),
    /// The key is taken; how the machine is to log in from now on.
    Enrolled {
        /// The user.
        user: String,
        /// The repository's name.
        repository: String,
        /// The machine whose repository it was, if another's.
        before: Option<String>,
    },
    /// A number.
    Number(i64),
    /// A snapshot.
    Snapshot(Snapshot),
    /// An entry.
    Entry(Entry),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A whole content.
    Small {
        /// Which.
        content: ContentId,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Room on a disk.
    Space(Space),
    /// A version of a path.
    Version(Version),
    /// An entry that was looked for.
    Found(Found),
    /// A path that differs.
    Changed {
        /// The path.
        path: Vec<u8>,
        /// How.
        change: Change,
    },
    /// Numbers.
    Stats(Stats),
    /// So many of so many bytes have been read.
    Progress {
        /// So many.
        done: u64,
        /// Of so many.
        all: u64,
    },
    /// What a verification found.
    Verified(Verified),
    /// What forgetting did.
    Forgotten(Forgotten),
    /// What a sweep found.
    Swept(Swept),
    /// A folder, all of whose entries follow.
    Listing(FolderId),
    /// Bytes, as they are stored.
    Frame(Frame),
    /// Whole contents that lie in one frame.
    Shared {
        /// The frame.
        frame: Frame,
        /// What lies where in it.
        slices: Vec<Slice>,
    },
    /// Names of contents, in their order; none where one is no longer known.
    Hashes(Vec<Option<Hash>>),
    /// Contents that an earlier push that died has sent, or that were asked for and are here, by the first half of
    /// their names.
    Kept(Vec<[u8; 16]>),
    /// Groups of a large content in whose midst an earlier push died.
    KeptGroups {
        /// What the agent called it.
        key: [u8; 16],
        /// The first group's number.
        first: u64,
        /// Their chaining values.
        values: Vec<Value>,
    },
    /// The push has begun.
    Begun {
        /// The newest snapshot of the line.
        base: Option<Snapshot>,
        /// A name for the line, good as a file name.
        line: String,
    },
    /// A step of a listing.
    Listed(ListedStep),
    /// Chaining values, of the next groups.
    Values {
        /// Length of the content in bytes.
        size: u64,
        /// A value a group; none where it must be taken as different.
        groups: Vec<Option<Value>>,
        /// A value for each segment that is all zeros.
        zero_segments: Vec<Option<Value>>,
    },
    /// Sums of the next blocks.
    Sums(Vec<BlockSum>),
    /// The push is a snapshot.
    Committed {
        /// The new snapshot.
        snapshot: Snapshot,
        /// Contents that were turned into reverse deltas.
        deltas: u64,
    },
    /// First halves of the names of contents that the newest snapshot has and that are damaged: they are
    /// to be sent again.
    Wanted(Vec<[u8; 16]>),
    /// So many damaged contents are whole again.
    Healed(u64),
}

/// What is known of an open repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its identity.
    pub id: String,
    /// How new data is compressed.
    pub compression: Compression,
    /// Whether this user may forget and prune.
    pub may_prune: bool,
}

/// A step of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListedStep {
    /// A folder, before what is in it.
    Enter(Entry),
    /// Its end.
    Leave,
    /// Anything else, with the name of its content.
    Item {
        /// The entry.
        entry: Entry,
        /// The name of its content.
        hash: Option<Hash>,
    },
}

record!(Enrolment {
    key,
    machine,
    repository,
    force,
    replace,
});
record!(PushStart {
    host,
    roots,
    tags,
    interval,
    dry_run,
});
record!(Opened {
    id,
    compression,
    may_prune,
});
variants!(ListedStep, "step of a listing" {
    1 => Enter(entry),
    2 => Leave,
    3 => Item { entry, hash },
});

variants!(Question, "question" {
    1 => Open { repository, to_push },
    2 => Enrol(enrolment),
    3 => Version,
    4 => Snapshots,
    5 => Root { snapshot },
    6 => Folder { snapshot, folder },
    7 => Entry { id },
    8 => Links { snapshot, link },
    9 => List { snapshot, folder },
    10 => Read { content, offset, length },
    11 => ReadSmall { contents },
    12 => Space,
    13 => Versions { path },
    14 => Find { pattern },
    15 => Diff { a, b },
    16 => Stats,
    17 => Verify { read_data },
    18 => Forget { snapshots },
    19 => Sweep,
    20 => ListBelow { snapshot, folder },
    21 => Repair { dry_run },
    22 => Rows { a, b },
    23 => Hashes { contents },
    32 => Push(start),
    33 => Listing,
    34 => BaseValues { hash },
    35 => Signature { hash, block_len, ranges },
    36 => Commit { unread },
    37 => Abort { failure },
    38 => Report { failure },
    39 => Made { time, name },
    40 => Has { names },
});

variants!(Answer, "answer" {
    1 => Opened(opened),
    2 => Enrolled { user, repository, before },
    3 => Number(number),
    4 => Snapshot(snapshot),
    5 => Entry(entry),
    6 => Bytes(bytes),
    7 => Small { content, bytes },
    8 => Space(space),
    9 => Version(version),
    10 => Found(found),
    11 => Changed { path, change },
    12 => Stats(stats),
    13 => Progress { done, all },
    14 => Verified(verified),
    15 => Forgotten(forgotten),
    16 => Swept(swept),
    17 => Listing(folder),
    18 => Frame(frame),
    19 => Shared { frame, slices },
    20 => Hashes(names),
    32 => Kept(names),
    33 => KeptGroups { key, first, values },
    34 => Begun { base, line },
    35 => Listed(step),
    36 => Values { size, groups, zero_segments },
    37 => Sums(sums),
    38 => Committed { snapshot, deltas },
    39 => Wanted(names),
    40 => Healed(contents),
});
