//! BLAKE3 of a content from the values of its parts.
//!
//! BLAKE3 is a binary tree over 1 KiB chunks. An aligned group of 2^17 bytes is a
//! subtree, and so is an aligned segment of 2^22; the chaining value of a subtree
//! depends on its bytes and its offset alone. So the values of unchanged parts can be
//! kept, and the name of a content merged from them (crate blake3, module hazmat).
//!
//! ```text
//!                name (root)
//!             /              \
//!       segment 0          segment 1         values of whole segments
//!       /       \          /       \
//!    group 0 … group 31  group 32 … …        values of groups
//! ```
//!
//! A content of one group or less has no value below its root and is not handled here.

use std::collections::HashMap;

use blake3::hazmat::{self, HasherExt, Mode};

use crate::layout::{GROUP, SEGMENT, SEGMENT_GROUPS};
use crate::{Error, Hash, Result};

/// The chaining value of a subtree.
pub type Value = [u8; 32];

/// The value of group number `group` of a content that has more than one group.
pub fn group_value(group: u64, bytes: &[u8]) -> Value {
    debug_assert!(!bytes.is_empty() && bytes.len() as u64 <= GROUP);
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(group * GROUP);
    hasher.update(bytes);
    hasher.finalize_non_root()
}

/// The value of a segment of `length` bytes, from the values of its groups.
pub fn segment_value(length: u64, groups: &[Value]) -> Value {
    subtree(length, GROUP, groups)
}

/// The name of a content of `size` bytes, from the values of all its groups if it is one
/// segment or less, else from the values of its segments.
///
/// # Errors
/// [`Error::Refused`] if there are not as many values as the size asks for.
pub fn root(size: u64, values: &[Value]) -> Result<Hash> {
    let unit = if size <= SEGMENT { GROUP } else { SEGMENT };
    if size <= GROUP || values.len() as u64 != size.div_ceil(unit) {
        return Err(Error::Refused(format!(
            "{} values for a content of {size} bytes",
            values.len()
        )));
    }
    let left = hazmat::left_subtree_len(size);
    let (a, b) = values.split_at((left / unit) as usize);
    let (a, b) = (subtree(left, unit, a), subtree(size - left, unit, b));
    Ok(Hash(*hazmat::merge_subtrees_root(&a, &b, Mode::Hash).as_bytes()))
}

/// Merges the values of consecutive units that make up `length` bytes.
fn subtree(length: u64, unit: u64, values: &[Value]) -> Value {
    if length <= unit {
        return values[0];
    }
    let left = hazmat::left_subtree_len(length);
    let (a, b) = values.split_at((left / unit) as usize);
    hazmat::merge_subtrees_non_root(&subtree(left, unit, a), &subtree(length - left, unit, b), Mode::Hash)
}

/// The name of a content of more than one group from the values of all its groups.
pub fn from_groups(size: u64, groups: &[Value]) -> Hash {
    from_groups_and_segments(size, groups, &HashMap::new())
}

/// The same where the values of some whole segments are known, by their numbers: those of their groups are not looked at.
pub fn from_groups_and_segments(size: u64, groups: &[Value], known: &HashMap<u64, Value>) -> Hash {
    if size <= SEGMENT {
        return root(size, groups).expect("one value a group");
    }
    let segments: Vec<Value> = groups
        .chunks(SEGMENT_GROUPS as usize)
        .enumerate()
        .map(|(i, groups)| match known.get(&(i as u64)) {
            Some(value) => *value,
            None => segment_value(SEGMENT.min(size - i as u64 * SEGMENT), groups),
        })
        .collect();
    root(size, &segments).expect("one value a segment")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of `bytes`, computed part by part.
    fn of_bytes(bytes: &[u8]) -> Hash {
        if bytes.len() as u64 <= GROUP {
            return Hash::of(bytes);
        }
        let groups: Vec<Value> = bytes
            .chunks(GROUP as usize)
            .enumerate()
            .map(|(i, group)| group_value(i as u64, group))
            .collect();
        from_groups(bytes.len() as u64, &groups)
    }

    #[test]
    fn parts_merge_to_the_plain_blake3() {
        let bytes: Vec<u8> = (0..3 * SEGMENT + 777).map(|i| (i % 251) as u8).collect();
        for size in [
            0,
            1,
            GROUP - 1,
            GROUP,
            GROUP + 1,
            3 * GROUP,
            SEGMENT,
            SEGMENT + 1,
            2 * SEGMENT,
            3 * SEGMENT + 777,
        ] {
            let bytes = &bytes[..size as usize];
            assert_eq!(of_bytes(bytes), Hash::of(bytes), "{size}");
        }
    }

    #[test]
    fn groups_of_known_segments_are_not_looked_at() {
        let bytes = vec![3; 2 * SEGMENT as usize + 5];
        let groups = bytes.chunks(GROUP as usize).enumerate();
        let mut values: Vec<Value> = groups.map(|(i, group)| group_value(i as u64, group)).collect();
        let of_segment = SEGMENT_GROUPS as usize..2 * SEGMENT_GROUPS as usize;
        let known = HashMap::from([(1, segment_value(SEGMENT, &values[of_segment.clone()]))]);
        values[of_segment].fill([0; 32]);
        let size = bytes.len() as u64;
        assert_eq!(from_groups_and_segments(size, &values, &known), Hash::of(&bytes));
        assert_ne!(from_groups(size, &values), Hash::of(&bytes));
    }

    #[test]
    fn a_wrong_number_of_values_is_refused() {
        assert!(root(GROUP * 3, &[[0; 32]; 2]).is_err());
        assert!(root(GROUP, &[[0; 32]]).is_err());
    }
}
