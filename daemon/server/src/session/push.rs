//! Receiving a push: its messages go to the store's ingest, each in its turn.
//!
//! What ends a push early (the connection, the quota, a message that does not hold together)
//! leaves what was taken in for the next push of the same line. The agent hears the reason at
//! once; whatever else it sends is read and dropped, so that it can.
//!
//! Few bytes may be work for hours, and a push holds its repository against others. So when the session
//! has ended, steps of what had arrived are taken for some seconds only; and nothing is committed once
//! one may have been left out.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use yore_store::{Budget, Committed, Error, GROUP, Hash, Ingest, LARGEST, LargeOp, Made, PushOptions, Result};
use yore_wire::{Answer, Failure, Message, Packet, PushStart, Question, deliver};

use super::{Session, Told};
use crate::accounts::RepositoryRow;
use crate::failure::Failed;
use crate::outbox::Reply;
use crate::quota::{Limits, Place, Quota};
use crate::running::{Ending, RunningPush};

/// Names of kept contents in one piece of an answer.
const NAMES: usize = 4096;

/// The longest name of a machine and the longest tag, in bytes.
const MOST_WORD: usize = 255;

/// What the name of the machine, roots and tags may take together, in bytes of memory: every list of
/// snapshots carries them with each snapshot, and a packet has to hold one.
const MOST_WORDS: usize = 64 << 10;

/// What a message may stand for in one turn, in bytes.
const STEP: u64 = 256 << 20;

/// How long after the session's end pieces are taken in that stand for more than was sent. What was sent itself is
/// taken in all: the machine shall not have to send it again, and it is little.
const TAKE_IN: Duration = Duration::from_secs(5);

/// What SQLite's log and its index may take while a push runs, in bytes. Measured when it ends.
const LOG: u64 = 512 << 10;

/// The longest time from one push to the next that is believed, in seconds.
const MOST_INTERVAL: u64 = 366 * 24 * 60 * 60;

/// A push under way.
struct Push {
    ingest: Ingest,
    _running: RunningPush,
}

/// Takes in what is told until the agent hangs up.
pub(super) fn receive(session: &Arc<Session>, told: &Receiver<Told>) {
    let mut state = State::Idle;
    let mut until = None;
    // Once it is, it stays so.
    let mut is_too_late = || {
        session.has_ended() && {
            let now = Instant::now();
            now >= *until.get_or_insert(now + TAKE_IN)
        }
    };
    // Once something was left out, nothing that follows has a sense.
    let mut is_cut = false;
    for message in told {
        state = match message {
            Told::Messages(messages) => messages
                .into_iter()
                .flat_map(steps)
                .take_while(|step| {
                    is_cut |= stands_for_more(step) && is_too_late();
                    !is_cut
                })
                .fold(state, |state, step| state.message(session, step)),
            Told::Asked(_, Question::Push(_) | Question::Commit { .. }) if is_cut || is_too_late() => state,
            Told::Asked(number, question) => state.asked(session, number, question),
        };
        // While it waited for its turn nobody could be heard.
        session.seen.touch(session.server.now());
    }
    if let State::Pushing(push) = state {
        // The connection is gone in the midst of it.
        let why = session.ending.get().map(Ending::text);
        let why = why.unwrap_or_else(|| "the connection was lost".into());
        let error = push.ingest.fail(Error::Busy(why));
        session.ended(Failed::lost(&error.to_string()));
    }
}

enum State {
    /// No push.
    Idle,
    /// One is under way.
    Pushing(Box<Push>),
    /// One has failed; its messages may still come.
    Failed(Failure),
}

impl State {
    fn message(self, session: &Session, message: Message) -> State {
        match self {
            State::Pushing(mut push) => {
                let turn = session.server.turns.take(session.caller.user.id);
                let delivered = deliver(&mut push.ingest, message);
                drop(turn);
                // While it works it cannot be heard.
                session.seen.goes_on(session.server.now());
                match delivered {
                    Ok(()) => State::Pushing(push),
                    Err(error) => session.failed(*push, error),
                }
            }
            State::Idle => {
                let failure = Failure::from(&Error::Refused("a message of no push".into()));
                session.outbox.say(&Packet::PushFailed(failure.clone()));
                State::Failed(failure)
            }
            failed => failed,
        }
    }

