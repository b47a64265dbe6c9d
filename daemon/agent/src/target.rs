//! Where a push goes: a repository here, or one at the other end of a connection.

use std::sync::Arc;

use yore_store::{History, Repository};

use crate::remote::{Remote, RemoteHistory};

/// Where a push goes.
#[derive(Clone)]
pub enum Target {
    /// A folder that this process can reach.
    Here(Arc<Repository>),
    /// A server's.
    There(Arc<Remote>),
}

impl Target {
    /// The same repository, to be read and looked after.
    pub fn history(&self) -> Arc<dyn History> {
        match self {
            Target::Here(repository) => Arc::new(repository.clone()),
            Target::There(remote) => Arc::new(RemoteHistory(remote.clone())),
        }
    }

    /// (device, inode) of folders that a walk must not go into: the repository itself.
    pub fn skip(&self) -> Vec<(u64, u64)> {
        match self {
            Target::Here(repository) => std::fs::metadata(repository.path())
                .map(|status| {
                    (
                        std::os::unix::fs::MetadataExt::dev(&status),
                        std::os::unix::fs::MetadataExt::ino(&status),
                    )
                })
                .into_iter()
                .collect(),
            Target::There(_) => Vec::new(),
        }
    }
}
