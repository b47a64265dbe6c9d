//! Mass changes: a push after which most of what was there is gone or is something else.
//!
//! Ransomware, a `rm -rf`, an empty disk mounted in the place of a full one, or a stolen key. The
//! push is taken, because nothing is lost by it; but pruning is suspended and somebody is told, so that
//! the snapshots before it do not go before somebody has looked.
//!
//! One who changes less than half at a time gets below this. That is what the minimum age is for:
//! what he pushes makes nothing go as long as it is young.

use yore_store::Turnover;

/// Trees with fewer files than this may change as they like.
const SMALL: u64 = 20;

/// Whether more than half of the files vanished or changed; if so, what to tell in a mail, which should
/// add with what command somebody lets the server go on.
pub fn is_mass_change(turnover: &Turnover) -> Option<String> {
    let Turnover {
        before,
        vanished,
        changed,
        new,
    } = *turnover;
    let gone = vanished.saturating_add(changed);
    if before < SMALL || gone <= before / 2 {
        return None;
    }
    let mut parts = Vec::new();
    if vanished > 0 {
        parts.push(format!("{vanished} ({}) are gone", percent(vanished, before)));
    }
    if changed > 0 {
        parts.push(format!("{changed} ({}) have other content", percent(changed, before)));
    }
    let mut text = format!(
        "Of the {before} files of the snapshot before, {}; {new} are new.\n\n",
        parts.join(" and ")
    );
    text.push_str(guess(turnover));
    text.push_str(
        "\n\nNothing is lost: all snapshots before this one are there. So that they stay, the server removes no \
         old snapshots of this repository until somebody has looked and lets it go on. If this was meant, \
         let it go on. If not, find the cause first, and restore from a snapshot before this one.\n",
    );
    Some(text)
}

/// The likeliest causes.
fn guess(turnover: &Turnover) -> &'static str {
    let is_moved = turnover.vanished > turnover.changed && turnover.new >= turnover.vanished / 2;
    if is_moved {
        "So it looks when a folder with much in it was renamed or moved. Ransomware that gives files new names \
         looks the same."
    } else if turnover.changed > turnover.vanished {
        "So it looks when a program rewrote all files, or when ransomware encrypted them."
    } else {
        "So it looks when much was deleted, when a disk was not mounted, or when somebody else pushes with the \
         machine's key."
    }
}

/// A share in whole percent; what is more than nothing is at least 1 %.
fn percent(part: u64, whole: u64) -> String {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    format!("{} %", percent.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turnover(before: u64, vanished: u64, changed: u64, new: u64) -> Turnover {
        Turnover {
            before,
            vanished,
            changed,
            new,
        }
    }

    #[test]
    fn more_than_half_of_a_tree_that_is_not_small() {
        for (told, is_mass) in [
            (turnover(0, 0, 0, 1000), false),
            (turnover(19, 19, 0, 0), false),
            (turnover(20, 20, 0, 0), true),
            (turnover(20, 10, 0, 0), false),
            (turnover(20, 5, 6, 0), true),
            (turnover(21, 0, 10, 0), false),
            (turnover(21, 0, 11, 0), true),
            (turnover(1000, 0, 0, 100_000), false),
            (turnover(u64::MAX, u64::MAX, u64::MAX, 0), true),
        ] {
            assert_eq!(is_mass_change(&told).is_some(), is_mass, "{told:?}");
        }
    }

    #[test]
    fn the_text_has_the_numbers_and_what_they_look_like() {
        let text = |told| is_mass_change(&told).unwrap();
        let gone = text(turnover(1000, 999, 1, 0));
        assert!(
            gone.starts_with("Of the 1000 files of the snapshot before, 999 (99 %) are gone and 1 (1 %) have other content; 0 are new."),
            "{gone}"
        );
        assert!(gone.contains("a disk was not mounted"), "{gone}");
        assert!(text(turnover(1000, 0, 600, 0)).contains("encrypted"));
        assert!(!text(turnover(1000, 0, 600, 0)).contains("are gone"));
        assert!(text(turnover(1000, 900, 0, 900)).contains("renamed or moved"));
    }
}
