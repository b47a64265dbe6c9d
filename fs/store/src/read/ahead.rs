//! What comes next for who reads one thing after the other.
//!
//! Who copies a folder takes its small files in about the order in which they came, so one frame after the other, and
//! waits for each answer. Meanwhile another processor decodes the frame behind the one that he is at. Who reads an old
//! version from end to end takes its literals from as many files as there were versions since: the disk is asked for
//! those early. Of what is read here and there nothing is read ahead.

use std::num::NonZero;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;

use rustix::fs::{Advice, fadvise};

use crate::catalog::{Content, Run};
use crate::delta::Source;
use crate::read::FrameError;
use crate::read::plan::{Plan, Stretch};
use crate::{Repository, RunId};

/// Of so many runs before one, one has just been read where a reader goes forward: segments of large contents may lie
/// between.
const NEAR: i64 = 8;

/// Frames of a large content that are decoded ahead: as much as the kernel asks for at once.
const FRAMES: usize = 8;

/// Bytes of an old version whose literals the disk is asked for early.
const WINDOW: u64 = 8 << 20;

/// What is to be read ahead.
enum Wanted {
    /// What lies behind a run in its pack, decoded.
    Behind(RunId),
    /// The literals from one offset of a version to another, read from the disk.
    Literals(Arc<Plan>, u64, u64),
}

/// What is read ahead in one repository.
#[derive(Default)]
pub(crate) struct Ahead {
    /// The run that was read from last.
    at: AtomicI64,
    /// To the thread that does it, which begins with the first reader who goes forward; `None` if there is none to be had.
    wanted: OnceLock<Option<SyncSender<Wanted>>>,
}

/// How far a content is read, and read ahead.
#[derive(Default)]
pub(super) struct Progress {
    read: AtomicU64,
    ahead: AtomicU64,
}

impl Repository {
    /// Takes note that a small content is read from a run, and has the frame behind it decoded if the reader goes
    /// forward.
    pub(super) fn goes_on_from(self: &Arc<Self>, run: RunId) {
        let last = self.ahead.at.swap(run.0, Ordering::Relaxed);
        if last == run.0 {
            return;
        }
        let mut before = (run.0 - NEAR).max(1)..run.0;
        if before.contains(&last) || before.any(|run| self.caches.has_frame(RunId(run), 0)) {
            self.read_ahead(Wanted::Behind(run));
        }
    }

    /// Takes note that an old version is read from one offset to another, and has the literals behind that read from
    /// the disk if the reader goes forward.
    pub(super) fn goes_on_within(self: &Arc<Self>, plan: &Arc<Plan>, progress: &Progress, from: u64, to: u64) {
        let ahead = progress.ahead.load(Ordering::Relaxed);
        // Several threads may read on at once, a bit here and a bit there.
        let forward = progress.read.swap(to, Ordering::Relaxed) == from || (from..ahead).contains(&to);
        let until = to + WINDOW;
        if forward && ahead < to + WINDOW / 2 && self.read_ahead(Wanted::Literals(plan.clone(), ahead.max(to), until)) {
            progress.ahead.store(until, Ordering::Relaxed);
        }
    }

    /// Has it done, unless something else is being done still: then it is behind, and of no use here.
    fn read_ahead(self: &Arc<Self>, what: Wanted) -> bool {
        let wanted = self.ahead.wanted.get_or_init(|| begin(Arc::downgrade(self)));
        wanted.as_ref().is_some_and(|wanted| wanted.try_send(what).is_ok())
    }

    fn do_ahead(&self, what: Wanted) -> Result<(), FrameError> {
        match what {
            Wanted::Behind(run) => self.decode_behind(run),
            Wanted::Literals(plan, from, to) => self.ask_for_literals(&plan, from, to),
        }
    }

    /// Decodes what comes behind a run in its pack, up to and with the next frame of small contents.
    fn decode_behind(&self, run: RunId) -> Result<(), FrameError> {
        let run = self.run(run)?;
        let connection = self.connection()?;
        for (next, is_shared) in Run::behind(&connection, run.file, run.id, NEAR as u32)? {
            let run = self.run(next)?;
            for index in 0..run.frames.len().min(FRAMES) {
                self.frame(&run, index)?;
            }
            if is_shared {
                self.caches.keep_contents(Content::in_run(&connection, next)?);
                break;
            }
        }
        Ok(())
    }

    /// Has the kernel read what a version takes from the streams of deltas.
    fn ask_for_literals(&self, plan: &Plan, from: u64, to: u64) -> Result<(), FrameError> {
        // Where maps stay apart there may be an extent for each byte.
        let map = plan.map.as_ref().filter(|map| map.is_composed());
        for extent in map.iter().flat_map(|map| map.slice(from, to - from)) {
            let Source::Literal { content, at } = extent.source else {
                continue;
            };
            if let Some(stream) = plan.streams.get(&content) {
                self.ask_for(*stream, at, extent.len)?;
            }
        }
        Ok(())
    }

    /// Has the kernel read the frames of `length` bytes, which begin `offset` bytes into a stretch.
    fn ask_for(&self, stretch: Stretch, offset: u64, length: u64) -> Result<(), FrameError> {
        let run = self.run(stretch.run)?;
        let start = stretch.skip.saturating_add(offset);
        let end = start.saturating_add(length).min(run.length());
        if start >= end {
            return Ok(());
        }
        let from = run.starts[run.frame_at(start)].0;
        let to = run.starts[run.frame_at(end - 1) + 1].0;
        if let Some(length) = NonZero::new(to - from) {
            let _ = fadvise(&*self.file_of(&run)?, run.offset + from, Some(length), Advice::WillNeed);
        }
        Ok(())
    }
}

