//! Receiving a push: its messages go to the store's ingest, each in its turn.
//!
//! What ends a push early (the connection, the quota, a message that does not hold together)
//! leaves what was received for the next push of the same line. The agent hears the reason at
//! once; whatever else it sends is read and dropped, so that it can.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use yore_store::{Committed, Error, Ingest, PushOptions, Result};
use yore_wire::{Answer, Failure, Packet, PushStart, Question, deliver};

use super::{Session, Told};
use crate::ledger::Quota;
use crate::outbox::Reply;
use crate::running::RunningPush;

/// Names of kept contents in one piece of an answer.
const NAMES: usize = 4096;

/// The longest name of a machine, and the most roots and tags that a push may have.
const MOST_HOST: usize = 255;
const MOST_WORDS: usize = 10_000;

/// A push under way.
struct Push {
    ingest: Ingest,
    _running: RunningPush,
}

/// Takes in what is told until the agent hangs up.
pub(super) fn receive(session: &Arc<Session>, told: &Receiver<Told>) {
    let mut state = State::Idle;
    for message in told {
        state = match message {
            Told::Message(message) => state.message(session, message),
            Told::Asked(number, question) => state.asked(session, number, question),
        };
    }
    if let State::Pushing(push) = state {
        // The connection is gone in the midst of it.
        let error = push.ingest.fail(Error::Busy("the connection was lost".into()));
        session.ended(&error);
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
    fn message(self, session: &Session, message: yore_wire::Message) -> State {
        match self {
            State::Pushing(mut push) => {
                let turn = session.server.turns.take(session.caller.user.id);
                let delivered = deliver(&mut push.ingest, message);
                drop(turn);
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
            (State::Pushing(push), Question::Abort) => {
                drop(push.ingest);
                session.ended(&Error::Refused("the agent gave up".into()));
                reply.done();
                State::Idle
            }
            (State::Failed(failure), Question::Commit { .. }) => {
                session.outbox.say(&Packet::Failed(number, failure));
                State::Idle
            }
            (State::Idle | State::Failed(_), Question::Abort) => {
                reply.done();
                State::Idle
            }
            (State::Idle, Question::Push(start)) => match session.begin(start, &mut reply) {
                Ok(push) => {
                    reply.done();
                    push.map_or(State::Idle, |push| State::Pushing(Box::new(push)))
                }
                Err(error) => {
                    reply.failed(&error);
                    State::Idle
                }
            },
            (state, _) => {
                reply.failed(&Error::Refused("not in this state of a push".into()));
                state
            }
        }
    }
}

fn commit(session: &Session, push: Push, unread: u64, mut reply: Reply) {
    let turn = session.server.turns.take(session.caller.user.id);
    let committed = push.ingest.commit(unread);
    drop(turn);
    match committed {
        Ok(committed) => {
            session.committed(&committed);
            match reply.push(Answer::Committed(committed)) {
                Ok(()) => reply.done(),
                Err(error) => reply.failed(&error),
            }
        }
        Err(error) => {
            session.ended(&error);
            reply.failed(&error);
        }
    }
}

impl Session {
    /// Begins a push; `None` after a dry one.
    fn begin(self: &Arc<Self>, start: PushStart, reply: &mut Reply) -> Result<Option<Push>> {
        let open = self.opened()?;
        check(&start)?;
        let options = PushOptions {
            host: start.host,
            roots: start.roots,
            tags: start.tags,
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
        let interval = start.interval.and_then(|seconds| i64::try_from(seconds).ok());
        self.server.pushing(&open.row, &self.caller, interval)?;
        let quota = self.quota()?;
        let ingest = Ingest::begin(&open.repository, options, Box::new(quota))?;
        tell_kept(&ingest, reply)?;
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

    fn quota(&self) -> Result<Quota> {
        let open = self.opened()?;
        let server = &self.server;
        let repositories = server.repositories_of(self.caller.user.id)?;
        server.ledger.begin(self.caller.user.id, &repositories)?;
        let (user, ledger) = (self.caller.user.id, server.ledger.clone());
        let make_room = Box::new(move || crate::server::make_room(&ledger, user, &repositories));
        Ok(Quota {
            ledger: server.ledger.clone(),
            user,
            repository: open.row.id,
            path: open.repository.path().to_owned(),
            quota: server.quota(user)?,
            floor: server.config().keep_free.0,
            make_room,
            until_look: 0,
        })
    }

    fn failed(&self, push: Push, error: Error) -> State {
        let error = push.ingest.fail(error);
        self.ended(&error);
        let failure = Failure::from(&error);
        self.outbox.say(&Packet::PushFailed(failure.clone()));
        State::Failed(failure)
    }

    /// A push has ended without a snapshot.
    fn ended(&self, error: &Error) {
        *self.base.lock().expect("no panic while held") = None;
        if let Some(open) = self.opened.get() {
            self.server.measured(&open.row);
            // What is tried again at once is no failure yet.
            if !matches!(error, Error::Again(_)) {
                self.server.push_failed(open.row.id, &self.caller, &error.to_string());
            }
        }
    }

    fn committed(&self, committed: &Committed) {
        *self.base.lock().expect("no panic while held") = None;
        if let Some(open) = self.opened.get() {
            self.server.measured(&open.row);
            self.server.push_done(open.row.id, committed);
        }
    }
}

/// Refuses what no agent of ours would begin.
fn check(start: &PushStart) -> Result<()> {
    let clean = |root: &Vec<u8>| root.starts_with(b"/") && !root.contains(&0);
    let sorted = start.roots.windows(2).all(|pair| pair[0] < pair[1]);
    let words = start
        .tags
        .iter()
        .all(|tag| !tag.contains('\n') && tag.len() <= MOST_HOST);
    let few = start.roots.len() <= MOST_WORDS && start.tags.len() <= MOST_WORDS;
    let host = !start.host.is_empty() && start.host.len() <= MOST_HOST && !start.host.contains(['\0', '\n']);
    match host && few && words && sorted && !start.roots.is_empty() && start.roots.iter().all(clean) {
        true => Ok(()),
        false => Err(Error::Refused("a push of a host, roots or tags that cannot be".into())),
    }
}

/// Tells what an earlier push sent before it died.
fn tell_kept(ingest: &Ingest, reply: &mut Reply) -> Result<()> {
    let mut names = Vec::new();
    ingest.kept(&mut |hash| {
        names.push(hash.0[..16].try_into().expect("16 of 32 bytes"));
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
