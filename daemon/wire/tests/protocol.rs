//! The bytes of version 1, for ever: what is in the fixture is what agents and servers that are out there
//! send. A change that makes this test fail is a new version of the protocol, with a fixture of its own.

mod examples;

use examples::{name, packets};
use yore_wire::{Packet, PacketReader, write_packet};

const VERSION_1: &str = include_str!("fixtures/version-1.txt");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn written(packet: &Packet) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_packet(&mut bytes, packet).unwrap();
    bytes
}

#[test]
fn everything_is_written_as_in_version_1() {
    let now: Vec<String> = packets()
        .iter()
        .map(|packet| format!("{} {}", name(packet), hex(&written(packet))))
        .collect();
    let pinned: Vec<&str> = VERSION_1.lines().collect();
    for (now, pinned) in now.iter().zip(&pinned) {
        assert_eq!(now, pinned);
    }
    assert_eq!(
        now.len(),
        pinned.len(),
        "not pinned: {:#?}",
        &now[pinned.len().min(now.len())..]
    );
}

#[test]
fn everything_of_version_1_is_read() {
    for (line, packet) in VERSION_1.lines().zip(packets()) {
        let bytes = from_hex(line.split_once(' ').unwrap().1);
        let mut reader = PacketReader::new(bytes.as_slice());
        assert_eq!(reader.next_packet().unwrap(), Some(packet), "{line}");
        assert_eq!(reader.last_length(), bytes.len() as u64);
        assert_eq!(reader.next_packet().unwrap(), None);
    }
}

#[test]
fn greetings_may_say_more_in_a_later_version_and_nothing_else_may() {
    for packet in packets() {
        let mut bytes = written(&packet);
        bytes.push(0x7f);
        let read = Packet::read(&bytes[4..]);
        match packet {
            Packet::Hello(_) | Packet::Welcome(_) => assert_eq!(read, Ok(packet)),
            // What follows the answers is read as one more answer.
            _ => assert!(read.is_err(), "{}", name(&packet)),
        }
    }
}
