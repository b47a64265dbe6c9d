//! A server that says what it likes: real SSH with a host key that is known, and a script of answers behind it.
//!
//! ```text
//! yore ──SSH──▶ Liar ──question──▶ script ──Reply──▶ packets
//! ```
//!
//! What no script lies about, a [`World`] answers honestly.

mod ssh;
pub mod world;

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use russh::keys::HashAlg;
use russh::keys::ssh_key::LineEnding;
use yore_agent::remote::new_key;
use yore_wire::{Answer, Failure, Message, NEWEST, OLDEST, Packet, PacketReader, Question, Welcome};

use crate::machine::Machine;

pub use world::World;

/// What is said to a question.
pub enum Reply {
    /// The whole answer.
    Done(Vec<Answer>),
    /// The question has no answer.
    Failed(Failure),
    /// These answers, and more of them, until nobody listens; the number says how many pieces came before.
    Forever(Box<dyn FnMut(u64) -> Vec<Answer>>),
    /// The whole answer, packet after packet as they are; they may be about other questions.
    Packets(Vec<Packet>),
    /// Bytes, and the end of the connection.
    Bytes(Vec<u8>),
}

/// What answers questions; the number is that of the question.
pub type Script = Box<dyn Fn(u64, &Question) -> Reply + Send + Sync>;

/// What is said in the place of a greeting; `None` for an honest one.
pub type Greeting = Option<fn(&mut dyn Write) -> std::io::Result<()>>;

/// What the server says, and what it has heard.
#[derive(Default)]
struct Part {
    greeting: Greeting,
    script: Option<Arc<Script>>,
    told: Vec<Message>,
    asked: Vec<Question>,
}

/// The server. It listens for as long as the process runs.
pub struct Liar {
    /// Where it listens, on the loopback.
    pub port: u16,
    host_key: String,
    part: Arc<Mutex<Part>>,
}

impl Liar {
    /// A server that listens, and has nothing to say yet.
    pub fn start() -> Self {
        let key = new_key("liar").expect("a key");
        let host_key = key.public_key().fingerprint(HashAlg::Sha256).to_string();
        let part: Arc<Mutex<Part>> = Arc::default();
        let port = ssh::listen(key, part.clone());
        Liar { port, host_key, part }
    }

    fn part(&self) -> std::sync::MutexGuard<'_, Part> {
        lock(&self.part)
    }

    /// What it says from now on.
    pub fn says(&self, script: impl Fn(u64, &Question) -> Reply + Send + Sync + 'static) {
        *self.part() = Part {
            script: Some(Arc::new(Box::new(script))),
            ..Part::default()
        };
    }

    /// How it greets from now on.
    pub fn greets(&self, greeting: Greeting) {
        self.part().greeting = greeting;
    }

    /// What it was told in pushes since it says what it says.
    pub fn told(&self) -> Vec<Message> {
        self.part().told.clone()
    }

    /// What it was asked since it says what it says.
    pub fn asked(&self) -> Vec<Question> {
        self.part().asked.clone()
    }

    /// Has a machine linked to its repository `laptop`, as `yore link` leaves it.
    pub fn link(&self, machine: &Machine) {
        let folder = machine.config();
        std::fs::create_dir_all(&folder).expect("a folder");
        let key = new_key(&machine.name).expect("a key");
        let key = key.to_openssh(LineEnding::LF).expect("a text");
        let file = folder.join("key");
        std::fs::write(&file, key.as_bytes()).expect("a key's file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, mode).expect("a mode");
        let (port, host_key) = (self.port, &self.host_key);
        let text = format!("repository = \"ssh://ann@127.0.0.1:{port}/laptop\"\nhost_key = \"{host_key}\"\n");
        std::fs::write(folder.join("agent.toml"), text).expect("a configuration");
    }
}

fn lock(part: &Mutex<Part>) -> std::sync::MutexGuard<'_, Part> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One session: greets, and answers until nobody asks.
fn session(part: &Mutex<Part>, reader: impl Read, writer: &mut dyn Write) -> std::io::Result<()> {
    let mut reader = PacketReader::new(reader);
    if reader.next_packet()?.is_none() {
        return Ok(());
    }
    let (greeting, script) = {
        let part = lock(part);
        (part.greeting, part.script.clone())
    };
    match greeting {
        Some(greeting) => greeting(writer)?,
        None => say(writer, &welcome())?,
    }
    let Some(script) = script else { return Ok(()) };
    while let Some(packet) = reader.next_packet()? {
        match packet {
            Packet::Ask(number, question) => {
                lock(part).asked.push(question.clone());
                if !answer(writer, number, script(number, &question))? {
                    return Ok(());
                }
            }
            Packet::Tell(message) => lock(part).told.push(message),
            _ => {}
        }
    }
    Ok(())
}

/// An honest greeting.
pub fn welcome() -> Packet {
    Packet::Welcome(Welcome {
        version: NEWEST,
        oldest: OLDEST,
        newest: NEWEST,
        program: "yored 0".into(),
    })
}

/// Says it; false if the session is over.
fn answer(writer: &mut dyn Write, number: u64, reply: Reply) -> std::io::Result<bool> {
    match reply {
        Reply::Done(answers) => say(writer, &Packet::Done(number, answers))?,
        Reply::Failed(failure) => say(writer, &Packet::Failed(number, failure))?,
        Reply::Packets(packets) => packets.iter().try_for_each(|packet| say(writer, packet))?,
        Reply::Forever(mut more) => {
            for piece in 0.. {
                say(writer, &Packet::More(number, more(piece)))?;
            }
        }
        Reply::Bytes(bytes) => {
            writer.write_all(&bytes)?;
            writer.flush()?;
            return Ok(false);
        }
    }
    Ok(true)
}

fn say(writer: &mut dyn Write, packet: &Packet) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    packet.write(&mut bytes);
    writer.write_all(&bytes)?;
    writer.flush()
}
