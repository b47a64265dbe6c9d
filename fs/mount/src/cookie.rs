//! Where a listing goes on: the kernel hands back the cookie of the last child
//! that it took. Below a snapshot a cookie is an index, as a listing there never
//! changes; in the root it tells the snapshot's id, which stays when others go.

use yore_store::SnapshotId;

/// The cookie of `.`; 0 is before it.
pub(crate) const DOT: u64 = 1;
/// The cookie of `..`.
pub(crate) const DOT_DOT: u64 = 2;
/// The cookie of `latest`, in the root.
pub(crate) const LATEST: u64 = 3;

/// The cookie of the child at an index.
pub(crate) fn of_index(index: usize) -> u64 {
    index as u64 + DOT_DOT + 1
}

/// The index of the child after the one with this cookie.
pub(crate) fn index_after(cookie: u64) -> usize {
    usize::try_from(cookie.saturating_sub(DOT_DOT)).unwrap_or(usize::MAX)
}

/// The cookie of a snapshot in the root.
pub(crate) fn of_snapshot(id: SnapshotId) -> u64 {
    id.0 as u64 + LATEST + 1
}

/// The snapshot after which to go on; -1 is before all of them.
pub(crate) fn snapshot_before(cookie: u64) -> SnapshotId {
    SnapshotId(i64::try_from(cookie).unwrap_or(i64::MAX).max(LATEST as i64) - LATEST as i64 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_goes_on_after_its_cookie() {
        for start in [0, DOT, DOT_DOT] {
            assert_eq!(index_after(start), 0);
        }
        for index in [0, 1, 99_999] {
            let cookie = of_index(index);
            assert!(cookie > DOT_DOT);
            assert_eq!(index_after(cookie), index + 1);
        }
    }

    #[test]
    fn the_root_goes_on_after_a_snapshot_that_may_be_gone() {
        for start in [0, DOT, DOT_DOT, LATEST] {
            assert_eq!(snapshot_before(start), SnapshotId(-1));
        }
        for id in [0, 1, 77].map(SnapshotId) {
            assert!(of_snapshot(id) > LATEST);
            assert_eq!(snapshot_before(of_snapshot(id)), id);
        }
        assert!(
            snapshot_before(u64::MAX) > SnapshotId(1 << 60),
            "nothing comes after it"
        );
    }
}
