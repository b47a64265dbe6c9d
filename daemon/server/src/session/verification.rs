//! Verifications and repairs that an agent asks for.

use std::sync::Arc;

use yore_store::{Damage, Repository, Result, Verified};
use yore_wire::Answer;

use super::Session;
use crate::outbox::Reply;

/// Cuts what was verified into pieces of this many paths and damages: a packet has to hold each.
const MOST_DAMAGED: usize = 200;

/// Verifies the repository; what is damaged is known to the server then.
pub(super) fn verify(
    session: &Session,
    repository: &Arc<Repository>,
    read_data: bool,
    reply: &mut Reply,
) -> Result<()> {
    let began = session.server.now();
    let verified = Repository::verify(repository, read_data, &mut progress(session, reply))?;
    let row = &session.opened()?.row;
    match verified.damages.first() {
        Some(first) => session.server.damage_found(row.id, verified.damages.len(), &first.what),
        None if read_data => session.server.no_damage(row.id, began),
        None => {}
    }
    in_pieces(verified, &mut |piece| reply.push(Answer::Verified(piece)))
}

/// Tells how far it is, now and then; it fails when who asked is gone.
fn progress<'a>(session: &'a Session, reply: &'a mut Reply) -> impl FnMut(u64, u64) -> Result<()> + 'a {
    let mut told = None;
    move |done, all| {
        let now = Some(session.server.now());
        match std::mem::replace(&mut told, now) == now {
            true => Ok(()),
            false => reply.push(Answer::Progress { done, all }),
        }
    }
}

/// Repairs the contents of which there is another one; tells what stays damaged.
pub(super) fn repair(session: &Session, repository: &Arc<Repository>, dry_run: bool, reply: &mut Reply) -> Result<()> {
    let began = session.server.now();
    let repaired = repository.repair_contents(dry_run, &mut progress(session, reply))?;
    let row = &session.opened()?.row;
    match repaired.damages.first() {
        Some(first) => session.server.damage_found(row.id, repaired.damages.len(), &first.what),
        None => session.server.no_damage(row.id, began),
    }
    if repaired.healed > 0 {
        reply.push(Answer::Healed(repaired.healed))?;
    }
    let damages = Verified {
        damages: repaired.damages,
        ..Verified::default()
    };
    in_pieces(damages, &mut |piece| reply.push(Answer::Verified(piece)))
}

/// The first piece has the numbers. A damage without a text goes on with the paths of the one before.
fn in_pieces(verified: Verified, tell: &mut dyn FnMut(Verified) -> Result<()>) -> Result<()> {
    let (damages, mut left) = (verified.damages, MOST_DAMAGED);
    let mut piece = Verified {
        damages: Vec::new(),
        ..verified
    };
    for mut damage in damages {
        loop {
            let rest = damage.paths.split_off(damage.paths.len().min(left.saturating_sub(1)));
            left = left.saturating_sub(1 + damage.paths.len());
            piece.damages.push(damage);
            if left == 0 {
                tell(std::mem::take(&mut piece))?;
                left = MOST_DAMAGED;
            }
            if rest.is_empty() {
                break;
            }
            damage = Damage {
                what: String::new(),
                paths: rest,
            };
        }
    }
    tell(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(what: &str, paths: usize) -> Damage {
        let paths = (0..paths).map(|n| (format!("/{what}/{n}").into_bytes(), "2026-11-20".to_owned()));
        Damage {
            what: what.to_owned(),
            paths: paths.collect(),
        }
    }

    #[test]
    fn damages_of_any_number_are_told_in_pieces() {
        for sizes in [&[][..], &[0], &[3, 0], &[499, 1], &[500], &[1200, 0, 700], &[0; 501]] {
            let damages: Vec<Damage> = (sizes.iter().enumerate())
                .map(|(at, &size)| damage(&format!("damage {at}"), size))
                .collect();
            let verified = Verified {
                entries: 7,
                damages,
                ..Verified::default()
            };
            let (mut together, mut pieces) = (Verified::default(), 0);
            in_pieces(verified.clone(), &mut |piece| {
                pieces += 1;
                let length = piece.damages.iter().map(|damage| 1 + damage.paths.len()).sum::<usize>();
                assert!(length <= MOST_DAMAGED, "{sizes:?}: {length}");
                together.append(piece);
                Ok(())
            })
            .unwrap();
            assert_eq!(together, verified, "{sizes:?}");
            assert!(pieces <= 2 + sizes.iter().map(|size| 1 + size).sum::<usize>() / (MOST_DAMAGED - 1));
        }
    }
}
