//! Reading many contents one after the other, as a restore does: what is next is known long before it is wanted.

use std::ops::ControlFlow;

use crate::{ContentId, OpenContent, Result};

/// Bytes that are told at once, at most.
pub const PIECE: u64 = 1 << 20;

/// A stretch of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// The content.
    pub content: ContentId,
    /// Its length in bytes.
    pub size: u64,
    /// Where the stretch begins.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// Says what is to be read next.
pub type NextPassage<'a> = dyn FnMut() -> Option<Passage> + 'a;

/// Is told of bytes: of which content, where they begin, and they; says whether to go on. Passages come in the order in
/// which they were asked for, each in pieces of at most [`PIECE`] in order. What cannot be had comes as `None`:
/// whoever asks for it by itself hears why.
pub type TellPassage<'a> = dyn FnMut(ContentId, u64, Option<Vec<u8>>) -> ControlFlow<()> + 'a;

/// Reads passages by opening their contents.
pub fn read_passages(
    open: &dyn Fn(ContentId, u64) -> Result<Box<dyn OpenContent>>,
    next: &mut NextPassage<'_>,
    tell: &mut TellPassage<'_>,
) {
    while let Some(passage) = next() {
        if read_passage(open, passage, tell).is_break() {
            return;
        }
    }
}

fn read_passage(
    open: &dyn Fn(ContentId, u64) -> Result<Box<dyn OpenContent>>,
    passage: Passage,
    tell: &mut TellPassage<'_>,
) -> ControlFlow<()> {
    let (content, end) = (passage.content, passage.offset + passage.length);
    let Ok(opened) = open(content, passage.size) else {
        return tell(content, passage.offset, None);
    };
    let mut at = passage.offset;
    while at < end {
        let mut bytes = vec![0; (end - at).min(PIECE) as usize];
        let got = opened.read_at(at, &mut bytes).ok().filter(|got| *got > 0);
        let Some(got) = got else {
            return tell(content, at, None);
        };
        bytes.truncate(got);
        tell(content, at, Some(bytes))?;
        at += got as u64;
    }
    ControlFlow::Continue(())
}
