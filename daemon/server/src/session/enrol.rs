//! Enrolling a machine's key.

use yore_store::{Error, Result};
use yore_wire::{Answer, Enrolment};

use super::Session;
use crate::accounts::{By, RepositoryName};

/// The longest name of a machine.
const MOST_MACHINE: usize = 255;

/// Takes a key, for a user who came in by a password or an invitation. A machine that came in by this very key has not
/// heard that it was taken: it hears so.
///
/// # Errors
/// [`Error::Denied`] if the repository is another machine's and neither force nor replace is
/// said, or whatever the accounts refuse.
pub(super) fn enrol(session: &Session, enrolment: Enrolment) -> Result<Answer> {
    let (caller, server) = (&session.caller, &session.server);
    let Enrolment {
        key,
        machine,
        repository,
        force,
        replace,
    } = enrolment;
    if machine.is_empty() || machine.len() > MOST_MACHINE || machine.chars().any(char::is_control) {
        return Err(Error::Refused("that is no name for a machine".into()));
    }
    let accounts = &server.accounts;
    let denied = |error: crate::accounts::Error| match error {
        crate::accounts::Error::KeyRevoked => Error::KeyRevoked,
        error => Error::Denied(error.to_string()),
    };
    let name: RepositoryName = repository.parse().map_err(denied)?;
    let its = accounts.key_of(caller.user.name.as_str(), &key).map_err(denied)?;
    let its = its.map(|(_, key)| key.id);
    if let Some(own) = &caller.key
        && (replace || its != Some(own.id))
    {
        return Err(Error::Denied(
            "this machine is enrolled already; a password or an invitation enrols another".into(),
        ));
    }
    let known = accounts.repository(caller.user.id, &name).map_err(denied)?;
    let before = known.as_ref().and_then(|row| row.machine.clone());
    match &known {
        None if replace => {
            return Err(Error::Denied(format!(
                "there is no repository {name} to take over; `yored repo list` lists them"
            )));
        }
        // What this machine has made itself, before its link was cut, is its own.
        Some(row) if !force && !replace && (its.is_none() || row.claimed_by != its) => {
            let whose = row.machine.as_deref().unwrap_or("another machine");
            return Err(Error::Denied(format!(
                "repository {name} is in use, by {whose}; choose another name with --repository, take it over from \
                 a machine that is gone with --replace, or share it with --force"
            )));
        }
        _ => {}
    }
    let answer = Answer::Enrolled {
        user: caller.user.name.to_string(),
        repository: name.to_string(),
        before: before.filter(|_| replace),
    };
    if caller.key.is_some() {
        return Ok(answer);
    }
    // Before the invitation is used up and the key is known.
    if known.is_none() {
        drop(server.room_for(&caller.user, super::open::NEW)?);
    }
    let taken = accounts
        .enrol(caller.user.id, caller.invitation, &key, &machine, &caller.from)
        .map_err(denied)?;
    if let Some(row) = known.filter(|_| replace) {
        // The machine that is gone shall not come back beside the new one.
        if let Some(old) = row.claimed_by.filter(|old| *old != taken.id) {
            let by = By {
                who: caller.user.name.as_str(),
                from: &caller.from,
            };
            accounts.revoke_of(caller.user.id, old, by).map_err(denied)?;
        }
        accounts
            .set_claim(row.id, taken.id, &machine, &caller.from)
            .map_err(denied)?;
        server.end_sessions(false);
    }
    server.key_enrolled(caller, &taken);
    Ok(answer)
}