/// Begins the thread, which ends with the repository.
fn begin(repository: Weak<Repository>) -> Option<SyncSender<Wanted>> {
    let (wanted, what) = sync_channel(1);
    let work = move || read_all(&repository, &what);
    let thread = thread::Builder::new().name("yore-ahead".into()).spawn(work);
    thread.is_ok().then_some(wanted)
}

fn read_all(repository: &Weak<Repository>, wanted: &Receiver<Wanted>) {
    for what in wanted {
        let Some(repository) = repository.upgrade() else { return };
        // Who asks for it is told what is wrong with it.
        let _ = repository.do_ahead(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ContentId;
    use crate::testing::{Bench, file, noise};

    /// A small file for each number, each in a frame of its own; a large one behind the second.
    fn bench(files: u8) -> Bench {
        let bench = Bench::new();
        bench.push("host", |push| {
            for number in 1..=files {
                file(push, &format!("f{number:02}"), &noise(number, 1000));
                if number == 2 {
                    file(push, "f02 large", &noise(0, 300_000));
                }
            }
        });
        bench
    }

    fn content(bench: &Bench, name: &str) -> (ContentId, RunId) {
        let of = |what| {
            let from = "FROM contents c JOIN entries e ON e.content = c.id";
            bench.number(&format!("SELECT {what} {from} WHERE e.name = CAST('{name}' AS BLOB)"))
        };
        (ContentId(of("c.id")), RunId(of("c.run")))
    }

    fn read(repository: &Arc<Repository>, (content, _): (ContentId, RunId)) -> Vec<u8> {
        let reader = repository.open_content(content).unwrap();
        let mut bytes = vec![0; reader.size() as usize];
        reader.read_going_on(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn who_goes_forward_has_the_next_frame_decoded() {
        let bench = bench(4);
        let repository = bench.reopened();
        let [one, two, large, three, four] =
            ["f01", "f02", "f02 large", "f03", "f04"].map(|name| content(&bench, name));
        read(&repository, one);
        assert!(repository.ahead.wanted.get().is_none(), "it may be the only one");
        read(&repository, two);
        let wanted = repository.ahead.wanted.get().unwrap();
        // Once this is accepted twice, what was wanted first is done.
        (0..2).for_each(|_| wanted.as_ref().unwrap().send(Wanted::Behind(one.1)).unwrap());
        assert!(repository.caches.has_frame(large.1, 0) && repository.caches.has_frame(large.1, 2));
        assert!(repository.caches.has_frame(three.1, 0) && !repository.caches.has_frame(four.1, 0));
        assert!(repository.caches.content(three.0).is_some());
        assert_eq!(read(&repository, three), noise(3, 1000));
    }

    #[test]
    fn of_what_is_read_here_and_there_nothing_is_decoded_ahead() {
        let bench = bench(40);
        let repository = bench.reopened();
        for number in [1, 30, 20, 10] {
            read(&repository, content(&bench, &format!("f{number:02}")));
        }
        assert!(repository.ahead.wanted.get().is_none());
    }

    #[test]
    fn literals_are_asked_for_by_who_reads_an_old_version_on() {
        let bench = Bench::new();
        let old = noise(1, 1 << 20);
        let mut new = old.clone();
        new[300_000..400_000].fill(7);
        for version in [&old, &new] {
            bench.push("host", |push| file(push, "file", version));
        }
        let repository = bench.reopened();
        let reader = || repository.open_hash(&crate::Hash::of(&old)).unwrap();
        let mut bytes = vec![0; 100_000];
        let read = |reader: &crate::ContentReader, at: usize, bytes: &mut [u8]| {
            assert_eq!(reader.read_going_on(at as u64, bytes).unwrap(), bytes.len());
            assert!(*bytes == old[at..at + bytes.len()]);
            reader.progress.ahead.load(Ordering::Relaxed)
        };
        let jumping = reader();
        assert_eq!(read(&jumping, 500_000, &mut bytes), 0);
        assert_eq!(read(&jumping, 200_000, &mut bytes), 0);
        assert!(repository.ahead.wanted.get().is_none());
        assert_eq!(read(&jumping, 300_000, &mut bytes), 400_000 + WINDOW);
        let plan = jumping.plan();
        repository.ask_for_literals(&plan, 0, 1 << 20).unwrap();
        repository.ask_for_literals(&plan, 1 << 20, 2 << 20).unwrap();
        // The thread may be at what was wanted before; then the next one asks again.
        let asked = std::iter::repeat_with(|| read(&reader(), 0, &mut bytes)).find(|ahead| *ahead > 0);
        assert_eq!(asked, Some(100_000 + WINDOW));
    }

    #[test]
    fn what_was_noted_ahead_and_has_moved_since_is_found() {
        let bench = bench(3);
        let repository = bench.reopened();
        let (two, three) = (content(&bench, "f02"), content(&bench, "f03"));
        repository.decode_behind(two.1).unwrap();
        let noted = repository.caches.content(three.0).unwrap();
        let run = Some(RunId(1000));
        repository.caches.keep_contents(vec![Content { run, ..noted }]);
        assert_eq!(read(&repository, three), noise(3, 1000));
    }
}
