//! Where a listing goes on: the kernel hands back the cookie of the last child
//! that it took. Below a snapshot a cookie is an index, as a listing there never
//! changes; above, it tells the row id of a snapshot, a user or a repository, which
//! stays when others go.

/// The cookie of `.`; 0 is before it.
pub(crate) const DOT: u64 = 1;
/// The cookie of `..`.
pub(crate) const DOT_DOT: u64 = 2;
/// The cookie of `latest`, among the snapshots.
pub(crate) const LATEST: u64 = 3;

/// The cookie of the child at an index.
pub(crate) fn of_index(index: usize) -> u64 {
    index as u64 + DOT_DOT + 1
}

/// The index of the child after the one with this cookie.
pub(crate) fn index_after(cookie: u64) -> usize {
    usize::try_from(cookie.saturating_sub(DOT_DOT)).unwrap_or(usize::MAX)
}

/// The cookie of the child with a row id, in a listing that lives.
pub(crate) fn of_row(id: i64) -> u64 {
    id as u64 + LATEST + 1
}

/// The row id after which to go on; -1 is before all of them.
pub(crate) fn row_before(cookie: u64) -> i64 {
    i64::try_from(cookie).unwrap_or(i64::MAX).max(LATEST as i64) - LATEST as i64 - 1
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
    fn a_listing_that_lives_goes_on_after_what_may_be_gone() {
        for start in [0, DOT, DOT_DOT, LATEST] {
            assert_eq!(row_before(start), -1);
        }
        for id in [0, 1, 77] {
            assert!(of_row(id) > LATEST);
            assert_eq!(row_before(of_row(id)), id);
        }
        assert!(row_before(u64::MAX) > 1 << 60, "nothing comes after it");
    }
}
