//! A mail server for tests that speaks just enough SMTP.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A letter as the server got it.
#[derive(Debug)]
pub struct Got {
    /// Who sends it.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// Headers and body, as lines.
    pub text: String,
    /// What was said to log in.
    pub login: Option<String>,
}

/// A server on loopback. It lives until the test's process ends.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    letters: Receiver<Got>,
}

impl Server {
    /// One that takes everything.
    pub fn new() -> Self {
        Self::answering("250 queued as 42")
    }

    /// One that answers this to each letter.
    pub fn answering(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, letters) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up is of no concern.
                let _ = talk(stream, answer, &sender);
            }
        });
        Server { address, letters }
    }

    /// The next letter; there must be one.
    pub fn letter(&self) -> Got {
        self.letters.recv_timeout(Duration::from_secs(20)).expect("a letter")
    }

    /// Whether no letter has come: what was sent has come before its sender was answered.
    pub fn is_empty(&self) -> bool {
        self.letters.try_recv().is_err()
    }
}

fn talk(stream: TcpStream, answer: &str, sender: &Sender<Got>) -> std::io::Result<()> {
    let mut output = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    let mut say = move |line: &str| output.write_all(format!("{line}\r\n").as_bytes());
    let (mut from, mut to, mut login) = (String::new(), Vec::new(), None);
    say("220 test")?;
    while let Some(line) = lines.next().transpose()? {
        let word = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match word.as_str() {
            "EHLO" => say("250-test\r\n250 AUTH PLAIN")?,
            "AUTH" => {
                login = Some(line);
                say("235 welcome")?;
            }
            "MAIL" => {
                from = line;
                say("250 ok")?;
            }
            "RCPT" => {
                to.push(line);
                say("250 ok")?;
            }
            "DATA" => {
                say("354 go on")?;
                let text: Vec<String> = lines
                    .by_ref()
                    .map_while(Result::ok)
                    .take_while(|line| line != ".")
                    .collect();
                let got = Got {
                    from: std::mem::take(&mut from),
                    to: std::mem::take(&mut to),
                    text: text.join("\n"),
                    login: login.clone(),
                };
                // Known before it is answered, so that nobody need wait for it.
                let _ = sender.send(got);
                say(answer)?;
            }
            "QUIT" => return say("221 bye"),
            _ => say("250 ok")?,
        }
    }
    Ok(())
}
