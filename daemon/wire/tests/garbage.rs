//! Whatever comes, it is a packet or it is refused: no panic, and not much memory.
//!
//! The memory of this process is what is looked at, so what takes much stands in one test.

mod examples;

use examples::{name, packets};
use yore_wire::{LONGEST, Packet, PacketReader, ROOM};

/// Bytes that are the same in each run: a failure can be had again.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

fn body(packet: &Packet) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.write(&mut bytes);
    bytes.split_off(4)
}

/// The most memory that this process ever had, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[test]
fn what_is_cut_short_is_refused() {
    for packet in packets() {
        let whole = body(&packet);
        for length in 0..whole.len() {
            // A list of answers may end after any of them.
            if let Ok(read) = Packet::read(&whole[..length]) {
                assert!(matches!(read, Packet::More(..) | Packet::Done(..)), "{}", name(&packet));
            }
        }
        let mut announced = (whole.len() as u32).to_le_bytes().to_vec();
        announced.extend(&whole[..whole.len() - 1]);
        assert!(PacketReader::new(announced.as_slice()).next_packet().is_err());
    }
}

#[test]
fn whatever_comes_neither_panics_nor_takes_much_memory() {
    noise_costs_nothing();
    a_list_in_every_place_costs_what_is_allowed_at_most();
}

fn noise_costs_nothing() {
    let mut noise = Noise(0x5eed);
    let before = peak();
    let valid: Vec<Vec<u8>> = packets().iter().map(body).collect();
    for _ in 0..20_000 {
        let count = noise.below(300);
        let _ = Packet::read(&noise.bytes(count));
        // A valid packet in which some bytes are others: it gets further.
        let mut near = valid[noise.below(valid.len())].clone();
        for _ in 0..=noise.below(4) {
            let at = noise.below(near.len());
            near[at] = noise.next() as u8;
        }
        let _ = Packet::read(&near);
    }
    assert!(peak() - before < 16 << 20, "{} bytes", peak() - before);
}

fn a_list_in_every_place_costs_what_is_allowed_at_most() {
    // After each prefix of each valid packet: a list of as many empty values as a packet can hold.
    let before = peak();
    let mut noise = Noise(0xbad);
    for packet in packets() {
        let whole = body(&packet);
        for _ in 0..4 {
            let mut bytes = whole[..=noise.below(whole.len())].to_vec();
            // 2^22 - 2^10 as LEB128, then zeros: values that are as small as they can be.
            bytes.extend([0x80, 0xf8, 0xff, 0x01]);
            bytes.resize(LONGEST, 0);
            let _ = Packet::read(&bytes);
        }
    }
    // A byte of its own takes 32 of memory; a vector doubles, and both are there while it does.
    let bound = LONGEST * 2 + ROOM * 4;
    assert!(peak() - before < bound, "{} bytes", peak() - before);
}

#[test]
fn what_is_too_long_is_refused_before_it_is_read() {
    for length in [LONGEST as u32 + 1, u32::MAX] {
        let mut stream = length.to_le_bytes().to_vec();
        stream.extend([4; 64]);
        let error = PacketReader::new(stream.as_slice()).next_packet().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    }
}
