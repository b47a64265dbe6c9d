//! A stored frame decodes to as many bytes as it says, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yore_store::{Encoding, Frame};

fuzz_target!(|bytes: &[u8]| {
    let Some((head, stored)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let frame = Frame {
        encoding: if head[0] & 1 == 0 {
            Encoding::Raw
        } else {
            Encoding::Zstd
        },
        length: u32::from_le_bytes(*head) >> 8,
        bytes: stored.to_vec(),
    };
    if let Ok(decoded) = frame.decode() {
        assert_eq!(decoded.len(), frame.length as usize);
    }
    let _ = frame.into_zstd();
});
