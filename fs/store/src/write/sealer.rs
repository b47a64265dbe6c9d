//! Fsyncing complete files while the next ones are being written: a disk takes some milliseconds for each.
//!
//! What is not known to be fsynced is not told to the catalog: the file's row says 0 bytes until then, and a push that
//! dies meanwhile has not written it.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use crate::error::IoContext;
use crate::stops::Stop;
use crate::{FileId, Result};

/// Files that may wait behind the one that the disk is at. A push that dies loses them.
const WAITING: usize = 2;

/// A file that is complete.
pub(super) struct Complete {
    pub id: FileId,
    pub file: File,
    pub path: PathBuf,
    pub bytes: u64,
}

/// A file, and whether the disk has it.
type Fsynced = (FileId, u64, PathBuf, io::Result<()>);

/// The thread that waits for the disk; it begins with the first file.
#[derive(Default)]
pub(super) struct Sealer {
    thread: Option<(SyncSender<Complete>, Receiver<Fsynced>)>,
    under_way: usize,
    /// What went wrong first: nothing is whole after that, whoever was told.
    failure: Option<(PathBuf, io::ErrorKind, String)>,
    /// (file, bytes) of what is fsynced, to be told to the catalog.
    pub sealed: Vec<(FileId, u64)>,
}

impl Sealer {
    /// Has a file fsynced.
    ///
    /// # Errors
    /// What went wrong with one before.
    pub fn seal(&mut self, complete: Complete) -> Result<()> {
        let (files, _) = self.thread.get_or_insert_with(begin);
        let refused = files.send(complete).err();
        self.under_way += usize::from(refused.is_none());
        if let Some(refused) = refused {
            // There is no thread to be had.
            self.under_way += 1;
            self.note(fsync(refused.0))?;
        }
        self.take_ready()
    }

    /// Takes note of what is fsynced by now.
    ///
    /// # Errors
    /// What went wrong with a file.
    pub fn take_ready(&mut self) -> Result<()> {
        while let Some(Ok(fsynced)) = self.thread.as_ref().map(|(_, ready)| ready.try_recv()) {
            self.note(fsynced)?;
        }
        Ok(())
    }

    /// Waits until everything is fsynced.
    ///
    /// # Errors
    /// What went wrong with a file, now or before.
    pub fn finish(&mut self) -> Result<()> {
        while self.under_way > 0 {
            let (_, ready) = self.thread.as_ref().expect("it has something under way");
            let fsynced = ready.recv().expect("each file that was taken is told");
            self.note(fsynced)?;
        }
        match &self.failure {
            None => Ok(()),
            Some((path, kind, said)) => Err(io::Error::new(*kind, said.clone())).at(path),
        }
    }

    fn note(&mut self, (id, bytes, path, result): Fsynced) -> Result<()> {
        self.under_way -= 1;
        if let Err(error) = &result {
            self.failure
                .get_or_insert_with(|| (path.clone(), error.kind(), error.to_string()));
        }
        result.at(&path)?;
        self.sealed.push((id, bytes));
        Ok(())
    }
}

fn begin() -> (SyncSender<Complete>, Receiver<Fsynced>) {
    let (files, to_do) = sync_channel(WAITING);
    let (done, ready) = channel();
    // If it cannot be begun, nobody takes what is sent.
    let _ = thread::Builder::new()
        .name("yore-fsync".into())
        .spawn(move || work(&to_do, &done));
    (files, ready)
}

fn work(to_do: &Receiver<Complete>, done: &Sender<Fsynced>) {
    for complete in to_do {
        if done.send(fsync(complete)).is_err() {
            return;
        }
    }
}

fn fsync(complete: Complete) -> Fsynced {
    let result = Stop::FileSynced.around(|| match cfg!(feature = "fault-no-file-sync") {
        true => Ok(()),
        false => complete.file.sync_all(),
    });
    (complete.id, complete.bytes, complete.path, result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_disk_did_not_take_is_an_error_to_the_end() {
        let mut sealer = Sealer::default();
        let folder = tempfile::tempdir().unwrap();
        let complete = |id, file, name: &str| Complete {
            id: FileId(id),
            file,
            path: folder.path().join(name),
            bytes: 1,
        };
        let good = File::create(folder.path().join("good")).unwrap();
        sealer.seal(complete(1, good, "good")).unwrap();
        sealer.finish().unwrap();
        assert_eq!(sealer.sealed, [(FileId(1), 1)]);
        // What has no disk cannot be fsynced.
        let (pipe, _writer) = io::pipe().unwrap();
        let bad = File::from(std::os::fd::OwnedFd::from(pipe));
        let told = sealer.seal(complete(2, bad, "bad"));
        let told = told.and_then(|()| sealer.finish()).unwrap_err().to_string();
        assert!(told.contains("bad"), "{told}");
        assert!(sealer.finish().is_err(), "it stays so, whoever was told before");
        assert_eq!(sealer.sealed, [(FileId(1), 1)]);
    }
}
