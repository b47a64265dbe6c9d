//! Reading many contents of a server one after the other: several questions are under way at once, so that
//! no round trip is waited for but the first, and small contents share questions.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use yore_store::{GROUP, NextPassage, PIECE, Passage, TellPassage};
use yore_wire::{Answer, MOST_SMALL, Question};

use super::connection::{Answers, Connection};

/// Bytes that are asked for and have not come.
const UNDER_WAY: u64 = 4 << 20;

/// Bytes of small contents in one question.
const SMALL_ONES: u64 = 512 << 10;

/// A question that was asked. Its answer is shorter than what may wait of an answer: so the one that is waited
/// for is never behind another that nobody fetches.
struct Asked {
    answers: Answers,
    /// What it asks for: small contents, or one stretch of at most [`PIECE`].
    of: Vec<Passage>,
    bytes: u64,
}

/// The questions under way.
pub(super) struct Reading<'a> {
    connection: &'a Connection,
    asked: VecDeque<Asked>,
    under_way: u64,
    /// What is left of a passage that is longer than a question.
    rest: Option<Passage>,
    /// Small contents that wait for a question.
    small: Vec<Passage>,
    small_bytes: u64,
}

impl<'a> Reading<'a> {
    /// Nothing is asked yet.
    pub fn new(connection: &'a Connection) -> Self {
        Reading {
            connection,
            asked: VecDeque::new(),
            under_way: 0,
            rest: None,
            small: Vec::new(),
            small_bytes: 0,
        }
    }

    /// Reads until nothing more is wanted, or the connection is lost; what does not come then is not told.
    pub fn run(&mut self, next: &mut NextPassage<'_>, tell: &mut TellPassage<'_>) {
        let mut ended = false;
        loop {
            while !ended && self.under_way < UNDER_WAY {
                let asked = match self.rest.take().or_else(&mut *next) {
                    Some(passage) => self.ask_for(passage),
                    None => {
                        ended = true;
                        self.ask_small()
                    }
                };
                if asked.is_err() {
                    return;
                }
            }
            let Some(asked) = self.asked.pop_front() else { return };
            self.under_way -= asked.bytes;
            if answered(asked, tell).is_break() {
                return;
            }
        }
    }

    fn ask_for(&mut self, passage: Passage) -> yore_store::Result<()> {
        // The rest of one that is longer is never all of it.
        if passage.size <= GROUP && passage.length == passage.size {
            self.small.push(passage);
            self.small_bytes += passage.length;
            return match self.small.len() == MOST_SMALL || self.small_bytes > SMALL_ONES {
                true => self.ask_small(),
                false => Ok(()),
            };
        }
        self.ask_small()?;
        let length = passage.length.min(PIECE);
        self.rest = (passage.length > length).then_some(Passage {
            offset: passage.offset + length,
            length: passage.length - length,
            ..passage
        });
        let question = Question::Read {
            content: passage.content,
            offset: passage.offset,
            length,
        };
        self.ask(question, vec![Passage { length, ..passage }])
    }

    fn ask_small(&mut self) -> yore_store::Result<()> {
        self.small_bytes = 0;
        let of = std::mem::take(&mut self.small);
        if of.is_empty() {
            return Ok(());
        }
        let contents = of.iter().map(|passage| passage.content).collect();
        self.ask(Question::ReadSmall { contents }, of)
    }

    fn ask(&mut self, question: Question, of: Vec<Passage>) -> yore_store::Result<()> {
        let bytes = of.iter().map(|passage| passage.length).sum();
        let answers = self.connection.ask(question)?;
        self.under_way += bytes;
        self.asked.push_back(Asked { answers, of, bytes });
        Ok(())
    }
}

/// Tells what was answered; what was not, as such.
fn answered(asked: Asked, tell: &mut TellPassage<'_>) -> ControlFlow<()> {
    let (mut wanted, most) = (asked.of.into_iter().peekable(), asked.bytes);
    let mut piece = Vec::new();
    for answer in asked.answers {
        match answer {
            Ok(Answer::Small { content, bytes }) => {
                // What is not among the answers cannot be had.
                let is_it = |passage: &Passage| passage.content == content && bytes.len() as u64 == passage.length;
                while let Some(passage) = wanted.next_if(|passage| !is_it(passage)) {
                    tell(passage.content, passage.offset, None)?;
                }
                if wanted.next().is_some() {
                    tell(content, 0, Some(bytes))?;
                }
            }
            // A server that says more than it was asked fills no memory.
            Ok(Answer::Bytes(more)) if (piece.len() + more.len()) as u64 <= most => piece.extend(more),
            Ok(_) | Err(_) => break,
        }
    }
    for passage in wanted {
        let whole = piece.len() as u64 == passage.length;
        let bytes = whole.then(|| std::mem::take(&mut piece));
        tell(passage.content, passage.offset, bytes)?;
    }
    ControlFlow::Continue(())
}
