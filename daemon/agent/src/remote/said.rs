//! What a server says, as the rest of the program counts on it.
//!
//! Names of snapshots become file names in a mount, words of a command and lines on a terminal: a server may
//! call them nothing else. Other text is for people, and can steer no terminal of theirs.

use yore_store::Snapshot;
use yore_wire::Answer;

/// The longest name of a snapshot: a time, with room for what sets two of a second apart.
const LONGEST_NAME: usize = 64;

/// Letters of a text that are kept.
const LONGEST_TEXT: usize = 2000;

/// Whether all names of snapshots in an answer are such.
pub(super) fn has_names(answer: &Answer) -> bool {
    let is_named = |snapshot: &Snapshot| is_name(&snapshot.name);
    match answer {
        Answer::Snapshot(snapshot) => is_named(snapshot),
        Answer::Begun { base, .. } => base.iter().all(is_named),
        Answer::Committed { snapshot, .. } => is_named(snapshot),
        Answer::Version(version) => is_named(&version.snapshot) && version.until.iter().all(|name| is_name(name)),
        Answer::Found(found) => is_name(&found.first) && is_name(&found.last),
        Answer::Stats(stats) => stats.each.iter().all(|each| is_name(&each.name)),
        Answer::Verified(verified) => {
            let mut paths = verified.damages.iter().flat_map(|damage| &damage.paths);
            paths.all(|(_, name)| is_name(name))
        }
        _ => true,
    }
}

fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let is_word = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_letter);
    // Which is another name for the newest one, here and in a mount.
    is_word && !name.starts_with('.') && name != "latest"
}

/// A text in one line, without what steers a terminal, and not longer than anybody reads.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars().take(LONGEST_TEXT) {
        match letter.is_control() || is_direction(letter) {
            true => plain.extend(letter.escape_unicode()),
            false => plain.push(letter),
        }
    }
    plain
}

/// Marks that make a terminal show a line in another order than it has.
fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_snapshots_are_no_paths_and_steer_nothing() {
        for name in ["2026-11-25_23-05-00", "2026-11-25_23-05-00.2", "a"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "latest",
            "../ann",
            "a/b",
            "\u{1b}]52;c;x\u{7}",
            "a b",
            "é",
            &"9".repeat(65),
        ] {
            assert!(!is_name(name), "{name}");
        }
        let verified = |name: &str| {
            Answer::Verified(yore_store::Verified {
                damages: vec![yore_store::Damage {
                    what: "rot".into(),
                    paths: vec![(b"/a".to_vec(), "2026".into()), (b"/b".to_vec(), name.into())],
                }],
                ..Default::default()
            })
        };
        assert!(has_names(&verified("2026")) && !has_names(&verified("20\n26")));
        assert!(has_names(&Answer::Number(7)));
    }

    #[test]
    fn texts_are_one_line_and_end() {
        assert_eq!(plain("ann\u{1b}[2J\nall is well"), "ann\\u{1b}[2J\\u{a}all is well");
        assert_eq!(plain("\u{9b}\u{202e}é"), "\\u{9b}\\u{202e}é");
        assert_eq!(plain(&"x".repeat(1 << 20)).len(), LONGEST_TEXT);
    }
}
