//! How a letter leaves: to a mail server, or by `sendmail`.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls as Way, TlsParameters};
use lettre::{SendmailTransport, SmtpTransport, Transport as _};

use super::letters::Letter;
use crate::config::{Mail, Tls, Transport};

/// How long a mail server may take for each step.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a letter could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// Mail is off.
    #[error("mail is off: set mail.transport to \"smtp\" or \"sendmail\"")]
    Off,
    /// There is no address.
    #[error("there is nobody to send it to: name an address, or set mail.to")]
    NobodyToTell,
    /// An address or a text that cannot stand in a letter.
    #[error("the letter cannot be written: {0}")]
    Letter(String),
    /// The file with the password.
    #[error("{}: {source}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What the mail server answered, or why it could not be asked.
    #[error("{server}: {}", causes(source))]
    Smtp {
        /// The mail server, with its port.
        server: String,
        /// What it answered.
        source: lettre::transport::smtp::Error,
    },
    /// What `sendmail` said.
    #[error("sendmail: {}", causes(.0))]
    Sendmail(#[source] lettre::transport::sendmail::Error),
}

/// An error with what it comes from, where it does not say so itself.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        if !text.contains(&error.to_string()) {
            text = format!("{text}: {error}");
        }
        cause = error.source();
    }
    text
}

/// Sends a letter; gives what was answered.
pub(super) fn send(config: &Mail, to: &Mailbox, letter: &Letter) -> Result<String, MailError> {
    let message = message(config, to, letter)?;
    match config.transport {
        Transport::None => Err(MailError::Off),
        Transport::Sendmail => {
            let sent = SendmailTransport::new().send(&message);
            sent.map(|()| "sendmail took it".into()).map_err(MailError::Sendmail)
        }
        Transport::Smtp => by_smtp(config, &message),
    }
}

fn message(config: &Mail, to: &Mailbox, letter: &Letter) -> Result<Message, MailError> {
    let sender = config.sender().map_err(MailError::Letter)?;
    // So that an absent person's machine does not answer ours.
    let automatic = HeaderValue::new(
        HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".into(),
    );
    let message = Message::builder()
        .from(sender)
        .to(to.clone())
        .subject(letter.subject.clone())
        .message_id(None)
        .raw_header(automatic)
        .header(ContentType::TEXT_PLAIN)
        .body(letter.body.clone());
    message.map_err(|error| MailError::Letter(causes(&error)))
}

fn by_smtp(config: &Mail, message: &Message) -> Result<String, MailError> {
    let host = config.host.clone().unwrap_or_default();
    let port = config.port.unwrap_or(config.tls.port());
    let failed = |source| MailError::Smtp {
        server: format!("{host}:{port}"),
        source,
    };
    let mut builder = SmtpTransport::builder_dangerous(&host)
        .port(port)
        .timeout(Some(PATIENCE))
        .tls(way(config.tls, &host).map_err(failed)?);
    if let Some(user) = &config.user {
        builder = builder.credentials(Credentials::new(user.clone(), password(config)?));
    }
    let answer = builder.build().send(message).map_err(failed)?;
    let lines: Vec<&str> = answer.message().collect();
    Ok(format!("{} {}", answer.code(), lines.join(" ")).trim_end().to_owned())
}

fn way(tls: Tls, host: &str) -> Result<Way, lettre::transport::smtp::Error> {
    Ok(match tls {
        Tls::Starttls => Way::Required(TlsParameters::new(host.to_owned())?),
        Tls::Tls => Way::Wrapper(TlsParameters::new(host.to_owned())?),
        Tls::None => Way::None,
    })
}

fn password(config: &Mail) -> Result<String, MailError> {
    if let Some(password) = &config.password {
        return Ok(password.0.clone());
    }
    let Some(path) = &config.password_file else {
        return Ok(String::new());
    };
    let text = std::fs::read_to_string(path).map_err(|source| MailError::Password {
        path: path.clone(),
        source,
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