    fn asked(self, session: &Arc<Session>, number: u64, question: Question) -> State {
        let mut reply = Reply::new(session.outbox.clone(), number);
        match (self, question) {
            (State::Pushing(push), Question::Commit { unread }) => {
                commit(session, *push, unread, reply);
                State::Idle
            }
            (State::Pushing(push), Question::Abort { failure }) => {
                drop(push.ingest);
                session.ended(match failure.is_empty() {
                    true => Failed::lost("it was stopped on the machine"),
                    false => Failed::reported(&failure),
                });
                reply.done();
                State::Idle
            }
            (State::Failed(failure), Question::Commit { .. }) => {
                reply.fails(failure);
                State::Idle
            }
            (State::Idle | State::Failed(_), Question::Abort { .. }) => {
                reply.done();
                State::Idle
            }
            (State::Idle, Question::Made { time, name }) => {
                match session.next_is_made(Made { time, name }) {
                    Ok(()) => reply.done(),
                    Err(error) => reply.failed(&error),
                }
                State::Idle
            }
            (State::Idle, Question::Push(start)) => {
                let is_dry = start.dry_run;
                match session.begin(start, &mut reply) {
                    Ok(push) => {
                        reply.done();
                        push.map_or(State::Idle, |push| State::Pushing(Box::new(push)))
                    }
                    Err(error) => {
                        session.did_not_begin(is_dry, &error);
                        reply.failed(&error);
                        State::Idle
                    }
                }
            }
            (state, _) => {
                reply.failed(&Error::Refused("not in this state of a push".into()));
                state
            }
        }
    }
}

fn commit(session: &Session, push: Push, unread: u64, mut reply: Reply) {
    // Without a turn: deltas and fsyncs may take long, and others shall not wait for them.
    match push.ingest.commit(unread) {
        Ok(committed) => {
            session.committed(&committed);
            match tell_committed(committed, &mut reply) {
                Ok(()) => reply.done(),
                Err(error) => reply.failed(&error),
            }
        }
        Err(error) => {
            session.failed_of(&error);
            reply.failed(&error);
        }
    }
}

impl Session {
    /// Begins a push; `None` after a dry one.
    fn begin(self: &Arc<Self>, start: PushStart, reply: &mut Reply) -> Result<Option<Push>> {
        let made = self.made.lock().expect("no panic while held").take();
        let open = self.opened()?;
        check(&start)?;
        let options = PushOptions {
            host: start.host,
            roots: start.roots,
            tags: start.tags,
            made,
        };
        if start.dry_run {
            let (line, base) = open.repository.newest_of(&options)?;
            *self.base.lock().expect("no panic while held") = base.clone();
            reply.push(Answer::Begun {
                base,
                line: line.to_string(),
            })?;
            return Ok(None);
        }
        let running = self.server.begin_push(&open.row, &self.caller, &self.seen)?;
        self.changes();
        self.shows("push", 0);
        let interval = start.interval.filter(|seconds| *seconds <= MOST_INTERVAL);
        let interval = interval.map(|seconds| seconds as i64);
        self.server.pushing(&open.row, &self.caller, interval)?;
        let quota = self.quota(&open.row, open.repository.path())?;
        let ingest = Ingest::begin(&open.repository, options, Box::new(quota))?;
        tell_kept(&ingest, reply)?;
        tell_wanted(&ingest, reply)?;
        let base = ingest.base().cloned();
        *self.base.lock().expect("no panic while held") = base.clone();
        reply.push(Answer::Begun {
            base,
            line: ingest.line().to_string(),
        })?;
        Ok(Some(Push {
            ingest,
            _running: running,
        }))
    }

    /// The next push is a copy, if the user may make some: whoever may say when a snapshot was made could push others
    /// out of retention, which keeps so many of days that he chooses. That it is not of the future, and later than what
    /// is there, the ingest sees to.
    fn next_is_made(&self, made: Made) -> Result<()> {
        self.opened()?;
        let user = &self.caller.user;
        let now = self.server.accounts.user_by_id(user.id).ok().flatten();
        if !now.is_some_and(|now| now.may_copy) {
            return Err(Error::Denied(format!(
                "{} may not copy snapshots to here; `yored user set {} --may-copy` on the server allows it",
                user.name, user.name
            )));
        }
        *self.made.lock().expect("no panic while held") = Some(made);
        Ok(())
    }

