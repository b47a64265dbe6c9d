//! Small contents in the order in which they are wanted: they come frame by frame, and what follows each other in a folder
//! may lie in several.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;

use yore_store::{ContentId, Passage, TellPassage};

/// What one question asked for. No more is kept than that, whatever comes.
pub(super) struct SmallOnes {
    wanted: VecDeque<Passage>,
    /// By content and length.
    kept: HashMap<(ContentId, u64), Kept>,
}

/// A content that may be wanted several times.
#[derive(Default)]
struct Kept {
    /// How often it has not come.
    lacks: usize,
    came: Vec<Vec<u8>>,
}

impl SmallOnes {
    /// Nothing has come of these, each a whole content.
    pub fn wanted(contents: Vec<Passage>) -> Self {
        let mut kept: HashMap<_, Kept> = HashMap::with_capacity(contents.len());
        for passage in &contents {
            kept.entry((passage.content, passage.length)).or_default().lacks += 1;
        }
        let wanted = contents.into();
        SmallOnes { wanted, kept }
    }

    /// Keeps what has come, if it was asked for.
    pub fn came(&mut self, content: ContentId, bytes: Vec<u8>) {
        if let Some(kept) = self.kept.get_mut(&(content, bytes.len() as u64))
            && kept.lacks > 0
        {
            kept.lacks -= 1;
            kept.came.push(bytes);
        }
    }

    /// Tells the next ones, up to the first that has not come.
    pub fn tell_next(&mut self, tell: &mut TellPassage<'_>) -> ControlFlow<()> {
        while let Some(passage) = self.wanted.front() {
            let Some(bytes) = take(&mut self.kept, passage) else {
                break;
            };
            tell(passage.content, passage.offset, Some(bytes))?;
            self.wanted.pop_front();
        }
        ControlFlow::Continue(())
    }

    /// Tells all that are left: those that have not come, as such.
    pub fn tell_rest(mut self, tell: &mut TellPassage<'_>) -> ControlFlow<()> {
        let mut rest = self.wanted.iter();
        rest.try_for_each(|passage| tell(passage.content, passage.offset, take(&mut self.kept, passage)))
    }
}

fn take(kept: &mut HashMap<(ContentId, u64), Kept>, passage: &Passage) -> Option<Vec<u8>> {
    kept.get_mut(&(passage.content, passage.length))?.came.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_one_byte(content: i64) -> Passage {
        Passage {
            content: ContentId(content),
            size: 1,
            offset: 0,
            length: 1,
        }
    }

    /// What is told after each of these has come, and at the end.
    fn told(wanted: &[i64], come: &[(i64, &[u8])]) -> Vec<Vec<(i64, Option<u8>)>> {
        let mut small = SmallOnes::wanted(wanted.iter().map(|content| of_one_byte(*content)).collect());
        let mut all = Vec::new();
        let mut told = |act: &mut dyn FnMut(&mut TellPassage<'_>)| {
            let mut some = Vec::new();
            act(&mut |content, _, bytes| {
                some.push((content.0, bytes.map(|bytes| bytes[0])));
                ControlFlow::Continue(())
            });
            all.push(some);
        };
        for (content, bytes) in come {
            small.came(ContentId(*content), bytes.to_vec());
            told(&mut |tell| assert!(small.tell_next(tell).is_continue()));
        }
        let mut small = Some(small);
        told(&mut |tell| assert!(small.take().expect("once").tell_rest(tell).is_continue()));
        all
    }

    #[test]
    fn what_comes_in_another_order_is_told_in_the_one_it_is_wanted_in() {
        let come: [(i64, &[u8]); 4] = [(1, b"a"), (3, b"c"), (2, b"b"), (4, b"d")];
        let expected = vec![
            vec![(1, Some(b'a'))],
            vec![],
            vec![(2, Some(b'b')), (3, Some(b'c'))],
            vec![(4, Some(b'd'))],
            vec![],
        ];
        assert_eq!(told(&[1, 2, 3, 4], &come), expected);
    }

    #[test]
    fn one_that_is_wanted_twice_is_told_twice_and_what_is_lacking_as_such() {
        let come: [(i64, &[u8]); 3] = [(1, b"a"), (3, b"c"), (1, b"a")];
        let expected = vec![
            vec![(1, Some(b'a'))],
            vec![],
            vec![],
            vec![(2, None), (1, Some(b'a')), (3, Some(b'c'))],
        ];
        assert_eq!(told(&[1, 2, 1, 3], &come), expected);
    }

    #[test]
    fn no_more_is_kept_than_was_asked_for() {
        let mut small = SmallOnes::wanted(vec![of_one_byte(1), of_one_byte(2)]);
        for content in [2, 2, 7] {
            small.came(ContentId(content), b"x".to_vec());
        }
        small.came(ContentId(2), vec![0; 500_000]);
        let kept: Vec<usize> = small.kept.values().flat_map(|kept| &kept.came).map(Vec::len).collect();
        assert_eq!(kept, [1]);
    }
}
