//! The weak hash: a polynomial over the bytes of a window, which moves on by one byte in a few
//! cycles.
//!
//! `h = Σ byte[i] · M^(n-i)` modulo 2^64, for a window of n bytes. Every byte is multiplied at
//! least once, so the upper bits depend on all of them; tables are indexed by these. It is quick
//! to forge, so it never decides alone.

/// Odd, and 5 modulo 8, so that its powers repeat only after 2^62 steps.
const M: u64 = 0x9e37_79b9_7f4a_7c15;
const M2: u64 = M.wrapping_mul(M);
const M3: u64 = M2.wrapping_mul(M);
const M4: u64 = M3.wrapping_mul(M);

/// The weak hash for windows of one length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rolling {
    /// M^(n+1): what the byte that leaves the window has been multiplied with after the step.
    leaving: u64,
}

impl Rolling {
    /// For windows of `len` bytes.
    pub(super) fn new(len: u32) -> Self {
        Self {
            leaving: M.wrapping_pow(len).wrapping_mul(M),
        }
    }

    /// The hash after the window has moved on by one byte.
    #[inline(always)]
    pub(super) fn roll(self, hash: u64, leaving: u8, entering: u8) -> u64 {
        // The bracket does not wait for the previous step: one multiplication and one addition do.
        let change = u64::from(entering)
            .wrapping_mul(M)
            .wrapping_sub(u64::from(leaving).wrapping_mul(self.leaving));
        hash.wrapping_mul(M).wrapping_add(change)
    }
}

/// The hash of a whole window.
pub(super) fn hash(window: &[u8]) -> u64 {
    let (fours, rest) = window.as_chunks::<4>();
    let hash = fours.iter().fold(0u64, |hash, &[a, b, c, d]| {
        let [a, b, c, d] = [a, b, c, d].map(u64::from);
        let sum = a
            .wrapping_mul(M4)
            .wrapping_add(b.wrapping_mul(M3))
            .wrapping_add(c.wrapping_mul(M2));
        hash.wrapping_mul(M4).wrapping_add(sum.wrapping_add(d.wrapping_mul(M)))
    });
    rest.iter()
        .fold(hash, |hash, &byte| hash.wrapping_add(byte.into()).wrapping_mul(M))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rolling_is_hashing_anew(bytes in prop::collection::vec(any::<u8>(), 1..200), len in 1usize..50) {
            let rolling = Rolling::new(len as u32);
            let windows: Vec<u64> = bytes.windows(len).map(hash).collect();
            for (i, pair) in windows.windows(2).enumerate() {
                prop_assert_eq!(rolling.roll(pair[0], bytes[i], bytes[i + len]), pair[1]);
            }
        }
    }
}