    /// What may be written into a repository of this user.
    fn quota(&self, row: &RepositoryRow, path: &Path) -> Result<Quota> {
        let (server, user) = (&self.server, self.caller.user.id);
        server.ledger.begin(user, || server.repositories_of(user))?;
        // An administrator's command may have removed something: it leaves what it measured in the accounts.
        let now = server.repository_row(row.id)?;
        if server.ledger.of(user, row.id) != Some(now.bytes) {
            server.measured(&now);
        }
        let place = Place {
            user,
            repository: row.id,
            path: path.to_owned(),
        };
        let (asking, making) = (server.clone(), server.clone());
        let ask = move || {
            Ok(Limits {
                quota: asking.quota(user)?,
                floor: asking.config().keep_free.0,
            })
        };
        let mut quota = Quota::new(
            server.ledger.clone(),
            server.disks.clone(),
            place,
            Box::new(ask),
            Box::new(move || making.make_room(user)),
        )?;
        quota.reserve(LOG)?;
        Ok(quota)
    }

    fn failed(&self, push: Push, error: Error) -> State {
        let error = push.ingest.fail(error);
        self.failed_of(&error);
        let failure = Failure::from(&error);
        self.outbox.say(&Packet::PushFailed(failure.clone()));
        State::Failed(failure)
    }

    /// A push could not begin. That another one is running is no failure.
    fn did_not_begin(&self, is_dry: bool, error: &Error) {
        self.tell_damage(error);
        if let Some(open) = self.opened.get()
            && !is_dry
            && !matches!(error, Error::Busy(_) | Error::Again(_))
        {
            self.server.push_failed(&open.row, &self.caller, Failed::from(error));
        }
    }

    /// A push has failed of this.
    fn failed_of(&self, error: &Error) {
        self.tell_damage(error);
        self.ended(match error {
            // It is tried again at once; of damage people are told by itself.
            Error::Again(_) | Error::Damaged(_) => Failed::lost(&error.to_string()),
            error => Failed::from(error),
        });
    }

    /// A push has ended without a snapshot.
    fn ended(&self, failure: Failed) {
        *self.base.lock().expect("no panic while held") = None;
        if let Some(open) = self.opened.get() {
            self.server.measured(&open.row);
            self.server.push_failed(&open.row, &self.caller, failure);
        }
    }

    fn committed(&self, committed: &Committed) {
        *self.base.lock().expect("no panic while held") = None;
        if let Some(open) = self.opened.get() {
            self.server.measured(&open.row);
            self.server.push_done(&open.row, &self.caller, committed);
        }
    }
}

/// A message in steps that take little time each: a few bytes may stand for terabytes of zeros, and
/// others want their turns.
fn steps(message: Message) -> Box<dyn Iterator<Item = Message>> {
    let cut = |length: u64| {
        (0..length.max(1))
            .step_by(STEP as usize)
            .map(move |at| (at, STEP.min(length - at)))
    };
    match message {
        Message::Large(LargeOp::Zeros { length }) if length <= LARGEST => {
            Box::new(cut(length).map(|(_, length)| Message::Large(LargeOp::Zeros { length })))
        }
        Message::Large(LargeOp::Copy { from, length }) if length <= LARGEST => {
            Box::new(cut(length).map(move |(at, length)| {
                let from = from.saturating_add(at);
                Message::Large(LargeOp::Copy { from, length })
            }))
        }
        Message::Large(LargeOp::Same { groups }) if groups <= LARGEST / GROUP => {
            Box::new(cut_groups(groups).map(|groups| Message::Large(LargeOp::Same { groups })))
        }
        Message::Large(LargeOp::Kept { groups }) if groups <= LARGEST / GROUP => {
            Box::new(cut_groups(groups).map(|groups| Message::Large(LargeOp::Kept { groups })))
        }
        message => Box::new(std::iter::once(message)),
    }
}

/// Groups in steps of [`STEP`] bytes.
fn cut_groups(groups: u64) -> impl Iterator<Item = u64> {
    let step = STEP / GROUP;
    (0..groups.max(1))
        .step_by(step as usize)
        .map(move |at| step.min(groups - at))
}

/// Refuses what no agent of ours would begin.
fn check(start: &PushStart) -> Result<()> {
    let PushStart { host, roots, tags, .. } = start;
    let is_path = |root: &Vec<u8>| root.starts_with(b"/") && !root.contains(&0);
    // They are shown on terminals, in letters and in the log.
    let is_word = |word: &String| word.len() <= MOST_WORD && !word.chars().any(char::is_control);
    let words = !host.is_empty() && is_word(host) && tags.iter().all(is_word);
    let paths = !roots.is_empty() && roots.iter().all(is_path) && roots.is_sorted_by(|a, b| a < b);
    match words && paths && size_of_words(start) <= MOST_WORDS {
        true => Ok(()),
        false => Err(Error::Refused("a push of a host, roots or tags that cannot be".into())),
    }
}

