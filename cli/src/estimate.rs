//! How much a snapshot has to look at, for the time that is left: as much as
//! the last one of the same paths, or, for a first one, what a second walk
//! counts while the work goes on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::thread;

use yore_agent::roots::Roots;
use yore_agent::snapshot::SnapshotRequest;
use yore_agent::target::Target;
use yore_agent::walk::{Visited, Visitor, WalkOptions, walk};
use yore_store::History;

use crate::progress::Meter;

/// Does `work`, and meanwhile tells `meter` what is to be expected, if anybody sees it.
pub fn beside<T>(
    target: &Target,
    request: SnapshotRequest,
    meter: &Meter,
    work: impl FnOnce(SnapshotRequest) -> T,
) -> T {
    // What is wrong with the roots, the work itself will say.
    let Some(roots) = Roots::resolve(&request.paths).ok().filter(|_| meter.is_shown()) else {
        return work(request);
    };
    let options = WalkOptions {
        one_file_system: request.one_file_system,
        exclude_caches: request.exclude_caches,
        filter: request.filter.clone(),
        skip: target.skip(),
    };
    let done = Arc::<AtomicBool>::default();
    let (tell, told) = channel();
    let over = tell.clone();
    let estimating = {
        let (history, host, done) = (target.history(), request.host.clone(), done.clone());
        thread::spawn(move || {
            let all = last_time(&*history, &host, &roots).or_else(|| count(&roots, &options, &done));
            // Who has done the work does not listen.
            let _ = tell.send(all);
        })
    };
    let result = thread::scope(|threads| {
        threads.spawn(move || {
            if let Ok(Some((items, bytes))) = told.recv() {
                meter.expect(items, bytes);
            }
        });
        let result = work(request);
        done.store(true, Relaxed);
        let _ = over.send(None);
        result
    });
    // A server is asked by a connection of its own. That may be dead, and it takes minutes to find that out.
    if let Target::Here(_) = target {
        let _ = estimating.join();
    }
    result
}

/// Items and bytes of the last snapshot of these roots.
fn last_time(repository: &dyn History, host: &str, roots: &Roots) -> Option<(u64, u64)> {
    let roots = roots.to_bytes();
    let snapshots = repository.snapshots().ok()?;
    let last = snapshots
        .into_iter()
        .rev()
        .find(|snapshot| snapshot.host == host && snapshot.roots == roots)?;
    Some((last.files + last.others, last.bytes))
}

/// Counts items and bytes; gives up when the work is `done` before.
fn count(roots: &Roots, options: &WalkOptions, done: &AtomicBool) -> Option<(u64, u64)> {
    let mut counter = Counter {
        items: 0,
        bytes: 0,
        done,
    };
    walk(roots, options, &mut counter).ok()?;
    Some((counter.items, counter.bytes))
}

/// Counts what a push counts: everything but folders, and the bytes of files.
struct Counter<'a> {
    items: u64,
    bytes: u64,
    done: &'a AtomicBool,
}

/// Nobody needs the count any more.
#[derive(Debug)]
struct Late;

impl Visitor for Counter<'_> {
    type Error = Late;

    fn enter(&mut self, _folder: &Visited) -> Result<bool, Late> {
        if self.done.load(Relaxed) { Err(Late) } else { Ok(true) }
    }

    fn leave(&mut self) -> Result<(), Late> {
        Ok(())
    }

    fn item(&mut self, item: &Visited) -> Result<(), Late> {
        const REGULAR: u32 = 0o100000;
        self.items += 1;
        if item.stat.mode & 0o170000 == REGULAR {
            self.bytes += item.stat.size;
        }
        Ok(())
    }

    fn unreadable(&mut self, _path: &[u8], _error: io::Error) -> Result<(), Late> {
        Ok(())
    }
}
