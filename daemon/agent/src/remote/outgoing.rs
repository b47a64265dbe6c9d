//! Packets on their way to a server, many in one write.

use std::io::{self, Write};

use yore_wire::{Packet, append_packet};

/// What is gathered before it is written.
const BUFFER: usize = 256 << 10;

/// The sending end of a connection.
pub(super) struct Outgoing {
    stream: Box<dyn Write + Send>,
    gathered: Vec<u8>,
}

impl Outgoing {
    /// Over a stream that nothing was written to, or all of what was has been flushed.
    pub fn new(stream: Box<dyn Write + Send>) -> Self {
        Outgoing {
            stream,
            gathered: Vec::new(),
        }
    }

    /// Sends a packet: now, with all before it, or when there is enough.
    ///
    /// # Errors
    /// `InvalidInput` if it is longer than the protocol allows, and is not sent; else what the stream says.
    pub fn put(&mut self, packet: &Packet, now: bool) -> io::Result<()> {
        append_packet(&mut self.gathered, packet)?;
        match now {
            true => self.flush(),
            false if self.gathered.len() >= BUFFER => self.write(),
            false => Ok(()),
        }
    }

    /// Sends what was gathered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.write()?;
        self.stream.flush()
    }

    fn write(&mut self) -> io::Result<()> {
        let written = self.stream.write_all(&self.gathered);
        self.gathered.clear();
        // One long packet must not keep its memory for the whole connection.
        self.gathered.shrink_to(2 * BUFFER);
        written
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use yore_wire::{LONGEST, Message, PacketReader};

    use super::*;

    /// What was written, one by one.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn packets_go_together_until_one_is_to_go_now() {
        let written = Written::default();
        let mut outgoing = Outgoing::new(Box::new(written.clone()));
        let remove = |name: &[u8]| Packet::Tell(Message::Remove { name: name.to_vec() });
        let packets = [remove(b"a"), remove(&vec![b'b'; BUFFER]), remove(b"c"), Packet::Alive];
        for packet in &packets {
            outgoing.put(packet, *packet == Packet::Alive).unwrap();
        }
        let writes = written.0.lock().unwrap().clone();
        assert_eq!(writes.len(), 2, "the long one, and what was to go now");
        let bytes = writes.concat();
        let mut reader = PacketReader::new(&bytes[..]);
        let read: Vec<Packet> = std::iter::from_fn(|| reader.next_packet().unwrap()).collect();
        assert!(read == packets);
    }

    #[test]
    fn one_that_is_too_long_is_refused_and_the_others_go() {
        let written = Written::default();
        let mut outgoing = Outgoing::new(Box::new(written.clone()));
        let remove = |length| {
            Packet::Tell(Message::Remove {
                name: vec![b'a'; length],
            })
        };
        outgoing.put(&remove(1), false).unwrap();
        let refused = outgoing.put(&remove(LONGEST + 1), false).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        outgoing.put(&remove(2), true).unwrap();
        let bytes = written.0.lock().unwrap().concat();
        let mut reader = PacketReader::new(&bytes[..]);
        let read: Vec<Packet> = std::iter::from_fn(|| reader.next_packet().unwrap()).collect();
        assert!(read == [remove(1), remove(2)]);
    }
}