/// What the words of a push take where a snapshot is held: short ones are mostly the place they are in.
fn size_of_words(start: &PushStart) -> usize {
    let roots = start.roots.iter().map(|root| size_of::<Vec<u8>>() + root.len());
    let tags = start.tags.iter().map(|tag| size_of::<String>() + tag.len());
    start.host.len() + roots.chain(tags).sum::<usize>()
}

/// Whether a few bytes of a message are much work.
fn stands_for_more(message: &Message) -> bool {
    matches!(message, Message::Large(op) if !matches!(op, LargeOp::Frame(_)))
}

/// Tells what an earlier push sent before it died.
fn tell_kept(ingest: &Ingest, reply: &mut Reply) -> Result<()> {
    let mut names = Vec::new();
    ingest.kept(&mut |hash| {
        names.push(first_half(&hash));
        match names.len() {
            NAMES => reply.push(Answer::Kept(std::mem::take(&mut names))),
            _ => Ok(()),
        }
    })?;
    if !names.is_empty() {
        reply.push(Answer::Kept(names))?;
    }
    ingest.kept_groups(&mut |key, first, values| reply.push(Answer::KeptGroups { key, first, values }))
}

/// Tells what is damaged here and may be there still.
fn tell_wanted(ingest: &Ingest, reply: &mut Reply) -> Result<()> {
    let wanted: Vec<_> = ingest.wanted()?.iter().map(first_half).collect();
    let mut pieces = wanted.chunks(NAMES);
    pieces.try_for_each(|names| reply.push(Answer::Wanted(names.to_vec())))
}

fn tell_committed(committed: Committed, reply: &mut Reply) -> Result<()> {
    let Committed {
        snapshot,
        deltas,
        healed,
    } = committed;
    if healed > 0 {
        reply.push(Answer::Healed(healed))?;
    }
    reply.push(Answer::Committed { snapshot, deltas })
}

pub(super) fn first_half(name: &Hash) -> [u8; 16] {
    name.0[..16].try_into().expect("16 of 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_pieces_are_taken_in_steps() {
        let zeros = |length| steps(Message::Large(LargeOp::Zeros { length })).collect::<Vec<_>>();
        assert_eq!(zeros(STEP).len(), 1);
        assert_eq!(
            zeros(0),
            [Message::Large(LargeOp::Zeros { length: 0 })],
            "it is refused, not lost"
        );
        assert_eq!(zeros(2 * STEP + 1)[2], Message::Large(LargeOp::Zeros { length: 1 }));
        let copy = steps(Message::Large(LargeOp::Copy {
            from: 7,
            length: STEP + 1,
        }))
        .collect::<Vec<_>>();
        let second = Message::Large(LargeOp::Copy {
            from: 7 + STEP,
            length: 1,
        });
        assert_eq!(copy[1..], [second]);
        let endless = Message::Large(LargeOp::Zeros { length: u64::MAX });
        assert_eq!(steps(endless).count(), 1, "it is refused whole");
        assert_eq!(steps(Message::Leave).count(), 1);
    }

    #[test]
    fn what_every_snapshot_carries_is_short_and_can_be_shown() {
        let is_good = |host: &str, roots: &[Vec<u8>], tags: &[String]| {
            let start = PushStart {
                host: host.into(),
                roots: roots.to_vec(),
                tags: tags.to_vec(),
                interval: None,
                dry_run: false,
            };
            check(&start).is_ok()
        };
        let root = |length: usize| [vec![b'/'; length]];
        let roots = |count: usize| {
            (0..count)
                .map(|at| format!("/{at:05}").into_bytes())
                .collect::<Vec<_>>()
        };
        let tags = |count: usize| vec!["t".repeat(MOST_WORD); count];
        assert!(is_good("laptop", &roots(1000), &["nightly, späť".into()]));
        assert!(is_good("laptop", &[b"/a\nb".to_vec()], &[]), "a path may have any name");
        assert!(!is_good("laptop", &root(MOST_WORDS), &[]));
        assert!(!is_good("laptop", &roots(MOST_WORDS / 24), &[]), "many short ones");
        assert!(!is_good("laptop", &root(1), &tags(MOST_WORDS / MOST_WORD)));
        assert!(
            !is_good("laptop", &root(MOST_WORDS / 2), &tags(MOST_WORDS / MOST_WORD / 2)),
            "together"
        );
        for bad in ["\x1b[2J", "a\rb", "a\nb", "a\u{85}b", "a\0b"] {
            assert!(!is_good(bad, &root(1), &[]), "{bad:?}");
            assert!(!is_good("laptop", &root(1), &[bad.into()]), "{bad:?}");
        }
    }
}
