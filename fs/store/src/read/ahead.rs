//! Frames of small contents, decoded before they are asked for.
//!
//! Who copies a folder takes its small files in about the order in which they came, so one frame after the other, and
//! waits for each answer. Meanwhile another processor decodes the frame behind the one that he is at. Of what is read
//! here and there nothing is decoded ahead.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;

use crate::catalog::{Content, Run};
use crate::read::FrameError;
use crate::{Repository, RunId};

/// Of so many runs before one, one has just been read where a reader goes forward: segments of large contents may lie
/// between.
const NEAR: i64 = 8;

/// Frames of a large content that are decoded ahead: as much as the kernel asks for at once.
const FRAMES: usize = 8;

/// What is read ahead in one repository.
#[derive(Default)]
pub(crate) struct Ahead {
    /// The run that was read from last.
    at: AtomicI64,
    /// To the thread that decodes, which begins with the first reader who goes forward; `None` if there is none to be had.
    wanted: OnceLock<Option<SyncSender<RunId>>>,
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
        let forward = before.contains(&last) || before.any(|run| self.caches.has_frame(RunId(run), 0));
        let wanted = || self.ahead.wanted.get_or_init(|| begin(Arc::downgrade(self)));
        if let Some(wanted) = forward.then(wanted).and_then(Option::as_ref) {
            // Where it is at another one still, it is behind, and of no use here.
            let _ = wanted.try_send(run);
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
}

/// Begins the thread, which ends with the repository.
fn begin(repository: Weak<Repository>) -> Option<SyncSender<RunId>> {
    let (wanted, runs) = sync_channel(1);
    let decode = move || decode_all(&repository, &runs);
    let thread = thread::Builder::new().name("yore-ahead".into()).spawn(decode);
    thread.is_ok().then_some(wanted)
}

fn decode_all(repository: &Weak<Repository>, runs: &Receiver<RunId>) {
    for run in runs {
        let Some(repository) = repository.upgrade() else { return };
        // Who asks for it is told what is wrong with it.
        let _ = repository.decode_behind(run);
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
        (0..2).for_each(|_| wanted.as_ref().unwrap().send(one.1).unwrap());
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
