//! Whatever comes over the wire is a packet or refused, and what was read is written as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yore_wire::{Packet, PacketReader};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(packet) = Packet::read(bytes) {
        let mut written = Vec::new();
        packet.write(&mut written);
        let again = PacketReader::new(written.as_slice()).next_packet();
        let mut twice = Vec::new();
        again.expect("what we wrote").expect("a packet").write(&mut twice);
        assert_eq!(written, twice);
    }
    let mut reader = PacketReader::new(bytes);
    while let Ok(Some(_)) = reader.next_packet() {}
});
