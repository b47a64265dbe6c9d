//! A delta stream and a stored map are read or refused; maps compose, and any range of them is within the base.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yore_store::ContentId;
use yore_store::delta::{Layers, Map, parse};

/// Where the first of the two maps ends is what the first byte says.
fn halves(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    Some(rest.split_at(rest.len() * usize::from(*first) / 256))
}

fn read(bytes: &[u8]) -> Option<Map> {
    let id = ContentId(1);
    parse(bytes, id).or_else(|_| Map::decode(bytes, id)).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((upper, lower)) = halves(bytes) else { return };
    let (Some(upper), Some(lower)) = (read(upper), read(lower)) else {
        return;
    };
    assert_eq!(
        Map::decode(&upper.encode(), ContentId(1)).expect("what we wrote"),
        upper
    );
    if let Ok(composed) = upper.compose(&lower) {
        assert_eq!(composed.size(), upper.size());
    }
    let mut layers = Layers::new(lower);
    if layers.put_on_top(upper).is_ok() {
        let (size, at) = (layers.reach(), u64::from(bytes[0]));
        let _ = layers.slice(at.min(size), 100);
    }
});
