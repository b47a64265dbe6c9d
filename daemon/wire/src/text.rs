//! Texts for people, which may quote what somebody else has sent.

/// Letters of a failure's text.
pub const MOST_TEXT: usize = 2000;

/// What stands for the middle of a long text.
const LEFT_OUT: &str = " […] ";

/// A text as it is told: of a long one the beginning, and the end, where the reason is.
pub fn shortened(text: &str) -> String {
    let half = (MOST_TEXT - LEFT_OUT.chars().count()) / 2;
    if text.chars().nth(MOST_TEXT).is_none() {
        return text.to_owned();
    }
    let start = text.char_indices().nth(half).map_or(0, |(at, _)| at);
    let end = text.char_indices().nth_back(half - 1).map_or(0, |(at, _)| at);
    [&text[..start], LEFT_OUT, &text[end..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_ends() {
        let longest = "ä".repeat(MOST_TEXT);
        assert_eq!(shortened(&longest), longest);
        let long = format!("the name {} is too long", "ä".repeat(1 << 20));
        let short = shortened(&long);
        assert!(
            short.starts_with("the name ä") && short.ends_with("ä is too long"),
            "{short}"
        );
        assert!(short.chars().count() <= MOST_TEXT && short.contains(LEFT_OUT));
    }
}
