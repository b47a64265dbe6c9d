//! What a server says to nobody: answers to what nobody asked, or has had enough of.

use super::mailbox::TooLong;

/// Bytes that a server may say to nobody, one packet after the other: what was under way when somebody had had enough.
const UNHEARD: u64 = 64 << 20;

/// What the shortest packet counts as.
const SHORTEST: u64 = 256;

/// Bytes that nobody wanted to hear since somebody was told something. A server that says nothing else keeps all who
/// asked from being answered.
#[derive(Default)]
pub(super) struct Unheard(u64);

impl Unheard {
    /// Counts some more.
    ///
    /// # Errors
    /// [`TooLong`] where a server that is honest would have stopped.
    pub fn count(&mut self, bytes: u64) -> Result<(), TooLong> {
        self.0 += bytes.max(SHORTEST);
        match self.0 <= UNHEARD {
            true => Ok(()),
            false => Err(TooLong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_to_nobody_is_listened_to_for_a_while() {
        let mut unheard = Unheard::default();
        assert!((0..UNHEARD / SHORTEST).all(|_| unheard.count(1).is_ok()));
        assert!(unheard.count(1).is_err());
    }
}
