//! A server for tests, at the other end of a pair of sockets.

use std::os::unix::net::UnixStream;

use yore_wire::{NEWEST, OLDEST, Packet, PacketReader, Welcome, write_packet};

use super::connection::Connection;
use super::stream::Stream;

/// A connection to a server that greets, and then is `serve`.
pub fn served(serve: impl FnOnce(PacketReader<UnixStream>, &UnixStream) + Send + 'static) -> Connection {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let welcome = Packet::Welcome(Welcome {
        version: NEWEST,
        oldest: OLDEST,
        newest: NEWEST,
        program: "yored".into(),
    });
    std::thread::spawn(move || {
        let mut asked = PacketReader::new(theirs.try_clone().unwrap());
        asked.next_packet().unwrap();
        write_packet(&mut &theirs, &welcome).unwrap();
        serve(asked, &theirs);
    });
    let closing = ours.try_clone().unwrap();
    let stream = Stream {
        reader: Box::new(ours.try_clone().unwrap()),
        writer: Box::new(ours),
        hang_up: Box::new(move || drop(closing.shutdown(std::net::Shutdown::Both))),
        refusal: Box::new(|| None),
    };
    Connection::begin(stream, "nas").unwrap()
}
