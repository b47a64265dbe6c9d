//! The section `[mail]`.

use std::fmt;
use std::path::PathBuf;

use lettre::message::Mailbox;
use serde::Deserialize;

use super::host_name;
use crate::units::from_text_if_any;

/// Who gets mail, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Mail {
    /// How mail leaves.
    pub transport: Transport,
    /// The sender; `yored@` and this machine's name if there is none.
    #[serde(deserialize_with = "mailbox")]
    pub from: Option<Mailbox>,
    /// The administrator, who hears of everything.
    #[serde(deserialize_with = "mailbox")]
    pub to: Option<Mailbox>,
    /// The mail server.
    pub host: Option<String>,
    /// Its port; that which belongs to `tls` if there is none.
    pub port: Option<u16>,
    /// How the way to it is protected.
    pub tls: Tls,
    /// The name to log in by; without one nobody logs in.
    pub user: Option<String>,
    /// The password.
    #[serde(deserialize_with = "from_text_if_any")]
    pub password: Option<Secret>,
    /// A file whose first line is the password.
    pub password_file: Option<PathBuf>,
}

/// How mail leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// To a mail server.
    Smtp,
    /// By the program `sendmail`.
    Sendmail,
    /// Not at all.
    #[default]
    None,
}

/// How the way to the mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Plain at first, then TLS or nothing.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// Not at all.
    None,
}

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(a secret)")
    }
}

impl std::str::FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Secret(text.to_owned()))
    }
}

impl Tls {
    /// The port on which servers wait for it.
    pub fn port(self) -> u16 {
        match self {
            Tls::Starttls => 587,
            Tls::Tls => 465,
            Tls::None => 25,
        }
    }
}

impl Mail {
    /// The sender.
    ///
    /// # Errors
    /// A text for the administrator, if this machine's name cannot stand in an address.
    pub fn sender(&self) -> Result<Mailbox, String> {
        let ours = || {
            let address = format!("yored@{}", host_name());
            let parsed = address.parse();
            parsed.map_err(|_| format!("{address}: cannot be a sender; set mail.from"))
        };
        self.from.clone().map_or_else(ours, Ok)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.transport == Transport::Smtp && self.host.is_none() {
            return Err("mail.transport is \"smtp\", so mail.host must name the mail server".into());
        }
        if self.password.is_some() && self.password_file.is_some() {
            return Err("mail.password and mail.password_file are both set; keep one".into());
        }
        if self.user.is_some() && self.password.is_none() && self.password_file.is_none() {
            return Err("mail.user is set, so mail.password or mail.password_file must be too".into());
        }
        Ok(())
    }
}

fn mailbox<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Mailbox>, D::Error> {
    let bad = |text: &str| format!("{text:?} is not a mail address; write it like ann@example.org");
    let text = Option::<String>::deserialize(from)?;
    let parsed = text.map(|text| text.parse().map_err(|_| serde::de::Error::custom(bad(&text))));
    parsed.transpose()
}
