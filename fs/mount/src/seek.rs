//! SEEK_DATA and SEEK_HOLE over the data extents that a sparse file had.

use fuser::Errno;

/// `whence` of lseek(2): the next data at or after the offset.
pub(crate) const SEEK_DATA: i32 = 3;
/// `whence` of lseek(2): the next hole at or after the offset; the end is one.
pub(crate) const SEEK_HOLE: i32 = 4;

/// Where lseek(2) lands in a file of `size` bytes. `extents` are (offset, length),
/// ascending and apart; `None` is a file without holes. ENXIO at or beyond the
/// end and where no data follows; the kernel handles the other whences itself.
pub(crate) fn seek(extents: Option<&[(u64, u64)]>, size: u64, offset: i64, whence: i32) -> Result<i64, Errno> {
    let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
    if offset >= size {
        return Err(Errno::ENXIO);
    }
    let whole = [(0, size)];
    let extents = extents.unwrap_or(&whole);
    let found = match whence {
        SEEK_DATA => next_data(extents, offset)
            .filter(|data| *data < size)
            .ok_or(Errno::ENXIO)?,
        SEEK_HOLE => next_hole(extents, offset).min(size),
        _ => return Err(Errno::EINVAL),
    };
    i64::try_from(found).map_err(|_| Errno::EOVERFLOW)
}

/// The first byte of data at or after `offset`.
fn next_data(extents: &[(u64, u64)], offset: u64) -> Option<u64> {
    let ahead = &extents[ended_before(extents, offset)..];
    ahead
        .iter()
        .find(|(_, length)| *length > 0)
        .map(|(start, _)| offset.max(*start))
}

/// The first byte at or after `offset` that is in no extent. Extents that touch
/// are one stretch of data, though they should not come so.
fn next_hole(extents: &[(u64, u64)], offset: u64) -> u64 {
    extents[ended_before(extents, offset)..]
        .iter()
        .fold(offset, |hole, (start, length)| {
            if *start <= hole {
                hole.max(start.saturating_add(*length))
            } else {
                hole
            }
        })
}

/// How many extents lie wholly before `offset`.
fn ended_before(extents: &[(u64, u64)], offset: u64) -> usize {
    extents.partition_point(|(start, length)| start.saturating_add(*length) <= offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_holes_is_data_up_to_its_end() {
        assert_eq!(seek(None, 10, 3, SEEK_DATA), Ok(3));
        assert_eq!(seek(None, 10, 3, SEEK_HOLE), Ok(10));
    }

    #[test]
    fn data_and_holes_alternate() {
        // ....dddd....dd..   of 16 bytes
        let extents = [(4, 4), (12, 2)];
        let at = |offset, whence| seek(Some(&extents), 16, offset, whence);
        assert_eq!([0, 3, 4, 7].map(|offset| at(offset, SEEK_DATA)), [4, 4, 4, 7].map(Ok));
        assert_eq!([8, 12, 13].map(|offset| at(offset, SEEK_DATA)), [12, 12, 13].map(Ok));
        assert_eq!(
            [0, 3, 4, 7, 8].map(|offset| at(offset, SEEK_HOLE)),
            [0, 3, 8, 8, 8].map(Ok)
        );
        assert_eq!(
            [12, 13, 14, 15].map(|offset| at(offset, SEEK_HOLE)),
            [14, 14, 14, 15].map(Ok)
        );
        assert_eq!(at(14, SEEK_DATA), Err(Errno::ENXIO));
    }

    #[test]
    fn the_end_and_beyond_are_nowhere() {
        for whence in [SEEK_DATA, SEEK_HOLE] {
            assert_eq!(seek(None, 10, 10, whence), Err(Errno::ENXIO));
            assert_eq!(seek(None, 0, 0, whence), Err(Errno::ENXIO));
            assert_eq!(seek(None, 10, -1, whence), Err(Errno::ENXIO));
        }
        assert_eq!(seek(Some(&[]), 10, 0, SEEK_HOLE), Ok(0));
        assert_eq!(seek(Some(&[]), 10, 0, SEEK_DATA), Err(Errno::ENXIO));
        assert_eq!(seek(None, 10, 0, 0), Err(Errno::EINVAL));
    }

    #[test]
    fn extents_that_touch_are_one() {
        assert_eq!(seek(Some(&[(0, 4), (4, 4)]), 10, 1, SEEK_HOLE), Ok(8));
    }
}
