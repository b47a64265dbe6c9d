//! Restoring as one's own: what the snapshot says of owners and rights is that of another machine, perhaps of a
//! stranger, and root would give it all.

use rustix::process::{getegid, geteuid};
use yore_store::{Entry, Kind, Meta};

/// The entry as whoever restores would have made it: his own, without set-id bits, and of its attributes those that
/// are a user's. ACLs name the users of another machine.
pub(super) fn as_own(mut entry: Entry) -> Entry {
    let meta = &mut entry.meta;
    meta.owner.uid = geteuid().as_raw();
    meta.owner.gid = getegid().as_raw();
    meta.mode &= 0o1777;
    meta.xattrs.retain(|(name, _)| name.starts_with(b"user."));
    entry
}

/// Whether it is one of those that reach the machine itself.
pub(super) fn is_device(meta: &Meta) -> bool {
    matches!(meta.kind, Kind::CharDevice | Kind::BlockDevice)
}
