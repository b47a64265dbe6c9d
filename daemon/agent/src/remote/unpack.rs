//! Bytes of contents out of answers: frames come as they are stored, and are decoded here.

use std::ops::ControlFlow;

use yore_store::ContentId;
use yore_wire::{Answer, MOST_SMALL};

/// The next bytes of a content, at most `most`; `None` if the answer is something else, or nothing: a server that says
/// nothings would be listened to for ever.
pub(super) fn stretch(answer: Answer, most: u64) -> Option<Vec<u8>> {
    let bytes = match answer {
        Answer::Bytes(bytes) if bytes.len() as u64 <= most => Some(bytes),
        Answer::Frame(frame) if u64::from(frame.length) <= most => frame.decode().ok(),
        _ => None,
    };
    bytes.filter(|bytes| !bytes.is_empty())
}

/// Tells the small contents of an answer one after the other, until that wants no more; `None` if the answer is
/// something else, or not what it says.
pub(super) fn small(
    answer: Answer,
    tell: &mut dyn FnMut(ContentId, Vec<u8>) -> ControlFlow<()>,
) -> Option<ControlFlow<()>> {
    match answer {
        Answer::Small { content, bytes } => Some(tell(content, bytes)),
        // No more of them than can have been asked for: each costs a copy.
        Answer::Shared { frame, slices } if slices.len() <= MOST_SMALL => {
            let decoded = frame.decode().ok()?;
            for slice in slices {
                let flow = tell(slice.content, slice.of(&decoded)?.to_vec());
                if flow.is_break() {
                    return Some(flow);
                }
            }
            Some(ControlFlow::Continue(()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use yore_store::{Compression, Encoding, Frame, Slice};

    use super::*;

    fn shared(slices: Vec<Slice>) -> Answer {
        let frame = Frame::encode(&b"one two three".repeat(20), Compression::Zstd(1));
        Answer::Shared { frame, slices }
    }

    fn slice(skip: u32, size: u32) -> Slice {
        let content = ContentId(7);
        Slice { content, skip, size }
    }

    fn told(answer: Answer) -> Option<Vec<Vec<u8>>> {
        let mut all = Vec::new();
        let understood = small(answer, &mut |_, bytes| {
            all.push(bytes);
            ControlFlow::Continue(())
        });
        understood.map(|_| all)
    }

    #[test]
    fn contents_are_cut_out_of_their_frame() {
        let all = told(shared(vec![slice(4, 3), slice(0, 3)]));
        assert_eq!(all, Some(vec![b"two".to_vec(), b"one".to_vec()]));
    }

    #[test]
    fn a_server_that_lies_is_not_understood() {
        for lie in [
            shared(vec![slice(0, 3), slice(250, 20)]),
            shared(vec![slice(u32::MAX, u32::MAX)]),
            shared(vec![slice(0, 1); MOST_SMALL + 1]),
            Answer::Number(1),
            Answer::Bytes(b"one".to_vec()),
        ] {
            assert_eq!(told(lie.clone()), None, "{lie:?}");
        }
        let bomb = Frame {
            encoding: Encoding::Zstd,
            length: 10,
            bytes: Frame::encode(&[0; 100_000], Compression::Zstd(1)).bytes,
        };
        assert_eq!(stretch(Answer::Frame(bomb), 1 << 20), None);
        let long = Frame::encode(&[0; 1000], Compression::Zstd(1));
        assert_eq!(stretch(Answer::Frame(long.clone()), 999), None);
        assert_eq!(stretch(Answer::Frame(long), 1000), Some(vec![0; 1000]));
        assert_eq!(stretch(Answer::Bytes(vec![0; 1000]), 999), None);
        assert_eq!(stretch(Answer::Bytes(Vec::new()), 1000), None);
    }
}
