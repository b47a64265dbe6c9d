//! Mail: tells people what they must know and may not see.
//!
//! ```text
//! occasion ─▶ told within a day? ─▶ letters (the text) ─▶ transport ─▶ the user, the administrator
//!             accounts::mails
//! ```
//!
//! | occasion          | to                                   | again                       |
//! |-------------------|--------------------------------------|-----------------------------|
//! | push failed       | the user, else the administrator     | after a day, by cause       |
//! | … of a full disk  | both                                 | after a day                 |
//! | … and was lost    | as it failed, if it is not back soon | after a day                 |
//! | overdue           | both                                 | daily, not on skipped days  |
//! | quota mark        | both                                 | when it was below in between|
//! | damage            | both                                 | after a day                 |
//! | new key           | both                                 | each key once               |
//! | pruning suspended | both                                 | after a day                 |
//!
//! A backup does not fail because mail does: what cannot be sent is told on stderr and in the audit log,
//! and is due again in an hour. The calls here block, for as long as a mail server takes.
//!
//! A new occasion is a text in `letters` and a function in `occasions`.

mod letters;
mod occasions;
mod transport;

use lettre::message::Mailbox;

use crate::accounts::{Accounts, User};
use crate::config::{Config, Transport};
use crate::error::warn;
use letters::Letter;

pub use occasions::Enrolled;
pub use transport::MailError;

/// Sends mail as the configuration says. Cheap to clone.
#[derive(Clone)]
pub struct Post {
    config: Config,
    accounts: Accounts,
}

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    /// The user; the administrator where the user has no address.
    User,
    /// Both.
    Both,
}

impl Post {
    /// Sends by this configuration; after a change of it, make another.
    pub fn new(config: &Config, accounts: &Accounts) -> Self {
        Post {
            config: config.clone(),
            accounts: accounts.clone(),
        }
    }

    /// Sends a letter that says that mail works, to an address or to the administrator; gives what the
    /// mail server answered, and to whom it went.
    ///
    /// # Errors
    /// [`MailError`].
    pub fn test(&self, to: Option<&Mailbox>) -> Result<(Mailbox, String), MailError> {
        let to = to.or(self.config.mail.to.as_ref()).ok_or(MailError::NobodyToTell)?;
        let answer = transport::send(&self.config.mail, to, &letters::test())?;
        Ok((to.clone(), answer))
    }

    /// Whether mail is sent at all.
    fn is_on(&self) -> bool {
        self.config.mail.transport != Transport::None
    }

    /// Sends a letter to all that it concerns, if `due` says that they do not know yet.
    fn tell(&self, kind: &str, subject: &str, user: &User, audience: Audience, letter: &Letter) {
        let recipients = self.recipients(user, audience);
        let mut sent = recipients.is_empty();
        for to in &recipients {
            match transport::send(&self.config.mail, to, letter) {
                Ok(_) => sent = true,
                Err(error) => self.could_not(to, letter, &error),
            }
        }
        if !sent {
            let put_off = self.accounts.mail_failed(kind, subject, self.accounts.now());
            put_off.unwrap_or_else(|error| warn(&error.to_string()));
        }
    }

    fn recipients(&self, user: &User, audience: Audience) -> Vec<Mailbox> {
        let users = user.email.as_ref().and_then(|email| email.parse::<Mailbox>().ok());
        let ours = self.config.mail.to.clone();
        let mut all: Vec<Mailbox> = match audience {
            Audience::User => users.or(ours).into_iter().collect(),
            Audience::Both => users.into_iter().chain(ours).collect(),
        };
        all.dedup_by(|a, b| a.email == b.email);
        all
    }

    fn could_not(&self, to: &Mailbox, letter: &Letter, error: &MailError) {
        let error = yore_terminal::text::one_line(&error.to_string());
        warn(&format!("mail to {to} ({}) could not be sent: {error}", letter.subject));
        let what = format!("mail failed to {}", to.email);
        let written = self
            .accounts
            .audit("yored", &what, "this machine", &letter.subject, &error);
        written.unwrap_or_else(|error| warn(&error.to_string()));
    }
}

#[cfg(test)]
mod smtp;
#[cfg(test)]
mod tests;
