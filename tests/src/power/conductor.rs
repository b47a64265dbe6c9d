//! Gives a child its orders and hears what it says.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// What came of an order.
pub enum Answer {
    /// It is done: what it found, line by line.
    Done(Vec<String>),
    /// It could not be done.
    Failed(String),
    /// Whoever should have answered is dead.
    Silence,
}

/// A child that works on the disk. Dropping it kills it.
pub struct Conductor {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Conductor {
    /// Starts a worker on a repository.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(program: &Path, repository: &Path, sources: &Path, cache: &Path, seconds: i64) -> Self {
        let mut command = Command::new(program);
        command.arg(repository).arg(sources).arg(cache).arg(seconds.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Conductor {
            orders: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().expect("piped")),
            child,
        }
    }

    /// What kills the child from another thread, as long as this lives.
    pub fn killer(&self) -> impl FnOnce() + Send + 'static {
        let child = Pid::from_child(&self.child);
        move || {
            let _ = kill_process(child, Signal::KILL);
        }
    }

    /// Gives an order and waits until it is done, or never will be.
    pub fn order(&mut self, order: &str) -> Answer {
        // A child that is dead does not read it, and says so by its silence.
        let _ = writeln!(self.orders.as_ref().expect("taken at the end"), "{order}");
        let mut found = Vec::new();
        loop {
            let mut line = String::new();
            let length = self.answers.read_line(&mut line).unwrap_or(0);
            match line.strip_suffix('\n') {
                Some("ok") => return Answer::Done(found),
                Some(line) if line.starts_with("failed ") => return Answer::Failed(line[7..].to_owned()),
                Some(line) => found.push(line.to_owned()),
                None if length == 0 || !line.ends_with('\n') => return Answer::Silence,
                None => unreachable!("a line ends or does not"),
            }
        }
    }

    /// Lets the child end by itself: it has no more orders.
    ///
    /// # Panics
    /// If it fails at that.
    pub fn finish(mut self) {
        drop(self.orders.take());
        let status = self.child.wait().expect("it is our child");
        assert!(status.success(), "the worker ended with {status}");
    }
}

impl Drop for Conductor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
