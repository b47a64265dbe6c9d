//! What a server answers to the greeting: which of the two is to be updated, if they do not understand each other.

use yore_store::Result;
use yore_wire::{NEWEST, OLDEST, Welcome};

use super::connection::elsewhere;
use super::said::plain;

/// Whether the server speaks a version that we do.
///
/// # Errors
/// [`Error::Elsewhere`](yore_store::Error::Elsewhere), which says what to do.
pub(super) fn check_version(place: &str, welcome: &Welcome) -> Result<()> {
    if (OLDEST..=NEWEST).contains(&welcome.version) {
        return Ok(());
    }
    let (theirs, program) = (welcome.newest, plain(&welcome.program));
    let advice = match theirs < OLDEST {
        true => format!(
            "the server ({program}) speaks protocol {theirs} at most, this yore {OLDEST} at least; update the server"
        ),
        false => format!(
            "the server ({program}) speaks protocol {} at least, this yore {NEWEST} at most; update yore here",
            welcome.oldest
        ),
    };
    Err(elsewhere(place, advice, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_be_updated_is_said() {
        let said = |oldest, newest| {
            let welcome = Welcome {
                version: 0,
                oldest,
                newest,
                program: "yored 9".into(),
            };
            check_version("nas", &welcome).unwrap_err().to_string()
        };
        let later = said(NEWEST + 1, NEWEST + 98);
        assert!(
            later.contains("yored 9") && later.ends_with("update yore here"),
            "{later}"
        );
        let earlier = said(OLDEST - 1, OLDEST - 1);
        assert!(earlier.ends_with("update the server"), "{earlier}");
    }
}
