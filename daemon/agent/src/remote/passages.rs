//! Reading many contents of a server one after the other: several questions are under way at once, so that
//! no round trip is waited for but the first, and small contents share questions.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use yore_store::{GROUP, NextPassage, PIECE, Passage, TellPassage};
use yore_wire::{MOST_SMALL, Question};

use super::connection::{Answers, Connection};
use super::small::SmallOnes;
use super::unpack;

/// Bytes that are asked for and have not come.
const UNDER_WAY: u64 = 4 << 20;

/// Questions that are under way: a server ends a session in which very many wait, and a folder may have very many
/// files of a few bytes.
const MOST_ASKED: usize = 32;

/// Bytes of small contents in one question: four of their frames, since the one that two questions share is sent and
/// decoded for both.
const SMALL_ONES: u64 = 2 << 20;

/// A question that was asked. Its answer is shorter than what may wait of an answer: so the one that is waited
/// for is never behind another that nobody fetches.
struct Asked {
    answers: Answers,
    of: Wanted,
    bytes: u64,
}

/// What a question asks for.
enum Wanted {
    /// Small contents, whole.
    Small(Vec<Passage>),
    /// At most [`PIECE`] of one content.
    Stretch(Passage),
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
    /// Nothing more is wanted.
    ended: bool,
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
            ended: false,
        }
    }

    /// Reads until nothing more is wanted, or the connection is lost; what does not come then is not told.
    pub fn run(&mut self, next: &mut NextPassage<'_>, tell: &mut TellPassage<'_>) {
        loop {
            if self.ask_ahead(next).is_err() {
                return;
            }
            let Some(asked) = self.asked.pop_front() else { return };
            self.under_way -= asked.bytes;
            if answered(asked, tell).is_break() {
                return;
            }
        }
    }

    /// Asks for what is wanted next, until enough is under way.
    fn ask_ahead(&mut self, next: &mut NextPassage<'_>) -> yore_store::Result<()> {
        while !self.ended && self.under_way < UNDER_WAY && self.asked.len() < MOST_ASKED {
            match self.rest.take().or_else(&mut *next) {
                Some(passage) => self.ask_for(passage)?,
                None => {
                    self.ended = true;
                    self.ask_small()?;
                }
            }
        }
        Ok(())
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
        self.ask(question, Wanted::Stretch(Passage { length, ..passage }), length)
    }

    fn ask_small(&mut self) -> yore_store::Result<()> {
        let bytes = std::mem::take(&mut self.small_bytes);
        let of = std::mem::take(&mut self.small);
        if of.is_empty() {
            return Ok(());
        }
        let contents = of.iter().map(|passage| passage.content).collect();
        self.ask(Question::ReadSmall { contents }, Wanted::Small(of), bytes)
    }

    fn ask(&mut self, question: Question, of: Wanted, bytes: u64) -> yore_store::Result<()> {
        let answers = self.connection.ask_for(question, bytes)?;
        self.under_way += bytes;
        self.asked.push_back(Asked { answers, of, bytes });
        Ok(())
    }
}

/// Tells what was answered; what was not, as such.
fn answered(asked: Asked, tell: &mut TellPassage<'_>) -> ControlFlow<()> {
    match asked.of {
        Wanted::Small(contents) => small_answered(asked.answers, contents, tell),
        Wanted::Stretch(passage) => stretch_answered(asked.answers, passage, tell),
    }
}

fn stretch_answered(answers: Answers, passage: Passage, tell: &mut TellPassage<'_>) -> ControlFlow<()> {
    let (mut at, end) = (passage.offset, passage.offset + passage.length);
    for answer in answers.map_while(Result::ok) {
        let Some(piece) = unpack::stretch(answer, end - at) else {
            break;
        };
        let begin = at;
        at += piece.len() as u64;
        tell(passage.content, begin, Some(piece))?;
    }
    match at < end {
        true => tell(passage.content, at, None),
        false => ControlFlow::Continue(()),
    }
}

fn small_answered(answers: Answers, contents: Vec<Passage>, tell: &mut TellPassage<'_>) -> ControlFlow<()> {
    let mut small = SmallOnes::wanted(contents);
    for answer in answers.map_while(Result::ok) {
        let understood = unpack::small(answer, &mut |content, bytes| {
            small.came(content, bytes);
            small.tell_next(tell)
        });
        match understood {
            Some(flow) => flow?,
            None => break,
        }
    }
    small.tell_rest(tell)
}

#[cfg(test)]
mod tests {
    use yore_store::ContentId;

    use super::super::testing::served;
    use super::*;

    #[test]
    fn files_of_a_byte_are_not_asked_for_without_end() {
        let connection = served(|mut asked, _| while let Ok(Some(_)) = asked.next_packet() {});
        let mut reading = Reading::new(&connection);
        let mut wanted = (0..1_000_000).map(|number| Passage {
            content: ContentId(number),
            size: 1,
            offset: 0,
            length: 1,
        });
        reading.ask_ahead(&mut || wanted.next()).unwrap();
        assert_eq!((reading.asked.len(), reading.ended), (MOST_ASKED, false));
    }
}
