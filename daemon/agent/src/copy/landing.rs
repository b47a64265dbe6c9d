//! Where copies arrive: one push after the other, on a server by one connection.

use std::sync::Arc;

use yore_store::{PushOptions, Repository, Result};

use crate::destination::Destination;
use crate::remote::Pushes;
use crate::target::Target;

/// The repository that is pushed into.
pub(super) enum Landing {
    /// One here.
    Here(Arc<Repository>),
    /// A server's, opened.
    There(Box<Pushes>),
}

impl Landing {
    /// Opens it for pushes; on a server it is made if it is not there.
    pub fn open(target: &Target, rate: Option<u64>) -> Result<Self> {
        Ok(match target {
            Target::Here(repository) => Landing::Here(repository.clone()),
            Target::There(remote) => {
                let server = remote.server().limited(rate).unscheduled();
                Landing::There(Box::new(Pushes::open(&server, true)?))
            }
        })
    }

    /// Begins the next push.
    pub fn begin(&self, options: PushOptions) -> Result<Destination> {
        match self {
            Landing::Here(repository) => Destination::begin_here(repository, options, None),
            Landing::There(pushes) => pushes.begin(options, false),
        }
    }

    /// Copies the catalog of a repository here, once a day; a server does it by itself.
    pub fn end(&self) {
        if let Landing::Here(repository) = self {
            // The snapshots are there; a verification says what is wrong with a catalog that cannot be copied.
            let _ = repository.copy_catalog();
        }
    }
}
