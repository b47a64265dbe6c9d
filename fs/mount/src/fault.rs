//! What a question to the tree can come to, and the one table that turns it
//! into the number that a program sees.

use fuser::Errno;
use yore_store::Error;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The question itself was wrong; the caller learns it, nobody else needs to.
    Errno(Errno),
    /// The store could not answer.
    Store(Error),
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Fault::Errno(errno)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Store(error)
    }
}

impl Fault {
    /// The error number for the program that asked.
    pub(crate) fn errno(&self) -> Errno {
        match self {
            Fault::Errno(errno) => *errno,
            Fault::Store(Error::NoSuchPath { .. } | Error::NoSuchSnapshot(_)) => Errno::ENOENT,
            // The errno inside an `Io` is about one of our files, not about the
            // one that was asked for: ENOENT there is damage, not absence.
            Fault::Store(_) => Errno::EIO,
        }
    }

    /// What an administrator should read about it, if anything.
    pub(crate) fn worth_a_line(&self) -> Option<&Error> {
        match self {
            Fault::Store(error) if self.errno() == Errno::EIO => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_is_quiet_and_damage_is_not() {
        let absent = Fault::from(Error::NoSuchSnapshot("x".into()));
        assert_eq!(absent.errno(), Errno::ENOENT);
        assert!(absent.worth_a_line().is_none());

        let lost = std::io::Error::from(std::io::ErrorKind::NotFound);
        for error in [
            Error::Damaged("pack 3".into()),
            Error::Io {
                path: "packs/3".into(),
                source: lost,
            },
        ] {
            let fault = Fault::from(error);
            assert_eq!(fault.errno(), Errno::EIO);
            assert!(fault.worth_a_line().is_some());
        }
        assert!(Fault::from(Errno::EROFS).worth_a_line().is_none());
    }
}
